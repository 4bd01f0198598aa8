"""`python -m rag_core eval`: its options, and what it prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag_core.errors import EvaluationError
from rag_core.evaluation.measuring import Measured, by_kind, document_paths, measure, report_dict
from rag_core.evaluation.questions import EvalQuestion
from rag_core.evaluation.summing import Summary, summarise, table
from rag_core.records import Document
from rag_core.terminal import ProgressLine, note, plain, write

if TYPE_CHECKING:
    from rag_core.pipeline import RagPipeline

__all__ = ["EVAL_HELP", "add_options", "document_files", "run"]

EVAL_HELP = """FILE.jsonl has one question a line, for example:
  {"question": "What was revenue in 2023?", "answer": "$4.1 million", "document": "report.pdf"}
  {"question": "Who is the auditor?", "answers": ["KPMG", "KPMG LLP"]}
  {"question": "What was revenue in 1999?", "answerable": false}
`document` is a name among the documents given, or a path; without it all documents given are asked, and without any,
all that is indexed. More fields: evidence, text, id, kind (see rag_core/evaluation/questions.py). The thumbs that the
app stores (APP_FEEDBACK_FILE) are such a file.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only this command has."""
    parser.epilog = EVAL_HELP
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("questions", type=Path, metavar="FILE.jsonl", help="questions with expected answers")
    parser.add_argument("files", nargs="*", type=Path, metavar="DOCUMENT", help="documents to ask")
    parser.add_argument("--wrong", action="store_true", help="also list the questions that were answered wrongly")


def document_files(options: argparse.Namespace, questions: Sequence[EvalQuestion]) -> list[Path]:
    """Return the files to add: those given, and those that the questions name by a path."""
    paths = [*options.files, *document_paths(questions, options.questions.parent)]
    return list({path.resolve(): path for path in paths}.values())


def run(
    rag: RagPipeline, questions: Sequence[EvalQuestion], documents: Sequence[Document], options: argparse.Namespace
) -> int:
    """Ask, mark and print: the table or JSON on stdout, progress and notes on stderr. Raises RagError."""
    asked = _present(questions, [*documents, *rag.documents()], quiet=options.quiet)
    if not asked:
        raise EvaluationError(f"{options.questions} asks nothing about the documents that are here; give them after it")
    counter = _Counter(quiet=options.quiet)
    results = measure(rag, asked, documents, counter)
    with ProgressLine("model", quiet=options.quiet) as progress:
        rag.warm_up(progress)
    rows = list(results)
    counter.end()
    if options.json:
        write(json.dumps(report_dict(rows, rag.generator.name), ensure_ascii=False, indent=2) + "\n")
        return 0
    write(table({"all": summarise([(row.marks, row.given) for row in rows]), **_kinds(rows)}) + "\n")
    if options.wrong:
        for row in (row for row in rows if row.wrong):
            _print_wrong(row)
    return 0


def _kinds(rows: Sequence[Measured]) -> dict[str, Summary]:
    kinds = by_kind(rows)
    return {plain(kind)[:20]: summary for kind, summary in kinds.items()} if len(kinds) > 1 else {}


def _present(questions: Sequence[EvalQuestion], known: Sequence[Document], *, quiet: bool) -> list[EvalQuestion]:
    """Leave out thumbs on documents that are not here: whoever stored them may have deleted the document since."""
    names = {document.name for document in known}
    kept = [
        question for question in questions if not question.thumb or not question.document or question.document in names
    ]
    if len(kept) < len(questions) and not quiet:
        note(f"Left out, since their document is not here: {len(questions) - len(kept)} of the thumbs.")
    return kept


def _print_wrong(row: Measured) -> None:
    expected = " or ".join(row.question.answers) or ("not this" if row.question.rejected else "no answer")
    shown = " ".join(row.given.text.split())
    write(f"\n[{plain(row.question.id)}] {plain(row.question.question)}\n")
    write(f"  expected: {plain(expected)}\n  given:    {plain(shown)}\n")


class _Counter:
    """Keeps one line with the number of questions asked on a terminal; elsewhere writes every tenth."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, done: int, total: int) -> None:
        if self._quiet:
            return
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{done} of {total} questions")
            sys.stderr.flush()
        elif done % 10 == 0 or done == total:
            note(f"{done} of {total} questions")

    def end(self) -> None:
        """Clear the line."""
        if not self._quiet and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
