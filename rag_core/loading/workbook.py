"""Excel workbooks: each visible sheet a page, its cells as the sheet shows them, what is hidden left out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rag_core.errors import CorruptDocumentError
from rag_core.loading.archives import check_archive
from rag_core.loading.drafting import Draft
from rag_core.loading.grids import write_grid
from rag_core.loading.numberformats import format_value

__all__ = ["read_workbook"]

# Rows of one merge, and of all: beyond, they are hostile or broken rather than labels over some rows.
_MOST_MERGED_ROWS = 1_000
_MOST_MERGES = 50_000
# What a sheet can have; a file that claims more would keep its reader busy with rows that are not there.
_MOST_ROWS, _MOST_COLUMNS = 1_048_576, 16_384
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/spreadsheetml/main}"
_WHITE = ("FFFFFFFF", "00FFFFFF")


@dataclass(slots=True)
class _Layout:
    """What the sheet's own XML says beside its values: hidden rows and columns, merges, and lost formulas.

    Rows and columns are 1-based. `fill_down` maps (row, column) to the row whose value a merge shows there; `filled` counts
    all that merges wanted.
    """

    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    fill_down: dict[tuple[int, int], int] = field(default_factory=dict)
    filled: int = 0
    uncomputed: int = 0


def read_workbook(data: bytes, draft: Draft) -> None:
    """Write every visible sheet to `draft` as a page under its name.

    Raises the errors of `check_archive`, and CorruptDocumentError where the workbook cannot be read.
    """
    check_archive(data, "xl/workbook.xml", draft.limits.expanded_bytes)
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    except MemoryError:
        raise
    except Exception as error:
        # openpyxl lets whatever its parts meet escape: KeyError, ValueError, XML errors.
        raise CorruptDocumentError("its workbook cannot be read; open it in Excel and save it again") from error
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if hidden := len(book.worksheets) - len(visible):
            draft.warn(f"Left out {hidden} hidden sheet{'s' * (hidden > 1)}")
        for number, sheet in enumerate(visible, start=1):
            draft.begin_page(sheet.title)
            _write_sheet(sheet, archive, draft)
            draft.on_page(number, len(visible))


def _write_sheet(sheet: Any, archive: zipfile.ZipFile, draft: Draft) -> None:
    title = " ".join(str(sheet.title).split())
    try:
        layout = _read_layout(archive, str(sheet._worksheet_path).lstrip("/"))
        rows = list(_rows(sheet, layout, draft))
    except MemoryError:
        raise
    except Exception as error:
        raise CorruptDocumentError(
            f"its sheet {title[:40]} cannot be read; open it in Excel and save it again"
        ) from error
    if not any(any(row) for row in rows):
        return
    draft.heading(1, title)
    if layout.uncomputed:
        draft.warn(
            f"{layout.uncomputed} formulas on sheet {title[:40]} have no stored value; open it in Excel and save it again"
        )
    write_grid(draft, rows, breaks=True)


def _rows(sheet: Any, layout: _Layout, draft: Draft) -> Iterator[list[str]]:
    """Yield the visible rows as shown text. Runs of empty rows come as one."""
    sheet.reset_dimensions()  # A sheet may declare a million rows that it does not have.
    merged: dict[int, tuple[int, str]] = {}
    white: dict[int, bool] = {}
    blank = False
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        if number in layout.hidden_rows:
            if any(cell.value is not None for cell in cells):
                draft.warn(f"Left out hidden rows on sheet {sheet.title[:40]}")
            continue
        row = _row(cells, number, layout, merged, white, draft)
        if row or not blank:
            yield row
        blank = not row


def _row(
    cells: Any, number: int, layout: _Layout, merged: dict[int, tuple[int, str]], white: dict[int, bool], draft: Draft
) -> list[str]:
    """Return a row's cells as shown, without those hidden and the empty ones at its end."""
    row: list[str] = []
    for column, cell in enumerate(cells, start=1):
        if column in layout.hidden_columns:
            if cell.value is not None:
                draft.warn("Left out hidden columns")
            continue
        text = "" if cell.value is None else format_value(cell.value, cell.number_format)
        if text and _is_white(cell, white):
            draft.warn("Left out white text on a white ground")
            text = ""
        origin = layout.fill_down.get((number, column)) if layout.fill_down else None
        if origin == number:
            merged[column] = (number, text)
        elif origin is not None and not text and merged.get(column, (0, ""))[0] == origin:
            text = merged[column][1]
        row.append(text)
    while row and not row[-1].strip():
        row.pop()
    return row


def _is_white(cell: Any, known: dict[int, bool]) -> bool:
    """Tell whether a cell's style is white letters on no fill or a white one; `known` remembers styles."""
    style = int(cell._style_id)
    if style not in known:
        color, fill = cell.font.color, cell.fill
        letters = color is not None and (
            (color.type == "rgb" and color.rgb in _WHITE) or (color.type == "theme" and color.theme == 0)
        )
        ground = fill.fill_type is None or (fill.fill_type == "solid" and fill.fgColor.rgb in _WHITE)
        known[style] = bool(letters and ground)
    return known[style]


def _read_layout(archive: zipfile.ZipFile, path: str) -> _Layout:
    """Read hidden rows and columns, merged ranges and formulas without a value from a sheet's XML, in one pass."""
    from lxml import etree

    layout = _Layout()
    tags = [f"{space}{name}" for space in (_MAIN, _STRICT) for name in ("row", "col", "mergeCell", "c")]
    with archive.open(path) as stream:
        for _, element in etree.iterparse(
            stream, events=("end",), tag=tags, resolve_entities=False, no_network=True, huge_tree=False
        ):
            name = element.tag.rpartition("}")[2]
            if name == "c":
                children = {child.tag.rpartition("}")[2]: child for child in element}
                if "f" in children and ("v" not in children or not (children["v"].text or "")):
                    # Text formulas with an empty result carry an empty value of type `str`: nothing is lost there.
                    layout.uncomputed += element.get("t") != "str"
                continue
            if name == "row":
                number = int(element.get("r") or 0)
                if number > _MOST_ROWS:
                    raise ValueError("a row beyond the last that a sheet can have")
                if element.get("hidden") in ("1", "true"):
                    layout.hidden_rows.add(number)
            elif name == "col":
                if element.get("hidden") in ("1", "true"):
                    last = min(int(element.get("max")), _MOST_COLUMNS)
                    layout.hidden_columns.update(range(int(element.get("min")), last + 1))
            else:
                _add_merge(layout, element.get("ref") or "")
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    return layout


def _add_merge(layout: _Layout, reference: str) -> None:
    """Note a merge that spans rows, so that its label stands in each of them."""
    from openpyxl.utils import range_boundaries

    first_column, first_row, _, last_row = range_boundaries(reference)
    if None in (first_column, first_row, last_row) or layout.filled > _MOST_MERGES:
        return
    if 0 < int(last_row or 0) - int(first_row or 0) < _MOST_MERGED_ROWS:
        layout.filled += int(last_row or 0) - int(first_row or 0)
        for row in range(int(first_row or 0), int(last_row or 0) + 1):
            layout.fill_down.setdefault((row, int(first_column or 0)), int(first_row or 0))
