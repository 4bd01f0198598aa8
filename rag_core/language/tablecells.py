"""Which year each figure of a table row belongs to: the one above its column."""

from __future__ import annotations

import re

from rag_core.language.sentences import terms, years
from rag_core.records import Document, Table

__all__ = ["PLANNED", "figure_years", "planned_figures", "table_at"]

# What heads a column of figures that have not come about, and asks for them.
PLANNED = re.compile(
    r"\b(?:targets?|budget(?:ed|s)?|forecasts?|outlook|guidance|plan(?:ned|s)?|goals?|ambitions?|aims?|expect\w*|estimate[sd]?|"
    r"projected|projections?)\b|\b20\d\d ?e\b",
    re.IGNORECASE,
)

_SEPARATOR = " |"


def table_at(document: Document, position: int) -> Table | None:
    """Return the table that holds `position`, if any."""
    return next((table for table in document.tables if table.start <= position < table.end), None)


def figure_years(document: Document, start: int, end: int) -> dict[str, frozenset[str]]:
    """Return the years above each figure (as `terms` spells it) of the rows in `[start, end)`; empty outside of tables.

    A figure that also stands under no year, in the label for one, is left out: it may belong to any.
    """
    above = [frozenset(years(cell)) for cell in _header(document, start)]
    if not any(above):
        return {}
    found: dict[str, frozenset[str]] = {}
    free: set[str] = set()
    for line in document.text[start:end].split("\n"):
        for column, cell in enumerate(_cells(line)):
            named = above[column] if column < len(above) else frozenset()
            for term in terms(cell):
                if any(character.isdigit() for character in term):
                    found[term] = found.get(term, frozenset()) | named
                    free |= set() if named else {term}
    return {term: named for term, named in found.items() if term not in free}


def planned_figures(document: Document, start: int, end: int) -> frozenset[str]:
    """Return the figures (as `terms` spells them) of the rows in `[start, end)` that stand under a plan or a target alone."""
    planned = [bool(PLANNED.search(cell)) for cell in _header(document, start)]
    ahead: set[str] = set()
    others: set[str] = set()
    for line in document.text[start:end].split("\n") if any(planned) else ():
        for column, cell in enumerate(_cells(line)):
            under = column < len(planned) and planned[column]
            (ahead if under else others).update(term for term in terms(cell) if any(map(str.isdigit, term)))
    return frozenset(ahead - others)


def _header(document: Document, start: int) -> list[str]:
    table = table_at(document, start)
    return _cells(document.text[table.header_start : table.header_end]) if table else []


def _cells(line: str) -> list[str]:
    """Return the cells of a row; one that starts with a bar has an empty first cell."""
    line = line.strip()
    return (f" {line}" if line.startswith("|") else line).split(_SEPARATOR)
