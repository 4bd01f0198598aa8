"""A document cut into views that a page can show: one for each of its pages, a long page in several parts."""

from __future__ import annotations

from dataclasses import dataclass

from rag_core import Document

__all__ = ["VIEW_CHARACTERS", "View", "view_at", "views_of"]

# More text than this in one element makes a phone stutter; it is about five printed pages.
VIEW_CHARACTERS = 16_000


@dataclass(frozen=True, slots=True)
class View:
    """The span [start, end) of a document's text, on `page` (1-based), `part` of `parts` of that page."""

    start: int
    end: int
    page: int
    label: str = ""
    part: int = 1
    parts: int = 1


def views_of(document: Document) -> tuple[View, ...]:
    """Return views that cover the document's text in order, at least one."""
    result: list[View] = []
    for page in document.pages:
        spans = _parts(document.text, page.start, page.end)
        for part, (start, end) in enumerate(spans, start=1):
            result.append(View(start, end, page.number, page.label, part, len(spans)))
    return tuple(result) or (View(0, len(document.text), 1),)


def view_at(views: tuple[View, ...], position: int) -> int:
    """Return the index of the view that holds the character at `position`."""
    for index, view in enumerate(views):
        if position < view.end:
            return index
    return len(views) - 1


def _parts(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Cut [start, end) at line ends into pieces of about VIEW_CHARACTERS."""
    spans = []
    while end - start > VIEW_CHARACTERS * 5 // 4:
        cut = text.rfind("\n", start + VIEW_CHARACTERS // 2, start + VIEW_CHARACTERS) + 1
        if cut <= start:
            cut = text.rfind(" ", start + VIEW_CHARACTERS // 2, start + VIEW_CHARACTERS) + 1
        if cut <= start:
            cut = start + VIEW_CHARACTERS
        spans.append((start, cut))
        start = cut
    spans.append((start, end))
    return spans
