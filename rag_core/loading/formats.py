"""Which formats are read, and what a file really is by its first bytes, whatever its name says."""

from __future__ import annotations

from dataclasses import dataclass

from rag_core.errors import CorruptDocumentError, EncryptedDocumentError, UnsupportedFormatError

__all__ = ["MEDIA_TYPES", "SUPPORTED_SUFFIXES", "check_content", "check_suffix", "sniff"]

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

MEDIA_TYPES: dict[str, str] = {
    ".csv": "text/csv",
    ".docx": _WORD,
    ".htm": "text/html",
    ".html": "text/html",
    ".markdown": "text/markdown",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".xlsx": _EXCEL,
}
SUPPORTED_SUFFIXES: tuple[str, ...] = tuple(sorted(MEDIA_TYPES))

# What to do about formats that people bring and that are not read.
_ADVICE = {
    "old Word": "save it as .docx",
    "old Excel": "save it as .xlsx",
    "PowerPoint": "save it as .pdf",
    "OpenDocument text": "save it as .docx or .pdf",
    "OpenDocument spreadsheet": "save it as .xlsx",
    "Excel with macros": "save it as .xlsx",
    "Word with macros": "save it as .docx",
    "binary Excel": "save it as .xlsx",
    "rich text": "save it as .docx",
    "e-book": "save it as .pdf",
    "picture": "its text must be recognised first: make a searchable PDF of it",
    "archive": "unpack it and add the files in it",
    "e-mail": "save it as .pdf or .html",
    "Pages": "export it as .docx or .pdf",
    "Numbers": "export it as .xlsx",
}
_UNSUPPORTED = {
    ".7z": "archive",
    ".bmp": "picture",
    ".doc": "old Word",
    ".docm": "Word with macros",
    ".dot": "old Word",
    ".eml": "e-mail",
    ".epub": "e-book",
    ".gif": "picture",
    ".gz": "archive",
    ".heic": "picture",
    ".jpeg": "picture",
    ".jpg": "picture",
    ".msg": "e-mail",
    ".numbers": "Numbers",
    ".ods": "OpenDocument spreadsheet",
    ".odt": "OpenDocument text",
    ".pages": "Pages",
    ".png": "picture",
    ".ppt": "PowerPoint",
    ".pptx": "PowerPoint",
    ".rar": "archive",
    ".rtf": "rich text",
    ".tar": "archive",
    ".tif": "picture",
    ".tiff": "picture",
    ".webp": "picture",
    ".xls": "old Excel",
    ".xlsb": "binary Excel",
    ".xlsm": "Excel with macros",
    ".zip": "archive",
}


@dataclass(frozen=True, slots=True)
class _Signature:
    magic: bytes
    kind: str
    offset: int = 0


