"""docx: headings by style, paragraphs, whole table rows, in the order of the body; hidden runs are left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rag_core.reading.building import TextBuilder

__all__ = ["read_word"]

_STYLE_LEVEL = re.compile(r"heading\s*(\d)", re.IGNORECASE)


def read_word(path: Path, out: TextBuilder) -> None:
    """Read a Word document."""
    import docx
    from docx.table import Table

    document = docx.Document(str(path))
    out.page(1)
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            _table(item, out)
        else:
            _paragraph(item, out)


def _paragraph(paragraph: Any, out: TextBuilder) -> None:
    text = _visible(paragraph, out)
    if not text.strip():
        return
    style = getattr(paragraph.style, "name", "") or ""
    match = _STYLE_LEVEL.match(style)
    if match:
        out.heading(int(match.group(1)), text)
    elif style == "Title":
        out.heading(1, text)
    elif style.startswith("List"):
        out.line(f"- {text}")
    else:
        out.paragraph(text)


def _visible(paragraph: Any, out: TextBuilder) -> str:
    parts = []
    for run in paragraph.iter_inner_content():
        runs = getattr(run, "runs", None)
        for piece in [run] if runs is None else runs:
            if piece.font.hidden:
                out.warn("Hidden text was left out.")
            else:
                parts.append(piece.text)
    return "".join(parts)


def _table(table: Any, out: TextBuilder) -> None:
    rows = []
    for row in table.rows:
        cells, previous = [], None
        for cell in row.cells:
            # A merged cell comes once for each column that it spans.
            if cell._tc is previous:
                continue
            previous = cell._tc
            cells.append(" ".join(_visible(paragraph, out) for paragraph in cell.paragraphs))
        rows.append(cells)
    out.table(rows)
