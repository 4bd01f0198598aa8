"""The explainer on duration, as a Word document."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path

import docx

__all__ = ["write_duration"]

_SECTIONS = (
    (
        "What duration measures",
        (
            "Macaulay duration is the average time, in years, until a bond's cash flows arrive, each weighted by its present "
            "value. Modified duration is Macaulay duration divided by one plus the yield per period; it says by how many "
            "percent the price falls when the yield rises by one percentage point.",
            "A bond with a modified duration of 6.2 loses about 3.1 percent of its price when its yield rises by 0.5 "
            "percentage points.",
        ),
    ),
    (
        "What makes duration long or short",
        (
            "Duration grows with maturity and falls with the coupon and with the yield. A zero-coupon bond has a Macaulay "
            "duration equal to its maturity. A floating-rate note has a duration close to the time until its next reset, "
            "often a quarter of a year.",
        ),
    ),
    (
        "Convexity",
        (
            "Duration is a straight line laid against a curve. Convexity corrects it: prices of ordinary bonds fall less when "
            "yields rise, and rise more when yields fall, than duration alone says. Callable bonds can have negative convexity, "
            "because the issuer redeems them when yields have fallen.",
        ),
    ),
    (
        "Use in practice",
        (
            "An insurer whose liabilities have a duration of 12 years and whose assets have one of 9 years loses when yields "
            "fall. It can buy longer bonds or enter receiver swaps to close the gap of 3 years.",
            "Key-rate durations split the sensitivity by maturity, so that a steepening of the curve can be hedged as well as "
            "a parallel shift.",
        ),
    ),
)
_EXAMPLE = (
    ("Year", "Cash flow", "Present value at 4 percent", "Weight times year"),
    ("1", "5.00", "4.81", "0.047"),
    ("2", "5.00", "4.62", "0.090"),
    ("3", "105.00", "93.34", "2.725"),
    ("Total", "115.00", "102.78", "2.861"),
)


def write_duration(path: Path) -> None:
    """Write the document, with fixed dates so that it comes out the same each time."""
    document = docx.Document()
    document.core_properties.author = "RagOptimize samples"
    document.core_properties.created = document.core_properties.modified = datetime(2024, 1, 2)
    document.add_heading("Bond duration", level=1)
    for heading, paragraphs in _SECTIONS:
        document.add_heading(heading, level=2)
        for paragraph in paragraphs:
            document.add_paragraph(paragraph)
    document.add_heading("Example: a three-year bond with a coupon of 5 percent", level=2)
    table = document.add_table(rows=0, cols=4)
    for row in _EXAMPLE:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_paragraph("The Macaulay duration is 2.86 years and the modified duration 2.75.")
    document.save(str(path))
    _fix_dates(path)


def _fix_dates(path: Path) -> None:
    """Write the archive anew with constant times: a zip file records when each part was packed."""
    with zipfile.ZipFile(path) as archive:
        parts = [(item.filename, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts:
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 2, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
