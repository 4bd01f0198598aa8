"""Several line items that a question names side by side, each looked up for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from rag_core.answers.lookups import LookUp
from rag_core.answers.rows import look_up_row
from rag_core.arithmetic.matching import MARGIN, Pool

__all__ = ["look_up_several"]

_RESPECTIVE = re.compile(r"(?:,\s*)?\brespective(?:ly)?\b", re.IGNORECASE)
_ASKED = re.compile(
    r"^\W*(?:what|how (?:much|many|high|large|big))\b.*\band\b|\brespective|^\W*(?:list|give|state|show|name)\b.*\band\b",
    re.IGNORECASE | re.DOTALL,
)
# Words of one of several line items.
_LONGEST_NAME = 5
_MOST_ITEMS = 5
_MOST_WAYS = 60


def look_up_several(text: str, pool: Pool, single: LookUp | None = None) -> tuple[LookUp, ...]:
    """Return the cells of each of the line items that `text` names side by side, () where not all are found.

    "The sales of the northern and the southern division": each part of the list is looked up with the rest of the
    question, and of all ways to part it the one counts under which the worst of them fits best. It has to fit better than
    the `single` row that the whole question finds: "cash and cash equivalents" is one.
    """
    if _ASKED.search(text) is None:
        return ()
    best: tuple[LookUp, ...] = ()
    least = single.score + MARGIN if single else 0.0
    for ways in islice(_parted(_RESPECTIVE.sub(" ", text)), _MOST_WAYS):
        found = _found(ways, pool)
        worst = min((item.score for item in found), default=0.0)
        if found and worst > least:
            best, least = found, worst
    return best


def _found(ways: Sequence[str], pool: Pool) -> tuple[LookUp, ...]:
    """Return what each of the questions finds, () where one finds nothing, two the same, or they differ in table or year."""
    found: list[LookUp] = []
    for way in ways:
        cells = look_up_row(way, pool)
        if cells is None:
            return ()
        found.append(cells)
    rows = {(cells.series.table, cells.points[0].row_start, cells.points[0].start) for cells in found}
    periods = {tuple(point.period for point in cells.points) for cells in found}
    dated = len(periods) == 1 and None not in next(iter(periods))
    together = len({cells.series.table for cells in found}) == 1 or dated
    alike = together and len({(cells.series.document.id, cells.latest) for cells in found}) == 1
    return tuple(found) if alike and len(rows) == len(found) else ()


def _parted(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the questions about each of the things that commas and an "and" join, however long their names."""
    said = text.strip(" ?.").split()
    for place in (number for number, word in enumerate(said) if word.lower() == "and" and 0 < number < len(said) - 1):
        for pieces in _lists(said[:place]):
            first, middle = pieces[0], pieces[1:]
            for before in range(1, min(_LONGEST_NAME, len(first)) + 1):
                for behind in range(1, min(_LONGEST_NAME, len(said) - 1 - place) + 1):
                    start, end = first[: len(first) - before], said[place + 1 + behind :]
                    parts = (first, *([*start, *piece] for piece in middle))
                    yield (*(" ".join([*part, *end]) for part in parts), " ".join([*start, *said[place + 1 :]]))


def _lists(said: Sequence[str]) -> Iterator[list[list[str]]]:
    """Yield the words before "and" parted at the last commas, at most ones first: the longest list is the likeliest."""
    commas = [number + 1 for number, word in enumerate(said) if word.endswith(",") and number < len(said) - 1]
    for count in range(min(len(commas), _MOST_ITEMS - 2), -1, -1):
        cuts = [0, *commas[len(commas) - count :], len(said)]
        pieces = [[word.strip(",") for word in said[low:high]] for low, high in pairwise(cuts)]
        if all(pieces):
            yield pieces
