"""Sentences that give a figure for each of several periods, as series: "sales were $4.1m in 2018 and $4.6m in 2019".

Beside the pairs of `prosepairs`, three forms only are read, in which it is plain which figure belongs to which period: each
figure followed by its own period; as many figures as periods, told to go together "respectively"; a figure of the period
named before it, compared with one followed by its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_core.arithmetic.figures import Figure, find_figures
from rag_core.arithmetic.prosepairs import Pair, sentence_pairs
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.units import Unit
from rag_core.arithmetic.wording import words
from rag_core.language.periods import Period, find_periods, without_periods
from rag_core.language.sentences import sentence_spans
from rag_core.records import Hit

__all__ = ["prose_sentences", "prose_series", "spoken_name"]

_MOST_SENTENCES = 300
_LONGEST = 700
# What may stand between neighbours of one list, and between a figure and the period that it is of.
_LISTED = re.compile(
    r"\s*(?:,|and|or|,\s*and|&)?\s*(?:fiscal(?: years?)?|years?|approximately|about|in)?\s*", re.IGNORECASE
)
_OF_PERIOD = re.compile(
    r"\s*[(,]?\s*(?:(?:in|for|at|as of|as at|during|of|on)\s+)?(?:the\s+)?(?:(?:fiscal|financial)\s+)?"
    r"(?:(?:year|years|quarter|period|months?)\s+)?(?:ended?\s+)?(?:in\s+)?(?:the\s+)?",
    re.IGNORECASE,
)
_PERIOD_OF = re.compile(r"\s*(?::|[–-]|was|were)?\s*", re.IGNORECASE)
_RESPECTIVELY = re.compile(r"\brespectively\b", re.IGNORECASE)
_COMPARED = re.compile(r"\b(?:compared|against|versus|vs|down from|up from|from)\b", re.IGNORECASE)
# Words that say how a figure came about, not what it is.
_VERBS = re.compile(
    r"\b(?:increas\w*|decreas\w*|rose|fell|grew|declin\w*|narrow\w*|widen\w*|lifted|lowered|raised|climbed|slipped|eased|"
    r"dropped|shrank|came|stood|went|took|made up|edged|up|down|total\w*|amount\w* to|was|were|is|are|compared|respectively|"
    r"approximately|about|from|to|by|and|the|recorded|recogni[sz]ed|had|have|related|includ\w*|represent\w*|"
    r"account\w* for|reali[sz]\w*|generat\w*|incur\w*|report\w*|improv\w*|during|for|in|at|as of|we|our|respective|"
    r"(?:fiscal |financial )?years? ended)\b|[$€£¥%]",
    re.IGNORECASE,
)
# What follows says more of a thing that has been named.
_RELATIVE = re.compile(r",?\s+(?:(?:at|in|on|of|for|by)\s+which|which|who|that|where)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Item:
    """A figure or a period with its span in the sentence."""

    value: Figure | Period
    start: int
    end: int


def prose_series(hits: Sequence[Hit]) -> list[Series]:
    """Return the series that the sentences of `hits` give, outside of tables."""
    found: list[Series | None] = []
    far = {id(hit): frozenset(words(hit.text)) for hit in hits}
    for hit, rank, number, start, end in prose_sentences(hits):
        sentence = hit.document.text[start:end]
        for label, pairs in _readings(sentence):
            found.append(_series(hit, rank, number, start, end, label, pairs, far[id(hit)]))
        for pair in sentence_pairs(sentence):
            found.append(_of_pair(hit, rank, number, start, end, pair, far[id(hit)]))
    return [series for series in found if series is not None]


def prose_sentences(hits: Sequence[Hit]) -> Iterator[tuple[Hit, int, int, int, int]]:
    """Yield the sentences of `hits` outside of tables, each once: its hit, the hit's place, its number, its span."""
    seen: set[tuple[str, int]] = set()
    for rank, hit in enumerate(hits):
        text = hit.document.text
        for number, (start, end) in enumerate(sentence_spans(text, hit.start, hit.end)[:_MOST_SENTENCES]):
            if " | " in text[start:end] or end - start > _LONGEST or (hit.document.id, start) in seen:
                continue
            seen.add((hit.document.id, start))
            yield hit, rank, number, start, end


def _of_pair(hit: Hit, rank: int, number: int, start: int, end: int, pair: Pair, far: frozenset[str]) -> Series | None:
    """Return the series of a figure and the one before it, or None where the sentence does not say of what they are."""
    name = spoken_name(pair.label[_last_figure(pair.label) :]) or spoken_name(pair.label)
    if not words(name):
        return None
    unit = pair.later[0]
    told = ((pair.before, pair.earlier), (pair.now, pair.later))
    points = tuple(
        Point(period, figure, start + first, start + last, start, end, number, column)
        for column, (period, (figure, first, last)) in enumerate(told)
    )
    return Series(
        document=hit.document,
        label=name,
        own=words(name),
        column=(),
        section=words(pair.clause),
        near=_title(hit, start),
        far=far,
        points=points,
        unit=Unit(unit.currency, unit.scale, unit.percent),
        table=(hit.document.id, -1),
        rank=rank,
        spoken=True,
        paired=True,
    )


