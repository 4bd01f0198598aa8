"""What in a question leans on the conversation: pronouns, fragments, openers, corrections; and what points away from it."""

from __future__ import annotations

import re

from rag_core.language.sentences import content_terms

__all__ = [
    "changes_topic",
    "compares",
    "correction",
    "is_whole_question",
    "leans_on_given",
    "points_back",
    "says_little",
    "without_courtesy",
    "without_opener",
]

_COURTESY = re.compile(
    r"^\s*(?:(?:ok(?:ay)?|thanks?(?: you)?(?: very much| a lot| so much)?|great|good|perfect|right|alright|fine|hi|hello|"
    r"hmm+|well|i see|got it|understood|please|sorry|excuse me|cool|nice|yes|yeah)\b[\s,.!;:–-]*)+",
    re.IGNORECASE,
)
_OPENER = re.compile(
    r"^\s*(?:(?:and|but|so|also|then|now|or|plus)\b[\s,:]*)*(?:i (?:want|would like|'d like|need) to (?:know|see|ask)\b)?"
    r"(?:(?:what|how) about\b|what of\b|what if\b|(?:the )?same (?:\w+ )?(?:for|in|with|of)\b|only\b|just\b)?[\s,:]*",
    re.IGNORECASE,
)
_TAIL = re.compile(r"[\s,]+(?:too|as well|also|then|instead|please|though|again)\s*$", re.IGNORECASE)
_NO = r"(?:no|nope|not that|wait|oops|actually|rather|sorry|apologies)\b[\s,.!:;–-]"
_CORRECTION = re.compile(
    rf"^(?:{_NO}*)*(?P<lead>(?:i|we) (?:actually |really |rather )?"
    r"(?:mean|meant|wanted|asked|(?:was|were|am) (?:asking|looking|talking))"
    r"(?: to (?:know|ask|say|see))?(?: about| for)?\b[\s,:]*|make (?:that|it)\b[\s,:]*)?",
    re.IGNORECASE,
)
_STARTS_CORRECTION = re.compile(f"^{_NO}", re.IGNORECASE)
_NOT = re.compile(r"[\s,]+(?:and\s+)?(?:not|rather than|instead of)\s+(?P<old>.+)$", re.IGNORECASE)
_NOT_FIRST = re.compile(r"^not\s+(?:the\s+)?(?P<old>[^,]+),\s*(?:but\s+)?(?P<new>.+)$", re.IGNORECASE)
_OTHER_TOPIC = re.compile(
    r"\b(?:something (?:else|different|new|completely different)|(?:another|a different|a new|next|new|unrelated|separate) "
    r"(?:question|topic|subject|matter)|on (?:another|a different) (?:note|topic|subject)|chang(?:e|ing) (?:of )?(?:the )?"
    r"(?:topic|subject)|(?:switching|moving) (?:topics?|on|to)|apart from that|unrelated(?:ly)?|by the way)\b[\s,.:;!–-]*",
    re.IGNORECASE,
)
_AGAIN = r"(?= \w+(?:s|ed)\b|\s+(?:is|are|was|were|do|does|did|has|have)\b|\s*[?,]|\s*$)"
_PERSONAL = (
    r"it|its|they|them|their|theirs|he|she|him|his|her|hers|these|those|this|both|"
    rf"the (?:former|latter|other|rest|two|three){_AGAIN}"
)
# "one" and "ones" in place of a noun, "there" as a place, "that" where no clause of its own follows.
_PLACED = (
    r"(?:any|another|some|none)(?=\s*(?:$|[?,;]))|"
    r"ones?(?=\s*(?:$|[,?;]|\b(?:before|after|about|with|of|that|for|in|on|at|from|is|was|were|are|too)\b))"
    r"|(?<!is )(?<!are )(?<!was )(?<!were )(?<!^)there(?!\s+(?:is|are|was|were|any|be|an?)\b)"
    r"|(?:(?<=\bdoes )|(?<=\bdid )|(?<=\bdo )|(?<=\bis )|(?<=\bwas )|(?<=\bof )|(?<=\bto )|(?<=\bwith )|(?<=\bfor )|"
    r"(?<=\bfrom )|(?<=\bthan )|(?<=\babout )|(?<=\bin )|(?<=\bon )|(?<=\bat )|(?<=\bby )|(?<=\bafter )|(?<=\bbefore )|"
    r"(?<=\band )|(?<=\bexplain )|(?<=\bhas )|^)that\b"
    r"|that(?=\s*$|\s*\?|\s+(?:year|quarter|month|period|date|time|day|case|one|figure|number|amount|sum|rate|ratio|"
    r"company|fund|bond|segment|person|document|table|page)\b)"
)
_POINTER = re.compile(rf"\b(?:{_PERSONAL}|{_PLACED})(?!\w)", re.IGNORECASE)
_POSSESSIVE = re.compile(r"^(?:its|their|his|her|theirs|hers)$", re.IGNORECASE)
_CONJUNCTION = re.compile(r"[,;]|\b(?:and|or|if|when|but|because|while)\b", re.IGNORECASE)
_WH = r"what|which|who|whom|whose|when|where|why|how"
_AUXILIARY = re.compile(
    r"\b(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|shall|may|might|must)\b", re.IGNORECASE
)
_IMPERATIVE = re.compile(
    r"^(?:list|name|give|show|explain|describe|define|compare|summari[sz]e|tell|find|calculate|compute|state|identify)\b",
    re.IGNORECASE,
)
_INTERROGATIVE = re.compile(rf"^(?:(?:\w+ ){{0,2}}(?:{_WH})\b|(?:{_AUXILIARY.pattern}))", re.IGNORECASE)
_COMPARES = re.compile(
    r"\b(?:compar\w+|better|worse|higher|lower|larger|smaller|bigger|greater|faster|slower|more|less|fewer|same|"
    r"increas\w+|decreas\w+|chang\w+|difference|differs?|up or down)\b",
    re.IGNORECASE,
)
# Words that ask for more about what was said and name nothing themselves.
_EMPTY = frozenset(
    content_terms(
        "example detail number figure amount more else explain explanation elaborate reason mean meaning summary summarise "
        "summarize exactly exact precise source page come happen cause sure total word short simple simply part further "
        "continue go year quarter month period date time"
    )
)


