"""Markdown as a reader of the rendered page sees it: marks gone, headings and tables recorded, code kept as it is.

The rules are those of CommonMark and of GitHub's tables, for the constructs that reports use. Comments, hidden elements
and link definitions are not rendered, so they are left out.
"""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise

from rag_core.loading.cleaning import clean_text
from rag_core.loading.drafting import Draft
from rag_core.loading.encoding import decode

__all__ = ["read_markdown"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_DEFINITION = re.compile(r" {0,3}\[[^\[\]]+\]:[ \t]*\S.*")
_QUOTE = re.compile(r"(?: {0,3}>[ ]?)+")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HIDDEN = re.compile(
    r"<(script|style|template|noscript)\b[^<>]{0,500}>.*?(?:</\1\s*>|\Z)"
    r"|<(\w+)\b[^<>]{0,500}?(?:\shidden\b|display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0)[^<>]{0,500}>"
    r".*?(?:</\2\s*>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>")
_CODE_SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_IMAGE_OR_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)|\[[^\[\]]*\])")
_AUTOLINK = re.compile(r"<((?:https?|mailto):[^\s<>]+)>")
_STRONG = re.compile(r"(?<![\w*])\*\*(?=\S)([^*]+)(?<=\S)\*\*(?!\*)|(?<!\w)__(?=\S)([^_]+)(?<=\S)__(?!\w)")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]+)(?<=\S)\*(?![\w*])|(?<!\w)_(?=[^\s_])([^_]+)(?<=\S)_(?!\w)")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
# A line beyond this is data rather than prose: it is kept as it is.
_MOST_INLINE_CHARACTERS = 20_000


def read_markdown(data: bytes, draft: Draft) -> None:
    """Write the rendered text to `draft`. Raises UnsupportedFormatError for binary content."""
    text, warnings = decode(data)
    for warning in warnings:
        draft.warn(warning)
    draft.begin_page()
    lines = _write_front_matter(clean_text(text).split("\n"), draft)
    for code, part in _fenced(lines):
        if code:
            draft.gap()
            for line in part:
                draft.line(line)
            draft.gap()
        else:
            _write_prose(part, draft)
    draft.on_page(1, 1)


def _write_front_matter(lines: list[str], draft: Draft) -> list[str]:
    """Write the settings between two `---` lines at the top, if any, as they are; return the lines after them."""
    if lines and lines[0].strip() == "---":
        for index, line in enumerate(lines[1:200], start=1):
            if line.strip() in ("---", "..."):
                for setting in lines[1:index]:
                    draft.line(setting)
                draft.gap()
                return lines[index + 1 :]
    return lines


def _fenced(lines: list[str]) -> list[tuple[bool, list[str]]]:
    """Return runs of lines: (true, the lines of a fenced block) or (false, those outside of any)."""
    runs: list[tuple[bool, list[str]]] = [(False, [])]
    fence = ""
    commented = False
    for line in lines:
        match = None if commented else _FENCE.fullmatch(line)
        if fence:
            if match and match[1].startswith(fence) and not match[2].strip():
                fence = ""
                runs.append((False, []))
            else:
                runs[-1][1].append(line)
        elif match and not (match[1][0] == "`" and "`" in match[2]):
            fence = match[1]
            runs.append((True, []))
        else:
            runs[-1][1].append(line)
            # A fence inside a comment opens nothing.
            tail = line[line.rfind("<!--") + 4 :] if "<!--" in line else line
            commented = (commented or "<!--" in line) and "-->" not in tail
    return runs


def _write_prose(lines: list[str], draft: Draft) -> None:
    visible, comments = _COMMENT.subn("", "\n".join(lines))
    visible, hidden = _HIDDEN.subn("", visible)
    lines = visible.split("\n")
    kept = [line for line in lines if not _DEFINITION.fullmatch(line)]
    if comments or hidden:
        draft.warn("Left out comments or hidden parts that the rendered page does not show")
    index = 0
    while index < len(kept):
        index += _write_block(kept, index, draft)


def _write_block(lines: list[str], index: int, draft: Draft) -> int:
    """Write the block or line at `index`; return how many lines it took."""
    line = _QUOTE.sub("", lines[index], count=1) if lines[index].lstrip().startswith(">") else lines[index]
    following = lines[index + 1] if index + 1 < len(lines) else ""
    if not line.strip():
        draft.gap()
        return 1
    if match := _ATX.fullmatch(line):
        draft.heading(len(match[1]), _inline(match[2] or ""))
        return 1
    if "|" in line and "|" in following and _TABLE_RULE.fullmatch(following):
        return _write_table(lines, index, draft)
    alone = index == 0 or not lines[index - 1].strip()
    if alone and (rule := _SETEXT.fullmatch(following)) and not _RULE.fullmatch(line) and not line.startswith("    "):
        draft.heading(1 if rule[1][0] == "=" else 2, _inline(line))
        return 2
    if _RULE.fullmatch(line):
        draft.gap()
        return 1
    draft.line(_inline(line))
    return 1


def _write_table(lines: list[str], index: int, draft: Draft) -> int:
    """Write the table whose header row stands at `index`; return how many lines it took."""
    rows = [_cells(lines[index])]
    end = index + 2
    while end < len(lines) and lines[end].strip() and "|" in lines[end]:
        rows.append(_cells(lines[end]))
        end += 1
    draft.table(rows, header=any(rows[0]))
    return end - index


def _cells(line: str) -> list[str]:
    """Return the cells of a row; a bar after a backslash is part of its cell."""
    line = line.strip()
    edges = [-1, *(found.start() for found in re.finditer(r"(?<!\\)\|", line)), len(line)]
    cells = [line[left + 1 : right].replace("\\|", "|") for left, right in pairwise(edges)]
    if line.startswith("|"):
        cells = cells[1:]
    if len(cells) > 1 and not cells[-1].strip():
        cells = cells[:-1]
    return [_inline(cell).strip() for cell in cells]


def _inline(text: str) -> str:
    """Return a line without its marks; what stands between backticks is kept as it is."""
    if len(text) > _MOST_INLINE_CHARACTERS:
        return text
    parts, position = [], 0
    for span in _CODE_SPAN.finditer(text):
        parts += [_unmarked(text[position : span.start()]), span[2]]
        position = span.end()
    return "".join([*parts, _unmarked(text[position:])])


def _unmarked(text: str) -> str:
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub("", text)
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    for pattern in (_STRONG, _EMPHASIS):
        text = pattern.sub(lambda found: found[1] or found[2], text)
    return unescape(_ESCAPE.sub(r"\1", text))
