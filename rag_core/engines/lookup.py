"""Prompt lookup: drafts of the next tokens, copied from where the last few stood before.

An answer about a document repeats its words, so the tokens that followed the same n-gram earlier are a good guess. One
forward pass then checks all of them, and only those that greedy decoding would have chosen are kept: the text is the
same, only sooner (Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding; the check is that of speculative
decoding, Leviathan et al. 2023, arXiv:2211.17192).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PromptLookup"]

# Longer matches are tried first: they are right more often.
_SIZES = (4, 3, 2)


class PromptLookup:
    """Drafts for one answer. The length of a draft follows how much of the latest ones was right."""

    def __init__(self, prompt: Sequence[int], longest: int = 10) -> None:
        """Index the prompt. `longest` bounds a draft in tokens."""
        self._ids: list[int] = []
        self._after: dict[int, dict[tuple[int, ...], int]] = {size: {} for size in _SIZES}
        self._longest = longest
        self._length = 4
        self._misses = 0
        self.extend(prompt)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens that are certain."""
        for token in tokens:
            # What follows an n-gram is indexed once it is there, so the end of the text never matches itself.
            end = len(self._ids)
            for size in _SIZES:
                if end >= size:
                    self._after[size][tuple(self._ids[end - size :])] = end
            self._ids.append(token)

    def draft(self, limit: int) -> list[int]:
        """Return at most `limit` guesses of what follows; none where nothing matches."""
        limit = min(limit, self._length)
        if limit < 1:
            return []
        for size in _SIZES:
            # After misses only a longer match is worth a pass.
            if size == 2 and self._misses > 1:
                continue
            start = self._after[size].get(tuple(self._ids[-size:])) if len(self._ids) >= size else None
            if start is not None:
                return self._ids[start : start + limit]
        return []

    def learn(self, drafted: int, accepted: int) -> None:
        """Adapt to a draft of `drafted` tokens of which the first `accepted` were right."""
        if not drafted:
            return
        self._misses = 0 if accepted else self._misses + 1
        if accepted == drafted:
            self._length = min(self._longest, self._length + 3)
        else:
            self._length = max(2, min(self._length, accepted + 2))
