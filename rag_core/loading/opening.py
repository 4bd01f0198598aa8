"""`load_document`: opens a regular file once, checks what needs no parsing, and makes the worker's result a Document."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from rag_core.config import LimitsConfig
from rag_core.errors import (
    CorruptDocumentError,
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    EmptyDocumentError,
    UnsupportedFormatError,
)
from rag_core.loading.child import parse_in_child
from rag_core.loading.formats import check_suffix
from rag_core.loading.naming import document_name, shown_name
from rag_core.records import Document, Heading, Page, Progress, ProgressCallback, Table

__all__ = ["load_document"]

_BLOCK_BYTES = 1024 * 1024
# A link could lead anywhere, a pipe could block for ever: neither is opened.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_OPEN_FLAGS |= getattr(os, "O_BINARY", 0)


def load_document(
    path: str | Path, limits: LimitsConfig, *, name: str | None = None, on_progress: ProgressCallback | None = None
) -> Document:
    """Read a file into a Document with 1-based pages that partition its text.

    `name` is what the document is called (the file's base name when None); its extension says the format. `id` is the
    SHA-256, in hex, of the media type, a zero byte and the content. `on_progress` is told about pages read.

    Raises DocumentNotFoundError, UnsupportedFormatError, EmptyDocumentError, ScannedDocumentError,
    EncryptedDocumentError, CorruptDocumentError or DocumentTooLargeError, each with a message that starts with the
    file's name; and whatever `on_progress` raises, after which nothing is left running.
    """
    path = Path(path)
    name = document_name(name if name is not None else path.name)
    try:
        return _load(path, name, limits, on_progress)
    except DocumentError as error:
        named = type(error)(f"{shown_name(name)}: {error}")
        raise named from error.__cause__


def _load(path: Path, name: str, limits: LimitsConfig, on_progress: ProgressCallback | None) -> Document:
    def on_page(done: int, total: int) -> None:
        if on_progress:
            on_progress(Progress("reading", done, total, name))

    with _open_regular(path) as content:
        suffix = (Path(name).suffix or path.suffix).lower()
        media_type = check_suffix(suffix)
        size = os.fstat(content.fileno()).st_size
        _check_size(size, limits)
        on_page(0, 0)
        identity, content_hash = _hashes(content, media_type, limits)
        result = parse_in_child(content, suffix, limits, on_page)
    if result.get("sha256") != content_hash:
        raise CorruptDocumentError("it changed while it was read; try again once it is complete")
    text = str(result["text"])
    if not text.strip():
        raise EmptyDocumentError("there is no text in it; choose a file with text")
    return _checked(
        Document(
            id=identity,
            name=name,
            media_type=media_type,
            byte_count=size,
            text=text,
            pages=tuple(Page(**page) for page in result["pages"]),
            headings=tuple(Heading(**heading) for heading in result["headings"]),
            tables=tuple(Table(**table) for table in result["tables"]),
            warnings=tuple(str(warning) for warning in result["warnings"]),
        ),
        limits,
    )


def _open_regular(path: Path) -> BinaryIO:
    """Open a file that is neither a link, a folder, a pipe nor a device. Raises DocumentError."""
    try:
        kind = path.lstat().st_mode
        if stat.S_ISLNK(kind):
            raise UnsupportedFormatError("it is a link; add the file that it leads to")
        if stat.S_ISDIR(kind):
            raise UnsupportedFormatError("it is a folder; add the files in it")
        if not stat.S_ISREG(kind):
            raise UnsupportedFormatError("it is a pipe or a device, not a file; save its content to a file first")
        # Unbuffered, so that this process and the worker, who share the position, read the same bytes.
        content = os.fdopen(os.open(path, _OPEN_FLAGS), "rb", buffering=0)
    except FileNotFoundError as error:
        raise DocumentNotFoundError("there is no such file; check its path") from error
    except PermissionError as error:
        raise DocumentError("it may not be read; change its permissions or choose another file") from error
    except (OSError, ValueError) as error:
        raise DocumentNotFoundError("it cannot be opened; check its path") from error
    if not stat.S_ISREG(os.fstat(content.fileno()).st_mode):
        content.close()
        raise UnsupportedFormatError("it is not a regular file; save its content to a file first")
    return content


def _check_size(size: int, limits: LimitsConfig) -> None:
    if size == 0:
        raise EmptyDocumentError("the file is empty (0 bytes); choose a file with text")
    if size > limits.file_bytes:
        raise DocumentTooLargeError(
            f"it has {size / 1_048_576:,.1f} MiB, over the limit of {limits.file_bytes / 1_048_576:,.1f} MiB; "
            "split it into smaller files"
        )


def _hashes(content: BinaryIO, media_type: str, limits: LimitsConfig) -> tuple[str, str]:
    """Return the document's id and the SHA-256 of the content alone. Raises DocumentError."""
    identity, plain, total = hashlib.sha256(media_type.encode() + b"\0"), hashlib.sha256(), 0
    try:
        while block := content.read(_BLOCK_BYTES):
            identity.update(block)
            plain.update(block)
            total += len(block)
            _check_size(total, limits)
    except OSError as error:
        raise DocumentError("it cannot be read to its end; check the disk or copy it again") from error
    return identity.hexdigest(), plain.hexdigest()


def _checked(document: Document, limits: LimitsConfig) -> Document:
    """Return the document, having checked what came from a process that read hostile bytes.

    Raises CorruptDocumentError where pages do not partition the text or a span lies outside of it.
    """
    length = len(document.text)
    position = 0
    for number, page in enumerate(document.pages, start=1):
        if page.number != number or page.start != position or page.end < page.start:
            raise _broken_result()
        position = page.end
    spans = [(heading.start, heading.end) for heading in document.headings]
    for table in document.tables:
        spans += [(table.start, table.end), (table.header_start, table.header_end)]
    if position != length or not all(0 <= start <= end <= length for start, end in spans):
        raise _broken_result()
    if length > limits.characters or len(document.pages) > limits.pages:
        raise DocumentTooLargeError("it has more text than is read; split it into smaller files")
    return document


def _broken_result() -> CorruptDocumentError:
    return CorruptDocumentError("its reader returned spans that do not fit its text; open it and save it again")