def without_courtesy(text: str) -> str:
    """Return `text` without thanks, greetings and the like at its start, where something follows them."""
    return _COURTESY.sub("", text, count=1).strip() or text


def without_opener(text: str) -> tuple[str, bool]:
    """Return `text` without "and", "what about", "same for" at its start and "too" at its end, and whether one stood there."""
    body = text.strip(" ?.!")
    opened = _OPENER.match(body)
    rest = body[opened.end() :] if opened else body
    trimmed = _TAIL.sub("", rest).strip(" ?.!,")
    return (trimmed, trimmed != body) if trimmed else (body, False)


def correction(text: str) -> tuple[str, str] | None:
    """Return what a correction puts in place, and what it withdraws where it says so ("the net figure, not the gross").

    None where `text` corrects nothing.
    """
    body = text.strip(" ?.!")
    match = _CORRECTION.match(body)
    if (swapped := _NOT_FIRST.match(body)) is not None:
        return swapped["new"].strip(), swapped["old"].strip()
    if match is None or not (match["lead"] or _STARTS_CORRECTION.match(body)):
        return None
    rest = body[match.end() :].strip(" ,.!")
    withdrawn = _NOT.search(rest)
    if withdrawn:
        return rest[: withdrawn.start()].strip(), withdrawn["old"].strip()
    return (rest, "") if rest else None


def changes_topic(text: str) -> str | None:
    """Return what follows words that announce another topic ("something else: ..."), or None where none stand there."""
    match = _OTHER_TOPIC.search(text)
    if match is None or match.start() > 60:
        return None
    rest = text[match.end() :].strip()
    return rest if len(content_terms(rest)) > 0 and len(rest.split()) > 2 else None


def is_whole_question(body: str) -> bool:
    """Tell whether `body` has the form of a whole question or request, rather than of a fragment."""
    clause = body.split(",")[0]
    if _IMPERATIVE.match(body):
        return True
    if not _INTERROGATIVE.match(body):
        return False
    return _AUXILIARY.search(clause) is not None or (
        re.match(rf"(?:{_WH})\b", clause, re.IGNORECASE) is not None and len(content_terms(clause)) > 1
    )


def points_back(body: str) -> str | None:
    """Return the first word that refers to something outside `body` ("it", "those", "the latter"), or None.

    A pronoun after a noun of its own sentence refers to that ("How does a fund value its assets?").
    """
    for match in _POINTER.finditer(body):
        word = match.group()
        before = body[: match.start()]
        own = content_terms(before)
        if _POSSESSIVE.match(word) and own:
            continue
        clauses = _CONJUNCTION.split(before)
        if any(_AUXILIARY.search(clause) and content_terms(clause) for clause in clauses[:-1]):
            continue
        return word
    return None


def says_little(body: str) -> bool:
    """Tell whether `body` names nothing to search for: only stop words and words that ask for more of the same."""
    return all(term in _EMPTY for term in content_terms(body))


def leans_on_given(body: str, said: str) -> bool:
    """Tell whether a short question speaks of "the" something that `said` brought up without saying of what."""
    if len(content_terms(body)) > 3:
        return False
    given = set(content_terms(said))
    nouns = re.findall(r"\bthe ([a-z]+)\b(?! of\b)", body)
    return any(set(content_terms(noun)) & given for noun in nouns)


def compares(body: str) -> bool:
    """Tell whether `body` compares something, one side of which may have been said before."""
    return _COMPARES.search(body) is not None
