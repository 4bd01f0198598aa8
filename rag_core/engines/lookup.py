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
_SIZES = (4, 3, 2, 1)
# Tokens that are guessed behind a single one.
_FEW = 3


class PromptLookup:
    """Drafts for one answer. The length of a draft follows how much of the latest ones was right."""

    def __init__(self, prompt: Sequence[int], longest: int = 10, fills: Sequence[int] = ()) -> None:
        """Index the prompt. `longest` bounds a draft in tokens.

        `fills`, ascending: where passes are of a few widths alone, the drafts that fill each; a shorter one costs the same.
        """
        self._ids: list[int] = []
        self._after: dict[int, dict[tuple[int, ...], int]] = {size: {} for size in _SIZES}
        self._longest, self._fills = longest, fills
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

    def draft(self, limit: int, *, eager: bool = False) -> list[int]:
        """Return at most `limit` guesses of what follows; none where nothing matches.

        `eager`: guess a little behind a single token, too, and whatever was wrong before. That is for where a pass of few
        rows costs what one row does.
        """
        limit = min(limit, next((fill for fill in self._fills if fill >= self._length), self._length))
        if limit < 1:
            return []
        for size in _SIZES:
            # After misses only a longer match is worth a pass.
            if not eager and (size == 1 or (size == 2 and self._misses > 1)):
                continue
            start = self._after[size].get(tuple(self._ids[-size:])) if len(self._ids) >= size else None
            if start is not None:
                return self._ids[start : start + (limit if size > 1 else min(limit, _FEW))]
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
