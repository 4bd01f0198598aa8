"""Plain text and Markdown: the encoding is detected, the text stays as it is, headings and tables are marked in it."""

from __future__ import annotations

import re
from pathlib import Path

from rag_core.reading.building import Refused, TextBuilder, clean

__all__ = ["decode", "read_markdown", "read_text"]

_HASH = re.compile(r"^ {0,3}(#{1,6})\s+(.+?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-{3,})\s*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_NUMBERED = re.compile(r"^(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?|[A-Z]\.|Note \d+[.:]?|Chapter \d+[.:]?)\s+\S")
_HIDDEN = re.compile(r"<!--.*?-->", re.DOTALL)


def decode(data: bytes) -> str:
    """Return the text of `data` in its detected encoding. Raises Refused where it is no text."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _guess(data)
    strange = sum(1 for character in text[:100_000] if character < " " and character not in "\t\n\r\f")
    if strange > 0.02 * min(len(text), 100_000) + 4:
        raise Refused("UnsupportedFormatError", "is binary data and no text; give it its right extension")
    return text


def _guess(data: bytes) -> str:
    from charset_normalizer import from_bytes

    # What finance files that are not UTF-8 mostly are comes first: an ambiguous few bytes go to it.
    best = from_bytes(
        data[:1_000_000],
        cp_isolation=["cp1252", "utf_16_le", "utf_16_be", "latin_1", "cp1250", "cp1251", "shift_jis", "gb18030"],
    ).best()
    return data.decode(best.encoding if best else "cp1252", "replace")


def read_text(path: Path, out: TextBuilder) -> None:
    """Read a plain text: only what is clearly a heading counts as one."""
    out.page(1)
    lines = clean(decode(path.read_bytes())).split("\n")
    for index, line in enumerate(lines):
        start, end = out.raw(line)
        out.raw("\n" if index + 1 < len(lines) else "")
        following = lines[index + 1] if index + 1 < len(lines) else ""
        title = line.strip()
        if not title or len(title) > 90 or " | " in title:
            continue
        alone = not (index and lines[index - 1].strip()) and not following.strip()
        if _UNDERLINE.match(following) and re.search(r"[^\W\d_]", title):
            out.mark_heading(1 if following.strip()[0] == "=" else 2, start, end, title)
        elif alone and title[-1] not in ".,;:!?" and (title.isupper() or _NUMBERED.match(title)):
            out.mark_heading(2, start, end, title)


def read_markdown(path: Path, out: TextBuilder) -> None:
    """Read Markdown as it is written; comments, which no reader sees, are left out."""
    out.page(1)
    text = clean(decode(path.read_bytes()))
    if _HIDDEN.search(text):
        text = _HIDDEN.sub("", text)
        out.warn("Hidden comments were left out.")
    lines = text.split("\n")
    fenced, index = False, 0
    while index < len(lines):
        line = lines[index]
        if _FENCE.match(line):
            fenced = not fenced
        if not fenced and _is_table(lines, index):
            index = _table(lines, index, out)
            continue
        start, end = out.raw(line)
        out.raw("\n" if index + 1 < len(lines) else "")
        following = lines[index + 1] if index + 1 < len(lines) else ""
        match = None if fenced else _HASH.match(line)
        if match:
            out.mark_heading(len(match.group(1)), start, end, match.group(2))
        elif not fenced and line.strip() and "|" not in line and _UNDERLINE.match(following):
            out.mark_heading(1 if following.strip()[0] == "=" else 2, start, end, line.strip())
        index += 1


def _is_table(lines: list[str], index: int) -> bool:
    return (
        "|" in lines[index]
        and index + 1 < len(lines)
        and bool(re.fullmatch(r"\s*\|?[\s:|-]*-[\s:|-]*", lines[index + 1]))
        and "|" in lines[index + 1]
    )


def _table(lines: list[str], index: int, out: TextBuilder) -> int:
    """Write the table at `index` in the common form and return the line after it."""
    rows = []
    position = index
    while position < len(lines) and "|" in lines[position]:
        if position != index + 1:
            rows.append([cell.strip() for cell in lines[position].strip().strip("|").split("|")])
        position += 1
    out.table(rows)
    return position
