"""A letter-sized report as a PDF: titles, paragraphs and tables under a running head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos

__all__ = ["Report"]

_LINE = 4.4
_DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Report(FPDF):
    """A letter-sized report with the running head on every page but the first."""

    def __init__(self, company: Mapping[str, Any]) -> None:
        super().__init__(format="letter")
        self._head = str(company["head"])
        self.set_auto_page_break(True, 16)
        self.set_margin(18)
        # The same file, and so the same id, whenever it is built.
        self.set_creation_date(_DAY)

    def header(self) -> None:
        if self.page_no() > 1:
            self.set_font("Helvetica", size=7)
            self.cell(0, 5, self._head, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self.ln(2)

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font("Helvetica", size=7)
        self.cell(0, 5, str(self.page_no()), align="C")

    def title_line(self, text: str, size: float = 12) -> None:
        self.set_font("Helvetica", "B", size)
        self.multi_cell(0, _LINE + 1, _latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(1)

    def paragraph(self, text: str) -> None:
        self.set_font("Helvetica", size=9)
        self.multi_cell(0, _LINE, _latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(1.5)

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Set a table: the first column to the left, the others to the right in equal widths."""
        self.set_font("Helvetica", size=8)
        columns = max((len(row) for row in rows), default=1)
        width = min(32.0, self.epw * 0.6 / max(1, columns - 1))
        first = self.epw - width * (columns - 1)
        for row in rows:
            for index, cell in enumerate([*row, *[""] * (columns - len(row))]):
                room = first if index == 0 else width
                text = _latin(cell)
                while text and self.get_string_width(text) > room - 2:
                    text = text[:-1]
                last = index == columns - 1
                self.cell(
                    room,
                    _LINE,
                    text,
                    align="L" if index == 0 else "R",
                    new_x=XPos.LMARGIN if last else XPos.RIGHT,
                    new_y=YPos.NEXT if last else YPos.TOP,
                )
        self.ln(2)


def _latin(text: str) -> str:
    """Return `text` in the signs that the PDF's built-in fonts have."""
    plain = text.translate(str.maketrans("\u2019\u2018\u201c\u201d\u2014\u2013\u2010\u2022", "''\"\"----"))
    return plain.encode("latin-1", "replace").decode("latin-1")
