"""Roles that questions ask for by "who": a person named beside another role is no answer.

"Who audits the company?" is not answered by the chair of the audit committee, nor "Who is the chair?" by that of one of
its committees. For a role that is known here, the sentence around the name, or the line above it, has to state it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag_core.answers.questions import Asked
from rag_core.language.offices import OFFICES
from rag_core.language.sentences import terms

__all__ = [
    "WIDELY_WORDED",
    "chairs_committee",
    "is_body",
    "lacks_role",
    "left_role",
    "restated",
    "role_of",
    "signatures",
]


@dataclass(frozen=True, slots=True)
class _Role:
    """A role by name, how questions ask for it, and how texts state it."""

    name: str
    asked: re.Pattern[str]
    stated: re.Pattern[str]


def _role(name: str, stated: str, asked: str = "") -> _Role:
    return _Role(
        name, re.compile(rf"\b(?:{asked or stated})", re.IGNORECASE), re.compile(rf"\b(?:{stated})", re.IGNORECASE)
    )


_BEFORE = r"(?<!vice )(?<!vice-)(?<!deputy )(?<!deputy-)(?<!co-)(?<!former )(?<!assistant )"
_ROLES = (
    _role("founder", r"found(?:ed|ers?|ing)\b|establish|set up\b|started\b|created\b",
        r"found(?:ed|ers?)\b|(?:established|started|set up) (?:the|it)\b"),
    _role(
        "auditor",
        r"auditors?\b|audit(?:s|ed|ing)?\b(?!(?:,? (?:and )?\w+)? committee)|registered public accounting|chartered accountants",
        r"audit(?:s|ed|ors?)\b|external audit\b|audit firm\b",
    ),
    _role("chief financial officer", r"CFO\b|chief financ|finance (?:director|chief)|financial director"),
    _role("chief operating officer", r"COO\b|chief operating"),
    _role("chief technology officer", r"CTO\b|chief techn"),
    _role("chief executive", r"CEO\b|chief executive|managing director|(?:runs|ran|led|leads|heads|headed) "
        r"(?:the (?:group|company|firm|bank|business)|it\b|us\b)", r"CEO\b|chief executive|managing director"),
    _role("company secretary", rf"{_BEFORE}secretary\b"),
    _role("registered agent", r"registered agent"),
    _role("transfer agent", r"transfer agent|registrars?\b|share register"),
    _role("trustee", r"trustees?\b"),
    _role("administrator", r"administrators?\b|administers?\b|administered\b"),
    _role("underwriter", r"underwr\w+|book-?runners?\b|lead managers?\b|placing agents?\b"),
    _role("counsel", r"counsel\b|solicitors?\b|law firm|legal advis"),
    _role("president", rf"{_BEFORE}president\b"),
    _role("chair", rf"{_BEFORE}(?:chair(?:s|ed|man|woman|person)?\b|presides? over)"),
    _role("owner", r"own(?:s|ed|ers?|ership|ing)\b|(?:share|stock)holders?\b|shareholdings?\b|hold(?:s|ings?)?\b|held\b|"
        r"stakes?\b|parent\b|control|belong|bought|acquired|purchased|sold to|proprietor|subsidiary of",
        r"owns?\b|owned\b|owners?\b|(?:largest|biggest|main|major|controlling) (?:share|stock)holders?\b"),
)  # fmt: skip
# Roles that texts put into too many words for a list of them to decide alone.
WIDELY_WORDED = frozenset(("founder", "owner"))
_WHO = re.compile(
    r"^\W*(?:(?:and|so|then) )?(?:who|whom|whose|which (?:\w+ )?(?:firm|company|bank|person)|"
    r"what (?:is|was) the name of|name (?:of )?the)\b",
    re.IGNORECASE,
)
_COMMITTEE = re.compile(r"\b(?!the\b)(?P<name>[\w&-]+) committee", re.IGNORECASE)
_OF_COMMITTEE = re.compile(r"chair\w*(?:\)|,)? (?:of )?(?:the |its |our )?(?:[\w&-]+,? ){1,4}?committee", re.IGNORECASE)
_RUNS = re.compile(
    r"^(?P<who>\W*who (?:currently |now )?)(?:runs|leads|heads|is in charge of|is running|is leading|is the "
    r"(?:head|boss|leader) of)(?P<what> .+)$",
    re.IGNORECASE,
)
_SHORT_FORMS = (
    (re.compile(r"\bunderwrote\b", re.IGNORECASE), "were the underwriters of"),
    *((re.compile(rf"\b{letters}\b"), office) for letters, office in OFFICES.items()),
    (re.compile(r"(?<=\bthe )chair(?:man|woman|person)\b", re.IGNORECASE), "chair"),
    (re.compile(r"\b(?:heads|leads|presides over)(?= the (?:[\w&-]+ ){1,4}?committee)", re.IGNORECASE), "chairs"),
)
_COMPANY = re.compile(
    r"^(?:the (?:whole )?(?:group|company|firm|bank|business|organi[sz]ation|enterprise)|it)\W*$", re.IGNORECASE
)
_PRESENT = re.compile(r"\b(?:is|are|runs|leads|heads|chairs|now|currently)\b", re.IGNORECASE)
# What ends a role, right behind the name and the role.
_ENDED = re.compile(
    r"[^.;]{0,60}?\b(?:until|retired|resigned|stepped down|left (?:the|office)|was (?:succeeded|replaced) by|passed away|died)\b",
    re.IGNORECASE,
)
_ROW = re.compile(r"^(?P<name>[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){1,3}) \|[^\n]*[A-Za-z][^\n]*$", re.MULTILINE)
_SIGNED = re.compile(r"\bwho(?:se)?\b.*\bsign(?:s|ed|ature|atory|atories|ing)?\b", re.IGNORECASE)
_NAME_LINE = re.compile(
    r"^[ \t]*(?:/s/ *)?(?P<name>[A-Z][\w.'’-]*(?: (?:[A-Z][\w.'’-]*|van|von|de|der|di)){1,4})(?:, *|[ \t]*\n[ \t]*)"
    r"[^\n.]{0,30}\b(?:Officer|Chair\w*|Director|President|Secretary|Partner|Executive|Treasurer|Controller)\b[^\n.]{0,60}$",
    re.MULTILINE,
)
_BODY = re.compile(r"\b(?:shareholders|stockholders|members|directors|committee|noteholders)\b", re.IGNORECASE)
# A line above a sentence that may say whose role its names have.
_ABOVE = 120
_SHORT = 14


def role_of(asked: Asked) -> str:
    """Return the role that a question for a person or a firm asks for, nothing where it is none of those known."""
    found = _asked_role(asked.text)
    return found.name if found else ""


def lacks_role(asked: Asked, text: str, low: int, high: int, *, alone: bool = False) -> str:
    """Return the role that is asked for where the sentence [low, high) of `text` does not state it, nothing where it does.

    The line above a short one counts, unless it is taken `alone`.
    """
    role = _asked_role(asked.text)
    if role is None:
        return ""
    told = text[low:high]
    if len(told.split()) <= _SHORT and not alone:
        above = text[max(0, low - _ABOVE) : low].rstrip()
        line = above.rsplit("\n", 1)[-1]
        told = told if "|" in line else f"{line} {told}"
    committee = _COMMITTEE.search(asked.text) if role.name == "chair" else None
    if committee:
        return "" if chairs_committee(asked, told) else role.name
    if role.name == "chair":
        told = _OF_COMMITTEE.sub(" ", told)
    return "" if role.stated.search(told) else role.name


def holders(asked: Asked, text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of names at the beginning of table rows whose other cells state the role that is asked for."""
    if _asked_role(asked.text) is None:
        return
    for match in _ROW.finditer(text):
        if not lacks_role(asked, text, match.end("name"), match.end(), alone=True):
            yield match.span("name")


