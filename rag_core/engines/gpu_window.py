"""The one place that knows ZeroGPU, where a GPU is lent for each answer: everywhere else it is as if it were not there.

There, what runs inside `spaces.GPU` runs in a forked process. It sees the models of this one, gets its arguments and
gives its results through pickles, and tells of an exception nothing but the name of its class. So engines are named by
a key, and errors travel as values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import Any

from rag_core.engines.lent import LentEngine
from rag_core.engines.steps import Engine, Step
from rag_core.errors import BusyError, ModelError, OutOfMemoryError, RagError
from rag_core.models import on_zero_gpu

__all__ = ["generate", "prepare", "register", "window_seconds"]

# Requested seconds count against the visitor's quota, too few end the answer. Measured on an H200, bf16, plain
# decoding: 25 tokens/s and 2,048 tokens of prompt in 0.07 s; the rest is for the process to start and for 15 GB of
# weights to move. An engine that is faster says so, see `rag_core.engines.lent`.
_START_SECONDS = 12.0
_PROMPT_TOKENS_PER_SECOND = 4_000.0
_NEW_TOKENS_PER_SECOND = 18.0
_LONGEST_SECONDS = 120

_engines: dict[int, Engine] = {}
_keys = count(1)


def window_seconds(
    prompt_tokens: int,
    new_tokens: int,
    start_seconds: float = _START_SECONDS,
    tokens_per_second: float = _NEW_TOKENS_PER_SECOND,
) -> int:
    """Return the seconds of GPU to ask for, at most 120, for an engine that starts and writes so fast."""
    needed = start_seconds + prompt_tokens / _PROMPT_TOKENS_PER_SECOND + new_tokens / tokens_per_second
    return min(_LONGEST_SECONDS, int(needed) + 1)


def prepare() -> None:
    """Announce the window; on ZeroGPU this must come before torch touches a device, and before the app is launched."""
    if on_zero_gpu():
        _window()


def register(engine: Engine) -> int:
    """Return the key under which `generate` finds `engine`, in this process and in those forked from it later."""
    key = next(_keys)
    _engines[key] = engine
    return key


def generate(key: int, prompt: Sequence[int], max_new_tokens: int) -> Iterator[Step]:
    """Run the engine of that key, inside a GPU window where there is one. Raises ModelError or BusyError."""
    if not on_zero_gpu():
        yield from _engines[key].generate(prompt, max_new_tokens)
        return
    steps = _window()(key, list(prompt), max_new_tokens)
    try:
        for step in steps:
            if isinstance(step, RagError):
                raise step
            yield step
    except RagError:
        raise
    except Exception as error:
        # A quota that is used up, a queue that is full or a worker that died comes as gradio's own error.
        if type(error).__module__.split(".")[0] not in ("gradio", "spaces"):
            raise
        raise BusyError(
            f"No GPU could be had: {error}; try again in a minute, or sign in for a larger quota"
        ) from error
    finally:
        steps.close()


def _seconds(key: int, prompt: list[int], max_new_tokens: int) -> int:
    engine = _engines[key]
    if isinstance(engine, LentEngine):
        return window_seconds(len(prompt), max_new_tokens, engine.start_seconds, engine.tokens_per_second)
    return window_seconds(len(prompt), max_new_tokens)


@cache
def _window() -> Callable[..., Any]:
    import spaces

    return spaces.GPU(duration=_seconds)(_inside)  # type: ignore[no-any-return]


def _inside(key: int, prompt: list[int], max_new_tokens: int) -> Iterator[Step | RagError]:
    try:
        yield from _engines[key].generate(prompt, max_new_tokens)
    except RagError as error:
        yield error
    except MemoryError as error:
        yield OutOfMemoryError(f"The GPU's process has no memory left ({error}); ask a shorter question")
    except Exception as error:  # Anything else would arrive as the bare name of its class.
        yield ModelError(f"Generation failed on the GPU: {type(error).__name__}: {error}")
