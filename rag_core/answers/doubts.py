"""What speaks against a span as the answer, though it reads like one: its kind, its year, a qualifier it stands under.

"Who is the chair?" is not answered by "deputy chair R. Pike", nor "What was revenue in 2021?" by the cell under 2020.
Each doubt is told apart, so that another span may be preferred, and the decision to answer may weigh what is left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag_core.answers.kinds import is_of_kind
from rag_core.answers.questions import Asked
from rag_core.answers.roles import WIDELY_WORDED, chairs_committee, lacks_role, left_role
from rag_core.language.sentences import content_terms, sentence_spans, terms, years
from rag_core.language.tablecells import PLANNED, figure_years, planned_figures, table_at
from rag_core.records import Hit

__all__ = ["Doubts", "doubts_about", "sentence_of"]

# In nats, beside the reader's margin.
_WRONG_KIND, _WRONG_COLUMN, _OTHER_YEAR, _NO_YEAR, _QUALIFIED = 5.0, 8.0, 3.5, 1.5, 5.0
_ACQUIRED, _OTHER_SUBJECT = 2.0, 6.0
_NO_ROLE, _LEFT_ROLE, _ROLE_ELSEWHERE = 8.0, 5.0, 5.0
# A cell under an older year than its neighbour's, or under a target, where no period is asked for: the latest is meant.
_OLDER, _PLANNED = 2.0, 5.0
_AHEAD = re.compile(rf"{PLANNED.pattern}|\b(?:will|would|should|next|future|coming|until|by 20\d\d)\b", re.IGNORECASE)
_BEFORE = re.compile(r"\b(?:prior|previous\w*|preceding|earlier|earliest|before|last|past|former\w*)\b")
# Words before a role or a figure that make it another one.
_QUALIFIERS = frozenset(
    terms(
        "vice deputy former ex acting outgoing retiring retired assistant associate proposed designate elect interim "
        "honorary parent"
    )
)
_ACQUISITION = re.compile(
    r"\b(?:acquir\w+|bought|takeovers?|joint ventures?|associates?|subsidiar\w+|rivals?|competitors?|predecessors?)\b",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"\b(?:the (?:group|company|firm|bank|fund|business)|we|our|it|its|they|their)\b", re.IGNORECASE)
# A name of two words and more, and what it did or had.
_SUBJECT = re.compile(
    r"((?!The |In |At |On |For )[A-Z][\w&’'-]+(?: (?:& )?[A-Z][\w&’'-]+)+) "
    r"(?:had|has|have|employ\w*|was|is|reported|earned|made)\b"
)
# Characters of a document that say whose it is.
_OPENING = 400
# Things that have names, so that no figure is one.
_NAMEABLE = re.compile(
    r"\b(?:what|which) (?:are|were) (?:the|its|their) (?:[\w-]+ ){0,2}?(?:segments|divisions|components|countries|regions|cities|"
    r"products|services|members|directors|currencies|factors|risks|subsidiaries|types|kinds|scopes|categories|customers|"
    r"suppliers|competitors|banks|locations|plants|sites|officers|auditors|brands)\b",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"[\s\d.,()$€£¥%−–-]+")
_CLAUSE = re.compile(
    r"[;:]|,? (?:and|but|while|whereas) (?=(?:the|its|his|her|a|an|in|on) )|, (?:compared|against|up|down)\b"
)
_PART = re.compile(r"[;,()]|\b(?:compared (?:with|to)|against|versus|up from|down from|from)\b")
_WORD = re.compile(r"[^\W_]+(?:[-’'][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Doubts:
    """`kind`, `year` and `qualifier` in nats, 0 where nothing speaks against the span.

    `qualified` is the role or thing that the span belongs to instead ("Deputy chair"), or nothing; `role` the one that is
    asked for where the sentence does not state it.
    """

    kind: float = 0.0
    year: float = 0.0
    qualifier: float = 0.0
    qualified: str = ""
    role: str = ""

    @property
    def total(self) -> float:
        """All together, to be taken from the reader's margin."""
        return self.kind + self.year + self.qualifier


def doubts_about(asked: Asked, hit: Hit, start: int, end: int) -> Doubts:
    """Return what speaks against the characters [start, end) of the document of `hit`."""
    text = hit.document.text
    low, high = sentence_of(hit, start, end)
    fits = is_of_kind(asked, text[start:end]) and not (
        _NAMEABLE.search(asked.text) and _FIGURE.fullmatch(text, start, end)
    )
    kind = 0.0 if fits else _WRONG_KIND
    clause = _clause(text, start, end, low, high)
    # A vice-chair may well chair the committee that is asked about.
    row = " | " in text[low:high]
    chairs = chairs_committee(asked, text[low:high] if row else text[slice(*clause)])
    qualified = "" if chairs else _nearest_qualified(asked, text, start, end, *clause)
    qualifier = _QUALIFIED if qualified else _ACQUIRED if _is_of_another(asked, text[slice(*clause)]) else 0.0
    qualifier = max(qualifier, _OTHER_SUBJECT if _subject_is_another(asked, hit, low, start) else 0.0)
    role = lacks_role(asked, text, low, high)
    elsewhere = not (role or row) and lacks_role(asked, text, *clause, alone=True)
    qualifier = max(
        qualifier,
        _NO_ROLE if role else 0.0,
        _ROLE_ELSEWHERE if elsewhere else 0.0,
        _LEFT_ROLE if left_role(asked, text, end) else 0.0,
    )
    year = _year(asked, hit, start, end, low, high)
    return Doubts(kind, year, qualifier, qualified, "" if role in WIDELY_WORDED else role)


