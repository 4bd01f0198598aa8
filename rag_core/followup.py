"""Follow-up questions: make a question that leans on the conversation stand alone, so that it can be searched.

Rules rather than a model: the embedded model of 135M parameters cannot rewrite reliably, a large one would cost a
second generation for each turn, and a rule can be shown to the user. What comes out is always visible as
`Answer.query`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_core.records import Message
from rag_core.sentences import content_terms, sentence_spans, years

__all__ = ["resolve_question"]

_OPENER = re.compile(
    r"^\s*(?:ok(?:ay)?|and|but|so|also|then|now|what about|how about|what of|what if|same for|same question for)\b[\s,:]*",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|she|him|his|her|hers|that|those|these|this|one|ones|former|latter|there|both|same)\b",
    re.IGNORECASE,
)
# "that" and "this" point back only where no noun of their own follows at once ("this note" is a noun of its own, which
# still points back); relative clauses ("the fund that pays") must not count.
_RELATIVE = re.compile(r"\b(?:fact|say|says|said|shows?|mean|means|so|such|\w+s|\w+ed)\s+that\b", re.IGNORECASE)
_BEFORE = re.compile(
    r"\b(?:(?:the\s+)?(?:year|period)\s+(?:before|earlier|prior)|"
    r"(?:the\s+)?(?:previous|prior|preceding|last)\s+year|one year (?:before|earlier))\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\b(?:(?:the\s+)?year\s+(?:after|later|following)|(?:the\s+)?(?:next|following|subsequent)\s+year|one year later)\b",
    re.IGNORECASE,
)
_TWO_BEFORE = re.compile(r"\btwo\s+years\s+(?:before|earlier|prior)\b", re.IGNORECASE)
_NAME = re.compile(r"\b[A-Z][\w&.-]+(?:\s+(?:of|and|the|&|[A-Z][\w&.-]+))*\s+[A-Z][\w&.-]+|\b[A-Z][a-z]+[A-Z]\w*\b")
_INTERROGATIVE = re.compile(
    r"^(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|has|have|can|could|list|name|give|show|explain|describe|define|compare|summari[sz]e)\b",
    re.IGNORECASE,
)
# A follow-up of no more than this many content words may be a fragment ("in 2021?", "operating profit?").
_FRAGMENT_TERMS = 3


def resolve_question(question: str, history: Sequence[Message]) -> str:
    """Return `question` as one that stands alone, with what it leaves unsaid taken from `history`.

    A question that already stands alone comes back as it is (white space folded). Earlier user turns are resolved
    first, so a chain of fragments ("and in 2021?", "and the year before?") keeps its subject.
    """
    previous, previous_answer = "", ""
    for message in history:
        if message.role == "user":
            previous = _resolve_one(_clean(message.content), previous, previous_answer)
        elif message.role == "assistant":
            previous_answer = message.content
    return _resolve_one(_clean(question), previous, previous_answer)


def _clean(text: str) -> str:
    return " ".join(text.split())


def _resolve_one(question: str, previous: str, previous_answer: str) -> str:
    if not previous:
        return question
    question, shifted = _resolve_relative_years(question, previous, previous_answer)
    body = _OPENER.sub("", question).strip(" ?.!")
    opened = body != question.strip(" ?.!") and bool(_OPENER.match(question))
    new_terms = [term for term in content_terms(body) if term not in ("year", "period")]
    own_years = years(question)
    topic = [term for term in new_terms if term not in own_years]
    if own_years and not topic and (opened or shifted or not _INTERROGATIVE.match(body) or _PRONOUN.search(body)):
        return _replace_years(previous, own_years)
    if _points_back(body):
        return _with_context(question, previous, previous_answer)
    fragment = not _INTERROGATIVE.match(body) and len(topic) <= _FRAGMENT_TERMS
    if fragment or (opened and not _INTERROGATIVE.match(body)):
        return _swap_topic(body, previous, own_years)
    if not topic:
        return _with_context(question, previous, previous_answer)
    return question


def _points_back(body: str) -> bool:
    return bool(_PRONOUN.search(_RELATIVE.sub("", body)))


def _resolve_relative_years(question: str, previous: str, previous_answer: str) -> tuple[str, bool]:
    """Turn "the year before" into the year it means, counted from the years of the question before."""
    known = years(previous) or years(previous_answer)
    if not known or years(question):
        return question, False
    for pattern, base, step in ((_TWO_BEFORE, min, -2), (_BEFORE, min, -1), (_AFTER, max, 1)):
        if pattern.search(question):
            year = int(base(known)) + step
            return pattern.sub(f"{year}", question, count=1), True
    return question, False


def _replace_years(previous: str, own_years: Sequence[str]) -> str:
    """Ask the previous question for other years; where it named none, add them at its end."""
    known = years(previous)
    if not known:
        return f"{previous.rstrip(' ?.!')} in {' and '.join(own_years)}?"
    first = previous.index(known[0])
    last = previous.rindex(known[-1]) + 4
    return previous[:first] + " and ".join(own_years) + previous[last:]


def _swap_topic(body: str, previous: str, own_years: Sequence[str]) -> str:
    """Ask about another topic under the previous question's years and names."""
    kept = [] if own_years else list(dict.fromkeys(years(previous)))
    names = [name for name in _NAME.findall(previous) if name.lower() not in body.lower()]
    words = [f"What about {body}" if not _INTERROGATIVE.match(body) else body]
    if names:
        words.append(f"of {' and '.join(names)}")
    if kept:
        words.append(f"in {' and '.join(kept)}")
    return " ".join(words) + "?"


def _with_context(question: str, previous: str, previous_answer: str) -> str:
    """Keep the question, and name in brackets what its pronouns can mean: the previous question and its answer's names."""
    spans = sentence_spans(previous_answer)
    first = previous_answer[spans[0][0] : spans[0][1]] if spans else ""
    names = [name for name in dict.fromkeys(_NAME.findall(first)) if name.lower() not in previous.lower()]
    context = previous.rstrip(" ?.!") + (f"; {', '.join(names[:3])}" if names else "")
    return f"{question} ({context})"
