"""What a question asks for: the kind of answer, the noun it counts or names, and the terms an answer has to be about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rag_core.language.sentences import content_terms, terms, years

__all__ = ["AnswerKind", "Asked", "analyse"]


def _stems(words: str) -> frozenset[str]:
    return frozenset(terms(words))


AnswerKind = Literal[
    "name", "place", "date", "count", "amount", "percentage", "measure", "duration", "frequency",
    "reason", "manner", "definition", "thing", "yes_no",
]  # fmt: skip

_MEASURES = frozenset("far high tall deep large big old wide heavy fast thick small short hot cold strong loud".split())
_TIMES = _stems("year date day month decade century quarter time period season hour")
_PLACES = _stems(
    "city town country place state region village county province island continent location street capital sea ocean "
    "river district nation area port"
)
_NAMED = _stems(
    "person company bank firm organisation organization author king queen president director judge team group title "
    "name agency university school party newspaper investor rider player artist composer writer scientist chairman "
    "chairwoman governor minister officer auditor executive mayor founder broker supplier language"
)
_PERCENTAGES = _stems("percentage percent proportion share fraction")
_AMOUNTS = _stems(
    "amount value price cost revenue income profit loss expense sale earning dividend total sum balance fee salary "
    "budget debt cash asset liability turnover spending proceeds charge payment equity capital"
)
_REASONS = _stems("reason cause")
_RATES = _stems("rate margin yield coupon growth inflation ratio")
_MEASURED = _stems(
    "height length depth width weight speed distance temperature population capacity size age area duration number"
)
_WORD = re.compile(r"[^\W_]+(?:[.,'’&-][^\W_]+)*")
_YES_NO = re.compile(
    r"^(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may|must)\b", re.IGNORECASE
)
# What the assistant is told to do, or is asked for at length; "how did the minister describe it?" is a look-up.
_LONG = re.compile(
    r"(?:^|[.:;!?,–-]\s*|\b(?:please|you|me|and|also|then|now|briefly|kindly) )"
    r"(?:list|explain|describe|summari[sz]e|discuss|compare|elaborate|outline)\b"
    r"|\bsummar(?:y|ies)\b|\bin detail\b|\b(?:me|know) everything\b"
    r"|^(?:what|which) (?:are|were) all\b|^how (?:do|does|did)\b.*\bcompare\W*$",
    re.IGNORECASE,
)
# "What did it consist of?", "what was the rise due to?": words tell it, no figure does.
_EXPLAINED = re.compile(
    r"^what (?:is|are|was|were|do|does|did|has|have|could|would|will|may|might|can)\b.*"
    r"\b(?:consists? of|comprised? of|compris\w+|represents?|includes?|included in|driven by|due to|"
    r"attribut\w+ to|caused by|composed of|made up of|reflects?|stand for)\b"
    r"|^what (?:resulted in|resulted from|led to|drove|caused|impacted|affected|could result)\b"
)
# "What did goodwill amount to?", "what were the receivables worth?"
_SUMMED = re.compile(
    r"\b(?:amount|come|came|add up|run|total) to\W*$|\bworth\W*$|\bstand(?: at)?\W*$|\b(?:does|do|did)\b.*\btotal\W*$"
)
# What may stand behind: the time.
_SINCE = re.compile(r"\s(?:(?:in|at|for|on|by|during|as of) .*|last year|this year)$")
_ASKING = frozenset("what which who whom whose when where why how".split())
_GLUE = frozenset(
    "per of in at on for to from by with a an the and or is was are were did does do has have had".split()
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, taken apart.

    `terms` are its normalised content terms, in order, without those that only say the kind ("year" in "which year");
    `head` is the noun that names the kind ("town" in "in which town"), stemmed, or nothing. `names` are the words
    written with a capital that are not first, as terms; `years` the calendar years. `open_ended` asks for a long answer.
    """

    text: str
    kind: AnswerKind
    head: str
    terms: tuple[str, ...]
    names: frozenset[str]
    years: tuple[str, ...]
    open_ended: bool


def analyse(question: str) -> Asked:
    """Return what `question` asks for. Any text is taken; one without a question word asks for a thing."""
    words = [match.group() for match in _WORD.finditer(question)]
    lowered = [word.lower().replace("’", "'").removesuffix("'s") for word in words]
    at = next((index for index, word in enumerate(lowered) if word in _ASKING), -1)
    kind, head, used = _kind(question, lowered, at)
    content = [term for term in dict.fromkeys(content_terms(question)) if term not in used]
    names = frozenset(
        term
        for index, word in enumerate(words)
        if index and (word[:1].isupper() or (word[1:] != word[1:].lower())) and lowered[index] not in _GLUE
        for term in terms(word)
        if term in content
    )
    return Asked(question, kind, head, tuple(content), names, tuple(years(question)), bool(_LONG.search(question)))


