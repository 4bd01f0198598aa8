"""What of a question is asked, and what only says how to answer it."""

from __future__ import annotations

import re

from rag_core.language.offices import OFFICES
from rag_core.words.vocabulary import concepts
from rag_core.words.wording import asks_only, stems

__all__ = ["asked_part"]

# Offices by their letters, in questions for people: elsewhere CFO is a cash flow.
_PERSON = re.compile(r"\b(?:who|whom|whose|name of)\b", re.IGNORECASE)
_LETTERS = re.compile(rf"\b(?:{'|'.join(OFFICES)})\b")

_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")
# What a sentence begins with that says how to answer rather than what is asked.
_INSTRUCTS = re.compile(
    r"(?:please|and|also|then|just|only)?[,\s]*(?:answer|give|provide|show|state|round|express|report|explain|use|assume|"
    r"rely|respond|return|if|you|your|take|figures?|note|keep|be|treat|ignore|base|cite|include|write|one|do|don't|present|"
    r"quote|say|think|imagine|suppose|pretend|act|remember|consider|limit|format|list|put|avoid)\b",
    re.IGNORECASE,
)


def asked_part(question: str) -> str:
    """Return `question` without the sentences that only say how to answer; as it is where nothing else would be left.

    Such a sentence begins as one (`Answer`, `If`, `You`) and holds neither a figure, nor a name, nor a finance term.
    Offices are named in full beside their letters.
    """
    if _PERSON.search(question):
        question = _LETTERS.sub(lambda match: f"{match.group()}, {OFFICES[match.group()]},", question)
    sentences = _SENTENCE.split(question.strip())
    if len(sentences) < 2:
        return question
    kept = [sentence for sentence in sentences if not _only_instructs(sentence)]
    return " ".join(kept) if kept else question


def _only_instructs(sentence: str) -> bool:
    if not _INSTRUCTS.match(sentence) or "?" in sentence or any(sign.isdigit() for sign in sentence):
        return False
    named = [word for word in sentence.split()[1:] if word[:1].isupper()]
    return not concepts(stems(sentence)) and all(asks_only(word) for word in stems(" ".join(named)))
