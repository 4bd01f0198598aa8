"""csv and xlsx: whole rows, a sheet a page, figures as a person sees them in the sheet."""

from __future__ import annotations

import csv
import datetime
import io
import re
from pathlib import Path
from typing import Any

from rag_core.reading.building import Refused, TextBuilder
from rag_core.reading.plain import decode

__all__ = ["format_value", "read_csv", "read_workbook"]

# A sheet may declare a million empty rows; this many in a row end it.
_EMPTY_ROWS = 1_000
_MOST_COLUMNS = 512


def read_csv(path: Path, out: TextBuilder) -> None:
    """Read delimited text; the delimiter is detected."""
    out.page(1)
    text = decode(path.read_bytes()).replace("\0", "")
    csv.field_size_limit(1_000_000)
    sample = text[:20_000]
    try:
        dialect: Any = csv.Sniffer().sniff(sample, delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel_tab if path.suffix.lower() == ".tsv" else csv.excel
    try:
        rows = [row[:_MOST_COLUMNS] for row in csv.reader(io.StringIO(text, newline=""), dialect)]
    except csv.Error as error:
        raise Refused("CorruptDocumentError", f"is damaged: {error}; export it again") from error
    out.table(rows)


def read_workbook(path: Path, out: TextBuilder) -> None:
    """Read an Excel workbook; hidden sheets and rows are left out, with a warning."""
    import openpyxl

    book = (
        openpyxl.load_workbook(path, read_only=False, data_only=True, keep_links=False)
        if path.stat().st_size < 4_000_000
        else openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    )
    total, number = len(book.worksheets), 0
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            out.warn("Hidden sheets were left out.")
            continue
        number += 1
        out.page(number, total, label=sheet.title)
        out.heading(1, sheet.title)
        _sheet(sheet, out)
    book.close()


def _sheet(sheet: Any, out: TextBuilder) -> None:
    hidden = {index for index, size in getattr(sheet, "row_dimensions", {}).items() if getattr(size, "hidden", False)}
    rows: list[list[str]] = []
    empty = 0
    for index, row in enumerate(
        sheet.iter_rows(max_col=min(sheet.max_column or _MOST_COLUMNS, _MOST_COLUMNS)), start=1
    ):
        if index in hidden:
            out.warn("Hidden rows were left out.")
            continue
        cells = [format_value(cell.value, getattr(cell, "number_format", "General") or "General") for cell in row]
        if any(cells):
            rows.append(cells)
            empty = 0
            continue
        _flush(rows, out)
        empty += 1
        if empty > _EMPTY_ROWS:
            break
    _flush(rows, out)


def _flush(rows: list[list[str]], out: TextBuilder) -> None:
    """Write the rows gathered as a table; a single row of one cell is a title."""
    while rows and sum(1 for cell in rows[0] if cell) == 1:
        out.line(next(cell for cell in rows.pop(0) if cell))
    if rows:
        used = [
            column for column in range(max(map(len, rows))) if any(column < len(row) and row[column] for row in rows)
        ]
        out.table([[row[column] if column < len(row) else "" for column in used] for row in rows])
        rows.clear()


def format_value(value: Any, number_format: str) -> str:
    """Return a cell's value as its number format shows it: thousands, decimals, percent, brackets, dates."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime) and (value.hour, value.minute, value.second) == (0, 0, 0):
        return value.date().isoformat()
    if isinstance(value, (datetime.date, datetime.time, datetime.datetime)):
        return value.isoformat()
    if not isinstance(value, (int, float)):
        return str(value)
    if number_format in ("General", "@"):
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.10g}"
    return _format_number(float(value), number_format)


def _format_number(value: float, number_format: str) -> str:
    sections = number_format.split(";")
    section = sections[1] if value < 0 and len(sections) > 1 else sections[0]
    plain = re.sub(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.', "", section)
    percent = "%" in plain
    match = re.search(r"0\.([0#?]+)", plain)
    decimals = len(match.group(1)) if match else 0
    scaled = abs(value) * (100 if percent else 1)
    if re.search(r"[0#?],(?![0#?])", plain):
        scaled /= 1_000 ** len(re.search(r",+(?![0#?,])", plain).group())  # type: ignore[union-attr]
    text = f"{scaled:,.{decimals}f}" if "#,##0" in plain or ",0" in plain else f"{scaled:.{decimals}f}"
    currency = re.search(r"\[\$([^\]-]+)|([$€£¥])", section)
    text = (currency.group(1) or currency.group(2) if currency else "") + text + ("%" if percent else "")
    if value < 0 and scaled:
        return f"({text})" if "(" in section else f"-{text}"
    return text
