"""The whole of an answer of which the reader marked the beginning: the list, the clause, the place with its state."""

from __future__ import annotations

import re

from rag_core.answers.kinds import whole_quantity
from rag_core.answers.questions import Asked
from rag_core.language.sentences import terms

__all__ = ["asks_for_figures", "asks_for_several", "whole_answer"]

_MOST_WORDS = 60
# Characters from the beginning of a sentence to the end of a list in it.
_FURTHEST = 1_000
# Words of an entry that begins its sentence.
_LONGEST_ENTRY = 4
_SEVERAL = re.compile(
    r"\b(?:which|what)(?: (?:are|were|do|does))?(?: (?:the|its|their|some|of))*"
    r"(?: (?:two|three|four|five|six|seven|eight|main|key|major|principal|different|various|other|respective|reportable|"
    r"operating|financial|largest|biggest|types|kinds))* "
    r"(?!(?:was|is|has|does|this|its|plus|less|basis|business|analysis|access|process|loss|gross)\b)[\w-]*[a-z]s\b|"
    r"\b(?:consists?|composed|compris\w*|includes?|made up|names of)\b|\bwho (?:are|were)\b|"
    r"^(?:please )?(?:list|name|give|state|tell me) (?:the|its|their|all|both)(?: [\w-]+){0,2} (?!address\b)[\w-]*[a-z]s\b",
    re.IGNORECASE,
)
_FIGURES: frozenset[str] = frozenset(("amount", "percentage", "measure", "count", "duration", "date"))
_SENTENCES: frozenset[str] = frozenset(("reason", "manner", "definition"))
_NUMBERS_ONLY = re.compile(r"[\s\d.,()$€£¥%-]+")
# Behind "and" another clause may begin: "and the group operates a plan in Greece".
_CLAUSE_VERB = (
    r"(?:is|are|was|were|has|have|had|does|do|did|will|may|can|operates?|owns?|holds?|makes?|made|sells?|sold|runs?|serves?|"
    r"provides?|offers?|employs?|uses?|expects?|plans?|intends?|believes?|continues?|remains?)"
)
_AND = (
    r"(?:,? (?:and|or|as well as|&) "
    rf"(?!(?:is|are|was|were|has|have|had|it|they|he|she|we|this|the (?:\w+ ){{1,2}}{_CLAUSE_VERB})\b))"
)
# A word that may stand in an entry. Between two there must be a space: were it optional, a word could be parted in so many
# ways that a sentence of forty words takes minutes.
_WORD = (
    r"(?!(?:is|are|was|were|has|have|had|will|which|that|who|where|because|and|or|as well as|&)\b)[^\s,.;:()|]"
    r"(?:[^\s,;:()|]*[^\s,;:()|.])?"
)
# With what stands in brackets behind it: an office, a share.
_ITEM = rf"{_WORD}(?: {_WORD}){{0,13}}(?: \([^()\n]{{1,60}}\))? ?"
# The rest of a list behind its first entry: closed by "and", or of three entries and more, or parted by semicolons.
_REST = re.compile(rf"(?:, {_ITEM})*{_AND}{_ITEM}|(?:, {_ITEM}){{2,}}|(?:; (?:[^;.\n]|\.(?=\d)){{2,160}})+(?=[;.\n]|$)")
_AMOUNT = (
    r"(?:[$€£¥]|[A-Z]{2,3}\$? ?)?\(?\d(?:[\d,]{0,24}\d)?(?:\.\d{1,12})?\)?"
    r"(?: ?%| per ?cent\b)?(?: (?:thousand|million|billion|trillion)\b)?"
)
# What may follow a figure of a list: what it counts, and its year.
_OF_YEAR = r"(?: (?:euros|dollars|pounds|shares|units|employees))?(?: (?:in|for) (?:19|20)\d\d)?"
_FIGURE_LIST = re.compile(rf"{_AMOUNT}{_OF_YEAR}(?:, {_AMOUNT}{_OF_YEAR})*,? and (?:approximately |about )?{_AMOUNT}")
# What may stand between a name and the next one: "the foundation with 27.4%, the fund with 6.1%".
_SHARE = re.compile(r" (?:with|at|\() ?[\d.,]+ ?%\)?(?=,| and )| \([^()\n]{1,60}\)(?=[,;]| and )")
# What a clause that goes on begins with.
_GOES_ON = re.compile(
    r",? (?:(?:partially|partly) offset|net of|as well as|and|or|of|in|on|for|with|to|as|than"
    r"|by|at|from|between|under|over|that|through|into)\b"
)
# What begins like the answer goes on with it: "in wages and in rents".
_PARALLEL: frozenset[str] = frozenset(("place", "thing", "reason", "manner"))
_PREPOSITION = re.compile(r"(in|at|on|by|for|from|to|with|through|under) ", re.IGNORECASE)
# What says how a reason is one; without "primarily" it would be the only one. "Because" only says what was asked.
_BECAUSE = re.compile(
    r"\b(?:(?:primarily|mainly|largely|mostly|principally|chiefly|predominantly|partly|partially|in part|solely|simply) )?"
    r"(?:due(?: primarily| mainly| largely)? to|as a result of|attributable to|owing to|thanks to) $",
    re.IGNORECASE,
)
_WHY = re.compile(r"\bwhy\b", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[.;](?=\s|$)|\n|$")
_WORD_BEHIND = re.compile(r" [\w-]+")
# A figure that is a bound or an estimate is not given as an exact one.
_ABOUT = re.compile(
    r"\b(?:about|around|approximately|roughly|nearly|almost|over|under|more than|less than|at least|at most|up to|some) $",
    re.IGNORECASE,
)
# How many things a question wants named, unless that is of what or when, and what parts the entries of a list.
_NUMBERS = {"both": 2, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_NUMBER = re.compile(
    r"(?P<other>\b(?:in|for|of|over|during|between|across|after|within) (?:(?:the|these|those|last|past|next) )*)?"
    rf"\b(?P<number>{'|'.join(_NUMBERS)}) (?:[\w-]+ ){{0,3}}?[\w-]*[a-z]s\b",
    re.IGNORECASE,
)
_PARTED = re.compile(r",? (?:and|or) (?:the )?|, ")
_JOINED = re.compile(r"(?:,? (?:and|or) |, )$")
# Where the first entry of a list begins: behind what says that a list comes, or else as its last one begins, with a name,
# with an article, or behind a preposition.
_PREPOSITIONS = "with|of|on|in|from|by|for|to|at|between|through|as"
_TOLD = re.compile(
    r".*(?:: |\b(?:are|were|is|was|be|remain(?:s|ed)?|includ(?:e|es|ed|ing)|namely|such as) "
    rf"(?:[a-z]+(?:ed|en|nd|wn|ght|ade|pt|ut) (?:{_PREPOSITIONS}) )?)",
    re.DOTALL,
)
_NAMED = re.compile(r"(?:.*[^\w ] ?|.*\b[^A-Z\W][\w-]* )(?=[A-Z])", re.DOTALL)
_ARTICLE = re.compile(r".*\b(?=(?:an?|the|its|their|his|her|one) )", re.DOTALL)
_BEHIND = re.compile(rf".*\b(?:{_PREPOSITIONS}) ", re.DOTALL)
_REGION = re.compile(r"(?:, [A-Z](?:[\w.’'-]*\w)?(?: [A-Z](?:[\w.’'-]*\w)?)*)+")


def asks_for_several(asked: Asked) -> bool:
    """Return whether the question may want more than one thing named: "which countries", "what does it consist of"."""
    return asked.kind not in _FIGURES and _SEVERAL.search(asked.text) is not None


def whole_answer(asked: Asked, text: str, start: int, end: int, low: int, high: int) -> tuple[int, int]:
    """Return [start, end) of `text` drawn out to all that belongs to it, within its sentence [low, high)."""
    figures = asks_for_figures(asked) and re.match(_AMOUNT, text[start:end]) is not None
    if figures or _NUMBERS_ONLY.fullmatch(text, start, end) or asked.kind in _FIGURES:
        said = _ABOUT.search(text, low, start)
        # "Over how many years?" has the word already.
        start = said.start() if said and said.group().strip().lower() not in asked.text.lower().split() else start
        end = whole_quantity(asked, text, start, end)
        return _figures_listed(text, start, end, low, high) if asks_for_figures(asked) else (start, end)
    noun = _WORD_BEHIND.match(text, end, high)
    if noun and asked.head and asked.head in terms(noun.group()) and not noun.group().endswith("ed"):
        # "Which dance ...?": the waggle dance.
        end = noun.end()
    if asked.kind == "place":
        region = _REGION.match(text, end, high)
        end = region.end() if region and not asks_for_several(asked) else end
    if asks_for_several(asked):
        start, end = _listed(text, start, end, low, high)
    start = _from_the_first(asked, text, start, end, low)
    if asked.kind == "reason" and _WHY.search(asked.text) and (because := _BECAUSE.search(text, low, start)):
        start = because.start()
    elif asked.kind in _PARALLEL:
        end = _alike(text, start, end, high)
    told = asked.kind in _SENTENCES and not re.search(r"\d", text[start:end])
    # A full stop within the sentence is that of an abbreviation: "Ltd."
    behind = end + 1 if text[end : end + 1] == "." and end + 1 < high else end
    if told and _GOES_ON.match(text, behind, high):
        stop = _CLAUSE_END.search(text, behind, high)
        longer = stop.start() if stop else high
        end = longer if len(text[start:longer].split()) <= _MOST_WORDS else end
    return start, end


def asks_for_figures(asked: Asked) -> bool:
    """Return whether the question asks for several figures: for some periods, or of some things respectively."""
    return len(set(asked.years)) > 1 or re.search(r"\brespective(?:ly)?\b", asked.text, re.IGNORECASE) is not None


def _figures_listed(text: str, start: int, end: int, low: int, high: int) -> tuple[int, int]:
    """Return the span with the figures that stand beside its own in a list: "$0.3 million and $0.9 million"."""
    for match in _FIGURE_LIST.finditer(text, low, high):
        if match.start() < end and start < match.end():
            return min(start, match.start()), max(end, match.end())
    return start, end


def _alike(text: str, start: int, end: int, high: int) -> int:
    """Return the end of the span with what an "and" and the preposition that it begins with add to it."""
    first = _PREPOSITION.match(text, start, end)
    if first is None:
        return end
    more = re.compile(rf",? and {first[1]} (?:(?!{first[1]}\b)[^\s,.;:()|]+ ?){{1,8}}", re.IGNORECASE).match(
        text, end, high
    )
    return start + len(text[start : more.end()].rstrip()) if more else end


def _listed(text: str, start: int, end: int, low: int, high: int) -> tuple[int, int]:
    """Return the span with the entries of the same list behind it, and those before it that a colon opens."""
    opened = text.rfind(": ", low, start)
    if opened >= 0 and "," in text[opened:start] and "." not in text[opened:start]:
        start = opened + 2
    share = _SHARE.match(text, end, high)
    rest = None if " and " in text[start:end] else _REST.match(text, share.end() if share else end, high)
    if rest and len(text[start : rest.end()].split()) <= _MOST_WORDS:
        end = len(text[: rest.end()].rstrip())
    return start, end


def _from_the_first(asked: Asked, text: str, start: int, end: int, low: int) -> int:
    """Return where the list begins of which [start, end) is the end, where the question says how many entries it has."""
    numbers = [match["number"].lower() for match in _NUMBER.finditer(asked.text) if not match["other"]]
    # What reaches further back is no list, and looking through it takes the square of its length.
    joined = _JOINED.search(text, low, start) if start - low <= _FURTHEST else None
    wanted = _NUMBERS[numbers[0]] - len(_PARTED.split(text[start:end])) if numbers else 0
    if joined is None or wanted < 1:
        return start
    entries = text[low : joined.start()].split(", ")[-wanted:]
    ways = [_TOLD, _NAMED if text[start].isupper() else _ARTICLE if _ARTICLE.match(text[start:end]) else _BEHIND]
    begun = next((match for way in ways if (match := way.match(entries[0]))), None)
    first = joined.start() - len(", ".join(entries)) + (begun.end() if begun else 0)
    whole = begun is not None or (first == low and len(entries[0].split()) <= _LONGEST_ENTRY)
    # Two entries have no comma between them.
    plain = len(entries) == wanted and (wanted > 1 or not joined.group().startswith(","))
    return first if plain and whole and len(text[first:end].split()) <= _MOST_WORDS else start
