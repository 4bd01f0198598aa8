"""Runs the parser of one file in a child process, kills it when it takes too long, and builds the Document."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rag_core import errors
from rag_core.config import LimitsConfig
from rag_core.errors import CorruptDocumentError, DocumentError, DocumentTooLargeError, EmptyDocumentError
from rag_core.reading.checks import check_file, check_type, safe_name
from rag_core.records import Document, Heading, Page, Progress, ProgressCallback, Table

__all__ = ["load_document"]

# The child takes the package from here, whatever its working directory; -I keeps every other path and variable out.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from rag_core.reading.worker import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])


def load_document(
    path: str | Path, limits: LimitsConfig, *, name: str | None = None, on_progress: ProgressCallback | None = None
) -> Document:
    """Return the document in the file at `path`; `name` is what it is called, the file's own name when None.

    `id` is the SHA-256 of the media type and the bytes. Raises DocumentError: see rag_core.errors for its kinds.
    """
    path = Path(path)
    shown = safe_name(name or path.name)
    media_type = check_file(path, shown, limits)
    if on_progress:
        on_progress(Progress("reading", detail=shown))
    try:
        check_type(path, shown, media_type)
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{shown} cannot be read ({error.strerror}); check its permissions") from error
    suffix = (Path(shown).suffix or path.suffix).lower()
    found = _parse_in_child(path.absolute(), suffix, shown, limits, on_progress)
    if not found["text"].strip():
        raise EmptyDocumentError(f"{shown} holds no text; choose a file with text")
    return Document(
        id=hashlib.sha256(media_type.encode() + b"\0" + data).hexdigest(),
        name=shown,
        media_type=media_type,
        byte_count=len(data),
        text=found["text"],
        pages=tuple(Page(**page) for page in found["pages"]),
        headings=tuple(Heading(**heading) for heading in found["headings"]),
        tables=tuple(Table(**table) for table in found["tables"]),
        warnings=tuple(found["warnings"]),
    )


def _parse_in_child(
    path: Path, suffix: str, shown: str, limits: LimitsConfig, on_progress: ProgressCallback | None
) -> dict[str, Any]:
    job = {
        "path": str(path),
        "suffix": suffix,
        "pages": limits.pages,
        "characters": limits.characters,
        "memory_bytes": limits.parse_memory_bytes,
        "seconds": limits.parse_seconds,
    }
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _START, _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        return _converse(child, job, shown, limits, on_progress)
    finally:
        _kill(child)


def _converse(
    child: subprocess.Popen[bytes],
    job: dict[str, Any],
    shown: str,
    limits: LimitsConfig,
    on_progress: ProgressCallback | None,
) -> dict[str, Any]:
    """Give the job and take messages until the last one or the end of the time."""
    deadline = time.monotonic() + limits.parse_seconds
    messages: queue.Queue[bytes] = queue.Queue()

    def pump() -> None:
        lines = child.stdout
        if lines is not None:
            for line in lines:
                messages.put(line)
        messages.put(b"")

    threading.Thread(target=pump, daemon=True, name="read-document").start()
    if child.stdin is not None:
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.close()
        except BrokenPipeError:
            pass  # It died at once; the end of its output says so below.
    while True:
        try:
            line = messages.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty as error:
            raise DocumentTooLargeError(
                f"{shown} takes longer than {limits.parse_seconds:g} s to read; split it, or raise RAG_PARSE_SECONDS"
            ) from error
        if not line:
            raise CorruptDocumentError(f"{shown} is damaged: its parser ended without a result; export it again")
        message = json.loads(line)
        if "document" in message:
            document: dict[str, Any] = message["document"]
            return document
        if "error" in message:
            kind, reason = message["error"]
            raise getattr(errors, kind)(f"{shown} {reason}")
        if on_progress:
            done, total = message["progress"]
            on_progress(Progress("reading", done, total, shown))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started, and collect it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError, AttributeError):
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
