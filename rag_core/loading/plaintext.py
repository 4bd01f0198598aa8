"""Plain text: kept line for line, with conservative headings."""

from __future__ import annotations

import re

from rag_core.loading.cleaning import clean_text, one_line
from rag_core.loading.drafting import Draft
from rag_core.loading.encoding import decode
from rag_core.loading.outlining import capitals_heading, numbered_level

__all__ = ["read_plain"]

_UNDERLINE = re.compile(r"\s*(=|-|~|\*)\1{2,}\s*")


def read_plain(data: bytes, draft: Draft) -> None:
    """Write the text to `draft` as it is, line for line. Raises UnsupportedFormatError for binary content."""
    text, warnings = decode(data)
    for warning in warnings:
        draft.warn(warning)
    lines = clean_text(text).split("\n")
    draft.begin_page()
    for index, line in enumerate(lines):
        start, _ = draft.line(line)
        level = _level(lines, index)
        if level:
            indent = len(line) - len(line.lstrip())
            draft.mark_heading(level, one_line(line), start + indent, start + indent + len(line.strip()))
    draft.on_page(1, 1)


def _level(lines: list[str], index: int) -> int:
    """Return the heading level of a line, 0 for none: underlined, or numbered or in capitals between blank lines."""
    line = lines[index].strip()
    if not line or len(line) > 120 or _UNDERLINE.fullmatch(line):
        return 0
    following = lines[index + 1] if index + 1 < len(lines) else ""
    preceding = lines[index - 1].strip() if index else ""
    rule = _UNDERLINE.fullmatch(following)
    if rule and not preceding and 0.5 <= len(following.strip()) / len(line) <= 2:
        return 1 if rule[1] in "=*" else 2
    if preceding or following.strip() or index + 1 >= len(lines):
        return 0
    return numbered_level(line) or int(capitals_heading(line))
