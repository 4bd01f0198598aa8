"""Questions and windows as tables of ids, from which rows of both together are made where the model is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from train.ranker.lists import Listed

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["Drawn", "Rows", "Table", "draw", "rows_of", "table"]

_MULTIPLE = 16


@dataclass(frozen=True, slots=True)
class Table:
    """Texts as ids without marks: `ids` int64 (texts, longest), zeros behind each, and `lengths` int64 (texts)."""

    ids: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """Questions with a window behind each, int64 (rows, tokens): `ids`, `segments` (1: window), `mask`."""

    ids: torch.Tensor
    segments: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class Drawn:
    """The windows of some lists, `windows` (lists, count), and which of them are right, bool of the same shape."""

    windows: list[list[int]]
    right: list[list[bool]]


def table(texts: Sequence[str], tokenizer: Tokenizer, most: int, device: torch.device) -> Table:
    """Return the texts as ids, each cut behind `most`."""
    import torch

    rows = [read.ids[:most] for read in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    ids = torch.zeros(len(rows), max(1, *map(len, rows)), dtype=torch.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return Table(ids.to(device), torch.tensor([len(row) for row in rows], device=device))


def draw(lists: Sequence[Listed], count: int, chance: random.Random, most_right: int = 2, most_own: int = 4) -> Drawn:
    """Return `count` windows for each list: right ones, others of the same text, and wrong ones, the likeliest more often.

    A list that has fewer repeats its last wrong ones.
    """
    windows, right = [], []
    for each in lists:
        chosen = chance.sample(each.right, min(most_right, len(each.right)))
        own = chance.sample(each.own, min(most_own, len(each.own)))
        room = count - len(chosen) - len(own)
        # The smaller of two draws: the front of the list comes up three times as often as its end.
        places = (
            sorted({min(chance.randrange(len(each.wrong)), chance.randrange(len(each.wrong))) for _ in range(2 * room)})
            if each.wrong
            else []
        )
        chance.shuffle(places)
        row = [*chosen, *own, *(each.wrong[place] for place in places[:room])]
        others = row[len(chosen) :]
        row += [others[number % len(others)] for number in range(count - len(row))]
        windows.append(row)
        right.append([True] * len(chosen) + [False] * (count - len(chosen)))
    return Drawn(windows, right)


def rows_of(questions: Table, windows: Table, asked: torch.Tensor, shown: torch.Tensor, marks: tuple[int, int]) -> Rows:
    """Return each question of `asked` (rows) with the window of `shown` (rows), between the opening and closing `marks`."""
    import torch

    first, second = questions.lengths[asked], windows.lengths[shown]
    width = -(-int((first + second).max() + 3) // _MULTIPLE) * _MULTIPLE
    place = torch.arange(width, device=asked.device)[None, :]
    start = (first + 2)[:, None]
    end = start + second[:, None]
    of_question = questions.ids[asked].gather(
        1, (place - 1).clamp(0, questions.ids.shape[1] - 1).expand(len(asked), -1)
    )
    of_window = windows.ids[shown].gather(1, (place - start).clamp(0, windows.ids.shape[1] - 1))
    ids = torch.where(place < start, of_question, of_window)
    ids = torch.where((place == start - 1) | (place == end), marks[1], ids)
    ids = torch.where(place == 0, marks[0], ids)
    mask = (place <= end).long()
    return Rows(ids * mask, ((place >= start) & (place <= end)).long(), mask)
