"""The paragraphs of `paragraphs/*.txt`, written for this project, with their questions and answers.

A file holds blocks parted by empty lines: the paragraph on one line or, where it holds a table, on several, then lines
`Q question | answer`, the answer a part of the paragraph, or `-` where the paragraph does not hold it. A question does not
hold ` | `. Names in them are invented, or common knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from train.errors import DataError

__all__ = ["FOLDER", "Paragraph", "Question", "load_paragraphs"]

FOLDER = Path(__file__).parent / "paragraphs"
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a paragraph; `answer` is a part of its text, or empty where the text does not answer."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph, the name of the file it stands in, and its questions."""

    topic: str
    text: str
    questions: tuple[Question, ...]


def load_paragraphs(folder: Path = FOLDER) -> list[Paragraph]:
    """Return all paragraphs in the order of files and lines. Raises DataError, which names file and paragraph."""
    found = []
    for path in sorted(folder.glob("*.txt")):
        blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
        found += [_paragraph(path, number, block) for number, block in enumerate(blocks, start=1)]
    if not found:
        raise DataError(f"{folder} holds no paragraphs; name a folder with .txt files")
    return found


def _paragraph(path: Path, number: int, block: str) -> Paragraph:
    lines = block.splitlines()
    asked = next((at for at, line in enumerate(lines) if line.startswith("Q ")), len(lines))
    text, lines = "\n".join(lines[:asked]), lines[asked:]
    questions = []
    for line in lines:
        question, bar, answer = line.removeprefix("Q ").rpartition(" | ")
        if not line.startswith("Q ") or not bar or not question:
            raise DataError(f"{path.name}, paragraph {number}: {line!r} is not `Q question | answer`")
        if answer != _NONE and answer not in text:
            raise DataError(f"{path.name}, paragraph {number}: the answer {answer!r} does not stand in the text")
        questions.append(Question(question, "" if answer == _NONE else answer))
    if not questions:
        raise DataError(f"{path.name}, paragraph {number} has no questions")
    return Paragraph(path.stem, text, tuple(questions))
