"""The ways to read the words of a question as a list of line items."""

from __future__ import annotations

from collections.abc import Iterator

from rag_core.arithmetic.phrases import FILLERS, PREPOSITION, SPLIT
from rag_core.arithmetic.wording import words
from rag_core.language.periods import without_periods

__all__ = ["list_readings"]

_MOST_PARTS = 8


def list_readings(text: str) -> list[tuple[str, ...]]:
    """Return the ways to read `text` as a list of items: as it stands, and with the words that its items share."""
    pieces = [piece.strip(" ?.") for piece in SPLIT.split(text)]
    # Years in a list are no items.
    pieces = [piece for piece in pieces if words(FILLERS.sub(" ", without_periods(piece)))]
    if not 2 <= len(pieces) <= _MOST_PARTS:
        return []
    return list(dict.fromkeys(_readings(pieces)))


def _readings(pieces: list[str]) -> Iterator[tuple[str, ...]]:
    yield tuple(pieces)
    if shared := PREPOSITION.match(pieces[0]):
        yield (pieces[0], *(shared[1] + piece for piece in pieces[1:]))
    tail = pieces[-1].split()
    for count in (1, 2):
        if len(tail) > count:
            yield (*(f"{piece} {' '.join(tail[-count:])}" for piece in pieces[:-1]), pieces[-1])
    if len(pieces) > 2:
        for cut in range(1, len(pieces)):
            yield (" and ".join(pieces[:cut]), " and ".join(pieces[cut:]))
