"""Zip containers of Office files, checked before a parser opens them: size unpacked, entries, and what is inside."""

from __future__ import annotations

import io
import zipfile
import zlib

from rag_core.errors import CorruptDocumentError, DocumentTooLargeError, EncryptedDocumentError, UnsupportedFormatError

__all__ = ["check_archive"]

_MOST_ENTRIES = 10_000
# Sheets of repeated values pack to a hundredth; a bomb to a thousandth and less. Small entries may be anything.
_MOST_RATIO = 250
_RATIO_FROM_BYTES = 8 * 1024 * 1024
_BLOCK = 1024 * 1024
_ENCRYPTED_FLAG = 0x1
# Office's own files never declare a document type (ECMA-376 part 2, on XML use, forbids it); entity bombs need one.
_DECLARATIONS = tuple(
    mark.encode(encoding) for mark in ("<!DOCTYPE", "<!ENTITY") for encoding in ("ascii", "utf-16-le", "utf-16-be")
)
_KEEP = max(len(mark) for mark in _DECLARATIONS) - 1


def check_archive(data: bytes, required: str, expanded_bytes: int) -> None:
    """Check a zip container by unpacking it once, without keeping anything.

    `required` is the entry that makes it the format it claims to be; `expanded_bytes` bounds all entries together.
    Raises CorruptDocumentError, UnsupportedFormatError, EncryptedDocumentError or DocumentTooLargeError.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_directory(entries, required, expanded_bytes)
            for entry in entries:
                _check_entry(archive, entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise CorruptDocumentError(
            "its container is damaged; get a new copy of it, or open it and save it again"
        ) from error


def _check_directory(entries: list[zipfile.ZipInfo], required: str, expanded_bytes: int) -> None:
    if len(entries) > _MOST_ENTRIES:
        raise DocumentTooLargeError(f"it holds {len(entries):,} parts, over the limit of {_MOST_ENTRIES:,}")
    if any(entry.flag_bits & _ENCRYPTED_FLAG for entry in entries):
        raise EncryptedDocumentError("a password is needed to open it; save a copy without one and add that")
    names = {entry.filename for entry in entries}
    if len(names) != len(entries):
        raise CorruptDocumentError("two of its parts have the same name, which no Office program writes; save it again")
    if required not in names:
        raise UnsupportedFormatError(f"it is a zip archive without {required}, so not an Office file of this type")
    total = sum(entry.file_size for entry in entries)
    if total > expanded_bytes:
        raise DocumentTooLargeError(
            f"it unpacks to {total / 1048576:,.0f} MiB, over the limit of {expanded_bytes / 1048576:,.0f}"
        )
    for entry in entries:
        if entry.file_size > _RATIO_FROM_BYTES and entry.file_size > _MOST_RATIO * max(1, entry.compress_size):
            raise DocumentTooLargeError(
                f"a part of it unpacks to over {_MOST_RATIO} times its size, as a zip bomb does"
            )


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Unpack one entry in blocks: its checksum must fit, and XML must not declare a document type."""
    is_xml = entry.filename.lower().endswith((".xml", ".rels", ".vml"))
    tail = b""
    with archive.open(entry) as stream:
        # Pictures are not read, so they cost nothing here either.
        while is_xml and (block := stream.read(_BLOCK)):
            seen = tail + block
            if any(mark in seen for mark in _DECLARATIONS):
                raise CorruptDocumentError("it declares XML entities, which no Office program writes; save it again")
            tail = seen[-_KEEP:]
