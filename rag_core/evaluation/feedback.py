"""What readers thought of answers, kept in a file on this machine: one JSON object a line.

A row has `id`, `visit`, `time` (UTC), `verdict` ("up" or "down"), `question`, `query`, `answer`, `abstained`, `reason`,
`model`, `citations` (`document`, `document_id`, `page`, `start`, `end`, `quote`) and `documents` (`id` and `name` of those
that the answer rests on). Of a document's text it holds the quotes alone, and what the answer itself says. It is read
back by `python -m rag_core eval` and `bench.quality`. Rows that rest on a document go when that visit deletes it.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from rag_core.errors import EvaluationError
from rag_core.records import Answer, Citation, Document

__all__ = ["FeedbackStore", "Verdict"]

Verdict = Literal["up", "down"]
_MOST_BYTES = 16 * 1024 * 1024

Row = dict[str, Any]


class FeedbackStore:
    """The file at `path`, made at the first verdict, for its owner alone. Thread-safe, also between processes."""

    def __init__(self, path: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def judge(self, answer: Answer, verdict: str, *, id: str, visit: str) -> None:
        """Keep a verdict on the answer of that id; a later one of the same id and visit takes its place.

        Raises EvaluationError for an unknown verdict, and where the file is full or cannot be written.
        """
        if verdict not in get_args(Verdict):
            raise EvaluationError("The verdict must be up or down")
        line = json.dumps(_row(answer, verdict, id, visit))
        self._rewrite(lambda row: row.get("id") == id and row.get("visit") == visit, line)

    def retract(self, *, id: str, visit: str) -> None:
        """Drop the verdict of that id, if there is one. Raises EvaluationError where the file cannot be written."""
        self._rewrite(lambda row: row.get("id") == id and row.get("visit") == visit)

    def forget(self, document_id: str, *, visit: str) -> None:
        """Drop all verdicts of a visit on answers that rest on a document, with their quotes. Raises EvaluationError."""
        self._rewrite(lambda row: row.get("visit") == visit and document_id in _document_ids(row))

    def _rewrite(self, leaves: Callable[[Row], bool], line: str = "") -> None:
        """Write the file anew without the rows that leave, and with `line` at its end: there whole or not at all."""
        try:
            if not line and not self.path.is_file():
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, _file_lock(self.path.with_name(f".{self.path.name}.lock")):
                lines = self.path.read_text(encoding="utf-8").split("\n") if self.path.is_file() else []
                kept = [old for old in lines if old.strip() and not leaves(_parsed(old))]
                if not line and len(kept) == sum(bool(old.strip()) for old in lines):
                    return
                text = "".join(f"{item}\n" for item in (*kept, *([line] if line else [])))
                if line and len(text.encode()) > self._most_bytes:
                    raise EvaluationError(f"{self.path.name} has reached its size limit; move it away to go on judging")
                _replace(self.path, text)
        except (OSError, UnicodeDecodeError) as error:
            # Visitors read this: where the file stands is not for them to know.
            found = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise EvaluationError(f"{self.path.name} cannot be written ({found}); name another file") from error


def _row(answer: Answer, verdict: str, id: str, visit: str) -> Row:
    named = [citation.document for citation in answer.citations] + [hit.document for hit in answer.hits]
    rests_on = {document.id: document for document in named}
    return {
        "id": id,
        "visit": visit,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "verdict": verdict,
        "question": answer.question,
        "query": answer.query,
        "answer": answer.text,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "model": answer.model,
        "citations": [_cited(citation) for citation in answer.citations],
        "documents": [_named(document) for document in rests_on.values()],
    }


def _cited(citation: Citation) -> Row:
    return {
        "document": citation.document.name,
        "document_id": citation.document.id,
        "page": citation.page,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
    }


def _named(document: Document) -> Row:
    return {"id": document.id, "name": document.name}


def _document_ids(row: Row) -> list[Any]:
    documents = row.get("documents")
    return [item.get("id") for item in documents if isinstance(item, dict)] if isinstance(documents, list) else []


def _parsed(line: str) -> Row:
    """Return the row of a line; of one that is none of ours, nothing, so that it stays as it is."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock (flock: it ends with the process); on Windows one process is the user's own care."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
