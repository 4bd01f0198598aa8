"""The workbook of the invented company's statements, and the unit prices of an invented fund as csv."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import openpyxl
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from sample_files.build.blocks import TableBlock
from sample_files.build.duration import _fix_dates
from sample_files.build.ledger import COMPANY, read_ledger
from sample_files.build.tables import NOTE, read_tables

__all__ = ["fund_rows", "write_fund", "write_workbook"]

# The title of each sheet and the table on it.
_SHEETS = (
    ("Income statement", "income_statement"),
    ("Balance sheet", "balance_sheet"),
    ("Cash flow", "cash_flow"),
    ("Segments", "segment_summary"),
    ("Key figures", "highlights"),
)
# Return of each month of 2023 in hundredths of a percent, and units in issue in thousands.
_RETURNS = (142, -61, 88, 35, -27, 64, 73, -52, -118, -44, 231, 176)
_UNITS = (1_540, 1_552, 1_561, 1_570, 1_583, 1_600, 1_604, 1_598, 1_571, 1_560, 1_566, 1_580)


def fund_rows() -> list[list[str]]:
    """Return month, NAV per unit in euros, return in percent, units and net assets in thousands."""
    rows = [["Month", "NAV per unit (EUR)", "Return (%)", "Units (thousand)", "Net assets (EUR thousand)"]]
    nav = 117.20
    for month, (change, units) in enumerate(zip(_RETURNS, _UNITS, strict=True), start=1):
        nav = round(nav * (1 + change / 10_000), 2)
        rows.append([f"2023-{month:02d}", f"{nav:.2f}", f"{change / 100:.2f}", f"{units:,}", f"{nav * units:,.0f}"])
    return rows


def write_fund(path: Path) -> None:
    """Write the fund's months as csv."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(fund_rows())


def write_workbook(path: Path) -> None:
    """Write the statements, one a sheet, as numbers with formats."""
    tables = read_tables(read_ledger())
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    book.properties.created = book.properties.modified = datetime(2024, 3, 8)
    for title, name in _SHEETS:
        _write_sheet(book.create_sheet(title), tables[name])
    book.save(path)
    _fix_dates(path)


def _write_sheet(sheet: Worksheet, table: TableBlock) -> None:
    sheet.append([f"{COMPANY} (invented company)"])
    sheet.append([])
    shown = [column for column, title in enumerate(table.header) if title != NOTE]
    sheet.append([table.header[column] for column in shown])
    _make_bold(sheet)
    for row in table.rows:
        cells = [row.cells[column] for column in shown]
        sheet.append([cells[0], *map(_number, cells[1:])])
        for cell, text in zip(sheet[sheet.max_row][1:], cells[1:], strict=True):
            cell.number_format = _format(text)
        if row.style != "plain":
            _make_bold(sheet)
    sheet.column_dimensions["A"].width = 48


def _make_bold(sheet: Worksheet) -> None:
    for cell in sheet[sheet.max_row]:
        cell.font = Font(bold=True)


def _number(text: str) -> float | None:
    """Return the number that a cell prints; a percentage as its fraction, nothing for an empty cell."""
    if not text:
        return None
    digits = text.strip("()%").replace(",", "")
    value = 0.0 if digits == "-" else float(digits)
    return -value if text.startswith("(") else round(value / 100, 6) if text.endswith("%") else value


def _format(text: str) -> str:
    if text.endswith("%"):
        return "0.0%"
    return "0.00;(0.00)" if "." in text else "#,##0;(#,##0);-"
