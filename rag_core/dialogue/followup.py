"""Follow-up questions: make a question that leans on the conversation stand alone, so that it can be searched.

Rules rather than a model: the embedded model of 135M parameters cannot rewrite reliably, a large one would cost a
second generation for each turn, and a rule can be shown to the user. A fragment takes the place of the words of the
earlier question that it is parallel to ("and in Asia?"); a period is counted on from the earlier one ("the year
before?"); a pronoun is replaced where what it means is plain. Where nothing of that is certain, the earlier question
stands behind the new one in brackets. What comes out is always visible as `Answer.query`.

Earlier answers hold text of documents, which may be hostile: of them only names are taken, few and short, and never
without the user's own words beside them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag_core.dialogue.antecedents import names_in, replace_pronoun
from rag_core.dialogue.parallels import PREPOSITIONS, Similarity, replace_modifier, replace_parallel
from rag_core.dialogue.signals import (
    changes_topic,
    compares,
    correction,
    is_whole_question,
    leans_on_given,
    points_back,
    says_little,
    without_courtesy,
    without_opener,
)
from rag_core.dialogue.steps import Mention, Step, find_mentions, find_step, is_vague, shift
from rag_core.language.sentences import content_terms
from rag_core.records import Message

__all__ = ["Similarity", "resolve_question"]

# A fragment of more content words than this says enough by itself.
_FRAGMENT_TERMS = 6
# Cosine with the earlier question under which an unannounced fragment is a topic of its own.
_RELATED = 0.2
_MOST_CONTEXT_CHARACTERS = 240
_LEADING = re.compile(
    r"^(?:(?:what|which|who)\s+(?:is|are|was|were)|what's|tell me about|explain|describe|define|show me|give me)\s+",
    re.IGNORECASE,
)
_MODIFIED = re.compile(
    r"^(?:the|an?)\s+(?P<modifier>[a-z][\w-]+)\s+(?:one|ones|figure|number|amount|version|value|kind|type)$",
    re.IGNORECASE,
)
_ORDINAL = frozenset("other first second third last latter former next previous same former total whole".split())
_SAME_PERIOD = re.compile(
    r"[\s,]+(?:(?:for|in|at|on)\s+)?(?:the\s+)?same\s+(?:date|day|year|period|quarter|month|time)\s*$", re.IGNORECASE
)
_THAT_PERIOD = re.compile(
    r"\b(?:(?:in|of|for|during|at)\s+)?(?:that|this|the same)\s+(?:(?:fiscal|financial)\s+)?(?:year|quarter|month|period)\b",
    re.IGNORECASE,
)
_WITH_PREPOSITION = (
    r"(?:\b(?:(?:at|by|until|from)\s+the\s+(?:end|start|beginning|close)\s+of|in|of|for|on|at|by|during|from)\s+"
    r"(?:the\s+)?)?"
)
_WH = re.compile(r"\b(?:what|which|who|whom|whose|when|where|why|how)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question made whole: its own words, and what stands in brackets behind them."""

    core: str
    context: str = ""

    @property
    def text(self) -> str:
        return f"{self.core} ({self.context})" if self.context else self.core


def resolve_question(question: str, history: Sequence[Message], similarity: Similarity | None = None) -> str:
    """Return `question` as one that stands alone, with what it leaves unsaid taken from `history`.

    A question that already stands alone comes back as it is (white space folded, thanks at its start dropped). Earlier
    user turns are resolved first, so a chain of fragments ("and in 2021?", "and the year before?") keeps its subject.
    `similarity` gives the cosine, in [-1, 1], of a phrase with others; without it a fragment is put in another's place
    only where their form shows that they are parallel.
    """
    asked: _Asked | None = None
    answer = ""
    for message in history:
        if message.role == "user":
            asked = _resolve(_clean(message.content), asked, answer, similarity)
        elif message.role == "assistant":
            answer = message.content
    return _resolve(_clean(question), asked, answer, similarity).text


def _clean(text: str) -> str:
    return " ".join(text.split())


