"""Which year each figure of a table row belongs to: the one above its column."""

from __future__ import annotations

from rag_core.language.sentences import terms, years
from rag_core.records import Document, Table

__all__ = ["figure_years", "table_at"]

_SEPARATOR = " |"


def table_at(document: Document, position: int) -> Table | None:
    """Return the table that holds `position`, if any."""
    return next((table for table in document.tables if table.start <= position < table.end), None)


def figure_years(document: Document, start: int, end: int) -> dict[str, frozenset[str]]:
    """Return the years above each figure (as `terms` spells it) of the rows in `[start, end)`; empty outside of tables.

    A figure that also stands under no year, in the label for one, is left out: it may belong to any.
    """
    table = table_at(document, start)
    header = _cells(document.text[table.header_start : table.header_end]) if table else []
    above = [frozenset(years(cell)) for cell in header]
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


def _cells(line: str) -> list[str]:
    """Return the cells of a row; one that starts with a bar has an empty first cell."""
    line = line.strip()
    return (f" {line}" if line.startswith("|") else line).split(_SEPARATOR)
