"""Answer text and hits to citations: each an exact span of a document, found by alignment and not by trust.

A model is never asked where a claim comes from. Each sentence of the answer is compared with the sentences of the
passages it was shown: a figure that the passage does not hold, or holds under another year, or a negation on one side
only, rules support out; what remains is the share of the sentence's terms that the passage covers, rare terms weighing
more. A sentence that nothing covers has no citation, and is shown as unsupported.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from rag_core.language.orders import asks_about_orders, gives_orders
from rag_core.language.sentences import STOP_WORDS, content_terms, sentence_spans, terms, years
from rag_core.language.tablecells import figure_years, table_at
from rag_core.records import AnswerSentence, Citation, Document, Hit

__all__ = ["SUPPORT_THRESHOLD", "cite", "closest_sentence", "verify"]

# Share of a sentence's weighted terms that its citation must cover. At 0.6 a sentence that swaps its subject or its
# verb's object falls out, one that reorders or drops words stays.
SUPPORT_THRESHOLD = 0.6
# Terms of the question are expected in any answer, so they prove little.
_QUESTION_TERM_WEIGHT = 0.4
_MOST_SENTENCES = 3
# A claim of fewer terms, and any negated one, must stand in one sentence: neighbouring ones together hold almost any
# short combination, and the negation of one is not that of the next.
_SHORT_CLAIM = 8
_NEGATIONS = frozenset("not no never none neither nor cannot without n't unable fail decline refus".split())
_MARKER = re.compile(r"\[\d{1,3}\]")


@dataclass(frozen=True)
class _Candidate:
    """One to three neighbouring sentences of a passage, with the terms inside and those of its table header and headings.

    `columns` has the years above each figure of a table row.
    """

    hit: Hit
    start: int
    end: int
    inside: frozenset[str]
    around: frozenset[str]
    negated: bool
    sentences: int = 1
    columns: dict[str, frozenset[str]] = field(default_factory=dict)


def cite(answer: str, question: str, hits: Sequence[Hit]) -> tuple[tuple[Citation, ...], tuple[AnswerSentence, ...]]:
    """Return the citations of `answer`, numbered in order of use, and its sentences with their citation numbers.

    `hits` are the passages that the model was shown. Every citation is verified verbatim against its document.
    """
    candidates = _candidates(hits, question)
    weights = _weights(candidates)
    asked = set(content_terms(question))
    citations: list[Citation] = []
    sentences = []
    for start, end in sentence_spans(answer):
        text = answer[start:end]
        found = _best(_MARKER.sub(" ", text), asked, candidates, weights)
        numbers = (_number(found[0], found[1], citations),) if found else ()
        sentences.append(AnswerSentence(start, end, text, numbers))
    false = {citation.number for citation in citations if not verify(citation)}
    if false:  # Cannot happen while spans come from the document itself; a quote that is not verbatim is never shown.
        citations = [citation for citation in citations if citation.number not in false]
        sentences = [replace(item, citations=tuple(n for n in item.citations if n not in false)) for item in sentences]
    return tuple(citations), tuple(sentences)


def closest_sentence(question: str, hits: Sequence[Hit]) -> Citation | None:
    """Return the sentence of `hits` that shares most of the question's weighted terms, or None where none shares any.

    What is offered in place of a model's sentence that nothing supports. `score` in [0, 1] is the share covered.
    """
    candidates = [item for item in _candidates(hits, question, most=1) if len(item.inside) > 2]
    weights = _weights(candidates)
    asked = [term for term in dict.fromkeys(content_terms(question)) if term in weights]
    total = sum(weights[term] for term in asked)
    best: tuple[float, _Candidate] | None = None
    for candidate in candidates:
        known = candidate.inside | candidate.around
        covered = sum(weights[term] for term in asked if term in known)
        if covered and (best is None or covered > best[0]):
            best = (covered, candidate)
    if best is None:
        return None
    found: list[Citation] = []
    _number(best[1], best[0] / total, found)
    return found[0] if verify(found[0]) else None


def verify(citation: Citation) -> bool:
    """Return whether the quote is, character for character, what the document has at that span on that page."""
    document = citation.document
    return (
        0 <= citation.start < citation.end <= len(document.text)
        and document.text[citation.start : citation.end] == citation.quote
        and document.page_at(citation.start) == citation.page
    )


def _candidates(hits: Sequence[Hit], question: str, most: int = _MOST_SENTENCES) -> list[_Candidate]:
    result: list[_Candidate] = []
    all_count = asks_about_orders(question)
    for hit in hits:
        document = hit.document
        headings = frozenset(term for heading in hit.headings for term in content_terms(heading))
        # An order to whoever reads the document supports nothing.
        spans = [
            (start, end)
            for start, end in sentence_spans(document.text, hit.start, hit.end)
            if all_count or not gives_orders(document.text[start:end])
        ]
        for index in range(len(spans)):
            for last in range(index, min(index + most, len(spans))):
                start, end = spans[index][0], spans[last][1]
                around = headings | _header_terms(document, start)
                inside = terms(document.text[start:end])
                result.append(
                    _Candidate(
                        hit,
                        start,
                        end,
                        frozenset(inside),
                        around,
                        any(t in _NEGATIONS for t in inside),
                        last - index + 1,
                        figure_years(document, start, end),
                    )
                )
    return result


def _header_terms(document: Document, position: int) -> frozenset[str]:
    """Return the terms of the header of the table that holds `position`: the row's figures mean nothing without it."""
    table = table_at(document, position)
    return frozenset(terms(document.text[table.header_start : table.header_end])) if table else frozenset()


