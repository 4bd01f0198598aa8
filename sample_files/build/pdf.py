"""The annual report as a PDF: one text of `report/` a page, set with the fonts that every PDF reader has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos

from sample_files.build.blocks import Block, Bullet, Heading, Paragraph, Row, TableBlock, read_blocks
from sample_files.build.figures import fill
from sample_files.build.ledger import COMPANY, read_ledger
from sample_files.build.tables import read_tables

__all__ = ["PAGE_COUNT", "write_report"]

PAGE_COUNT = 20
_SOURCE = Path(__file__).with_name("report")
_NOTICE = "Invented company, sample document. In thousands of euros unless stated otherwise."
_BLUE, _GREY, _PALE, _BLACK = (23, 63, 95), (105, 113, 121), (236, 241, 245), (25, 28, 31)
_MARGIN = 20.0
_BODY_SIZE = 9.5
_LINE = 4.7
_HEADING_SIZES = {1: 17.0, 2: 12.0, 3: 10.0}
_ROW = 4.85
_DENSE_ROW = 4.35
_DENSE_FROM = 30  # rows in several tables of a page from which they are set closer, so that a note stays on its page


class _Report(FPDF):
    """A4 with a running head and a foot on every page but the cover."""

    def header(self) -> None:
        if self.page_no() == 1:
            return
        self.set_font("Helvetica", size=7.5)
        self.set_text_color(*_GREY)
        self.set_y(10)
        self.cell(0, 4, f"{COMPANY}   Annual Report 2023", align=Align.R)
        self.set_y(_MARGIN)

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font("Helvetica", size=7.5)
        self.set_text_color(*_GREY)
        self.set_draw_color(*_GREY)
        self.set_line_width(0.1)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())
        self.cell(self.epw - 20, 7, _NOTICE)
        self.cell(20, 7, str(self.page_no()), align=Align.R)


def write_report(path: Path) -> None:
    """Write the report. Raises ValueError where a text does not fit its page."""
    ledger = read_ledger()
    tables = read_tables(ledger)
    pdf = _new_report()
    for number, source in enumerate(sorted(_SOURCE.glob("[0-9]*.md")), start=1):
        text = fill(ledger, source.read_text(encoding="utf-8"))
        pdf.add_page()
        blocks = list(read_blocks(text, tables))
        if number == 1:
            _set_cover(pdf, blocks)
        else:
            _set_page(pdf, blocks)
        if pdf.page_no() != number:
            raise ValueError(f"{source.name} does not fit on one page; shorten it")
    if pdf.page_no() != PAGE_COUNT:
        raise ValueError(f"The report has {pdf.page_no()} pages and should have {PAGE_COUNT}")
    pdf.output(str(path))


def _new_report() -> _Report:
    pdf = _Report(format="A4")
    pdf.set_margins(_MARGIN, _MARGIN, _MARGIN)
    pdf.set_auto_page_break(True, margin=17)
    pdf.set_compression(False)  # the same bytes whatever compression library is installed, and small all the same
    pdf.set_creation_date(datetime(2024, 3, 8, 9, 0, tzinfo=timezone.utc))
    pdf.set_producer("sample_files.build")
    pdf.set_title(f"{COMPANY} - Annual Report 2023 (invented company)")
    pdf.set_author("RagOptimize sample files")
    pdf.set_lang("en")
    return pdf


def _set_cover(pdf: _Report, blocks: Sequence[Block]) -> None:
    title, kind, motto, notice, scale = (block.text for block in blocks if isinstance(block, Heading | Paragraph))
    pdf.set_fill_color(*_BLUE)
    pdf.rect(0, 0, pdf.w, 150, style="F")
    pdf.set_draw_color(120, 170, 205)
    pdf.set_line_width(0.7)
    for step in range(6):  # stream lines around the title
        y = 112 + 5.5 * step
        pdf.bezier([(0, y), (70, y - 16 + 2 * step), (130, y + 18 - 3 * step), (210, y - 4)], closed=False, style="D")
    pdf.set_text_color(255, 255, 255)
    pdf.start_section(title)
    for text, size, y in ((title, 26, 55), (kind, 20, 70), (motto, 12, 84)):
        pdf.set_xy(_MARGIN, y)
        pdf.set_font("Helvetica", style="B" if size == 26 else "", size=size)
        pdf.cell(0, 10, text)
    pdf.set_xy(_MARGIN, 175)
    for text, style, colour in ((notice, "B", (150, 40, 30)), (scale, "", _BLACK)):
        pdf.set_text_color(*colour)
        pdf.set_font("Helvetica", style=style, size=11)
        pdf.multi_cell(0, 6, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        pdf.ln(4)


def _set_page(pdf: _Report, blocks: Sequence[Block]) -> None:
    rows = [len(block.rows) for block in blocks if isinstance(block, TableBlock)]
    height = _DENSE_ROW if sum(rows) >= _DENSE_FROM and len(rows) > 1 else _ROW
    for before, block in zip((None, *blocks), blocks, strict=False):
        if isinstance(before, Bullet) and isinstance(block, Paragraph):
            pdf.ln(1.5)
        if isinstance(block, Heading):
            _set_heading(pdf, block)
        elif isinstance(block, TableBlock):
            _set_table(pdf, block, height)
        else:
            _set_text(pdf, block)


def _set_heading(pdf: _Report, heading: Heading) -> None:
    size = _HEADING_SIZES[heading.level]
    if pdf.get_y() > _MARGIN + 1:
        pdf.ln(2.2 if heading.level > 1 else 5)
    pdf.set_font("Helvetica", style="B", size=size)
    pdf.set_text_color(*_BLUE)
    pdf.start_section(heading.text, level=heading.level - 1)
    pdf.multi_cell(0, size * 0.48, heading.text, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(1.8 if heading.level > 1 else 3)


def _set_text(pdf: _Report, block: Paragraph | Bullet) -> None:
    pdf.set_font("Helvetica", size=_BODY_SIZE)
    pdf.set_text_color(*_BLACK)
    indent = 5.0 if isinstance(block, Bullet) else 0.0
    if indent:
        pdf.cell(indent, _LINE, "-")
    left = pdf.l_margin
    pdf.set_left_margin(left + indent)
    pdf.multi_cell(0, _LINE, block.text, align=Align.L, markdown=True, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_left_margin(left)
    pdf.set_x(left)
    pdf.ln(0.7 if indent else 2.2)


def _set_table(pdf: _Report, table: TableBlock, height: float) -> None:
    widths = [share * pdf.epw for share in table.widths]
    size = 8.6 if len(widths) <= 5 else 7.8
    pdf.set_font("Helvetica", style="B", size=size)
    pdf.set_text_color(*_BLUE)
    _set_table_head(pdf, table, widths, height)
    for row in table.rows:
        _set_row(pdf, row, widths, height, size, words=_is_wordy(table))
    pdf.ln(2.6)


def _set_table_head(pdf: _Report, table: TableBlock, widths: Sequence[float], height: float) -> None:
    """Titles stand on the lower edge; where one is wider than its column, it takes a second line."""
    top, left = pdf.get_y(), pdf.l_margin
    lines = [
        cast(list[str], pdf.multi_cell(width, 3.8, title or " ", dry_run=True, output="LINES"))
        for width, title in zip(widths, table.header, strict=True)
    ]
    tallest = max(len(part) for part in lines)
    for column, (width, part) in enumerate(zip(widths, lines, strict=True)):
        for number, text in enumerate(part):
            pdf.set_xy(left, top + 3.8 * (tallest - len(part) + number))
            pdf.cell(width, 3.8, text.strip(), align=_alignment(column, _is_wordy(table)))
        left += width
    pdf.set_xy(pdf.l_margin, top + 3.8 * tallest + 0.6)
    pdf.set_draw_color(*_BLUE)
    pdf.set_line_width(0.35)
    pdf.line(pdf.l_margin, pdf.get_y(), pdf.w - pdf.r_margin, pdf.get_y())
    pdf.ln(0.5)


def _set_row(pdf: _Report, row: Row, widths: Sequence[float], height: float, size: float, *, words: bool) -> None:
    pdf.set_font("Helvetica", style="" if row.style == "plain" else "B", size=size)
    pdf.set_text_color(*(_BLUE if row.style == "section" else _BLACK))
    pdf.set_fill_color(*_PALE)
    for column, (width, cell) in enumerate(zip(widths, row.cells, strict=True)):
        pdf.cell(width, height, cell, align=_alignment(column, words), fill=row.style == "total")
    pdf.ln(height)


def _alignment(column: int, words: bool) -> Align:
    return Align.L if column == 0 or words else Align.R


def _is_wordy(table: TableBlock) -> bool:
    """Whether the second column holds words, as in a list of offices, so that right-aligning it would read badly."""
    return all(re.match(r"[A-Z][a-z]", row.cells[1]) for row in table.rows)
