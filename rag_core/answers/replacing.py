"""What stands in a sentence in the place of something that the question names: another ordinal, modifier or name.

"When did the third terminal open?" finds "the second terminal opened on ...": all words but one are there, and that one
decides. Words that only help to ask ("new", "today", "receive") are told apart, since no answer need repeat them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_core.answers.evidence import Evidence, Word
from rag_core.answers.questions import Asked
from rag_core.language.sentences import STOP_WORDS, terms

__all__ = ["HELD", "class_replaced", "helping_terms", "modifier_replaced", "name_replaced"]

# A term of the question counts as held from here on.
HELD = 0.45
# Words of which one excludes the others.
_CLASSES = tuple(
    frozenset(terms(words))
    for words in (
        "first second third fourth fifth sixth seventh eighth ninth tenth",
        "one two three four five six seven eight nine ten eleven twelve",
        "january february march april may june july august september october november december",
        "monday tuesday wednesday thursday friday saturday sunday",
        "north south east west northern southern eastern western",
        "spring summer autumn winter",
        "largest smallest highest lowest longest shortest oldest youngest best worst",
        "increase decrease rise fall gain loss profit",
        "before after",
        "national regional local international",
    )
)
_ROLES = frozenset(terms("financial executive operating technology marketing"))
# Characters before a sentence.
_ABOVE = 160
_HELPING = frozenset(
    terms(
        "new now today current currently latest recent recently total overall actual name kind type sort level amount "
        "number value figure nationality title main certain particular way mean much many long far receive get got give "
        "gave take took make made come came go put set run ran hold held keep kept start begin began finish end happen "
        "spend spent use used pay paid cost become lead led work people person company group business firm year time date "
        "size"
    )
)
_CHIEF, _OFFICER = frozenset(terms("chief executive")), frozenset(terms("officer"))
_JOINING = frozenset("of in at for by on".split())
_ARTICLES = frozenset("the a an its their".split())
_WORD = re.compile(r"[^\W_]+(?:[.,'’&-][^\W_]+)*")


def helping_terms(asked: Asked) -> frozenset[str]:
    """Return the terms of the question that help to ask, the noun after "what" or "which" among them."""
    asks = asked.head and re.search(
        rf"\b(?:what|which) (?:\w+ )?{re.escape(asked.head[:4])}", asked.text, re.IGNORECASE
    )
    head = {asked.head} if asks else set()
    # "The chief executive" is one, whether or not a report adds that the office is an officer's.
    office = _OFFICER if set(asked.terms) >= _CHIEF else frozenset()
    return (_HELPING | head | office) & frozenset(asked.terms)


def class_replaced(asked: Asked, evidence: Evidence) -> bool:
    """Tell whether for a term that is missing another of its class stands in the sentence: August for July.

    A role often stands on the line above the name, so that what is before the sentence is looked at, too.
    """
    there = {word.term for word in evidence.words} - set(asked.terms)
    above = set(terms(evidence.hit.document.text[max(0, evidence.start - _ABOVE) : evidence.start])) - set(asked.terms)
    lost = [term for row, term in enumerate(asked.terms) if float(evidence.near[row]) < HELD]
    return any(term in group and group & there for term in lost for group in _CLASSES) or any(
        term in _ROLES and _ROLES & (there | above) for term in lost
    )


def modifier_replaced(asked: Asked, evidence: Evidence, start: int, end: int) -> bool:
    """Tell whether a noun of the question stands in the sentence under another modifier: "gross margin" for "net margin".

    What modifies stands before its noun, or behind it and "of", "in" or the like. The span [start, end) answers and is
    no modifier.
    """
    helping = helping_terms(asked)
    rows = {term: row for row, term in enumerate(asked.terms)}
    known = set(asked.terms) | _HELPING
    for modifier, noun in _modified(asked):
        if modifier in helping or float(evidence.covered[rows[modifier]]) >= HELD:
            continue
        for place, word in enumerate(evidence.words):
            if word.term == noun and word.text.isalpha():
                others = _around(evidence.words, place)
                if any(
                    _modifies(other, known) and not (behind and start <= other.start < end) for other, behind in others
                ):
                    return True
    return False


def name_replaced(asked: Asked, evidence: Evidence, start: int, end: int) -> bool:
    """Tell whether the sentence lacks a name of the question and has another one, beside the answer [start, end)."""
    rows = {term: row for row, term in enumerate(asked.terms)}
    if not any(float(evidence.covered[rows[name]]) < HELD for name in asked.names):
        return False
    return any(
        word.text[:1].isupper() and word.text.isalpha() and word.term not in rows and not start <= word.start < end
        for word in evidence.words[1:]
    )


def _modified(asked: Asked) -> Iterator[tuple[str, str]]:
    """Yield (modifier, noun) of the question: neighbours, and what stands on both sides of "of" and the like."""
    found = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(asked.text)]
    held = set(asked.terms)
    for number, (text, _, end) in enumerate(found[:-1]):
        following, start, _ = found[number + 1]
        if asked.text[end:start] == " ":
            yield from _pair(text, following, held)
        if following.lower() in _JOINING:
            behind = number + 2
            if behind < len(found) and found[behind][0].lower() in _ARTICLES:
                behind += 1
            if behind < len(found):
                yield from _pair(found[behind][0], text, held)


def _pair(modifier: str, noun: str, held: set[str]) -> Iterator[tuple[str, str]]:
    first, last = terms(modifier)[-1:], terms(noun)[:1]
    if first and last and first[0] in held and last[0] in held:
        yield first[0], last[0]


def _around(words: tuple[Word, ...], place: int) -> Iterator[tuple[Word, bool]]:
    """Yield the word before and the one behind a joining word, with whether it stands behind."""
    if place:
        yield words[place - 1], False
    if place + 2 < len(words) and words[place + 1].text.lower() in _JOINING:
        behind = place + 2
        if words[behind].text.lower() in _ARTICLES and behind + 1 < len(words):
            behind += 1
        yield words[behind], True


def _modifies(word: Word, known: set[str]) -> bool:
    return (
        bool(word.term)
        and word.term not in known
        and word.text.lower() not in STOP_WORDS
        and not word.term[0].isdigit()
    )
