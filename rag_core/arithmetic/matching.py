"""Which series a question means: how much of its words a row covers, and how much of the row is asked for.

A word weighs more the fewer rows of the table have it, so that what tells rows apart decides. The score is in [0, 1].
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_core.arithmetic.questions import Subject
from rag_core.arithmetic.series import Series
from rag_core.arithmetic.wording import GENERIC, NEGATING, same_as, words
from rag_core.records import Hit

__all__ = ["MARGIN", "Match", "Pool", "gather"]

# Two readings nearer than this cannot be told apart.
MARGIN = 0.05
# Share of the question's weighted words that a row, with what stands around it, must cover; and the least score.
_LEAST_COVERAGE = 0.62
_LEAST_SCORE = 0.42
_LEAST_SPOKEN, _PRECISE = 0.74, 0.6
_GENERIC_WEIGHT = 0.2
_SYNONYM, _SECTION, _NEAR, _FAR = 0.9, 0.9, 0.8, 0.5
# A word that other rows have, and that this one has only in what leads up to the table.
_TOLD_APART = 0.5
_PERCENT = frozenset(words("percentage percent rate share weight proportion portion"))
_TOTAL = "total"
_TOTAL_MISSING = 0.35
_NEGATED = 0.7
# How far a lower-ranked hit falls behind the best by its score, at most, and for each document before its own.
_RANK = 0.12
_DOCUMENT = 0.03
# Sentences round what tables print.
_SPOKEN = 0.04


@dataclass(frozen=True, slots=True)
class Match:
    """A series and how well it fits a subject, in [0, 1]."""

    score: float
    series: Series


@dataclass(frozen=True, slots=True)
class Pool:
    """All series of the hits. `counts` has by table how many of its rows hold each word, `sizes` how many there are.

    `negating` has by table the negating words of its labels, `standing` by rank how far a hit falls behind the best.
    """

    series: tuple[Series, ...]
    counts: dict[tuple[str, int], Counter[str]]
    sizes: dict[tuple[str, int], int]
    negating: dict[tuple[str, int], set[str]]
    standing: dict[int, float]

    def ranked(self, subject: Subject, least: float = _LEAST_SCORE) -> list[Match]:
        """Return the series that fit `subject`, best first."""
        matches = (Match(self._score(subject.words, series), series) for series in self.series)
        return sorted((match for match in matches if match.score >= least), key=lambda match: -match.score)

    def _score(self, asked: Sequence[str], series: Series) -> float:
        label = (*series.own, *series.column)
        wanted = list(dict.fromkeys(asked))
        weights = {word: self._weight(word, series) for word in {*wanted, *label}}
        if _TOTAL in wanted and _TOTAL not in label:
            weights[_TOTAL] *= _TOTAL_MISSING
        counts = self.counts[series.table]
        credits = {word: _credit(word, series, label, word in counts) for word in wanted}
        total = sum(weights[word] for word in wanted)
        if not total or not _touches(wanted, series):
            return 0.0
        coverage = sum(weights[word] * credits[word] for word in wanted) / total
        if coverage < (_LEAST_SPOKEN if series.paired else _LEAST_COVERAGE):
            return 0.0
        named = [word for word in label if word in wanted or same_as(word, wanted)]
        of_row = sum(weights[word] for word in series.own)
        of_column = 0.4 * sum(weights[word] for word in series.column)
        held = sum(weights[word] * (1.0 if index < len(series.own) else 0.4) for index, word in _placed(series, named))
        precision = held / (of_row + of_column) if of_row + of_column else 1.0
        if series.paired:
            # A sentence names its subject at length.
            precision = max(precision, _PRECISE)
        negated = {word for word in label if word in NEGATING} ^ {word for word in wanted if word in NEGATING}
        around = {*series.section, *series.near}
        told = self.negating[series.table]
        negated = {word for word in negated if not (word in wanted and word in around and word not in told)}
        score = coverage * (0.55 + 0.45 * precision) * (_NEGATED if negated else 1.0)
        return score - self.standing.get(series.rank, _RANK) - _SPOKEN * series.spoken

    def _weight(self, word: str, series: Series) -> float:
        size = self.sizes[series.table]
        count = self.counts[series.table].get(word, 0)
        if not count and word in series.near:
            # What is said of the whole table tells no rows apart.
            count = size
        if not count and series.unit.percent and word in _PERCENT:
            count = size
        weight = math.log(1 + (1 + size) / max(count, 1))
        return weight * _GENERIC_WEIGHT if word in GENERIC else weight


def _placed(series: Series, named: Iterable[str]) -> list[tuple[int, str]]:
    """Return the words of the label that the question names, with their places: those of the row first."""
    told = set(named)
    return [(index, word) for index, word in enumerate((*series.own, *series.column)) if word in told]


def _credit(word: str, series: Series, label: Sequence[str], tells: bool) -> float:
    """Return how far a series answers to `word`; one that `tells` the table's rows apart must stand in its own names."""
    if word in label:
        return 1.0
    if same_as(word, label):
        return _SYNONYM
    if word in series.section or same_as(word, series.section):
        return _SECTION
    if series.unit.percent and word in _PERCENT:
        return 1.0
    if word in series.near or same_as(word, series.near):
        return _TOLD_APART if tells else _NEAR
    return _FAR if word in series.far and not tells else 0.0


def _touches(wanted: Sequence[str], series: Series) -> bool:
    """Tell whether the question names anything of the row, or of the column where the row has no name that says much."""
    own = [word for word in series.own if word not in GENERIC] or series.column or series.own
    return any(word in wanted or same_as(word, wanted) for word in own)


def gather(series: Iterable[Series], hits: Sequence[Hit]) -> Pool:
    """Return the pool of `series`, which were read from `hits`."""
    kept = tuple(series)
    counts: dict[tuple[str, int], Counter[str]] = {}
    names: dict[tuple[str, int], set[tuple[str, ...]]] = {}
    for item in kept:
        name = (*item.own, "|", *item.column, "|", *item.section)
        seen = names.setdefault(item.table, set())
        if name not in seen:
            seen.add(name)
            counts.setdefault(item.table, Counter()).update({*item.own, *item.column, *item.section})
    negating: dict[tuple[str, int], set[str]] = {}
    for item in kept:
        negating.setdefault(item.table, set()).update(NEGATING & {*item.own, *item.column})
    best = max((hit.score for hit in hits), default=0.0) or 1.0
    places = {key: place for place, key in enumerate(dict.fromkeys(hit.document.id for hit in hits))}
    standing = {
        rank: _RANK * (1.0 - hit.score / best) + _DOCUMENT * places[hit.document.id] for rank, hit in enumerate(hits)
    }
    return Pool(kept, counts, {table: len(seen) for table, seen in names.items()}, negating, standing)
