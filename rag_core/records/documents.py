"""What is read and found: a document, where things stand in it, its passages and windows, a hit.

Every span is a half-open range of characters [start, end) of `Document.text`; every page number is 1-based.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "Chunk",
    "Document",
    "Heading",
    "Hit",
    "Page",
    "Table",
    "Window",
]


@dataclass(frozen=True, slots=True)
class Page:
    """One page (PDF), sheet (xlsx) or the whole (all other formats): `number` is 1-based, the span is of the text."""

    number: int
    start: int
    end: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in the text: `level` 1 (outermost) to 6, `title` its words, the span where it stands."""

    level: int
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the text, one row a line with cells joined by ` | `; `header` is the span of its header row, if any."""

    start: int
    end: int
    header_start: int = 0
    header_end: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its text, and where pages, headings and tables stand in it.

    `id` is a SHA-256 of the file's bytes and its type, so the same content has the same id under any name.
    """

    id: str
    name: str
    media_type: str
    byte_count: int
    text: str = field(repr=False)
    pages: tuple[Page, ...] = field(default=(), repr=False)
    headings: tuple[Heading, ...] = field(default=(), repr=False)
    tables: tuple[Table, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()
    chunk_count: int = 0
    window_count: int = 0

    @property
    def page_count(self) -> int:
        """Number of pages."""
        return len(self.pages)

    @property
    def character_count(self) -> int:
        """Length of the text in characters."""
        return len(self.text)

    def page_at(self, position: int) -> int:
        """Return the 1-based number of the page that holds the character at `position`."""
        low, high = 0, len(self.pages) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.pages[middle].start <= position:
                low = middle
            else:
                high = middle - 1
        return self.pages[low].number if self.pages else 1


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a chunk that is embedded: short enough that the embedder reads all of it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage for the prompt, and the windows under which it is found.

    `headings` are the titles it stands under, outermost first. `text` equals `document.text[start:end]`.
    """

    document_id: str
    number: int
    start: int
    end: int
    page: int
    text: str
    headings: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question. `score` is in [0, 1], higher is better; `text` equals `document.text[start:end]`.

    `focus` is the span of the window that matched best, inside [start, end).
    `dense_score` is the cosine in [-1, 1] of that window with the question, `lexical_score` the BM25 score (0 or more).
    """

    document: Document
    page: int
    start: int
    end: int
    text: str = field(repr=False)
    score: float
    focus: Window
    headings: tuple[str, ...] = ()
    dense_score: float = 0.0
    lexical_score: float = 0.0