def sentence_of(hit: Hit, start: int, end: int) -> tuple[int, int]:
    """Return the span of the sentence or row that holds [start, end), drawn out where that runs over its end."""
    for low, high in sentence_spans(hit.document.text, hit.start, hit.end):
        if low <= start < high:
            return low, max(high, end)
    return start, end


def _year(asked: Asked, hit: Hit, start: int, end: int, low: int, high: int) -> float:
    """Return the doubt that the span is of another year than those asked for."""
    wanted, document = set(asked.years), hit.document
    tabled = table_at(document, start) is not None
    if not wanted and (not tabled or _BEFORE.search(asked.text.lower())):
        return 0.0
    if tabled:
        above = figure_years(document, low, high)
        own = terms(document.text[start:end])
        named = [above[term] for term in own if term in above]
        if not wanted:
            planned = planned_figures(document, low, high) if not _AHEAD.search(asked.text) else frozenset()
            if planned.intersection(own):
                return _PLANNED
            latest = max((year for term, found in above.items() if term not in planned for year in found), default="")
            return _OLDER if any(named) and all(latest not in found for found in named) else 0.0
        return _WRONG_COLUMN if named and not any(wanted & found for found in named) else 0.0
    told = _years_of(document.text, start, end, low, high)
    return 0.0 if told & wanted else _OTHER_YEAR if told else _NO_YEAR


def _years_of(text: str, start: int, end: int, low: int, high: int) -> set[str]:
    """Return the years that a sentence gives for one span: those of its own part, else the last before it, or the next.

    What follows behind a semicolon is told of something else.
    """
    cuts = [low, *(match.start() for match in _PART.finditer(text, low, high)), high]
    first = max(cut for cut in cuts if cut <= start)
    last = min((cut for cut in cuts if cut >= end), default=high)
    own = years(text[first:last])
    if own:
        return set(own)
    before, after = years(text[low:start]), years(text[end:high].partition(";")[0])
    return {before[-1]} if before else {after[0]} if after else set()


def _clause(text: str, start: int, end: int, low: int, high: int) -> tuple[int, int]:
    cuts = [low, *(match.start() for match in _CLAUSE.finditer(text, low, high)), high]
    return max(cut for cut in cuts if cut <= start), min((cut for cut in cuts if cut >= end), default=high)


def _is_of_another(asked: Asked, clause: str) -> bool:
    """Tell whether a question about the whole company finds a clause about one that was bought, or that competes."""
    told, whole = _ACQUISITION.search(clause), _WHOLE.search(asked.text)
    return told is not None and whole is not None and _ACQUISITION.search(asked.text) is None


def _subject_is_another(asked: Asked, hit: Hit, low: int, start: int) -> bool:
    """Tell whether a question of the whole company, or of no one, finds a sentence of a name that is not the company's.

    The company's own stands in the document's name or in its first words.
    """
    found = _SUBJECT.match(hit.document.text, low, start)
    if found is None or (asked.names and _WHOLE.search(asked.text) is None):
        return False
    own = set(terms(f"{hit.document.name} {hit.document.text[: min(low, _OPENING)]}")) | set(terms(asked.text))
    return not set(terms(found[1])) & own


def _nearest_qualified(asked: Asked, text: str, start: int, end: int, first: int, last: int) -> str:
    """Return the nearest of the question's words in the clause with the qualifier before it, nothing where there is none."""
    wanted = set(asked.terms)
    known = wanted | set(content_terms(asked.text))
    before: frozenset[str] = frozenset()
    nearest, qualified, opened = last - first + 1, "", first
    plain: set[str] = set()
    for match in _WORD.finditer(text, first, last):
        own = frozenset(terms(match.group()))
        if own & wanted and not start <= match.start() < end:
            named = text[opened : match.end()] if (own | before) & _QUALIFIERS - known else ""
            plain |= set() if named else own & wanted
            distance = start - match.end() if match.end() <= start else match.start() - end
            if distance < nearest:
                nearest = distance
                qualified = named
        # "former finance director": what qualifies the first word qualifies the next.
        carried = before & _QUALIFIERS if own & wanted else frozenset()
        if not carried:
            opened = match.start()
        before = own | carried
    # The cells of a row are no clause: "vice-chair | audit (chair)" is of a chair, too.
    row = " | " in text[first:last]
    return "" if row and set(terms(qualified)) & plain else qualified