# Sources: the formats' own specifications, and the list that file(1) keeps.
_SIGNATURES = (
    _Signature(b"PK\x03\x04", "zip"),
    _Signature(b"PK\x05\x06", "zip"),
    _Signature(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    _Signature(b"{\\rtf", "a rich text (RTF) file"),
    _Signature(b"%!PS", "a PostScript file"),
    _Signature(b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
    _Signature(b"\xff\xd8\xff", "a picture (JPEG)"),
    _Signature(b"GIF87a", "a picture (GIF)"),
    _Signature(b"GIF89a", "a picture (GIF)"),
    _Signature(b"II*\x00", "a picture (TIFF)"),
    _Signature(b"MM\x00*", "a picture (TIFF)"),
    _Signature(b"WEBP", "a picture (WebP)", 8),
    _Signature(b"ftyp", "a video or picture", 4),
    _Signature(b"\x1f\x8b\x08", "a gzip archive"),
    _Signature(b"BZh", "a bzip2 archive"),
    _Signature(b"\xfd7zXZ\x00", "an xz archive"),
    _Signature(b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    _Signature(b"Rar!\x1a\x07", "a RAR archive"),
    _Signature(b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    _Signature(b"ustar", "a tar archive", 257),
    _Signature(b"\x7fELF", "a program"),
    _Signature(b"MZ\x90\x00", "a program"),
    _Signature(b"\xcf\xfa\xed\xfe", "a program"),
    _Signature(b"\x00asm", "a program (WebAssembly)"),
    _Signature(b"SQLite format 3\x00", "a database (SQLite)"),
    _Signature(b"PAR1", "a Parquet table"),
    _Signature(b"OggS", "a sound or video file"),
    _Signature(b"ID3\x03", "a sound file"),
    _Signature(b"ID3\x04", "a sound file"),
    _Signature(b"fLaC", "a sound file"),
)
# A PDF may have other bytes before its header, within the first 1,024 (ISO 32000-2, annex on implementations).
_PDF_HEADER_WITHIN = 1024
_NAMES = {"pdf": "a PDF file", "zip": "a zip archive", "ole": "an old Office file"}


def check_suffix(suffix: str) -> str:
    """Return the media type for a lower-case suffix (`.pdf`). Raises UnsupportedFormatError, with what to do."""
    if suffix in MEDIA_TYPES:
        return MEDIA_TYPES[suffix]
    known = ", ".join(SUPPORTED_SUFFIXES)
    if not suffix:
        raise UnsupportedFormatError(
            f"its name has no extension, so its type is unknown; formats that are read: {known}"
        )
    kind = _UNSUPPORTED.get(suffix)
    if kind:
        raise UnsupportedFormatError(f"{kind} files ({suffix}) are not read; {_ADVICE[kind]}")
    raise UnsupportedFormatError(f"{suffix[:12]} files are not read; formats that are read: {known}")


def sniff(data: bytes) -> str:
    """Return what the first bytes say: `pdf`, `zip`, `ole`, a name with its article, or nothing where they say nothing."""
    if b"%PDF-" in data[:_PDF_HEADER_WITHIN] and not data.startswith(b"PK"):
        return "pdf"
    for signature in _SIGNATURES:
        if data.startswith(signature.magic, signature.offset):
            return signature.kind
    return ""


def check_content(data: bytes, suffix: str) -> None:
    """Check that the bytes are of the kind the suffix claims, as far as the first ones and the kind of container tell.

    What kind of zip archive it is gets checked where it is opened. Raises UnsupportedFormatError with what the file
    really is, EncryptedDocumentError for an Office file under a password, CorruptDocumentError for no format at all.
    """
    found = sniff(data)
    wanted = {".pdf": "pdf", ".docx": "zip", ".xlsx": "zip"}.get(suffix, "")
    if found == wanted:
        return
    if not wanted and found == "pdf" and not data.lstrip().startswith(b"%PDF-"):
        return  # A text that mentions the header.
    if found == "ole":
        _refuse_ole(data, suffix)
    if found == "pdf":
        raise UnsupportedFormatError(f"its content is a PDF file, not {suffix}; rename it to end in .pdf")
    if found == "zip":
        raise UnsupportedFormatError(f"its content is {zip_kind(data)}, not {suffix}; {_zip_advice(zip_kind(data))}")
    if found:
        raise UnsupportedFormatError(
            f"its content is {found}, not {suffix}; add the document itself in a format that is read"
        )
    if _is_text(data):
        raise UnsupportedFormatError(
            f"its content is plain text, not {suffix}; rename it to .txt, .html or .csv, as fits"
        )
    raise CorruptDocumentError(f"its content is not a {suffix} file, nor any other that is known; get a new copy of it")


def zip_kind(data: bytes) -> str:
    """Return what a zip archive holds, by the names in its directory, which stand uncompressed near its end."""
    tail = data[-200_000:] + data[:4_000]
    for mark, kind in (
        (b"word/document.xml", "a Word document (.docx)"),
        (b"xl/workbook.xml", "an Excel workbook (.xlsx)"),
        (b"xl/workbook.bin", "a binary Excel workbook (.xlsb)"),
        (b"ppt/presentation.xml", "a PowerPoint presentation (.pptx)"),
        (b"application/epub+zip", "an e-book (EPUB)"),
        (b"opendocument.text", "an OpenDocument text (.odt)"),
        (b"opendocument.spreadsheet", "an OpenDocument spreadsheet (.ods)"),
    ):
        if mark in tail:
            return kind
    return "a zip archive"


def _zip_advice(kind: str) -> str:
    for suffix in (".docx", ".xlsx"):
        if suffix in kind:
            return f"rename it to end in {suffix}"
    if "archive" in kind:
        return "unpack it and add the files in it"
    return "save it as .pdf"


def _refuse_ole(data: bytes, suffix: str) -> None:
    """Raise what fits an OLE container: an Office file under a password, or one of the formats from before 2007."""

    def holds(name: str) -> bool:
        return name.encode("utf-16-le") in data

    if holds("EncryptedPackage"):
        raise EncryptedDocumentError("a password is needed to open it; save a copy without one and add that")
    for name, kind, advice in (
        ("WordDocument", "an old Word file (.doc)", "save it as .docx"),
        ("Workbook", "an old Excel file (.xls)", "save it as .xlsx"),
        ("PowerPoint Document", "an old PowerPoint file (.ppt)", "save it as .pdf"),
        ("__substg1.0_", "an Outlook message (.msg)", "save it as .pdf"),
    ):
        if holds(name):
            raise UnsupportedFormatError(f"its content is {kind}, not {suffix}; open it and {advice}")
    raise UnsupportedFormatError(f"its content is an old Office file, not {suffix}; save it as .docx or .xlsx")


def _is_text(data: bytes) -> bool:
    sample = data[:4_096]
    printable = sum(byte >= 32 or byte in (9, 10, 12, 13) for byte in sample)
    return bool(sample) and b"\x00" not in sample and printable >= 0.95 * len(sample) and sample.isascii()
