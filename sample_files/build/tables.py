"""The workbook of the invented company's statements, and the unit prices of an invented fund as csv."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import openpyxl
from openpyxl.styles import Font

from sample_files.build import statements
from sample_files.build.duration import _fix_dates

__all__ = ["fund_rows", "write_fund", "write_workbook"]

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
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    book.properties.created = book.properties.modified = datetime(2024, 1, 2)
    for title, rows in (
        ("Income statement", statements.income_statement()),
        ("Balance sheet", statements.balance_sheet()),
        ("Cash flow", statements.cash_flow()),
        ("Segments", statements.notes()["segments"]),
    ):
        sheet = book.create_sheet(title)
        sheet.append(["Halden Instruments N.V. (invented company)"])
        sheet.append([])
        for number, row in enumerate(rows):
            sheet.append([row[0], *(cell if number == 0 else _number(cell) for cell in row[1:])])
            for cell in sheet[sheet.max_row][1:]:
                cell.number_format = "0.00;(0.00)" if "per share" in row[0] else "#,##0;(#,##0);-"
            if number == 0:
                for cell in sheet[sheet.max_row]:
                    cell.font = Font(bold=True)
        sheet.column_dimensions["A"].width = 48
    book.save(path)
    _fix_dates(path)


def _number(text: str) -> float:
    digits = text.strip("()").replace(",", "")
    value = 0.0 if digits == "-" else float(digits)
    return -value if text.startswith("(") else value
