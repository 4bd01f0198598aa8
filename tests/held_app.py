"""app.py, whose answers stop in the middle for as long as a file exists: half an answer can be looked at in peace.

Usage: python held_app.py HOLD_FILE. Everything is the real thing; without the file nothing differs. What no test may
depend on is how fast a model writes, so a test that needs an unfinished answer creates the file, and deletes it when it
has seen enough. An answer that is closed while it is held notes that beside it, as HOLD_FILE.closed.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from rag_core.engines import local  # noqa: E402
from rag_core.generation import GenerationDelta  # noqa: E402
from rag_core.records import Message  # noqa: E402

# Tokens after which an answer is held: a few words.
FIRST_TOKENS = 4


class HeldGenerator(local.LocalGenerator):
    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        made = 0
        try:
            for delta in super().stream(messages, max_new_tokens=max_new_tokens):
                yield delta
                made += delta.tokens
                while made >= FIRST_TOKENS and HOLD.exists():
                    yield GenerationDelta("", 0)
                    # Rarely enough that the desk, which waits for each of these, says in between that it waits.
                    time.sleep(0.5)
        except GeneratorExit:
            # Also before the held token: on a busy machine a reader can see one word and stop before the second.
            if HOLD.exists():
                HOLD.with_suffix(".closed").touch()
            raise


if __name__ == "__main__":
    HOLD = Path(sys.argv.pop())
    local.LocalGenerator = HeldGenerator  # type: ignore[misc]
    runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
