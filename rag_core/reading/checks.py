"""What is checked of a file before anything parses it: that it is one, its size, its type, its name."""

from __future__ import annotations

import re
import stat
import unicodedata
import zipfile
from pathlib import Path

from rag_core.config import LimitsConfig
from rag_core.errors import (
    CorruptDocumentError,
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    UnsupportedFormatError,
)

__all__ = ["MEDIA_TYPES", "SUPPORTED_SUFFIXES", "check_file", "check_type", "safe_name"]

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MEDIA_TYPES = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".pdf": "application/pdf",
    ".docx": _WORD,
    ".html": "text/html",
    ".htm": "text/html",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".xlsx": _SHEET,
}
SUPPORTED_SUFFIXES = tuple(MEDIA_TYPES)
_ADVICE = {
    ".doc": "save it as .docx",
    ".xls": "save it as .xlsx",
    ".ppt": "save it as .pdf",
    ".pptx": "save it as .pdf",
    ".odt": "save it as .docx",
    ".ods": "save it as .xlsx",
    ".rtf": "save it as .docx",
}
# First bytes of what people rename or confuse.
_MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"{\\rtf", "an RTF document"),
    (b"Rar!", "a rar archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
)
# An Office file of this many parts, or that unpacks to this many times its size, is a bomb and not a report.
_MOST_PARTS = 10_000
_MOST_RATIO = 200
_MOST_UNPACKED = 1_024 * 1024 * 1024


def safe_name(name: str) -> str:
    """Return the last part of `name` without control, bidirectional or path characters, at most 120 characters."""
    last = re.split(r"[\\/]", name)[-1]
    clean = "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else " " for c in last)
    clean = " ".join(clean.split()).strip(". ") or "document"
    if len(clean) > 120:
        stem, dot, suffix = clean.rpartition(".")
        clean = f"{stem[: 119 - len(suffix)]}{dot}{suffix}" if dot and len(suffix) < 10 else clean[:120]
    return clean


def check_file(path: Path, shown: str, limits: LimitsConfig) -> str:
    """Return the media type by the extension, having checked that `path` is a regular file within the size limit.

    Raises DocumentNotFoundError, UnsupportedFormatError, EmptyDocumentError or DocumentTooLargeError.
    """
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise UnsupportedFormatError(f"{shown} is a link; give the file itself")
    except FileNotFoundError as error:
        raise DocumentNotFoundError(f"There is no file {shown}; check the path") from error
    except (OSError, ValueError) as error:
        raise DocumentError(f"{shown} cannot be opened; check the path and its permissions") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise UnsupportedFormatError(f"{shown} is {kind}; give a file ({' '.join(SUPPORTED_SUFFIXES)})")
    suffix = Path(shown).suffix.lower() or path.suffix.lower()
    if suffix not in MEDIA_TYPES:
        advice = _ADVICE.get(suffix, f"use one of {' '.join(SUPPORTED_SUFFIXES)}")
        raise UnsupportedFormatError(f"{shown} is of a type that is not read ({suffix or 'no extension'}); {advice}")
    if status.st_size == 0:
        raise EmptyDocumentError(f"{shown} is empty (0 bytes); choose a file with text")
    if status.st_size > limits.file_bytes:
        size, most = (f"{value / 1_048_576:.1f} MiB" for value in (status.st_size, limits.file_bytes))
        raise DocumentTooLargeError(
            f"{shown} has {size} and the limit is {most}; split it, or raise RAG_MAX_FILE_BYTES"
        )
    return MEDIA_TYPES[suffix]


def check_type(path: Path, shown: str, media_type: str) -> None:
    """Check that the content is what the extension says, and that an Office file is no bomb.

    Raises UnsupportedFormatError, EncryptedDocumentError, CorruptDocumentError or DocumentTooLargeError.
    """
    with path.open("rb") as file:
        head = file.read(1_024)
    actual = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if media_type == "application/pdf":
        if b"%PDF-" not in head:
            raise UnsupportedFormatError(f"{shown} is no PDF{f' but {actual}' if actual else ''}; rename or export it")
        return
    if media_type in (_WORD, _SHEET):
        if actual == "an old Office file":
            # Since 2007 Office wraps a file with a password in the old container.
            raise EncryptedDocumentError(f"{shown} is locked by a password or of an old format; save an open copy")
        if actual != "a zip archive":
            wanted = "a Word file" if media_type == _WORD else "an Excel file"
            raise UnsupportedFormatError(
                f"{shown} is not {wanted}{f' but {actual}' if actual else ''}; rename or export it"
            )
        _check_archive(path, shown, media_type)
        return
    if actual or (b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")) and not _wide(head)):
        raise UnsupportedFormatError(f"{shown} is {actual or 'binary data'} and no text; give it its right extension")


def _wide(head: bytes) -> bool:
    """Return whether the zero bytes stand at every second place only: UTF-16 without its mark."""
    even, odd = head[0::2], head[1::2]
    return (even.count(0) == 0 and odd.count(0) > len(odd) * 0.4) or (
        odd.count(0) == 0 and even.count(0) > len(even) * 0.4
    )


def _check_archive(path: Path, shown: str, media_type: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CorruptDocumentError(f"{shown} is damaged and does not open; export or download it again") from error
    unpacked = sum(part.file_size for part in parts)
    packed = max(1, path.stat().st_size)
    if (
        len(parts) > _MOST_PARTS
        or unpacked > _MOST_UNPACKED
        or (unpacked > 1 << 24 and unpacked > _MOST_RATIO * packed)
    ):
        raise DocumentTooLargeError(
            f"{shown} unpacks to {unpacked / 1_048_576:.0f} MiB in {len(parts)} parts; split it"
        )
    if any(part.flag_bits & 1 for part in parts):
        raise EncryptedDocumentError(f"{shown} is locked by a password; save a copy without one")
    names = {part.filename for part in parts}
    wanted = "word/document.xml" if media_type == _WORD else "xl/workbook.xml"
    if wanted not in names:
        kinds = {
            "word/document.xml": "a Word file",
            "xl/workbook.xml": "an Excel file",
            "ppt/presentation.xml": "slides",
        }
        actual = next((kind for name, kind in kinds.items() if name in names), "another kind of archive")
        raise UnsupportedFormatError(f"{shown} is {actual}, not what its extension says; rename or export it")
