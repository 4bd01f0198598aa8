"""Passages that say nearly the same become one group, so that none counts as wrong for a question about the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from train.embedder.pairs import Pair

__all__ = ["joined_groups"]

# Share of all words of two passages that stand in both.
_ALIKE = 0.6
_BLOCK = 1_024
_WORD = re.compile(r"\w+")


def joined_groups(pairs: Sequence[Pair], alike: float = _ALIKE) -> list[Pair]:
    """Return the pairs with groups joined where passages share `alike` of their words (Jaccard), or the question."""
    texts: dict[str, str] = {}
    for pair in pairs:
        texts.setdefault(pair.group, pair.passage)
    groups = list(texts)
    leaders = list(range(len(groups)))

    def leader(number: int) -> int:
        while leaders[number] != number:
            leaders[number] = leaders[leaders[number]]
            number = leaders[number]
        return number

    for first, second in _alike(list(texts.values()), alike):
        leaders[leader(second)] = leader(first)
    numbers, asked = {group: number for number, group in enumerate(groups)}, dict[str, int]()
    for pair in pairs:
        number = numbers[pair.group]
        leaders[leader(number)] = leader(asked.setdefault(pair.query.casefold(), number))
    return [replace(pair, group=groups[leader(numbers[pair.group])]) for pair in pairs]


def _alike(texts: Sequence[str], alike: float) -> list[tuple[int, int]]:
    """Return the pairs of texts, by number, whose sets of words overlap so much."""
    sets = [set(_WORD.findall(text.lower())) for text in texts]
    known = {word: number for number, word in enumerate(sorted(set().union(*sets)))}
    held = np.zeros((len(texts), len(known)), dtype=np.float32)
    for row, words in enumerate(sets):
        held[row, [known[word] for word in words]] = 1
    sizes, found = held.sum(axis=1), []
    for start in range(0, len(texts), _BLOCK):
        both = held[start : start + _BLOCK] @ held.T
        either = sizes[start : start + _BLOCK, None] + sizes[None] - both
        rows, columns = np.nonzero(both >= alike * np.maximum(either, 1))
        found += [(int(row) + start, int(column)) for row, column in zip(rows, columns, strict=True)]
    return [(row, column) for row, column in found if row < column]
