"""Paragraphs to training examples: with other passages around them, and with near misses that cannot be answered."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from train.reader.paragraphs import Paragraph
from train.reader.reports import report_paragraph

__all__ = ["HELD_OUT_EVERY", "ReadingExample", "compose", "held_out", "occurrences", "report_examples"]

_NAME = re.compile(r"(?<=[a-z,'’] )[A-ZÀ-Þ][\w'’-]+(?: (?:of |de |and )?[A-ZÀ-Þ][\w'’-]+)*")
_YEAR = re.compile(r"\b(?:1[0-9]|20)\d\d\b")
# One text in so many is kept from training.
HELD_OUT_EVERY = 8


@dataclass(frozen=True, slots=True)
class ReadingExample:
    """A question with the passages that are shown; `answer` stands in one of them, or is empty.

    Where the answer is to be computed, `shape` is the number of the formula's in SHAPES, and `figures` are the roles of its
    operands with the places of their first digits in the passages, joined by an empty line; `shape` is None elsewhere.
    """

    question: str
    passages: tuple[str, ...]
    answer: str
    shape: int | None = None
    figures: tuple[tuple[int, int], ...] = ()


def occurrences(text: str, answer: str) -> list[int]:
    """Return where `answer` starts in `text` as whole words or figures, in order."""
    before, after = (r"(?<!\w)" if answer[:1].isalnum() else ""), (r"(?!\w)" if answer[-1:].isalnum() else "")
    # "5" is no answer inside "1,500.5".
    before += r"(?<!\d[.,])" if answer[:1].isdigit() else ""
    after += r"(?![.,]\d)" if answer[-1:].isdigit() else ""
    return [match.start() for match in re.finditer(before + re.escape(answer) + after, text)]


def held_out(paragraphs: Sequence[Paragraph]) -> tuple[list[Paragraph], list[Paragraph]]:
    """Return (trained on, held out): of each file every eighth paragraph is held out."""
    places: dict[str, int] = {}
    trained: list[Paragraph] = []
    held: list[Paragraph] = []
    for paragraph in paragraphs:
        place = places.get(paragraph.topic, 0)
        places[paragraph.topic] = place + 1
        (held if place % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else trained).append(paragraph)
    return trained, held


def compose(paragraphs: Sequence[Paragraph], chance: random.Random, alone: float = 0.4) -> list[ReadingExample]:
    """Return one example a question, and near misses made from some: another passage, another name, another year.

    With probability `alone` a paragraph stands by itself, otherwise among one or two others.
    """
    examples = []
    for paragraph in paragraphs:
        for question in paragraph.questions:
            shown = _among(paragraph, paragraphs, chance, alone)
            examples.append(ReadingExample(question.text, shown, question.answer))
            if question.answer and chance.random() < 0.25:
                examples.append(ReadingExample(question.text, _without(paragraph, paragraphs, chance), ""))
            if question.answer and chance.random() < 0.45:
                changed = _near_miss(question.text, paragraph, paragraphs, chance)
                if changed:
                    examples.append(ReadingExample(changed, _among(paragraph, paragraphs, chance, 0.7), ""))
    chance.shuffle(examples)
    return examples


def report_examples(count: int, chance: random.Random) -> list[ReadingExample]:
    """Return `count` examples over tables and sentences of invented reports, the answer where it stands only once."""
    examples: list[ReadingExample] = []
    while len(examples) < count:
        shown = [report_paragraph(chance) for _ in range(chance.choice((1, 1, 2)))]
        text = "\n".join(paragraph.text for paragraph in shown)
        if len(shown) > 1 and chance.random() < 0.5:
            text = "\n\n".join(paragraph.text for paragraph in shown)
        for question in shown[0].questions:
            if not question.answer or len(occurrences(text, question.answer)) == 1:
                examples.append(ReadingExample(question.text, (text,), question.answer))
    return examples[:count]


def _among(
    paragraph: Paragraph, paragraphs: Sequence[Paragraph], chance: random.Random, alone: float
) -> tuple[str, ...]:
    if chance.random() < alone:
        return (paragraph.text,)
    others = [other.text for other in chance.sample(list(paragraphs), chance.choice((1, 1, 2))) if other != paragraph]
    shown = [paragraph.text, *others]
    chance.shuffle(shown)
    return tuple(shown)


def _without(paragraph: Paragraph, paragraphs: Sequence[Paragraph], chance: random.Random) -> tuple[str, ...]:
    near = [other for other in paragraphs if other.topic == paragraph.topic and other != paragraph]
    pool = near if near and chance.random() < 0.7 else [other for other in paragraphs if other != paragraph]
    return tuple(other.text for other in chance.sample(pool, min(len(pool), chance.choice((1, 1, 2)))))


def _near_miss(text: str, paragraph: Paragraph, paragraphs: Sequence[Paragraph], chance: random.Random) -> str:
    """Return the question about another year or another name, or nothing where it has neither."""
    years = [match for match in _YEAR.finditer(text) if match.group() in paragraph.text]
    if years:
        match = chance.choice(years)
        year = int(match.group())
        near = [y for y in range(year - 12, year + 13) if str(y) not in paragraph.text]
        return text[: match.start()] + str(chance.choice(near)) + text[match.end() :]
    names = [match for match in _NAME.finditer(text) if match.group() in paragraph.text]
    if not names:
        return ""
    match = chance.choice(names)
    for _ in range(20):
        other = chance.choice(chance.choice(paragraphs).questions)
        found = _NAME.findall(other.text)
        if found and found[0] not in paragraph.text:
            return text[: match.start()] + str(found[0]) + text[match.end() :]
    return ""