def _resolve(question: str, asked: _Asked | None, answer: str, similarity: Similarity | None) -> _Asked:
    if asked is None:
        return _Asked(question)
    text = without_courtesy(question)
    if (other := changes_topic(text)) is not None:
        return _Asked(other)
    corrected = correction(text)
    spoken = corrected[0] if corrected else text
    body, opened = without_opener(spoken)
    if corrected and (swapped := _withdrawn(asked, *corrected)):
        return swapped
    body, stepped = _with_periods(body, asked, answer)
    rest = _without_periods(body)
    only_period = not content_terms(rest) and (stepped or is_vague(body) or bool(find_mentions(body)))
    asks_why = _WH.match(rest) is not None and not points_back(rest)
    if only_period and not asks_why and not compares(rest):
        return replace(asked, core=_with_period(asked.core, body))
    if is_whole_question(body):
        # What opened it is dropped where words were changed or where it would stand before a question of its own.
        return _whole(_sentence(body, text) if stepped or corrected or opened else text, body, asked, answer)
    return _fragment(_sentence(body, text), body, opened or corrected is not None, asked, answer, similarity)


def _sentence(body: str, original: str) -> str:
    """Return `body` with a capital at its start and the sign at its end that the original had."""
    end = original.rstrip()[-1:]
    return body[:1].upper() + body[1:] + (end if end in ("?", ".", "!") else "")


def _whole(text: str, body: str, asked: _Asked, answer: str) -> _Asked:
    """Resolve what has the form of a whole question."""
    pointer = points_back(body)
    if pointer is None:
        leans = says_little(body) or leans_on_given(body, f"{asked.core} {answer[:300]}")
        return _with_context(text, asked, answer) if leans else _Asked(text)
    dated = _THAT_PERIOD.search(text)
    known = find_mentions(asked.core)
    if dated and known:
        text = f"{text[: dated.start()]}in {known[-1].text}{text[dated.end() :]}"
        return _with_context(text, asked, answer)
    replaced = replace_pronoun(text, asked.core, answer)
    if replaced is None:
        return _with_context(text, asked, answer)
    # A name that only an answer gave stands beside the user's own words, never in their place.
    return _Asked(replaced.text, "" if replaced.from_question else _topic(asked))


def _fragment(text: str, body: str, opened: bool, asked: _Asked, answer: str, similarity: Similarity | None) -> _Asked:
    """Resolve what is no whole question: put it in place of what it is parallel to, or name the context."""
    modified = _MODIFIED.match(body)
    if modified and modified["modifier"].lower() not in _ORDINAL:
        core = replace_modifier(asked.core, modified["modifier"])
        if core is not None:
            return replace(asked, core=core)
    if points_back(body) or compares(body) or _WH.search(body) or says_little(_without_periods(body)):
        return _with_context(text, asked, answer)
    if all(word in _ORDINAL for word in re.findall(r"\w+", body.lower()) if word not in ("the", "and", "a")):
        return _with_context(text, asked, answer)
    phrase = _SAME_PERIOD.sub("", body)
    topic = _without_periods(phrase)
    if len(content_terms(topic)) > _FRAGMENT_TERMS:
        return _Asked(text)
    core = None
    first = topic.split()[0].lower()
    if first != "per":
        core = replace_parallel(asked.core, topic, similarity, capital_counts=opened)
    if core is None:
        if first in (*PREPOSITIONS, "per"):
            core = f"{asked.core.rstrip(' ?.!')} {first}{topic[len(first) :]}?"
        elif not opened and similarity and similarity(topic, [asked.core])[0] < _RELATED:
            return _Asked(text)
        else:
            return _with_context(_sentence(topic, text), asked, answer, periods_of=body)
    return replace(asked, core=_with_period(core, phrase) if find_mentions(phrase) else core)


def _withdrawn(asked: _Asked, new: str, old: str) -> _Asked | None:
    """Put `new` in place of `old` in the earlier question where it stands there."""
    old = re.sub(r"^(?:the|an?|in|of|for)\s+", "", old, flags=re.IGNORECASE)
    new = re.sub(r"^(?:the|an?|in|of|for)\s+", "", new, flags=re.IGNORECASE)
    if not old or not re.search(rf"\b{re.escape(old)}\b", asked.core, re.IGNORECASE):
        return None
    return replace(
        asked, core=re.sub(rf"\b{re.escape(old)}\b", lambda _: new, asked.core, count=1, flags=re.IGNORECASE)
    )


# Periods -------------------------------------------------------------------------------------------------------------


