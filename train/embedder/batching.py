"""Pairs as numbers, batches of them, and passages that are wrong although they look right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from train.embedder.network import token_ids
from train.embedder.pairs import Pair

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["Encoded", "batches", "encode_pairs", "hard_negatives"]

# A passage nearer to a question than this share of its own one's nearness may well answer it too: not taken as wrong
# (Moreira et al. 2024, arXiv:2407.15831).
_MOST_NEAR = 0.95
_HARDEST = 16


@dataclass(frozen=True, slots=True)
class Encoded:
    """Pairs as token ids. Pair n asks `queries[n]`, answered by `passages[own[n]]`, and is of group `groups[n]`.

    `passages` are distinct; `passage_groups` has the group of each.
    """

    queries: list[list[int]]
    passages: list[list[int]]
    own: list[int]
    groups: list[int]
    passage_groups: list[int]


def encode_pairs(pairs: Sequence[Pair], tokenizer: Tokenizer) -> Encoded:
    """Return the pairs as ids, each passage once for each group."""
    numbers: dict[tuple[str, str], int] = {}
    groups: dict[str, int] = {}
    for pair in pairs:
        groups.setdefault(pair.group, len(groups))
        numbers.setdefault((pair.passage, pair.group), len(numbers))
    return Encoded(
        token_ids([pair.query for pair in pairs], tokenizer),
        token_ids([passage for passage, _ in numbers], tokenizer),
        [numbers[pair.passage, pair.group] for pair in pairs],
        [groups[pair.group] for pair in pairs],
        [groups[group] for _, group in numbers],
    )


def batches(count: int, rows: int, chance: random.Random) -> list[list[int]]:
    """Return the numbers below `count` in a random order, `rows` at a time; a rest under half a batch joins the last."""
    order = list(range(count))
    chance.shuffle(order)
    found = [order[start : start + rows] for start in range(0, count, rows)]
    if len(found) > 1 and len(found[-1]) < rows // 2:
        found[-2:] = [found[-2] + found[-1]]
    return found


def hard_negatives(encoded: Encoded, queries: torch.Tensor, passages: torch.Tensor) -> list[list[int]]:
    """Return for each pair the wrong passages nearest to its question, at most 16, the nearest first.

    `queries` and `passages` are the base's unit vectors. Passages of the pair's group, and those nearly as near as its own
    or nearer, are left out.
    """
    import torch

    found: list[list[int]] = []
    device = queries.device
    own, groups = torch.tensor(encoded.own, device=device), torch.tensor(encoded.groups, device=device)
    passage_groups = torch.tensor(encoded.passage_groups, device=device)
    for start in range(0, len(queries), 1_024):
        part = slice(start, start + 1_024)
        near = queries[part] @ passages.T
        limit = _MOST_NEAR * near.gather(1, own[part, None])
        near = near.masked_fill((passage_groups == groups[part, None]) | (near > limit), -2.0)
        best = near.topk(min(_HARDEST, near.shape[1]), dim=1)
        for values, numbers in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            found.append([number for value, number in zip(values, numbers, strict=True) if value > -2.0])
    return found
