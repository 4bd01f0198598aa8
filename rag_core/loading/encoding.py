"""Bytes to text: byte-order marks, UTF-8, UTF-16 without a mark, then a statistical guess; binary content is refused."""

from __future__ import annotations

import codecs
import re

from rag_core.errors import UnsupportedFormatError

__all__ = ["decode"]

# UTF-32 first: its little-endian mark starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 65_536
# Text in the wild has a stray form feed or escape; programs, pictures and archives are about a tenth controls or more.
_MOST_CONTROLS = 0.02
# A UTF-8 file that was cut or pasted into has few bad bytes among its many good sequences.
_MOST_BROKEN = 0.1
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# Names that a page may declare; others (`utf-7`, `unicode_escape`) are ways to smuggle markup. After the WHATWG
# encoding standard, Latin-1 and ASCII mean windows-1252.
_DECLARABLE = re.compile(
    r"(?:utf-?8|iso-?8859-?\d{1,2}|windows-?125\d|cp125\d|koi8-[ru]|shift[_-]?jis|euc-(?:jp|kr)|gb(?:2312|k|18030)|big5"
    r"|macintosh|iso-2022-jp)",
    re.IGNORECASE,
)
_LATIN_ALPHABETS = ("Latin", "Basic Latin", "Latin-1 Supplement", "Control character", "General Punctuation")


def decode(data: bytes, declared: str = "") -> tuple[str, list[str]]:
    """Return the text of `data`, and warnings where it took a guess or a repair.

    `declared` is the encoding that the content itself names, if it does; it is believed after a byte-order mark and
    before any guess. Raises UnsupportedFormatError where the bytes are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _checked(data[len(mark) :].decode(encoding, "replace")), []
    if declared and _DECLARABLE.fullmatch(declared):
        try:
            return _checked(data.decode(_python_name(declared))), []
        except (UnicodeDecodeError, LookupError):
            pass
    # Before UTF-8, which takes the zero bytes of Western text in UTF-16 for characters.
    if (wide := _wide_encoding(data)) is not None:
        return _checked(data.decode(wide, "replace")), []
    try:
        return _checked(data.decode("utf-8")), []
    except UnicodeDecodeError:
        pass
    return _guessed(data)


def _python_name(declared: str) -> str:
    name = declared.lower().replace("_", "-")
    return "cp1252" if name in ("iso-8859-1", "iso8859-1", "iso88591") else name


def _wide_encoding(data: bytes) -> str | None:
    """Return UTF-16 of either order where every other byte is mostly NUL, as it is for text of Western languages."""
    sample = data[:_SAMPLE_BYTES]
    half = len(sample) // 2
    if half < 2:
        return None
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.5 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.5 and odd < 0.1 else None


def _guessed(data: bytes) -> tuple[str, list[str]]:
    repaired = data.decode("utf-8", "replace")
    broken = repaired.count("\ufffd")
    beyond_ascii = sum(character > "\x7f" for character in repaired)
    if broken <= _MOST_BROKEN * beyond_ascii:
        return _checked(repaired), [f"{broken} damaged characters (bytes that are not UTF-8) are shown as \ufffd"]
    encoding = _statistical_encoding(data)
    _checked(data[:_SAMPLE_BYTES].decode("latin-1"))
    return _checked(data.decode(encoding, "replace")), [f"The encoding is not declared; read as {encoding}"]


def _statistical_encoding(data: bytes) -> str:
    """Return the likeliest encoding; windows-1252 for everything that looks like Western text, as it is by far."""
    from charset_normalizer import from_bytes

    sample = data[:_SAMPLE_BYTES]
    if len(data) > len(sample) and (cut := sample.rfind(b"\n")) > 0:
        sample = sample[:cut]
    best = from_bytes(sample).best()
    if best is None or all(any(known in name for known in _LATIN_ALPHABETS) for name in best.alphabets):
        return "cp1252"
    return best.encoding


def _checked(text: str) -> str:
    """Return `text`. Raises UnsupportedFormatError where too much of its start is control characters."""
    sample = text[:_SAMPLE_BYTES]
    if len(_CONTROL.findall(sample)) > max(2, _MOST_CONTROLS * len(sample)):
        raise UnsupportedFormatError(
            "its content is binary data, not text; add the document in the format it was made in"
        )
    return text