def _kind(question: str, words: list[str], at: int) -> tuple[AnswerKind, str, frozenset[str]]:
    """Return the kind, the head noun, and the terms that say nothing but the kind."""
    if at < 0:
        return ("yes_no" if _YES_NO.match(question.strip()) else "thing"), "", frozenset()
    asking, following = words[at], words[at + 1 : at + 8]
    first = following[0] if following else ""
    if asking == "how":
        return _how(first, following)
    simple: dict[str, AnswerKind] = {
        "who": "name", "whom": "name", "whose": "name", "when": "date", "where": "place", "why": "reason",
    }  # fmt: skip
    if asking in simple:
        return simple[asking], "", frozenset()
    if _EXPLAINED.search(" ".join(words[at:])):
        return "reason", "", frozenset()
    if _SUMMED.search(_SINCE.sub("", " ".join(words[at:]))):
        return "amount", "", frozenset()
    noun, direct = _head(following)
    if direct and noun in _TIMES:
        return "date", noun, frozenset((noun,))
    if following[-1:] == ["for"] and first in ("is", "are", "was", "were"):
        # "What is swing pricing for?" asks what it is good for.
        return "thing", noun, frozenset()
    # "What interest does the loan bear?" asks for a rate, unlike "what was the interest?".
    found = "percentage" if direct and noun == "interest" else _of_noun(noun, direct, words)
    if found == "thing" and not direct and len(following) <= 5 and first in ("is", "are") and "of" not in following:
        return "definition", "", frozenset()
    if "why" in words or noun in _REASONS:
        return "reason", noun, frozenset((noun,))
    return found, noun, frozenset((noun,)) if direct and found in ("place", "percentage") else frozenset()


def _of_noun(noun: str, direct: bool, words: list[str]) -> AnswerKind:
    if noun in _PERCENTAGES and "price" not in words and not ("shares" in words and "share" not in words):
        return "percentage"
    if noun in _TIMES:
        return "date"
    if noun in _PLACES and not _is_money(noun, words):
        return "place"
    if noun in _NAMED:
        return "name"
    if noun in _RATES:
        return "percentage"
    if noun in _AMOUNTS:
        return "amount"
    return "measure" if noun in _MEASURED else "thing"


def _is_money(noun: str, words: list[str]) -> bool:
    """Tell whether a capital is that of a firm: one with a word before it ("share capital"), or of nothing."""
    if noun != "capital" or noun not in words:
        return False
    at = words.index(noun)
    return words[at + 1 : at + 2] != ["of"] or words[max(0, at - 1)] not in ("the", "a", "what", "which", "is", "was")


def _how(first: str, following: list[str]) -> tuple[AnswerKind, str, frozenset[str]]:
    if first == "many":
        return "count", (terms(following[1])[:1] or [""])[0] if len(following) > 1 else "", frozenset()
    if first == "much":
        return "amount", "", frozenset()
    if first == "long":
        return "duration", "", frozenset(("long",))
    if first in ("often", "frequently"):
        return "frequency", "", frozenset(terms(first))
    if first in _MEASURES:
        return "measure", "", frozenset(terms(first))
    return "manner", "", frozenset()


def _head(following: list[str]) -> tuple[str, bool]:
    """Return the noun that "what" or "which" asks about, stemmed, and whether it stands with no verb between.

    "which small town did": town, directly. "what was the annual capacity of the port": capacity, behind a verb.
    """
    verb = next((index for index, word in enumerate(following) if word in _VERBS), len(following))
    if verb:
        phrase = following[:verb]
        of = next((index for index, word in enumerate(phrase) if word in ("of", "in", "for", "at", "per")), len(phrase))
        noun = phrase[of - 1] if of else ""
        if of == len(phrase) and verb == len(following) and len(phrase) > 2:
            noun = phrase[0]
        return (terms(noun)[:1] or [""])[0], True
    phrase = [word for word in following[1:] if word not in ("the", "a", "an")]
    stop = next((index for index, word in enumerate(phrase) if word in _GLUE or word in _VERBS), len(phrase))
    noun = phrase[stop - 1] if stop else ""
    return (terms(noun)[:1] or [""])[0], False


_VERBS = frozenset(
    "is are was were be been do does did has have had can could will would should may might must".split()
)
