"""PDF files: every page a page, words as a reader sees them. PDFium finds the characters; the layout is ours."""

from __future__ import annotations

from typing import Any

from rag_core.errors import (
    CorruptDocumentError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    ScannedDocumentError,
)
from rag_core.loading.drafting import Draft
from rag_core.loading.pdf_layout import Region, Row, Run, lay_out
from rag_core.loading.pdf_text import Look, title_key, write_region
from rag_core.loading.pdf_words import PageWords, read_words

__all__ = ["read_pdf"]

_MOST_BOOKMARKS = 5_000
_OUTLINE_DEPTH = 6
_PASSWORD_ERROR, _SECURITY_ERROR = 4, 5
_MOST_NAMED = 12


def read_pdf(data: bytes, draft: Draft) -> None:
    """Write every page to `draft`.

    Raises EncryptedDocumentError, CorruptDocumentError, EmptyDocumentError, DocumentTooLargeError, or
    ScannedDocumentError where its pages are pictures without text.
    """
    document = _open(data)
    try:
        count = len(document)
        if count > draft.limits.pages:
            raise DocumentTooLargeError(
                f"it has {count:,} pages, over the limit of {draft.limits.pages:,}; split it into smaller files"
            )
        if count == 0:
            raise EmptyDocumentError("it has no pages; export it again")
        notes = _Notes(count)
        pages = []
        for number in range(1, count + 1):
            pages.append(_read_page(document, number, notes))
            draft.on_page(number, count)
        notes.check(any(pages))
        look = Look.of(pages, _outline(document))
    finally:
        document.close()
    for regions in pages:
        draft.begin_page()
        for region in regions:
            write_region(region, look, draft)
    notes.warn(draft)


def _open(data: bytes) -> Any:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (_PASSWORD_ERROR, _SECURITY_ERROR):
            raise EncryptedDocumentError(
                "a password is needed to open it; save a copy without one and add that"
            ) from error
        raise CorruptDocumentError("it is damaged, or not a whole PDF file; get a new copy of it") from error


class _Notes:
    """What went wrong on which pages."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.damaged: list[int] = []
        self.pictures: list[int] = []
        self.recognised: list[int] = []
        self.hidden: list[int] = []

    def check(self, has_text: bool) -> None:
        """Raise what fits where no page has any text."""
        if has_text:
            return
        if len(self.damaged) == self._count:
            raise CorruptDocumentError("none of its pages can be read; get a new copy of it")
        if self.pictures:
            raise ScannedDocumentError(
                "its pages are pictures without text; run text recognition (OCR) on it and add the searchable PDF"
            )
        if self.hidden:
            raise EmptyDocumentError("all of its text is invisible to a reader; export it again with visible text")
        raise EmptyDocumentError("its pages have no text; export it again")

    def warn(self, draft: Draft) -> None:
        """Tell the reader about pages with less than all of their text."""
        for pages, text in (
            (self.damaged, "could not be read and were left out"),
            (self.pictures, "are pictures without text and were left out"),
            (self.recognised, "have text from text recognition, which may hold errors"),
            (self.hidden, "have invisible text, which was left out"),
        ):
            if pages:
                named = ", ".join(map(str, pages[:_MOST_NAMED])) + (", …" if len(pages) > _MOST_NAMED else "")
                draft.warn(f"Pages that {text}: {named}")


def _read_page(document: Any, number: int, notes: _Notes) -> list[Region]:
    """Return the layout of a page; what is wrong with it goes to `notes`."""
    import pypdfium2

    try:
        page = document[number - 1]
        try:
            words = read_words(page)
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        notes.damaged.append(number)
        return []
    if words.hidden:
        notes.hidden.append(number)
    if words.recognised:
        notes.recognised.append(number)
    if words.pictures:
        notes.pictures.append(number)
    regions = lay_out(words.words)
    turned = _turned_rows(words)
    return [*regions, Region(turned)] if turned else regions


def _turned_rows(words: PageWords) -> list[Row]:
    """Return words that run in another direction than the page, in the order they were drawn, one row a line."""
    rows: list[Row] = []
    base = 0.0
    for word in words.turned:
        if rows and abs(base - word.base) < 0.5 * word.size:
            rows[-1].runs[0].text += " " + word.text
        else:
            # Rows far apart, so that they do not read as one paragraph.
            rows.append(Row([Run(word.text, 0.0, 1.0, -1_000.0 * len(rows), word.size, word.bold)]))
        base = word.base
    return rows


def _outline(document: Any) -> dict[str, int]:
    """Return the bookmarks' titles, as lines are compared with them, and their levels; a broken outline gives none."""
    import pypdfium2

    levels: dict[str, int] = {}
    try:
        for count, bookmark in enumerate(document.get_toc(max_depth=_OUTLINE_DEPTH)):
            if count >= _MOST_BOOKMARKS:
                break
            title = title_key(bookmark.get_title() or "")
            if title:
                levels.setdefault(title, bookmark.level + 1)
    except (pypdfium2.PdfiumError, ValueError, UnicodeError):
        return levels
    return levels