def _with_periods(body: str, asked: _Asked, answer: str) -> tuple[str, bool]:
    """Turn "the year before" into the period it means, counted from those of the earlier question (else its answer)."""
    step = find_step(body)
    if step is None or find_mentions(body):
        return body, False
    known = find_mentions(asked.core) or find_mentions(asked.context) or find_mentions(answer[:300])[:1]
    meant = _stepped(step, known)
    if not meant:
        return body, False
    return f"{body[: step.start]}{meant}{body[step.end :]}", True


def _stepped(step: Step, known: Sequence[Mention]) -> str:
    if not known:
        return ""
    base = known[0] if step.count < 0 else known[-1]
    if not step.run:
        return shift(base, step.count, step.unit) or ""
    sign = 1 if step.count > 0 else -1
    found = [shift(base, sign * count, step.unit) for count in range(1, abs(step.count) + 1)]
    return " and ".join(one for one in found if one)


def _without_periods(body: str) -> str:
    """Return `body` without the periods it names and the prepositions before them."""
    if is_vague(body):
        return ""
    for period in reversed(find_mentions(body)):
        head = re.sub(rf"(?:{_WITH_PREPOSITION})$", "", body[: period.start], flags=re.IGNORECASE)
        body = f"{head.rstrip(' ,')} {body[period.end :].lstrip(' ,')}"
    return re.sub(r"\s+(?:and|to|-|–)\s*$", "", body).strip(" ,?.!")


def _with_period(core: str, body: str) -> str:
    """Return the earlier question asked for the period of `body`; one that named none gets it at its end."""
    new = find_mentions(body)
    old = find_mentions(core)
    if new:
        text = body[new[0].start : new[-1].end]
        lead = re.search(rf"{_WITH_PREPOSITION}$", body[: new[0].start], re.IGNORECASE)
        lead_text = lead.group().lower() if lead else ""
    else:
        lead_text, text = "", _dated(body.strip(" ?.!"), old)
    if not old:
        return f"{core.rstrip(' ?.!')} {lead_text or ('' if text.split()[0].lower() in PREPOSITIONS else 'in ')}{text}?"
    if len(new) == 1 and not new[0].period.year and old[-1].period.year:
        text += f" of {old[-1].period.year}" if "quarter" in text.lower() else f" {old[-1].period.year}"
    head, tail = core[: old[0].start], core[old[-1].end :]
    if len(new) == 1 and len(old) > 1:
        head = re.sub(r"\b(?:between|from)\s+$", "in ", head, flags=re.IGNORECASE)
    if new and new[0].period.unit == "year" and len(lead_text.split()) < 2 and len(new) == len(old) == 1:
        # A year alone keeps the quarter, month or day that was asked about.
        earlier = old[0].period
        kept = shift(old[0], new[0].period.year - earlier.year, "year") if earlier.unit != "year" else None
        return f"{head}{kept or text}{tail}"
    if len(lead_text.split()) >= 2 or text.split()[0].lower() in (*PREPOSITIONS, "the"):
        head = re.sub(rf"{_WITH_PREPOSITION}$", "", head, flags=re.IGNORECASE)
        lead_text = lead_text or ("" if text.split()[0].lower() in PREPOSITIONS else "in ")
        return f"{head}{lead_text}{text}{tail}"
    return f"{head}{text}{tail}"


def _dated(vague: str, old: Sequence[Mention]) -> str:
    """Return "at the end of the year" with the year that was spoken of, where one was."""
    year = old[0].period.year if old else 0
    if not year:
        return vague
    return re.sub(r"(?<= of )(?:the )?(?:(?:fiscal|financial) )?year$", str(year), vague, count=1, flags=re.IGNORECASE)


# Context -------------------------------------------------------------------------------------------------------------


def _with_context(text: str, asked: _Asked, answer: str, periods_of: str = "") -> _Asked:
    """Keep the words, and name in brackets what they may lean on: the earlier question and its answer's names."""
    names = [name for name in names_in(answer) if name.lower() not in f"{asked.core} {text}".lower()]
    own = find_mentions(periods_of)
    context = _topic(replace(asked, core=_with_period(asked.core, periods_of)) if own else asked)
    return _Asked(text, "; ".join([context, *names])[:_MOST_CONTEXT_CHARACTERS])


def _topic(asked: _Asked) -> str:
    """Return the earlier question as a topic: without "What is", with its own context behind it."""
    topic = "" if says_little(asked.core) else _LEADING.sub("", asked.core.rstrip(" ?.!"))
    return "; ".join(part for part in (topic, asked.context) if part)[:_MOST_CONTEXT_CHARACTERS]
