"""The sample files that come with the app, and a few questions to them; both may be absent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ui.markup import attributes, escape, plain_name

__all__ = ["Sample", "SampleQuestion", "Samples"]

_SUFFIXES = {".pdf", ".docx", ".xlsx", ".csv", ".html", ".md", ".txt"}
_NO_SAMPLES = {"readme.md"}
# Offered before others where the list has them: a table of figures, a definition, an abbreviation, a sentence of a long report.
_OFFERED_FIRST = (
    "What was the gross profit in 2023?",
    "What is a haircut?",
    "What does EBITDA stand for?",
    "What dividend per share does the Management Board propose for 2023?",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample file."""

    path: Path

    @property
    def name(self) -> str:
        """Its file name."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class SampleQuestion:
    """A question to one sample file."""

    file: str
    question: str


class Samples:
    """The files of one folder, with the questions of its `questions.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = sorted(folder.glob("*")) if folder.is_dir() else []
        self.files = tuple(
            Sample(path)
            for path in found
            if path.is_file() and path.suffix.lower() in _SUFFIXES and path.name.lower() not in _NO_SAMPLES
        )
        self._by_name = {sample.name: sample for sample in self.files}
        self.questions = _questions(folder / "questions.json", set(self._by_name))

    def get(self, name: str) -> Sample | None:
        """Return the sample of exactly that file name, None for any other string."""
        return self._by_name.get(name)

    def starters(self, count: int = 4) -> tuple[SampleQuestion, ...]:
        """Return at most `count` questions to start with: those offered first, then the first question of each file."""
        by_words = {item.question: item for item in self.questions}
        chosen = {words: by_words[words] for words in _OFFERED_FIRST if words in by_words}
        seen = {item.file for item in chosen.values()}
        for item in self.questions:
            if item.file not in seen:
                seen.add(item.file)
                chosen.setdefault(item.question, item)
        return tuple(chosen.values())[:count]

    def files_html(self) -> str:
        """Return buttons that add a sample, or nothing where there are none."""
        buttons = "".join(
            f'<button type="button" class="rag-sample"{attributes(rag="sample", file=sample.name)}>'
            f"{escape(plain_name(sample.name, 40))}</button>"
            for sample in self.files
        )
        if not buttons:
            return ""
        return (
            f'<details class="rag-samples"><summary>Sample documents <i>{len(self.files)}</i></summary>'
            f"<div>{buttons}</div></details>"
        )

    def starters_html(self) -> str:
        """Return buttons that add a sample and ask it, or nothing where there are none."""
        buttons = "".join(
            f'<button type="button" class="rag-starter"'
            f"{attributes(rag='ask', file=item.file, question=item.question)}>"
            f"<span>{escape(item.question)}</span><i>{escape(plain_name(item.file, 40))}</i></button>"
            for item in self.starters()
        )
        return f'<div class="rag-starters" role="group" aria-label="Try a sample">{buttons}</div>' if buttons else ""


def _questions(path: Path, files: set[str]) -> tuple[SampleQuestion, ...]:
    """Read the questions that have an answer and a file; a missing or malformed list is an empty one."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    result = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("answer") and entry.get("file") in files:
            question = entry.get("question")
            if isinstance(question, str) and question.strip():
                result.append(SampleQuestion(str(entry["file"]), question.strip()))
    return tuple(result)
