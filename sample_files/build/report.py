"""The 20-page annual report of the invented company, as a PDF that comes out the same each time."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from fpdf import FPDF

from sample_files.build import narrative, statements
from sample_files.build.company import NAME

__all__ = ["PAGES", "write_report"]

PAGES = 20
_INK, _ACCENT, _RULE = (30, 36, 44), (18, 82, 110), (190, 200, 206)
# Rows that sum up others are set in bold with a rule above.
_TOTALS = (
    "Gross profit", "Operating profit", "Profit before tax", "Profit for the year", "Total", "Net cash", "Equity at 31",
    "Carrying amount at 31", "Lease liabilities at 31", "Cash at 31", "Income tax expense", "Shares for diluted",
)  # fmt: skip


class _Report(FPDF):
    def __init__(self) -> None:
        super().__init__(format="A4")
        self.set_auto_page_break(False)
        self.set_margins(22, 22, 22)
        self.set_creation_date(datetime(2024, 3, 14, tzinfo=timezone.utc))
        self.set_title(f"{NAME}: annual report 2023 (invented company)")
        self.set_producer("sample_files.build")

    def footer(self) -> None:
        """Mark every page as invented and number it."""
        self.set_y(-16)
        self.set_font("helvetica", size=7.5)
        self.set_text_color(110, 118, 126)
        self.cell(0, 5, f"{NAME} - Annual report 2023 - Invented company, for demonstration only")
        self.set_x(-40)
        self.cell(18, 5, f"Page {self.page_no()}", align="R")

    def headline(self, text: str, size: float = 17) -> None:
        """Write a heading."""
        self.set_font("helvetica", "B", size)
        self.set_text_color(*_ACCENT)
        self.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT")
        self.ln(3)

    def prose(self, paragraphs: list[str]) -> None:
        """Write paragraphs."""
        self.set_font("helvetica", size=10.5)
        self.set_text_color(*_INK)
        for paragraph in paragraphs:
            self.multi_cell(0, 5.6, paragraph, align="L", new_x="LMARGIN", new_y="NEXT")
            self.ln(2.6)

    def figures(self, rows: statements.Table) -> None:
        """Write a table: labels left, figures right, totals ruled off."""
        columns = len(rows[0]) - 1
        width = 26.0 if columns == 3 else 30.0
        label_width = self.epw - columns * width
        self.set_draw_color(*_RULE)
        for index, row in enumerate(rows):
            total = row[0].startswith(_TOTALS)
            self.set_font("helvetica", "B" if index == 0 or total else "", 9.5)
            self.set_text_color(*(_ACCENT if index == 0 else _INK))
            if total or index == 1:
                self.line(self.l_margin, self.get_y(), self.l_margin + self.epw, self.get_y())
            self.cell(label_width, 6.4, row[0])
            for cell in row[1:]:
                self.cell(width, 6.4, cell, align="R")
            self.ln(6.4)
        self.line(self.l_margin, self.get_y(), self.l_margin + self.epw, self.get_y())
        self.ln(5)


def write_report(path: Path) -> None:
    """Write the report. Raises ValueError where a page overflows or the number of pages is not PAGES."""
    pdf = _Report()
    _cover(pdf)
    pdf.add_page()
    pdf.headline("Key figures")
    pdf.figures(statements.key_figures())
    pdf.prose(
        [
            "Amounts are in thousands of euros unless stated otherwise. Figures in brackets are negative. Percentages are "
            "rounded to one decimal."
        ]
    )
    for page in narrative.FRONT:
        _page(pdf, page)
    for title, rows in (
        ("Consolidated income statement", statements.income_statement()),
        ("Consolidated balance sheet at 31 December", statements.balance_sheet()),
        ("Consolidated cash flow statement", statements.cash_flow()),
        ("Consolidated statement of changes in equity", statements.equity_changes()),
    ):
        pdf.add_page()
        pdf.headline(title)
        pdf.figures(rows)
    _notes(pdf)
    _page(pdf, narrative.AFTER_NOTES)
    if pdf.page_no() != PAGES:
        raise ValueError(f"the report has {pdf.page_no()} pages, not {PAGES}")
    pdf.output(str(path))


def _cover(pdf: _Report) -> None:
    pdf.add_page()
    pdf.set_fill_color(*_ACCENT)
    pdf.rect(0, 0, pdf.w, 96, style="F")
    pdf.set_xy(22, 46)
    pdf.set_text_color(255, 255, 255)
    pdf.set_font("helvetica", "B", 28)
    pdf.cell(0, 12, NAME, new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("helvetica", size=15)
    pdf.cell(0, 10, "Annual report 2023", new_x="LMARGIN", new_y="NEXT")
    pdf.set_y(116)
    pdf.headline("This company is invented", 13)
    pdf.prose(
        [
            "Halden Instruments N.V., its people, its products and all figures in this report were made up to show how "
            "software reads annual reports. Nothing in it is advice, and nothing in it is true of any real company."
        ]
    )


def _page(pdf: _Report, sections: narrative.Page) -> None:
    pdf.add_page()
    for number, (heading, paragraphs) in enumerate(sections):
        pdf.headline(heading, 17 if number == 0 else 13)
        pdf.prose(paragraphs)
    _check(pdf)


def _check(pdf: _Report) -> None:
    if pdf.get_y() > pdf.h - 22:
        raise ValueError(f"page {pdf.page_no()} overflows")


def _notes(pdf: _Report) -> None:
    words, tables = narrative.NOTES, statements.notes()
    pages: list[list[tuple[str, str, str]]] = [
        [("Note 1. Basis of preparation and accounting policies", "basis", "")],
        [("Note 2. Segments and revenue", "segments", "segments"), ("Note 3. Goodwill", "goodwill", "")],
        [("Note 4. Property, plant and equipment", "equipment", "equipment"), ("Note 5. Leases", "leases", "leases")],
        [
            ("Note 6. Borrowings and debt maturities", "borrowings", "maturities"),
            ("Note 7. Income tax", "tax", "tax"),
            ("Note 8. Share-based payment", "share_based", ""),
            ("Note 9. Earnings per share", "", "shares"),
            ("Note 10. Commitments", "", "commitments"),
            ("Note 11. Claims", "commitments", ""),
        ],
    ]
    for sections in pages:
        pdf.add_page()
        for number, (heading, text, table) in enumerate(sections):
            pdf.headline(heading, 15 if number == 0 else 12)
            if text:
                pdf.prose(words[text])
            if table:
                pdf.figures(tables[table])
        _check(pdf)