def _last_figure(label: str) -> int:
    """Return where the last figure of a label ends, 0 without one: what follows it is what the next one is of."""
    figures = find_figures(label)
    return figures[-1][2] if figures else 0


def _title(hit: Hit, start: int) -> frozenset[str]:
    """Return the words that stand before a sentence: its headings, and the text just above it."""
    return frozenset(words(" ".join([*hit.headings, hit.document.text[max(0, start - 200) : start]])))


def spoken_name(label: str) -> str:
    """Return what a sentence says that figures are of, without the words that say how they came about."""
    head = _RELATIVE.split(label)[0]
    names = (" ".join(_VERBS.sub(" ", without_periods(text)).split()).strip(" ,;:()") for text in (head, label))
    return next((name for name in names if words(name)), "")


def _readings(sentence: str) -> Iterator[tuple[str, list[tuple[_Item, Period]]]]:
    """Yield what each part of a sentence is about, and its figures with their periods."""
    periods = [_Item(period, start, end) for period, start, end in find_periods(sentence) if period.year]
    if len(periods) < 2:
        return
    figures = [
        _Item(figure, start, end)
        for figure, start, end in find_figures(sentence)
        if not any(start < period.end and period.start < end for period in periods)
    ]
    if len(figures) < 2:
        return
    if _RESPECTIVELY.search(sentence):
        yield from _respective(sentence, figures, periods)
    else:
        yield from _paired(sentence, figures, periods)


def _respective(
    sentence: str, figures: list[_Item], periods: list[_Item]
) -> Iterator[tuple[str, list[tuple[_Item, Period]]]]:
    """Read lists of figures against the list of periods: the only one, or the one that follows next."""
    years = [run for run in _runs(sentence, periods) if len(run) > 1]
    lists = [run for run in _runs(sentence, figures) if len(run) > 1]
    previous = 0
    for run in lists:
        after = [group for group in years if group[0].start > run[-1].end]
        group = years[0] if len(years) == 1 else after[0] if after and len(after) == len(years) else None
        label = sentence[previous : run[0].start]
        previous = run[-1].end
        if group is not None and len(group) == len(run):
            yield label, [(item, _period(span)) for item, span in zip(run, group, strict=True)]


def _runs(sentence: str, items: list[_Item]) -> list[list[_Item]]:
    """Return `items` in lists of neighbours that only commas and "and" part."""
    runs: list[list[_Item]] = []
    for item in items:
        if runs and _LISTED.fullmatch(sentence[runs[-1][-1].end : item.start]):
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _paired(
    sentence: str, figures: list[_Item], periods: list[_Item]
) -> Iterator[tuple[str, list[tuple[_Item, Period]]]]:
    """Read figures that are each followed by their period; the first may have it at the start, or the later in brackets."""
    pairs: list[tuple[_Item, Period]] = []
    used: set[int] = set()
    for figure in figures:
        near = [span for span in periods if span.start >= figure.end and span.start not in used]
        if near and _OF_PERIOD.fullmatch(sentence[figure.end : near[0].start]):
            pairs.append((figure, _period(near[0])))
            used.add(near[0].start)
            continue
        before = [span for span in periods if span.end <= figure.start and span.start not in used]
        if before and _PERIOD_OF.fullmatch(sentence[before[-1].end : figure.start]):
            pairs.append((figure, _period(before[-1])))
            used.add(before[-1].start)
    first = figures[0]
    left = [span for span in periods if span.start not in used]
    led = len(figures) == 2 and len(left) == 1 and len(pairs) == 1 and pairs[0][0] is figures[1]
    if led and (left[0].end <= first.start or _COMPARED.search(sentence[first.end : figures[1].start])):
        pairs.insert(0, (first, _period(left[0])))
    if len(pairs) >= 2 and len(pairs) == len(figures):
        yield sentence[: first.start], pairs


def _period(item: _Item) -> Period:
    return item.value if isinstance(item.value, Period) else Period(0)


def _series(
    hit: Hit,
    rank: int,
    number: int,
    start: int,
    end: int,
    label: str,
    pairs: list[tuple[_Item, Period]],
    far: frozenset[str],
) -> Series | None:
    """Return the series of one reading, or None where its figures are not of one unit or its periods not different."""
    figures = [item.value for item, _ in pairs if isinstance(item.value, Figure)]
    units = {(figure.currency, figure.scale, figure.percent) for figure in figures}
    periods = {period for _, period in pairs}
    name = spoken_name(label)
    if len(units) != 1 or len(periods) != len(pairs) or len(figures) != len(pairs) or not words(name):
        return None
    currency, scale, percent = units.pop()
    document = hit.document
    points = [
        Point(period, figure, start + item.start, start + item.end, start, end, number, column)
        for column, ((item, period), figure) in enumerate(zip(pairs, figures, strict=True))
    ]
    return Series(
        document=document,
        label=name,
        own=words(name),
        column=(),
        section=words(document.text[start:end]),
        near=_title(hit, start),
        far=far,
        points=tuple(sorted(points, key=lambda point: point.period or Period(0))),
        unit=Unit("" if percent else currency, 0 if percent else scale, percent),
        table=(document.id, -1),
        rank=rank,
        spoken=True,
    )
