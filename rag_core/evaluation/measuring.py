"""Questions put to a pipeline, each to its own document: what `python -m rag_core eval` does between file and table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_core.errors import EvaluationError, QuestionError
from rag_core.evaluation.marking import Given, Marks, given_by, mark
from rag_core.evaluation.questions import EvalQuestion
from rag_core.evaluation.summing import Summary, summarise
from rag_core.records import Document

if TYPE_CHECKING:
    from rag_core.pipeline import RagPipeline

__all__ = ["Measured", "by_kind", "document_paths", "measure", "report_dict"]


@dataclass(frozen=True, slots=True)
class Measured:
    """One question with what was given and its marks."""

    question: EvalQuestion
    given: Given
    marks: Marks

    @property
    def wrong(self) -> bool:
        """Whether an answer lacks what was expected, was withheld or given against the documents, or was rejected."""
        if not self.question.answerable:
            return not self.marks.abstained
        return bool(self.marks.repeated) or (bool(self.question.answers) and not self.marks.contained)


def document_paths(questions: Sequence[EvalQuestion], folder: Path) -> list[Path]:
    """Return the files that the questions name by a path that leads somewhere, from `folder` or from here."""
    named = dict.fromkeys(question.document for question in questions if question.document and not question.text)
    found = (next((path for path in (folder / name, Path(name)) if path.is_file()), None) for name in named)
    return [path for path in found if path is not None]


def measure(
    rag: RagPipeline,
    questions: Sequence[EvalQuestion],
    documents: Sequence[Document],
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Measured]:
    """Put each question to the document that it names, to its own text, or else to all `documents`; yield the results.

    Without `documents`, questions that name none are put to all that is indexed. What a question names must be among
    `documents` or indexed, which is checked at the call. `on_progress` hears of questions done and of all. Raises
    EvaluationError where a document is not there or a question cannot be asked, and what asking raises.
    """
    known = [*documents, *rag.documents()]
    chosen = [None if question.text else _ids(question, known, documents) for question in questions]

    def results() -> Iterator[Measured]:
        for done, (question, ids) in enumerate(zip(questions, chosen, strict=True), start=1):
            given = _given(rag, question, ids)
            yield Measured(question, given, mark(question, given))
            if on_progress:
                on_progress(done, len(questions))

    return results()


def _given(rag: RagPipeline, question: EvalQuestion, ids: list[str] | None) -> Given:
    try:
        if not question.text:
            return given_by(rag.ask(question.question, document_ids=ids))
        with _own(rag, question.text) as alone:
            return given_by(alone.ask(question.question))
    except QuestionError as error:
        raise EvaluationError(f"Question {question.id} cannot be asked: {error}") from error


def _ids(question: EvalQuestion, known: Sequence[Document], documents: Sequence[Document]) -> list[str] | None:
    if not question.document:
        return [document.id for document in documents] or None
    wanted = Path(question.document).name
    found = list(dict.fromkeys(document.id for document in known if wanted == document.name))
    if not found:
        raise EvaluationError(
            f"Question {question.id} names the document {question.document}, which is not here; "
            "give its path after the file of questions"
        )
    return found


@contextmanager
def _own(rag: RagPipeline, text: str) -> Iterator[RagPipeline]:
    """Hold a text as the only document of a pipeline with the same models."""
    with rag.session() as alone, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(text, encoding="utf-8")
        alone.add_document(path)
        yield alone


def by_kind(rows: Sequence[Measured]) -> dict[str, Summary]:
    """Return the means of each kind of question, where there are several kinds."""
    kinds: dict[str, list[Measured]] = {}
    for row in rows:
        kinds.setdefault(row.question.kind or ("answerable" if row.question.answerable else "no answer"), []).append(
            row
        )
    return {kind: summarise([(row.marks, row.given) for row in some]) for kind, some in kinds.items()}


def report_dict(rows: Sequence[Measured], model: str) -> dict[str, Any]:
    """Return means and rows for JSON."""
    return {
        "model": model,
        "summary": summarise([(row.marks, row.given) for row in rows]).as_dict(),
        "kinds": {kind: summary.as_dict() for kind, summary in by_kind(rows).items()},
        "rows": [
            {
                "id": row.question.id,
                "question": row.question.question,
                "answers": list(row.question.answers),
                "answerable": row.question.answerable,
                "wrong": row.wrong,
                "given": row.given.as_dict(),
                "marks": asdict(row.marks),
            }
            for row in rows
        ],
    }