def chairs_committee(asked: Asked, told: str) -> bool:
    """Tell whether `told` says who chairs the committee that a question for its chair names."""
    committee = _COMMITTEE.search(asked.text)
    if committee is None or role_of(asked) != "chair":
        return False
    name = re.escape(committee["name"])
    return re.search(rf"chair[^.;|]{{0,40}}\b{name}\b|\b{name}\b[^.;|]{{0,60}}\bchair", told, re.IGNORECASE) is not None


def is_body(asked: Asked, text: str) -> bool:
    """Tell whether words that stand for a person or firm in a known role name a body, or nobody: "the shareholders"."""
    role = _asked_role(asked.text)
    if role is None or role.name == "founder":
        return False
    if role.name == "owner":
        return _BODY.fullmatch(text.strip()) is not None
    return not re.search(r"[A-Z]", text) or _BODY.search(text) is not None


def left_role(asked: Asked, text: str, end: int) -> bool:
    """Tell whether who is named up to `end` held a role that a question about the present asks for, and left it."""
    return bool(_PRESENT.search(asked.text) and _asked_role(asked.text) and _ENDED.match(text, end))


def restated(question: str, own: str) -> str:
    """Return a question for a role in the words that reports have for it, nothing where it is in them.

    "Who runs ...?" asks for the chief executive where it is about the company.

    `own` are words that say whose the document is: its name and beginning.
    """
    for short, long in _SHORT_FORMS if _WHO.search(question) else ():
        if short.search(question):
            return short.sub(long, question)
    found = _RUNS.match(question.strip())
    if found is None:
        return ""
    what = found["what"].strip()
    named = set(terms(what.strip(" ?.")))
    if not _COMPANY.match(what) and not (re.search(r"[A-Z]", what) and named <= set(terms(own))):
        return ""
    return f"Who is the chief executive officer of {what}"


def signatures(question: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of names that stand with their title on lines of their own, where a question asks who signed."""
    if _SIGNED.search(question):
        yield from (match.span("name") for match in _NAME_LINE.finditer(text))


def _asked_role(text: str) -> _Role | None:
    if _WHO.search(text) is None:
        return None
    return next((role for role in _ROLES if role.asked.search(text)), None)
