"""Questions that want a sentence or a few ("What is a call option?", "Explain duration"): sentences of the document, whole.

A few words would not answer them, and a small model does not write what the passages say. The sentences are those that
fit the question best; for a definition, one that begins with what is defined.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rag_core.answers.evidence import Evidence, find_evidence
from rag_core.answers.nearness import WordNearness
from rag_core.answers.questions import Asked
from rag_core.language.orders import asks_about_orders, gives_orders
from rag_core.language.sentences import terms
from rag_core.language.tablecells import table_at
from rag_core.records import Hit

__all__ = ["choose_sentences", "wants_sentences"]

_MOST_HITS = 4
# Words of all sentences together.
_MOST_WORDS = 60
_MOST_SENTENCES = 3
# Least cosine with the question, and least share of its weighted terms, of the best sentence; the others may fall behind
# it by a little in both together.
_LEAST_COSINE, _LEAST_COVERAGE = 0.35, 0.5
_BEHIND = 0.35
# What a definition's own form counts beside cosine and coverage, each in [0, 1].
_DEFINES = 0.5
_GENERAL_MANNER = re.compile(
    r"^how (?:do|does|is|are|can)\b.*\b(?:works?|calculated|computed|measured|determined|defined|used)\b", re.IGNORECASE
)
_DEFINITION = re.compile(r"^what(?:'s| is| are) (?!the\b|its\b|their\b|this\b|that\b)", re.IGNORECASE)
_VERB = r"(?:is|are|means?|gives?|measures?|refers?|describes?|denotes?|shows?|says?|stands? for)"
# Words that say what is to be done, not about what.
_TASK = frozenset(
    terms(
        "explain describe summarise summarize summary discuss outline elaborate list detail work works matter matters "
        "important calculated computed measured determined defined used"
    )
)
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*$")


def wants_sentences(asked: Asked) -> bool:
    """Return whether `asked` is answered by whole sentences rather than by a few words."""
    text = asked.text.strip()
    definition = _DEFINITION.match(text) is not None and not asked.years
    definition = definition and (asked.kind == "definition" or len(asked.terms) == 1)
    return asked.open_ended or definition or _GENERAL_MANNER.match(text) is not None


def choose_sentences(asked: Asked, hits: Sequence[Hit], wording: WordNearness) -> tuple[Evidence, ...]:
    """Return the sentences that answer, in the order of their document; () where none fits. Raises ModelError."""
    asked = replace(asked, terms=tuple(term for term in asked.terms if term not in _TASK))
    found = [item for item in find_evidence(asked, hits[:_MOST_HITS], wording) if _told(asked, item)]
    ranked = sorted(found, key=lambda item: -_fit(asked, item))
    if not ranked or ranked[0].cosine < _LEAST_COSINE or ranked[0].near_coverage < _LEAST_COVERAGE:
        return ()
    best, room = ranked[0], _MOST_WORDS
    if not (asked.open_ended or asked.kind in ("definition", "manner") or _defines(asked, best)):
        # "What is revenue?" may as well ask for a figure.
        return ()
    kept: list[Evidence] = []
    for item in ranked[: _MOST_SENTENCES if asked.open_ended else 1]:
        words = len(item.text.split())
        near = item.hit.document.id == best.hit.document.id and _fit(asked, item) > _fit(asked, best) - _BEHIND
        if not kept or (near and words <= room):
            kept.append(item)
            room -= words
    return tuple(sorted(kept, key=lambda item: item.start))


def _told(asked: Asked, item: Evidence) -> bool:
    """Whether it is a sentence that says something: no heading, no row of a table, no order to a machine."""
    text = item.text
    if not _SENTENCE_END.search(text) or len(text.split()) < 5 or table_at(item.hit.document, item.start):
        return False
    return asks_about_orders(asked.text) or not gives_orders(text)


def _fit(asked: Asked, item: Evidence) -> float:
    return item.cosine + item.near_coverage + (_DEFINES if not asked.open_ended and _defines(asked, item) else 0.0)


def _defines(asked: Asked, item: Evidence) -> bool:
    """Whether the sentence begins with what is asked for, and a verb that defines follows soon."""
    verb = re.search(rf"\b{_VERB}\b", item.text, re.IGNORECASE)
    if verb is None:
        return False
    subject = [word.term for word in item.words if word.end <= item.start + verb.start()]
    content = [term for term in subject if term not in ("", "a", "an", "the")]
    return 0 < len(content) <= len(asked.terms) + 2 and content[0] in asked.terms
