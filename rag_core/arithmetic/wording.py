"""Words of questions and labels in one spelling, which of them say little, and which say the same."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rag_core.language.sentences import terms

__all__ = ["GENERIC", "LIGHT", "NEGATING", "folded", "same_as", "words"]

# Unlike elsewhere, "other", "all", "under", "over" and "no" are kept: they are what some rows are told apart by.
_DROPPED = frozenset(
    "a an the of to in on at by for from with and or but as is are was were be been being do doe does did has have had it "
    "its this that these those there they their our your we you which what who whom when where how much many can could will "
    "would should may might s t between during per if then than such both into respective respectively".split()
)
# Nouns that a question puts beside a row's name, and that the row itself need not hold.
GENERIC = frozenset(
    terms(
        "amount value number figure company group firm business segment region division category item line level balance "
        "report record recognised year period fiscal end ended quarter annual total consolidated data statement table "
        "respective following given corporation entity nominal dollar term thousand million billion overall specific list "
        "type incurred made present shown carrying different individual component constitution all whole entire"
    )
)
# Verbs and particles of questions: they say what was done with a figure, seldom which one it is.
LIGHT = frozenset(
    terms(
        "earn earned spend spent get got receive received take took taken come came go went gone hold held own owned stand stood "
        "lie lay make made record report book booked post posted sell sold employ employed use used generate bring brought "
        "achieve see saw show work worked belong lead led turn turned carry charge charged put actually roughly currently about "
        "approximately exactly still yet already there here itself altogether overall say said mean account accounted "
        "represent represented contribute contributed attribute attributable stem people each one"
    )
)
# Where one side has one of these and the other has not, they speak of different things.
NEGATING = frozenset(terms("non excluding exclude before without pre un ex adjusted except excl"))

_SAME = [
    frozenset(terms(group))
    for group in (
        "revenue sales turnover",
        "profit income earnings",
        "tax taxation taxes",
        "cost expense expenditure",
        "staff employee personnel people person headcount workforce",
        "debtor receivable",
        "creditor payable",
        "us american",
        "uk british",
        "buyback repurchase",
        "proportion share percentage percent",
        "cancelled canceled",
        "man men male",
        "woman women female",
        "geographic geographical geography",
        "america american americas",
        "europe european",
        "shareholder stockholder",
        "labour labor",
        "amortisation amortization amortize amortise",
        "depreciation depreciate",
        "acquired acquisition",
        "beginning opening start",
        "closing ending",
        "exercisable exercise",
        "average mean",
        "fund funding",
        "organisation organization",
        "programme program",
    )
]
_GROUPS: dict[str, tuple[frozenset[str], ...]] = {}
for _group in _SAME:
    for _word in _group:
        _GROUPS[_word] = (*_GROUPS.get(_word, ()), _group)

# Written out before words are taken, so that both spellings give the same ones.
_SPELLINGS = (
    (re.compile(r"\bU\.\s?S\.(?:\s?A\.)?|\bUnited States(?: of America)?\b|\bUSA\b", re.IGNORECASE), " us "),
    (re.compile(r"\bU\.\s?K\.|\bUnited Kingdom\b", re.IGNORECASE), " uk "),
    (re.compile(r"\bR\s?&\s?D\b", re.IGNORECASE), " research development "),
    (re.compile(r"\bSG\s?&\s?A\b", re.IGNORECASE), " selling general administrative expenses "),
    (re.compile(r"\bG\s?&\s?A\b", re.IGNORECASE), " general administrative "),
    (re.compile(r"\bPP\s?&\s?E\b", re.IGNORECASE), " property plant equipment "),
    (re.compile(r"\bD\s?&\s?A\b", re.IGNORECASE), " depreciation amortization "),
    (re.compile(r"\bEPS\b", re.IGNORECASE), " earnings per share "),
    (re.compile(r"\bCOGS\b", re.IGNORECASE), " cost of goods sold "),
    (re.compile(r"\bcapex\b", re.IGNORECASE), " capital expenditure "),
    (re.compile(r"\bopex\b", re.IGNORECASE), " operating expenses "),
    (re.compile(r"\bFCF\b", re.IGNORECASE), " free cash flow "),
    (re.compile(r"%"), " percent "),
    # What is left of a year has several names; the turnover of staff or stock is no revenue.
    (
        re.compile(
            r"(?<!comprehensive )(?<!operating )(?<!gross )(?<!taxable )\b(?:profit|income|earnings) "
            r"(?:for the (?:financial |fiscal )?(?:year|period)(?! ended)|after tax(?:ation|es)?)\b",
            re.IGNORECASE,
        ),
        " net profit ",
    ),
    (
        re.compile(r"\b(staff|employee|labou?r|personnel|inventory|asset|stock|portfolio) turnover\b", re.I),
        r" \1 churn ",
    ),
)
_FOOTNOTE = re.compile(
    r"\((?:\d{1,2}|[a-z]|i{1,3}|iv|vi{0,3})\)|\((?:refer|see)\b[^)]*\)|\*+|\b(?:see )?note \d+\b", re.IGNORECASE
)
_MOST = 120


def words(text: str) -> tuple[str, ...]:
    """Return the telling words of `text`, stemmed, in order, without footnote marks; at most 120."""
    text = _FOOTNOTE.sub(" ", text[:4_000])
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    return tuple(term for term in terms(text.replace("-", " ")) if term not in _DROPPED)[:_MOST]


def same_as(word: str, others: Iterable[str]) -> bool:
    """Tell whether `others` hold another word for `word`."""
    groups = _GROUPS.get(word, ())
    return bool(groups) and any(other in group for group in groups for other in others)


def folded(text: str) -> str:
    """Return `text` with plain quotes and dashes and single spaces, in small letters: what patterns are matched against.

    Every character stands where it stood, so spans hold for both.
    """
    table = {ord(mark): "'" for mark in "’‘`´"} | {ord(mark): "-" for mark in "\u2010\u2011\u2012\u2013\u2014\u2212"}
    table |= {ord(mark): '"' for mark in "“”"}
    lowered = text.translate(table).lower()
    # A few letters grow when they become small; then the spans would be off.
    return lowered if len(lowered) == len(text) else text.translate(table)
