"""What a pronoun means: the subject of a definition, or the one name that an answer gave."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag_core.language.sentences import content_terms, sentence_spans

__all__ = ["Replaced", "names_in", "replace_pronoun"]

_NAME = re.compile(
    r"\b[A-Z][\w&.’'-]*\w(?:\s+(?:of|and|the|&)(?=\s+[A-Z])|\s+[A-Z][\w&.’'-]*\w)*\s+[A-Z][\w&.’'-]*\w|\b[A-Z][a-z]+[A-Z]\w*\b|\b[A-Z]{1,5}-?\d{1,4}\b"
)
_SINGLE = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b")
_MOST_NAMES = 3
_MOST_WORDS = 4
_MOST_CHARACTERS = 40
_PERSON = re.compile(r"\b(?:he|she|him|his|her|hers)\b", re.IGNORECASE)
_THING = re.compile(r"\b(?:it|its|they|them|their)\b", re.IGNORECASE)
_POSSESSIVE = re.compile(r"^(?:his|hers|its|their)$", re.IGNORECASE)
_DEFINED = re.compile(
    r"^(?:what(?:'s| is| are)|define|explain|what does)\s+(?P<subject>(?:(?:the|an?)\s+)?[\w'’&-]+(?:\s+[\w'’&-]+){0,3}?)"
    r"(?:\s+(?:mean|measure|say|stand for))?$",
    re.IGNORECASE,
)
_ASKS_ENTITY = re.compile(
    r"^(?:(?:in|at|by|for|of|from) )?(?:who|which|where|what(?! (?:was|were|is|are) the (?:\w+ )?(?:amount|number|rate)))\b",
    re.IGNORECASE,
)
_SHORT_NOUN = re.compile(r"^(?:the|an?)\s+[a-z][\w-]*(?:\s+[a-z][\w-]*){0,2}\.?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A question with its pronoun replaced; `from_question` where the user's own words gave what it means."""

    text: str
    from_question: bool


def names_in(answer: str) -> list[str]:
    """Return at most three names of the first sentence of `answer`, each of at most four words and 40 characters."""
    spans = sentence_spans(answer[:1_000])
    first = answer[spans[0][0] : spans[0][1]] if spans else ""
    found = [match.group().rstrip(".") for match in _NAME.finditer(first)]
    found += [match.group() for match in _SINGLE.finditer(first) if not any(match.group() in name for name in found)]
    short = [name for name in found if len(name) <= _MOST_CHARACTERS and len(name.split()) <= _MOST_WORDS]
    return [name for name in dict.fromkeys(short) if not (name.isupper() and " " in name)][:_MOST_NAMES]


def replace_pronoun(question: str, previous: str, answer: str) -> Replaced | None:
    """Return `question` with its personal pronouns replaced, or None where it is not plain what they mean."""
    if _PERSON.search(question):
        names = [name for name in names_in(answer) if " " in name] or [
            match.group() for match in _NAME.finditer(previous) if " " in match.group()
        ]
        if len(names) != 1:
            return None
        return Replaced(_put(question, _PERSON, names[0]), names[0] in previous)
    if not _THING.search(question):
        return None
    subject = _DEFINED.match(previous.rstrip(" ?.!"))
    if subject:
        return Replaced(_put(question, _THING, subject["subject"]), from_question=True)
    # Who somebody is says nothing of what "it" means.
    if not _ASKS_ENTITY.match(previous) or previous.lower().startswith("who"):
        return None
    names = names_in(answer)
    if len(names) == 1:
        return Replaced(_put(question, _THING, names[0]), from_question=False)
    if not names and _SHORT_NOUN.match(answer.strip()):
        noun = answer.strip().rstrip(".")
        return Replaced(_put(question, _THING, noun[0].lower() + noun[1:]), from_question=False)
    return None


def _put(question: str, pronoun: re.Pattern[str], name: str) -> str:
    def meant(match: re.Match[str]) -> str:
        # "How many sites send their readings": the sites' own.
        if match.group().lower() in ("its", "their") and content_terms(question[: match.start()]):
            return match.group()
        following = question[match.end() :].lstrip()
        owns = _POSSESSIVE.match(match.group()) or (
            match.group().lower() == "her" and bool(re.match(r"[a-z]+", following))
        )
        return f"{name}'s" if owns else name

    return pronoun.sub(meant, question)
