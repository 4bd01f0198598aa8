"""Greedy decoding over the lean forward pass: prompt in chunks, keys and values reused, drafts checked in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag_core.engines.llama import MOST_LOGITS, MOST_ROWS, LlamaModel, LlamaSettings
from rag_core.engines.lookup import PromptLookup
from rag_core.engines.steps import Step

__all__ = ["CpuEngine"]


class CpuEngine:
    """A Llama-type model on the CPU in float32. It keeps the last request's keys and values for the next one."""

    at_once = 1

    def __init__(
        self,
        folder: Path,
        settings: LlamaSettings,
        stop_ids: frozenset[int],
        cache: Path,
        *,
        threads: int = 1,
        prompt_lookup: bool = True,
        model: LlamaModel | None = None,
    ) -> None:
        """Load the weights, or take over `model`. `stop_ids` end an answer; `threads` compute it; kernels go to `cache`."""
        self.model = model or LlamaModel(folder, settings, threads, cache)
        # The first pass ever on a machine compiles the kernels (10 s); later ones find them compiled.
        self.model.reserve(1)
        self.model.forward([0], 0, logits=True)
        self._stop_ids = stop_ids
        self._prompt_lookup = prompt_lookup
        # The tokens whose keys and values are in the cache.
        self._cached: list[int] = []

    @property
    def description(self) -> str:
        """Where and in what precision it computes."""
        return "CPU, compiled kernels"

    def forget(self) -> None:
        """Drop the keys and values of the last request: the next one is read from its start."""
        self._cached.clear()

    def generate(self, prompt: Sequence[int], max_new_tokens: int) -> Iterator[Step]:
        """Continue `prompt` greedily; closing the iterator stops before the next forward pass."""
        prompt = list(prompt)
        reused = self._reuse(prompt)
        self.model.reserve(len(prompt) + max_new_tokens)
        position = reused
        # What is left is read in equal parts; the last few tokens give the first logits.
        while (left := len(prompt) - position) > MOST_LOGITS:
            parts = -(-(left - 1) // MOST_ROWS)
            end = position + -(-(left - 1) // parts)
            self._forward(prompt[position:end], position, logits=False)
            position = end
            yield Step(cached=reused)
        token = int(self._forward(prompt[position:], position)[-1].argmax())
        yield from self._decode(prompt, token, max_new_tokens, reused)

    def _decode(self, prompt: list[int], token: int, max_new_tokens: int, reused: int) -> Iterator[Step]:
        """Yield the answer that starts with `token`, which is chosen and not yet read."""
        lookup = PromptLookup(prompt, MOST_LOGITS - 1) if self._prompt_lookup else None
        chosen, made = [token], 0
        while True:
            kept = self._until_stop(chosen)[: max_new_tokens - made]
            made += len(kept)
            stopped = len(kept) < len(chosen) and chosen[len(kept)] in self._stop_ids
            if stopped or made >= max_new_tokens:
                yield Step(tuple(kept), reused, "stop" if stopped else "length")
                return
            yield Step(tuple(kept), reused)
            if lookup is None:
                drafted: list[int] = []
            else:
                lookup.extend(kept)
                drafted = lookup.draft(max_new_tokens - made - 1)
            chosen = self._check(len(prompt) + made - 1, kept[-1], drafted)
            if lookup is not None:
                lookup.learn(len(drafted), len(chosen) - 1)

    def _check(self, position: int, token: int, drafted: list[int]) -> list[int]:
        """Read `token` and the draft behind it; return the tokens that greedy decoding chooses, one at least."""
        best = self._forward([token, *drafted], position).argmax(-1).tolist()
        right = 0
        while right < len(drafted) and drafted[right] == best[right]:
            right += 1
        del self._cached[position + 1 + right :]
        return list(best[: right + 1])

    def _forward(self, ids: list[int], position: int, *, logits: bool = True) -> npt.NDArray[np.float32]:
        # Should the pass fail half-way, the cache is known to be good up to here.
        del self._cached[position:]
        found = self.model.forward(ids, position, logits=logits)
        self._cached.extend(ids)
        return found

    def _reuse(self, prompt: list[int]) -> int:
        """Return how many tokens at the start of `prompt` are cached; the last is always read, for its logits."""
        same = 0
        for ours, theirs in zip(self._cached, prompt[:-1], strict=False):
            if ours != theirs:
                break
            same += 1
        return same

    def _until_stop(self, tokens: list[int]) -> list[int]:
        return tokens[: next((i for i, token in enumerate(tokens) if token in self._stop_ids), len(tokens))]
