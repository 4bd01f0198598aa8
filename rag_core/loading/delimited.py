"""Comma- and tab-separated values: one table, its delimiter found by which one gives rows of equal width."""

from __future__ import annotations

import csv
import io
from collections import Counter
from itertools import islice

from rag_core.errors import CorruptDocumentError, DocumentTooLargeError
from rag_core.loading.cleaning import clean_text
from rag_core.loading.drafting import Draft
from rag_core.loading.encoding import decode
from rag_core.loading.grids import write_grid

__all__ = ["read_csv", "read_tsv"]

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 100_000
# A cell beyond this is a quote that was never closed rather than something a person wrote.
_MOST_CELL_CHARACTERS = 131_072


def read_csv(data: bytes, draft: Draft) -> None:
    """Write the rows of comma-, semicolon-, tab- or bar-separated values to `draft` as one table.

    Raises UnsupportedFormatError for binary content, DocumentTooLargeError for a cell beyond 131,072 characters.
    """
    _read(data, draft, None)


def read_tsv(data: bytes, draft: Draft) -> None:
    """Write the rows of tab-separated values to `draft` as one table; raises as `read_csv` does."""
    _read(data, draft, "\t")


def _read(data: bytes, draft: Draft, delimiter: str | None) -> None:
    text, warnings = decode(data)
    for warning in warnings:
        draft.warn(warning)
    text = clean_text(text)
    if delimiter is None and (text[:4].lower() == "sep=") and text[5:6] == "\n":
        # Excel's own way to name the delimiter, on a line that it does not show.
        delimiter, text = text[4], text[6:]
    if len(text) > draft.limits.characters * 2:
        raise DocumentTooLargeError(
            f"it has more than {draft.limits.characters:,} characters; split it into smaller files"
        )
    draft.begin_page()
    write_grid(draft, _rows(text, delimiter or _delimiter(text)), breaks=False)
    draft.on_page(1, 1)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(_MOST_CELL_CHARACTERS)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        if "field larger" in str(error):
            raise DocumentTooLargeError(
                f"a cell has more than {_MOST_CELL_CHARACTERS:,} characters; perhaps a quote is never closed"
            ) from error
        raise CorruptDocumentError(f"its rows cannot be told apart ({error}); export it again") from error


def _delimiter(text: str) -> str:
    """Return the delimiter under which most of the first rows have the same width, above one."""
    sample = text[:_SAMPLE_CHARACTERS]
    best, best_score = ",", 0.0
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        try:
            reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True)
            widths = Counter(len(row) for row in islice(reader, _SAMPLE_ROWS) if row)
        except csv.Error:
            continue
        width, count = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]), default=(1, 0))
        score = count / max(1, widths.total()) * (width > 1) + min(width, 50) / 1_000
        if score > best_score:
            best, best_score = delimiter, score
    return best