def _weights(candidates: Iterable[_Candidate]) -> dict[str, float]:
    """Weigh each term by how few of the candidate sentences hold it (inverse document frequency, smoothed)."""
    counts: Counter[str] = Counter()
    total = 0
    for candidate in candidates:
        total += 1
        counts.update(candidate.inside)
    return {term: 1.0 + math.log((1 + total) / (1 + count)) for term, count in counts.items()}


def _best(
    sentence: str, asked: set[str], candidates: Sequence[_Candidate], weights: dict[str, float]
) -> tuple[_Candidate, float] | None:
    """Return the candidate that supports `sentence` best with its coverage in [0, 1], or None where none does."""
    wanted = [term for term in dict.fromkeys(terms(sentence)) if term not in STOP_WORDS or term in _NEGATIONS]
    claims = [term for term in wanted if term not in _NEGATIONS]
    if not claims:
        return None
    figures = {term for term in claims if _is_figure(term)}
    stated_years = set(years(sentence))
    negated = len(claims) != len(wanted)
    unknown = 1.0 + math.log(1 + len(candidates))
    weight = {term: weights.get(term, unknown) * (_QUESTION_TERM_WEIGHT if term in asked else 1.0) for term in claims}
    total = sum(weight.values())
    best: tuple[float, float, _Candidate, float] | None = None
    for candidate in candidates:
        known = candidate.inside | candidate.around
        alone = negated or len(claims) < _SHORT_CLAIM
        if candidate.negated != negated or (alone and candidate.sentences > 1):
            continue
        if any(not _holds(figure, candidate, known, stated_years) for figure in figures):
            continue
        if candidate.columns and not _fits_columns(figures, candidate, stated_years):
            continue
        covered = sum(weight[term] for term in claims if term in figures or term in known) / total
        if covered < SUPPORT_THRESHOLD:
            continue
        on_topic = len(asked & known) / (len(asked) or 1)
        # Of two that cover as much, the one nearer to the question, then the shorter.
        rank = (covered + 0.25 * on_topic - 0.02 * math.log1p((candidate.end - candidate.start) / 40), covered)
        if best is None or rank > best[:2]:
            best = (*rank, candidate, covered)
    return (best[2], best[3]) if best else None


def _is_figure(term: str) -> bool:
    return any(character.isdigit() for character in term)


def _holds(figure: str, candidate: _Candidate, known: frozenset[str], stated_years: set[str]) -> bool:
    """A year may stand in the table's header or the heading; any other figure must stand in the quote itself."""
    if figure in candidate.inside:
        return True
    if figure in stated_years:
        return figure in known
    # "a loss of 1,163" says of "(1,163)" what its bracket says.
    return f"-{figure}" in candidate.inside


def _fits_columns(figures: set[str], candidate: _Candidate, stated_years: set[str]) -> bool:
    """Tell whether the figures stand under the years that are stated, and each such year above one of the figures."""
    above = stated_years & frozenset().union(*candidate.columns.values())
    if not above:
        return True
    columns = (candidate.columns.get(figure) or candidate.columns.get(f"-{figure}") for figure in figures)
    quoted = [named for named in columns if named]
    return all(named & above for named in quoted) and (bool(quoted) or above <= candidate.inside)


def _number(candidate: _Candidate, score: float, citations: list[Citation]) -> int:
    """Return the number of the citation of that span, adding it where it is new."""
    document = candidate.hit.document
    for citation in citations:
        if citation.document.id == document.id and (citation.start, citation.end) == (candidate.start, candidate.end):
            return citation.number
    quote = document.text[candidate.start : candidate.end]
    page = document.page_at(candidate.start)
    number = len(citations) + 1
    citations.append(Citation(number, document, page, candidate.start, candidate.end, quote, round(min(1.0, score), 4)))
    return number
