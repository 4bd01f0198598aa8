"""The child process that parses one file: content on standard input, frames of JSON on standard output.

The parent starts it with no environment but what Python needs, under limits of memory, processor time and open files,
and without the right to write a file. It may crash or be killed at any time; that costs nothing but the document.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, BinaryIO

from rag_core.errors import CorruptDocumentError, DocumentError, DocumentTooLargeError
from rag_core.loading.drafting import Draft, DraftLimits
from rag_core.loading.formats import check_content

__all__ = ["FRAME_HEADER", "main", "read_content"]

# A frame: one byte for its kind (P progress, R result, E error, X unforeseen), four for its length, then JSON.
FRAME_HEADER = struct.Struct(">cI")
_PROGRESS_SECONDS = 0.05
_OPEN_FILES = 128
_MOST_DETAIL = 4_000
_MOST_JOB_BYTES = 4_096
Reader = Callable[[bytes, Draft], None]


def main() -> None:
    """Parse what the job in the last argument says, or one to come; write progress and one last frame."""
    job = json.loads(sys.argv[-1])
    if "idle_seconds" in job:
        job = _awaited(float(job["idle_seconds"]))
    # What a library prints must not be taken for a frame.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_resources(int(job["memory_bytes"]), float(job["seconds"]))
    try:
        kind, payload = _parse(job, output)
    except DocumentError as error:
        kind, payload = b"E", {"error": type(error).__name__, "message": str(error), "detail": _detail(error)}
    except (MemoryError, RecursionError) as error:
        kind = b"E"
        message = "it needs more memory to read than is allowed; split it into smaller files"
        payload = {"error": DocumentTooLargeError.__name__, "message": message, "detail": type(error).__name__}
    except Exception as error:
        # Whatever else a parser lets escape means that it met what it did not expect: the file is damaged.
        kind = b"X"
        message = "it is damaged, and its reader gave up on it; open it where it was made and save it again"
        payload = {"error": CorruptDocumentError.__name__, "message": message, "detail": _detail(error)}
    _send(output, kind, payload)
    output.flush()
    # Parsers' own clean-up has crashed after hostile files; there is nothing left to clean.
    os._exit(0)


def _awaited(idle_seconds: float) -> dict[str, Any]:
    """Wait at the socket on standard input for a job with its open file, which takes the socket's place."""
    import select
    import socket

    # Most documents are PDFs, whose reader takes longest to import. Where it is missing, they say so.
    with suppress(ImportError):
        import pypdfium2  # noqa: F401

        import rag_core.loading.pdffile  # noqa: F401

    with socket.socket(fileno=os.dup(0)) as channel:
        if not select.select([channel], [], [], idle_seconds)[0]:
            # From here on the parent cannot send; what it sent just before is still received.
            channel.shutdown(socket.SHUT_RD)
        body, files, _, _ = socket.recv_fds(channel, _MOST_JOB_BYTES, 1)
    if not files:
        os._exit(0)  # Nothing came in time, or the parent is gone.
    os.dup2(files[0], 0)
    os.close(files[0])
    return dict(json.loads(body))


def _parse(job: dict[str, Any], output: BinaryIO) -> tuple[bytes, dict[str, Any]]:
    data = sys.stdin.buffer.read()
    last = 0.0

    def on_page(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS or done == total:
            last = now
            _send(output, b"P", {"done": done, "total": total})
            output.flush()

    limits = DraftLimits(int(job["pages"]), int(job["characters"]), int(job["expanded_bytes"]))
    draft = Draft(limits, on_page)
    read_content(data, str(job["suffix"]), draft)
    text, pages = draft.finish()
    return b"R", {
        "sha256": hashlib.sha256(data).hexdigest(),
        "text": text,
        "pages": [asdict(page) for page in pages],
        "headings": [asdict(heading) for heading in draft.headings],
        "tables": [asdict(table) for table in draft.tables],
        "warnings": draft.warnings,
    }


def read_content(data: bytes, suffix: str, draft: Draft) -> None:
    """Write the content of a file with the lower-case `suffix` to `draft`. Raises DocumentError, or what escapes."""
    check_content(data, suffix)
    _reader(suffix)(data, draft)


def _reader(suffix: str) -> Reader:
    """Return the reader of a format, importing it and its parser only."""
    if suffix == ".pdf":
        from rag_core.loading.pdffile import read_pdf

        return read_pdf
    if suffix == ".docx":
        from rag_core.loading.wordfile import read_word

        return read_word
    if suffix == ".xlsx":
        from rag_core.loading.workbook import read_workbook

        return read_workbook
    if suffix in (".html", ".htm"):
        from rag_core.loading.webpage import read_html

        return read_html
    if suffix in (".csv", ".tsv"):
        from rag_core.loading.delimited import read_csv, read_tsv

        return read_tsv if suffix == ".tsv" else read_csv
    if suffix in (".md", ".markdown"):
        from rag_core.loading.markdown import read_markdown

        return read_markdown
    from rag_core.loading.plaintext import read_plain

    return read_plain


def _send(output: BinaryIO, kind: bytes, payload: dict[str, Any]) -> None:
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    output.write(FRAME_HEADER.pack(kind, len(body)))
    output.write(body)


def _detail(error: BaseException) -> str:
    """Return the error's traceback for the log; it never reaches a reader."""
    written = io.StringIO()
    traceback.print_exception(type(error), error, error.__traceback__, limit=-8, file=written)
    return written.getvalue()[-_MOST_DETAIL:]


def _limit_resources(memory_bytes: int, seconds: float) -> None:
    """Bound memory, processor time, open files and written bytes, where the system can."""
    try:
        import resource
    except ImportError:
        return  # Windows: the parent's clock is the only bound.
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            hard = resource.getrlimit(limit)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (bound, bound))
        except (OSError, ValueError):
            continue  # macOS refuses some of them.


if __name__ == "__main__":
    main()
