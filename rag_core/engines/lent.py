"""An engine for a GPU that is lent for each answer: it is made in the process that the GPU is lent to.

On ZeroGPU that process is forked from the app's for an answer, and kept for the next one while nobody else wants the
GPU. Weights that the app's process held would be moved to the GPU in each; read from the disk straight onto it they are
there as soon, and the app needs no memory for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rag_core.engines.steps import Engine, Step

__all__ = ["LentEngine"]


class LentEngine:
    """Makes an engine where it is first asked to generate. In the app's process, which never generates, it has none."""

    # Each answer has a process of its own, and ZeroGPU a line for them.
    at_once = 8
    description = "GPU, lent for each answer"
    # At 7B an H200 writes 244 tokens/s and lends half of itself. The first process of all compiles the kernels.
    start_seconds, tokens_per_second = 20.0, 60.0

    def __init__(self, make: Callable[[], Engine]) -> None:
        """Remember how the engine is made."""
        self._make = make
        self._engine: Engine | None = None

    def generate(self, prompt: Sequence[int], max_new_tokens: int) -> Iterator[Step]:
        """Continue `prompt` greedily. Raises what `make` raises, and what the engine does."""
        # No lock: a process answers one question at a time, and one that another thread held at the fork would stay shut.
        if self._engine is None:
            self._engine = self._make()
        yield from self._engine.generate(prompt, max_new_tokens)
