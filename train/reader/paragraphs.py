"""The paragraphs of `paragraphs/*.txt`, written for this project, with their questions and answers.

A file holds blocks parted by empty lines: the paragraph on one line or, where it holds a table, on several, then lines
`Q question | answer`, the answer a part of the paragraph, or `-` where the paragraph does not hold it. Where the answer is to
be computed a formula stands there, `= [12.4] - [9.1]`, which `train.reader.formulas` reads. A question does not hold ` | `.
Names in them are invented, or common knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from train.errors import DataError

__all__ = ["FOLDER", "FORMULA", "Block", "Paragraph", "Question", "load_paragraphs", "read_blocks", "said"]

FOLDER = Path(__file__).parent / "paragraphs"
# What an answer that is to be computed starts with.
FORMULA = "= "
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


@dataclass(frozen=True, slots=True)
class Block:
    """A text as its file has it, with its questions and what stands behind each; `where` names file and block."""

    topic: str
    where: str
    text: str
    asked: tuple[tuple[str, str], ...]


def load_paragraphs(folder: Path = FOLDER) -> list[Paragraph]:
    """Return all paragraphs in the order of files and lines, without the questions that are to be computed.

    Raises DataError, which names file and paragraph.
    """
    found = [
        Paragraph(
            block.topic,
            block.text,
            tuple(
                Question(question, said(answer, block))
                for question, answer in block.asked
                if not answer.startswith(FORMULA)
            ),
        )
        for block in read_blocks(folder, "paragraph")
    ]
    if not found:
        raise DataError(f"{folder} holds no paragraphs; name a folder with .txt files")
    return found


def read_blocks(folder: Path, called: str) -> Iterator[Block]:
    """Yield the blocks of the `.txt` files in `folder`, none where there are no files.

    Raises DataError where one is not of the form; `called` is what a block is named there.
    """
    for path in sorted(folder.glob("*.txt")):
        blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
        for number, block in enumerate(blocks, start=1):
            yield _block(path.stem, f"{path.name}, {called} {number}", block)


def said(answer: str, block: Block) -> str:
    """Return the answer, empty where the text gives none. Raises DataError where it does not stand in the text."""
    if answer == _NONE:
        return ""
    if answer not in block.text:
        raise DataError(f"{block.where}: the answer {answer!r} does not stand in the text")
    return answer


def _block(topic: str, where: str, block: str) -> Block:
    lines = block.splitlines()
    first = next((at for at, line in enumerate(lines) if line.startswith("Q ")), len(lines))
    asked = []
    for line in lines[first:]:
        question, bar, answer = line.removeprefix("Q ").rpartition(" | ")
        if not line.startswith("Q ") or not bar or not question:
            raise DataError(f"{where}: {line!r} is not `Q question | answer`")
        asked.append((question, answer))
    if not asked:
        raise DataError(f"{where} has no questions")
    return Block(topic, where, "\n".join(lines[:first]), tuple(asked))
