"""Which words of an earlier question a fragment stands in place of: "and in Asia?" after "What was revenue in Germany?".

A question is cut into runs of content words at its function words. Candidates are the runs, their parts, and runs joined
by prepositions; the one nearest in meaning to the fragment, of the same kind (a name for a name, a figure for a figure,
the object of the same preposition), is what the fragment replaces. Where nothing is near enough, nothing is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag_core.dialogue.steps import find_mentions

__all__ = ["PREPOSITIONS", "Similarity", "replace_modifier", "replace_parallel"]

# Texts to their cosine with the first argument, in [-1, 1].
Similarity = Callable[[str, Sequence[str]], Sequence[float]]

PREPOSITIONS = frozenset(
    "of for on in at by with from to into under over than between after before during within about".split()
)
_DETERMINERS = frozenset("the a an its their his her this that these those any all each every some".split())
_FUNCTION = (
    PREPOSITIONS
    | _DETERMINERS
    | frozenset(
        "what which who whom whose when where why how is are was were be been do does did has have had can could will "
        "would shall should may might must and or but if not no it they he she we you i me us them there much many far "
        "long often large high big low small great as so than then too also please tell give show list name explain "
        "describe define compare about say says go goes 's ’s".split()
    )
)
# Words that join others to one phrase and never begin or end it.
_JOINS = frozenset("and of & per".split())
# What is counted is asked for, and no fragment stands in its place but another such word.
_UNITS = re.compile(
    r"^(?:years?|months?|days?|weeks?|quarters?|hours?|percent|percentage points?|times|euros?|dollars?)$",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"(?<=\w)['’]s\b|[^\W_]+(?:['’&./-](?!s\b)[^\W_]+)*%?")
# Weights of what speaks for a candidate beside its cosine, and the sum below which none is taken.
_SAME_PREPOSITION = 0.35
_OBJECT = 0.08
_SAME_KIND = 0.15
_SHARED_WORD = 0.25
_WHOLE = 0.06
_LEAST = 0.30
_CUT = 0.08
# A fragment with a preposition replaces the object of none only where it is this near in meaning.
_NEAR = 0.4
_MOST_CANDIDATES = 40


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    text: str

    @property
    def lower(self) -> str:
        return self.text.lower()


@dataclass(frozen=True, slots=True)
class _Candidate:
    start: int
    end: int
    text: str
    preposition: str
    whole: bool
    runs: int
    cut: int = 0


def _tokens(text: str) -> list[_Token]:
    return [_Token(match.start(), match.end(), match.group()) for match in _TOKEN.finditer(text)]


def _runs(text: str) -> list[list[_Token]]:
    """Cut `text` into runs of content words; "and", "of" or "&" between two capitalised words joins them to one name."""
    tokens = _tokens(text)
    taken = [(mention.start, mention.end) for mention in find_mentions(text)]
    runs: list[list[_Token]] = []
    current: list[_Token] = []
    for place, token in enumerate(tokens):
        inside_period = any(start <= token.start < end for start, end in taken)
        joins = (
            token.lower in ("and", "of", "&")
            and bool(current)
            and current[-1].text[0].isupper()
            and place + 1 < len(tokens)
            and tokens[place + 1].text[0].isupper()
        )
        per = token.lower == "per" and bool(current)
        apart = bool(current) and any(sign in text[current[-1].end : token.start] for sign in ",;:()?!")
        if apart and current:
            runs.append(current)
            current = []
        # The "A" of "class A" is no article.
        letter = len(token.text) == 1 and token.text.isupper() and bool(current)
        if inside_period or (token.lower in _FUNCTION and not joins and not per and not letter):
            if current:
                runs.append(current)
            current = []
        else:
            current.append(token)
    return [*runs, current] if current else runs


def _kind(text: str) -> str:
    """Return what a phrase looks like: a figure, a name, or common words; a lone first capital says nothing."""
    words = text.split()
    if any(character.isdigit() for character in text):
        return "figure"
    capitals = [word for word in words if word[0].isupper()]
    if (
        len(capitals) > 1
        or (capitals and not words[0][0].isupper())
        or any(word.isupper() and len(word) > 1 for word in words)
    ):
        return "name"
    return "unknown" if capitals else "common"


def _candidates(question: str) -> list[_Candidate]:
    runs = _runs(question)
    found = []
    for run in runs:
        for low in range(len(run)):
            for high in range(low, min(low + 5, len(run))):
                if {run[low].lower, run[high].lower}.isdisjoint(_JOINS):
                    cut = (low > 0) + (0 < high < len(run) - 1 and low > 0)
                    found.append(_made(question, run[low], run[high], (low, high) == (0, len(run) - 1), 1, cut))
    # Noun phrases of several runs: "the fee on the undrawn part of the facility".
    for first in range(len(runs)):
        for last in range(first + 1, min(first + 4, len(runs))):
            between = [
                _tokens(question[left[-1].end : right[0].start]) for left, right in pairwise(runs[first : last + 1])
            ]
            if all(gap and gap[0].lower in PREPOSITIONS and len(gap) <= 2 for gap in between):
                found.append(_made(question, runs[first][0], runs[last][-1], True, last - first + 1))
    return found[:_MOST_CANDIDATES]


def _made(question: str, first: _Token, last: _Token, whole: bool, runs: int, cut: int = 0) -> _Candidate:
    before = [token.lower for token in _tokens(question[: first.start])]
    while before and before[-1] in _DETERMINERS:
        before.pop()
    preposition = before[-1] if before and before[-1] in PREPOSITIONS else ""
    return _Candidate(first.start, last.end, question[first.start : last.end], preposition, whole, runs, cut)


def replace_parallel(
    question: str, fragment: str, similarity: Similarity | None, *, capital_counts: bool = False
) -> str | None:
    """Return `question` with `fragment` in place of the words it is parallel to, or None where none are near enough.

    `capital_counts` where the fragment does not begin the message, so that its first capital makes it a name.
    `similarity` None leaves meaning out: only the preposition, the kind and shared words decide.
    """
    words = [token.lower for token in _tokens(fragment)]
    preposition = words[0] if words and words[0] in PREPOSITIONS else ""
    phrase = fragment[len(preposition) :].strip()
    bare = re.sub(rf"^(?:{'|'.join(_DETERMINERS)})\s+", "", phrase, flags=re.IGNORECASE)
    candidates = _candidates(question)
    if not bare or not candidates:
        return None
    cosines = similarity(bare, [item.text for item in candidates]) if similarity else [0.0] * len(candidates)
    parts = len(_runs(phrase))
    composite = parts > 1 and any(item.runs > 1 for item in candidates)
    kind = _kind(bare)
    kind = "name" if kind == "unknown" and capital_counts else kind
    scored = []
    for cosine, item in zip(cosines, candidates, strict=True):
        if (item.runs > 1) != composite or (_UNITS.match(item.text) and not _UNITS.match(bare)):
            continue
        if preposition and cosine < _NEAR and kind != "figure" and not (item.preposition and item.whole):
            continue
        score = float(cosine) + _WHOLE * item.whole + _OBJECT * (bool(item.preposition) != composite) - _CUT * item.cut
        other = _kind(item.text)
        if "unknown" not in (kind, other):
            score += _SAME_KIND if kind == other else -2 * _SAME_KIND
        if set(bare.lower().split()) & set(item.text.lower().split()):
            score += _SHARED_WORD * item.whole
        if preposition:
            score += _SAME_PREPOSITION * (preposition == item.preposition)
        scored.append((score, item.start, item))
    best = max(scored, default=None, key=lambda entry: entry[:2])
    if best is None or best[0] < _LEAST:
        return None
    return _put(question, best[2], preposition, phrase, bare, kind)


def _put(question: str, item: _Candidate, preposition: str, phrase: str, bare: str, kind: str) -> str:
    head, tail = question[: item.start], question[item.end :]
    determined = phrase != bare
    article = re.search(r"\b(?:the|an?|its|their)\s+$", head, re.IGNORECASE)
    # "a share" brings its own article; a bare noun keeps "the" and drops "a", which may not fit it.
    if article and (determined or article.group().strip().lower() in ("a", "an")):
        head = head[: article.start()]
    if preposition and item.preposition:
        head = re.sub(rf"\b{item.preposition}\s+$", f"{preposition} ", head, flags=re.IGNORECASE)
    if re.match(r"['’]s\b", tail):
        phrase = re.sub(r"['’]s?$", "", phrase)
    if item.text[0].islower() and kind == "unknown":
        phrase = phrase[0].lower() + phrase[1:]
    return head + phrase + tail


def replace_modifier(question: str, modifier: str) -> str | None:
    """Return `question` with `modifier` before its first noun phrase's head: "basic earnings" becomes "diluted earnings".

    None where the question has no noun phrase.
    """
    runs = _runs(question)
    several = next((run for run in runs if len(run) > 1), None)
    if several is not None:
        return question[: several[0].start] + modifier + question[several[0].end :]
    if not runs:
        return None
    return question[: runs[0][0].start] + modifier + " " + question[runs[0][0].start :]
