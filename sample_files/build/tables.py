"""The report's tables, from `report/tables.txt`: what each row shows, as expressions over the ledger.

[balance_sheet]
columns: 2023; 2022; 2021              a column for each year, or `Title=key; Title=key; Total=total`
notes                                  a second column with the number of the note
year: 2022                             the year of a table with keys, 2023 where there is none
unit: Thousands of shares              what stands above the labels
# Assets                               a row of its own that opens a part
Inventories | 12 | inventories         label, note, expression
*Total assets | | assets               a total
Revenue | | revenue_{}                 the expression of each key; the column `total` adds them up
Dividend | | earnings=-dividend_paid   some keys only
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sample_files.build.blocks import Row, RowStyle, TableBlock
from sample_files.build.figures import DEFAULT_YEAR, amount, amount_of, value_of
from sample_files.build.ledger import Ledger

__all__ = ["NOTE", "read_tables"]

NOTE = "Note"
_SOURCE = Path(__file__).with_name("report") / "tables.txt"
_UNIT = "In thousands of euros"
_TOTAL = "total"
_NOTE_WIDTH = 0.07


@dataclass
class _Plan:
    """One table as it is written down; `columns` are titles and keys, the keys of years being the years."""

    columns: list[tuple[str, str]] = field(default_factory=list)
    unit: str = _UNIT
    year: int = DEFAULT_YEAR
    notes: bool = False
    rows: list[str] = field(default_factory=list)


def read_tables(ledger: Ledger) -> dict[str, TableBlock]:
    """Return every table by its name. Raises KeyError for a line that the ledger does not have."""
    return {name: _table(plan, ledger) for name, plan in _plans().items()}


def _plans() -> dict[str, _Plan]:
    plans: dict[str, _Plan] = {}
    plan = _Plan()
    for line in filter(None, _SOURCE.read_text(encoding="utf-8").splitlines()):
        setting, colon, value = line.partition(": ")
        if line.startswith("["):
            plan = plans[line.strip("[]")] = _Plan()
        elif line == "notes":
            plan.notes = True
        elif colon and setting == "unit":
            plan.unit = value
        elif colon and setting == "year":
            plan.year = int(value)
        elif colon and setting == "columns":
            for column in value.split("; "):
                title, _, key = column.partition("=")
                plan.columns.append((title, key or title))
        else:
            plan.rows.append(line)
    return plans


def _table(plan: _Plan, ledger: Ledger) -> TableBlock:
    notes = [NOTE] if plan.notes else []
    header = (plan.unit, *notes, *(title for title, _ in plan.columns))
    rows = tuple(_row(line, plan, ledger, len(header)) for line in plan.rows)
    return TableBlock(header, rows, _widths(len(plan.columns), plan.notes))


def _widths(columns: int, notes: bool) -> tuple[float, ...]:
    """Return the shares of the line: figures have the room that they need, labels the rest."""
    figures = min(0.14, 0.78 / columns)
    beside = _NOTE_WIDTH if notes else 0.0
    return (1 - beside - columns * figures, *([beside] if notes else []), *[figures] * columns)


def _row(line: str, plan: _Plan, ledger: Ledger, width: int) -> Row:
    if line.startswith("# "):
        return Row((line[2:], *[""] * (width - 1)), "section")
    label, note, expression = (part.strip() for part in line.split("|"))
    style: RowStyle = "total" if label.startswith("*") else "plain"
    cells = _cells(expression, plan, ledger)
    return Row((label.lstrip("*"), *([note] if plan.notes else []), *cells), style)


def _cells(expression: str, plan: _Plan, ledger: Ledger) -> Sequence[str]:
    if all(key.isdigit() for _, key in plan.columns):
        return [amount_of(ledger, expression, int(key)) for _, key in plan.columns]
    keys = [key for _, key in plan.columns if key != _TOTAL]
    if "{}" in expression:
        parts = {key: expression.replace("{}", key) for key in keys}
    else:
        parts = dict(part.split("=", 1) for part in expression.split(", "))
    values = {key: value_of(ledger, part, plan.year) for key, part in parts.items()}
    values[_TOTAL] = sum(values.values())
    return [amount(values.get(key, 0)) for _, key in plan.columns]
