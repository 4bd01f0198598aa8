"""llama.cpp on the same GGUF file, where its Python package with built wheels is installed: `pip install xllamacpp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["llama_cpp"]

CONTEXT_TOKENS = 4_096


def llama_cpp(file: Path, threads: int) -> Callable[[Sequence[int], int], tuple[float, float]]:
    """Return a function of prompt and number of tokens that times one greedy answer, nothing of which is cached.

    It gives the seconds for the prompt, and the tokens per second after the first, both by llama.cpp's own clock.
    """
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.verbosity = CONTEXT_TOKENS, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)

    def run(ids: Sequence[int], tokens: int) -> tuple[float, float]:
        request = {"prompt": list(map(int, ids)), "max_tokens": tokens, "temperature": 0, "cache_prompt": False}
        timings: dict[str, Any] = server.handle_completions(request)["timings"]
        return timings["prompt_ms"] / 1_000, timings["predicted_per_second"]

    return run
