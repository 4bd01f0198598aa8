"""Questions made from the paragraphs by rule: a sentence with a gap, half of its words, and a word that asks.

They are crude and answerable (after Lewis et al. 2019, arXiv:1906.04980), and serve as practice beside the written ones.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from train.reader.examples import ReadingExample, occurrences
from train.reader.paragraphs import Paragraph

__all__ = ["cloze_examples"]

_NAME = re.compile(r"\b(?:(?:Dr\.|Mr\.|Ms\.|Sir) )?[A-ZÀ-Þ][\w'’-]+(?: (?:(?:of|de|the|and) )?[A-ZÀ-Þ][\w'’-]+)*")
_FIGURE = re.compile(
    r"(?:[$€£¥]\s?)?\d[\d,.]*\d(?: ?(?:percent|%|million|billion|thousand))?"
    r"(?: (?:euros|dollars|pounds|years|days|metres|kilometres|people))?|\b\d\b"
)
_REASON = re.compile(
    r"(?<=because )[^,.;]{12,90}|(?<=by )[a-z]+ing [^,.;]{8,60}|(?<=in order )to [^,.;]{8,60}|(?<=so that )[^,.;]{8,80}"
)
_YEAR = re.compile(r"1\d\d\d|20\d\d")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_SHORTEST_SENTENCE = 40
_KEPT = 0.6
_MOST_WORDS = 14


def cloze_examples(paragraphs: Sequence[Paragraph], chance: random.Random) -> list[ReadingExample]:
    """Return at most one question for each sentence, its answer where it stands only once in the paragraph."""
    found = []
    for paragraph in paragraphs:
        for sentence in _SENTENCE_END.split(paragraph.text):
            if " | " in sentence:
                continue  # rows of a table
            example = _gap(sentence, paragraph, chance)
            if example is not None and len(occurrences(paragraph.text, example.answer)) == 1:
                found.append(example)
    return found


def _gap(sentence: str, paragraph: Paragraph, chance: random.Random) -> ReadingExample | None:
    gaps = [(match, "name") for match in _NAME.finditer(sentence) if match.start() > 0]
    gaps += [(match, "figure") for match in _FIGURE.finditer(sentence)]
    gaps += [(match, "reason") for match in _REASON.finditer(sentence)]
    if not gaps or len(sentence) < _SHORTEST_SENTENCE:
        return None
    match, kind = chance.choice(gaps)
    answer = match.group().rstrip(".,")
    asking = {"name": chance.choice(("Who", "What", "Which")), "figure": "How many", "reason": "Why"}[kind]
    if _YEAR.fullmatch(answer):
        asking = chance.choice(("When", "In which year"))
    rest = f"{sentence[: match.start()]} {sentence[match.end() :]}".rstrip(".").split()
    kept = [word for word in rest if chance.random() < _KEPT]
    start = chance.randrange(max(1, len(kept) - _MOST_WORDS + 1))
    return ReadingExample(f"{asking} {' '.join(kept[start : start + _MOST_WORDS])}?", (paragraph.text,), answer)
