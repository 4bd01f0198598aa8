"""An answer read out of the hits without a model: the words that answer with their citation, or why there are none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_core.answers.abstaining import decide, is_sure
from rag_core.answers.cells import Fitting, Tables, look_up
from rag_core.answers.evidence import Evidence
from rag_core.answers.explaining import choose_sentences, wants_sentences
from rag_core.answers.extremes import find_extremes
from rag_core.answers.listing import Listed, find_list
from rag_core.answers.lookups import LookUp
from rag_core.answers.nearness import WordNearness
from rag_core.answers.questions import analyse
from rag_core.answers.reader import Reader
from rag_core.answers.reading import Reading, computed, mark, read
from rag_core.answers.rowlists import RowList, find_kinds, find_rows
from rag_core.answers.sentences import respective_figures
from rag_core.arithmetic.citing import period_heading
from rag_core.language.orders import stated
from rag_core.records import AnswerSentence, Citation, Computation, Document, Hit

__all__ = ["Extraction", "extract"]

# What no words of the document are: of a task at length these alone are never read out of it.
_WRITTEN = re.compile(r"\b(?:summar\w+|compar\w+|discuss|elaborate|outline|in detail|everything)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Extraction:
    """`text` with the citations and the sentences behind it; or `reason`, where the hits do not hold an answer.

    Of a figure that was computed the operands are cited: `computation` has them.
    """

    text: str = ""
    citations: tuple[Citation, ...] = ()
    sentences: tuple[AnswerSentence, ...] = ()
    reason: str = ""
    computation: Computation | None = None


def extract(query: str, hits: Sequence[Hit], wording: WordNearness, reader: Reader) -> Extraction | None:
    """Return the answer that stands in `hits`; None where the question wants one written. Raises ModelError.

    Written answers are for questions that ask for more than a look-up ("compare", "is it ...?") and find no words or
    sentences that give it, and for those that name nothing to look for.
    """
    asked = analyse(query)
    if asked.kind == "yes_no" or not asked.terms:
        return None
    tables = Tables(hits)
    rows = find_rows(asked, tables.grids) or find_extremes(asked, tables.grids)
    if rows:
        return _of_rows(rows, counted=asked.kind == "count")
    items = find_list(asked, hits)
    if items:
        return _enumerated(items)
    kinds = find_kinds(asked, tables.grids)
    if kinds:
        return _of_rows(kinds, counted=asked.kind == "count")
    if wants_sentences(asked):
        sentences = choose_sentences(asked, hits, wording)
        if sentences:
            return _quoted(sentences)
    if asked.open_ended and _WRITTEN.search(query):
        return None
    marks = mark(asked, hits, reader)
    if not asked.open_ended:
        figure = computed(query, marks)
        if figure is not None:
            return Extraction(figure.text, computation=figure)
        cells = look_up(asked, tables)
        if cells:
            return _looked_up(cells)
        respective = respective_figures(asked, hits)
        if respective:
            return _resting_on(respective.text, respective.document, [respective.span])
    fitting = Fitting(asked, tables)
    reading = read(marks, hits, wording, fitting)
    decision = decide(reading.asked if reading else asked, reading, hits)
    missing = decision.missing
    if reading is not None and decision.answers:
        if is_sure(reading) or not fitting.misfits(reading.evidence.hit.document, reading.start):
            return _told(reading, decision.probability)
        missing = "no row of the tables gives what is asked for"
    if asked.open_ended:
        return None
    figure = computed(query, marks, unread=True)
    return Extraction(figure.text, computation=figure) if figure else Extraction(reason=missing)


def _told(reading: Reading, probability: float) -> Extraction:
    """Return the words and, as their source, the whole sentence that they stand in, less orders that hang on it."""
    evidence, text = reading.evidence, reading.text
    document = evidence.hit.document
    start, end = stated(document.text, evidence.start, evidence.end, reading.start, reading.end)
    citation = _citation(1, document, start, end, probability)
    return Extraction(text, (citation,), (AnswerSentence(0, len(text), text, (1,)),))


def _quoted(found: Sequence[Evidence]) -> Extraction:
    """Return whole sentences, each its own source."""
    citations = []
    for number, item in enumerate(found, start=1):
        document = item.hit.document
        start, end = stated(document.text, item.start, item.end, item.start, item.start + 1)
        citations.append(_citation(number, document, start, end, item.near_coverage))
    return _in_turn([" ".join(citation.quote.split()) for citation in citations], citations, " ")


def _enumerated(items: Sequence[Listed]) -> Extraction:
    """Return the items of a list, each with the line that it stands in as its source."""
    told = [_named(item) for item in items]
    citations = [
        _citation(number, item.document, item.line_start, item.line_end, 1.0)
        for number, item in enumerate(items, start=1)
    ]
    return _in_turn(told, citations, "; ")


def _of_rows(rows: RowList, *, counted: bool) -> Extraction:
    """Return the names of rows, or how many they are; their sources are the rows, and the lines that these rest on."""
    document, told = rows.items[0].document, [_named(item) for item in rows.items]
    listed = "; ".join(told)
    spans = dict.fromkeys([*((item.line_start, item.line_end) for item in rows.items), *rows.beside])
    return _resting_on(f"{len(told)} ({listed})" if counted else listed, document, spans)


def _named(item: Listed) -> str:
    return " ".join(item.document.text[item.start : item.end].split()).rstrip(" ;,.")


def _resting_on(text: str, document: Document, spans: Iterable[tuple[int, int]]) -> Extraction:
    """Return an answer that rests on all of `spans` together."""
    citations = tuple(_citation(number, document, *span, 1.0) for number, span in enumerate(spans, start=1))
    numbers = tuple(citation.number for citation in citations)
    return Extraction(text, citations, (AnswerSentence(0, len(text), text, numbers),))


def _in_turn(told: Sequence[str], citations: Sequence[Citation], between: str) -> Extraction:
    """Return what is told in one text, each part with its own source."""
    sentences, at = [], 0
    for part, citation in zip(told, citations, strict=True):
        sentences.append(AnswerSentence(at, at + len(part), part, (citation.number,)))
        at += len(part) + len(between)
    return Extraction(between.join(told), tuple(citations), tuple(sentences))


def _looked_up(several: Sequence[LookUp]) -> Extraction:
    """Return the figures and, as their sources, the rows that they stand in."""
    document, text = several[0].series.document, " and ".join(cells.text for cells in several)
    heads = {line: cells.score for cells in several if cells.periods for line in _heading(cells)}
    rows = heads | {(point.row_start, point.row_end): cells.score for cells in several for point in cells.points}
    citations = tuple(
        _citation(number, document, start, end, score)
        for number, ((start, end), score) in enumerate(rows.items(), start=1)
    )
    numbers = tuple(citation.number for citation in citations)
    return Extraction(text, citations, (AnswerSentence(0, len(text), text, numbers),))


def _heading(cells: LookUp) -> list[tuple[int, int]]:
    """Return the line of the table that names all the years that are told, nothing where there is none above the row."""
    named = {str(point.period.year) for point in cells.points if point.period and point.period.year}
    return period_heading(cells.series.document, cells.points[0].row_start, named)


def _citation(number: int, document: Document, start: int, end: int, score: float) -> Citation:
    return Citation(number, document, document.page_at(start), start, end, document.text[start:end], round(score, 4))
