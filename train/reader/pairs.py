"""Reading examples to token ids of question and passage, and to the tokens where answers start and end."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_core.arithmetic.plans import NOTHING, SAID, SHAPES
from train.reader.examples import ReadingExample, occurrences

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["MAX_TOKENS", "Batch", "Pair", "batch_of", "encode_pairs"]

MAX_TOKENS = 384
# Places of one answer in its passage that count as right.
_MOST_PLACES = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """Ids with their special tokens; segment 1 starts at `second`. `spans` are (first, last) tokens, none: no answer.

    `shape` is the number in SHAPES of the formula that answers, and `figures` are (role, token) of its operands.
    """

    ids: tuple[int, ...]
    second: int
    spans: tuple[tuple[int, int], ...]
    shape: int = 0
    figures: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors (rows, tokens): `ids`, `segments`, `mask`; (rows, places): `starts`, `ends`, and `places`, 0 or -1e4.

    (rows): `shapes`; (rows, figures): `figures`, their tokens, `roles`, and `weights`, which sum to 1 a role, 0 for none.
    """

    ids: torch.Tensor
    segments: torch.Tensor
    mask: torch.Tensor
    starts: torch.Tensor
    ends: torch.Tensor
    places: torch.Tensor
    shapes: torch.Tensor
    figures: torch.Tensor
    roles: torch.Tensor
    weights: torch.Tensor


def encode_pairs(
    examples: Iterable[ReadingExample], tokenizer: Tokenizer, chance: random.Random, most: int = MAX_TOKENS
) -> list[Pair]:
    """Return the examples as pairs of at most `most` tokens; passages stand one after the other.

    Of longer ones a part is shown as the reader is shown parts of a long passage: one that holds the answer.
    """
    found = (_pair(example, tokenizer, chance, most) for example in examples)
    return [pair for pair in found if pair is not None]


def _pair(example: ReadingExample, tokenizer: Tokenizer, chance: random.Random, most: int) -> Pair | None:
    """Return an example as a pair, None where the answer is not to be had whole."""
    text = "\n\n".join(example.passages)
    read = tokenizer.encode(example.question, text)
    second, last = read.type_ids.index(1), len(read.ids) - 1
    spans = _spans(text, example.answer, read.offsets, second, last)
    figures = _figures(example.figures, read.offsets, second, last)
    if bool(spans) != bool(example.answer) or len(figures) < len(example.figures):
        return None
    shape = SHAPES.index(SAID if spans else NOTHING) if example.shape is None else example.shape
    ids = read.ids
    if len(ids) > most:
        room, shown = most - second - 1, chance.choice(spans) if spans else (last - 1, second)
        if figures:
            shown = (min(token for _, token in figures), max(token for _, token in figures))
        earliest, latest = max(second, shown[1] + 1 - room), min(shown[0], last - room)
        if earliest > latest:
            return None
        start = chance.randint(earliest, latest)
        ids = [*ids[:second], *ids[start : start + room], ids[-1]]
        moved = [(first - start + second, end - start + second) for first, end in spans]
        spans = [(first, end) for first, end in moved if first >= second and end < second + room]
        figures = [(role, token - start + second) for role, token in figures]
    return Pair(tuple(ids), second, tuple(spans[:_MOST_PLACES]), shape, tuple(figures))


def _figures(
    figures: Iterable[tuple[int, int]], offsets: list[tuple[int, int]], second: int, end: int
) -> list[tuple[int, int]]:
    """Return the tokens behind `second` that hold the places of figures, with their roles."""
    return [
        (role, token)
        for role, place in figures
        for token in range(second, end)
        if offsets[token][0] <= place < offsets[token][1]
    ]


def _spans(text: str, answer: str, offsets: list[tuple[int, int]], second: int, end: int) -> list[tuple[int, int]]:
    found = []
    for start in occurrences(text, answer) if answer else []:
        stop = start + len(answer)
        inside = [place for place in range(second, end) if offsets[place][1] > start and offsets[place][0] < stop]
        if inside and offsets[inside[-1]][1] >= stop:
            found.append((inside[0], inside[-1]))
    return found


def batch_of(pairs: list[Pair], device: torch.device) -> Batch:
    """Return pairs as one batch, padded with zeros to a multiple of 16. No answer is the span of the first token."""
    import torch

    width = -(-max(len(pair.ids) for pair in pairs) // 16) * 16
    ids, segments, mask = (torch.zeros(len(pairs), width, dtype=torch.long) for _ in range(3))
    most = max(1, *(len(pair.spans) for pair in pairs))
    starts, ends = (torch.zeros(len(pairs), most, dtype=torch.long) for _ in range(2))
    places = torch.full((len(pairs), most), -1e4)
    for row, pair in enumerate(pairs):
        ids[row, : len(pair.ids)] = torch.tensor(pair.ids)
        segments[row, pair.second : len(pair.ids)] = 1
        mask[row, : len(pair.ids)] = 1
        for number, (first, last) in enumerate(pair.spans or ((0, 0),)):
            starts[row, number], ends[row, number], places[row, number] = first, last, 0.0
    shapes = torch.tensor([pair.shape for pair in pairs])
    several = max(1, *(len(pair.figures) for pair in pairs))
    figures, roles = (torch.zeros(len(pairs), several, dtype=torch.long) for _ in range(2))
    weights = torch.zeros(len(pairs), several)
    for row, pair in enumerate(pairs):
        for number, (role, token) in enumerate(pair.figures):
            figures[row, number], roles[row, number] = token, role
            weights[row, number] = 1 / sum(role == other for other, _ in pair.figures)
    found = (ids, segments, mask, starts, ends, places, shapes, figures, roles, weights)
    return Batch(*(tensor.to(device) for tensor in found))
