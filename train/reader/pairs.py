"""Reading examples to token ids of question and passage, and to the tokens where answers start and end."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """Ids with their special tokens; segment 1 starts at `second`. `spans` are (first, last) tokens, none: no answer."""

    ids: tuple[int, ...]
    second: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors (rows, tokens): `ids`, `segments`, `mask`; (rows, places): `starts`, `ends`, and `places`, 0 or -1e4."""

    ids: torch.Tensor
    segments: torch.Tensor
    mask: torch.Tensor
    starts: torch.Tensor
    ends: torch.Tensor
    places: torch.Tensor


def encode_pairs(
    examples: Iterable[ReadingExample], tokenizer: Tokenizer, chance: random.Random, most: int = MAX_TOKENS
) -> list[Pair]:
    """Return the examples as pairs of at most `most` tokens; passages stand one after the other.

    Of longer ones a part is shown as the reader is shown parts of a long passage: one that holds the answer.
    """
    pairs = []
    for example in examples:
        text = "\n\n".join(example.passages)
        read = tokenizer.encode(example.question, text)
        second, last = read.type_ids.index(1), len(read.ids) - 1
        spans = _spans(text, example.answer, read.offsets, second, last)
        if bool(spans) != bool(example.answer):
            continue
        ids = read.ids
        if len(ids) > most:
            room, shown = most - second - 1, chance.choice(spans) if spans else (last - 1, second)
            earliest, latest = max(second, shown[1] + 1 - room), min(shown[0], last - room)
            if earliest > latest:
                continue
            start = chance.randint(earliest, latest)
            ids = [*ids[:second], *ids[start : start + room], ids[-1]]
            moved = [(first - start + second, end - start + second) for first, end in spans]
            spans = [(first, end) for first, end in moved if first >= second and end < second + room]
        pairs.append(Pair(tuple(ids), second, tuple(spans[:_MOST_PLACES])))
    return pairs


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
    return Batch(*(tensor.to(device) for tensor in (ids, segments, mask, starts, ends, places)))
