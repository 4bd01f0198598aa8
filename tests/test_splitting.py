"""Chunks and windows: exact spans, right pages, whole rows, and nothing that the embedder would not read.

About 15 s on two idle cores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import SAMPLES, make_document
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rag_core import Document, Page, RagConfig
from rag_core.chunking.splitting import split_document
from rag_core.chunking.windows import WindowTexts
from rag_core.config import LimitsConfig, SplittingConfig
from rag_core.encoder.embedding import Embedder, Vectors, create_embedder
from rag_core.indexing.index import DocumentIndex
from rag_core.loading import SUPPORTED_SUFFIXES, load_document
from rag_core.records import Chunk, Heading, ProgressCallback, Table

pytestmark = pytest.mark.usefixtures("one_thread")
FILES = sorted(path for path in SAMPLES.iterdir() if path.suffix in SUPPORTED_SUFFIXES)
EMBEDDER = create_embedder(RagConfig())
SIZES = [
    SplittingConfig(),
    SplittingConfig(window_tokens=254, window_overlap_tokens=32, passage_overlap_tokens=64),
    SplittingConfig(passage_tokens=24, window_tokens=16, window_overlap_tokens=4),
]
PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    return {path.name: load_document(path, LimitsConfig()) for path in FILES}


# Generated documents --------------------------------------------------------------------------------------------------

_WORDS = st.one_of(
    st.sampled_from(
        "the net asset value of 1,452.4 EUR bonds rose; Ertrag. (3.1%) 収益 U.S. émission — ﬁnance".split()
    ),
    st.text(min_size=1, max_size=12),
    st.text(alphabet="ab1/é収́​", min_size=60, max_size=300),
)
_LINES = st.lists(_WORDS, min_size=1, max_size=40).map(" ".join)
_ROWS = st.lists(st.text(alphabet="abc 123.,%収", max_size=12), min_size=1, max_size=8).map(
    lambda cells: " | ".join(cell.strip() or "-" for cell in cells)
)
_PARTS = st.one_of(
    _LINES.map(lambda text: ("text", text)),
    st.tuples(st.sampled_from(["text", "text\n"]), _LINES),
    st.tuples(st.sampled_from(["h1", "h2", "h3"]), st.lists(_WORDS, min_size=1, max_size=30).map(" ".join)),
    st.tuples(st.just("table"), st.lists(_ROWS, min_size=1, max_size=30).map("\n".join)),
    st.just(("page", "")),
)


def assemble(parts: Sequence[tuple[str, str]]) -> Document:
    """Return a document with the headings, tables and pages that `parts` name, its spans as the loaders write them."""
    text, starts, headings, tables = "", [0], [], []
    for kind, words in parts:
        start = len(text)
        if kind == "page":
            text += "\n"
            starts.append(len(text))
            continue
        line = words if kind == "table" else " ".join(words.split()) or "x"
        text += line + ("\n\n" if kind.endswith("\n") else "\n")
        if kind.startswith("h"):
            headings.append(Heading(int(kind[1]), line, start, start + len(line)))
        elif kind == "table":
            tables.append(Table(start, start + len(line), start, start + len(line.split("\n")[0])))
    ends = [*starts[1:], len(text)]
    pages = tuple(Page(number, *span) for number, span in enumerate(zip(starts, ends, strict=True), 1))
    return make_document(text, pages=pages, headings=tuple(headings), tables=tuple(tables))


DOCUMENTS = st.lists(_PARTS, max_size=30).map(assemble)


def rows_of(document: Document) -> Iterator[tuple[int, int]]:
    """Yield the span of every table row that is not blank, without white space at its ends."""
    for table in document.tables:
        for match in re.finditer(r"[^\n]+", document.text[table.start : table.end]):
            row = match.group()
            if row.strip():
                start = table.start + match.start() + len(row) - len(row.lstrip())
                yield start, start + len(row.strip())


def covered(spans: Sequence[tuple[int, int]], text: str, start: int, end: int) -> bool:
    """Return whether the spans together hold all of text[start:end] that is not blank."""
    held = bytearray(end - start)
    for first, last in spans:
        held[max(0, first - start) : max(0, last - start)] = b"\1" * (last - max(first, start))
    return all(held[place] or text[start + place].isspace() for place in range(end - start))


def check_exact(document: Document, chunks: Sequence[Chunk], config: SplittingConfig) -> None:
    text = document.text
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert covered([(chunk.start, chunk.end) for chunk in chunks], text, 0, len(text))
    pages = {page.number: page for page in document.pages}
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip() != ""
        assert pages[chunk.page].start <= chunk.start < chunk.end <= pages[chunk.page].end
        assert chunk.page == document.page_at(chunk.start)
        spans = [(window.start, window.end) for window in chunk.windows]
        assert all(chunk.start <= start < end <= chunk.end for start, end in spans)
        assert spans == sorted(spans)
        assert covered(spans, text, chunk.start, chunk.end)
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert config.passage_overlap_tokens or before.end <= after.start


def said(text: str) -> str:
    """Return the words of `text` without what only draws tables and lines, joined."""
    return "".join(word for word in text.split() if word.strip("|.") and not re.fullmatch(r"[-–—._=*|:]{3,}", word))


def check_fits(document: Document, chunks: Sequence[Chunk], config: SplittingConfig) -> None:
    assert max(EMBEDDER.count_tokens([chunk.text for chunk in chunks]), default=0) <= config.passage_tokens
    texts = WindowTexts(document, config, EMBEDDER)
    windows = [window for chunk in chunks for window in chunk.windows]
    embedded = [texts.embedded(window.start, window.end) for window in windows]
    assert max(EMBEDDER.count_tokens(embedded), default=0) <= config.window_tokens
    for window, given_text in zip(windows, embedded, strict=True):
        # All words of the window are there, after its context; none is so long that it is read as one unknown token.
        assert said(given_text).endswith(said(document.text[window.start : window.end]))
        assert max(map(len, given_text.split())) <= 64


@pytest.mark.parametrize("config", SIZES, ids=["default", "widest", "narrowest"])
def test_every_span_of_the_samples_is_exact_and_fits(documents: dict[str, Document], config: SplittingConfig) -> None:
    for document in documents.values():
        chunks = split_document(document, config, EMBEDDER)
        check_exact(document, chunks, config)
        check_fits(document, chunks, config)


def test_the_samples_have_many_pages_tables_and_windows(documents: dict[str, Document]) -> None:
    """The checks above would hold for a single empty document too."""
    chunks = {name: split_document(document, SplittingConfig(), EMBEDDER) for name, document in documents.items()}
    assert max(chunk.page for found in chunks.values() for chunk in found) == 20
    assert sum(len(document.tables) for document in documents.values()) > 10
    assert max(len(chunk.windows) for found in chunks.values() for chunk in found) > 2


@PROPERTY
@given(DOCUMENTS, st.sampled_from(SIZES))
@example(assemble([]), SIZES[0])
@example(assemble([("text", "x" * 5_000)]), SIZES[2])
@example(assemble([("text", "1" * 78 + "b111111111a11a収11b1a/1111a収1a1a")]), SIZES[2])
@example(assemble([("text", "収" * 3_000), ("page", ""), ("page", ""), ("text", "é́" * 999)]), SIZES[0])
@example(assemble([("h1", "Long title " * 200), ("table", "a | b\n" * 300)]), SIZES[2])
def test_every_span_of_any_document_is_exact_and_fits(document: Document, config: SplittingConfig) -> None:
    chunks = split_document(document, config, EMBEDDER)
    check_exact(document, chunks, config)
    check_fits(document, chunks, config)
    assert split_document(document, config, EMBEDDER) == chunks


@PROPERTY
@given(st.lists(_ROWS, min_size=1, max_size=60), st.lists(_PARTS, max_size=4))
def test_no_table_row_is_cut(rows: list[str], around: list[tuple[str, str]]) -> None:
    document = assemble([*around, ("table", "\n".join(rows)), *around])
    config = SplittingConfig(passage_tokens=96, window_tokens=96, window_overlap_tokens=16)
    check_rows(document, config)


def check_rows(document: Document, config: SplittingConfig) -> None:
    chunks = split_document(document, config, EMBEDDER)
    windows = [window for chunk in chunks for window in chunk.windows]
    # A window also holds titles and the header row, which may take five twelfths of it.
    room = int(config.window_tokens * 7 / 12) - 1
    for start, end in rows_of(document):
        (tokens,) = EMBEDDER.count_tokens([document.text[start:end]])
        if tokens <= room and max(map(len, document.text[start:end].split())) <= 8:
            assert any(chunk.start <= start and end <= chunk.end for chunk in chunks)
            assert any(window.start <= start and end <= window.end for window in windows)


def test_no_table_row_of_the_samples_is_cut(documents: dict[str, Document]) -> None:
    count = 0
    for document in documents.values():
        for config in (SplittingConfig(), SplittingConfig(passage_tokens=128)):
            check_rows(document, config)
        count += len(list(rows_of(document)))
    assert count > 100


def test_a_passage_starts_at_a_heading_and_knows_its_path() -> None:
    filler = "The fund holds bonds of many issuers and pays a coupon each year. " * 12
    document = assemble([("h1", "Funds"), ("text", filler), ("h2", "Fees"), ("text", filler)])
    chunks = split_document(document, SplittingConfig(), EMBEDDER)
    assert [chunk.headings for chunk in chunks] == [("Funds",), ("Funds", "Fees")]
    assert [chunk.text.split("\n")[0] for chunk in chunks] == ["Funds", "Fees"]


def test_a_heading_stays_with_what_it_heads() -> None:
    filler = "The fund holds bonds of many issuers and pays a coupon each year. " * 24
    document = assemble([("text", filler), ("h1", "Outlook"), ("h2", "Rates"), ("text", filler)])
    chunks = split_document(document, SplittingConfig(), EMBEDDER)
    assert [chunk.text.startswith("Outlook\nRates\n") for chunk in chunks] == [False, True]


def test_what_only_draws_a_table_or_a_line_is_not_embedded() -> None:
    text = (
        "| Loss | | 2023 | 2022 |\n|---|:---|---|---|\n| Land - old || (7) | - |\n\n"
        "Notes . . . . 12\n======\nA|B ... paid — at 4.5 p.a. ||"
    )
    document = make_document(text)
    texts = WindowTexts(document, SplittingConfig(), EMBEDDER)
    assert texts.embedded(0, len(text)).split() == (
        "Loss 2023 2022 Land - old (7) - Notes 12 A|B paid — at 4.5 p.a.".split()
    )
    # They take none of a window's room either.
    row = "| 1 | 2 | 3 | 4 |\n"
    (chunk, *more) = split_document(make_document(row * 31), SplittingConfig(), EMBEDDER)
    assert not more
    assert len(chunk.windows) == 1


def test_a_window_inside_a_long_table_is_embedded_under_its_header() -> None:
    rows = ["Year | Revenue | Profit", *(f"{1900 + number} | {number * 17} | {number * 3}" for number in range(90))]
    document = assemble([("h1", "Ten-year record"), ("table", "\n".join(rows))])
    config = SplittingConfig()
    texts = WindowTexts(document, config, EMBEDDER)
    windows = [window for chunk in split_document(document, config, EMBEDDER) for window in chunk.windows]
    later = [texts.embedded(window.start, window.end) for window in windows[1:]]
    assert len(later) > 2
    assert all(text.startswith("Ten-year record\nYear Revenue Profit\n") for text in later)


def test_a_document_of_blanks_has_no_chunk() -> None:
    for text in ("", " \n\t\n "):
        assert split_document(make_document(text), SplittingConfig(), EMBEDDER) == ()


class RecordingEmbedder:
    """The real embedder, which remembers every text that it is given to embed."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.texts: list[str] = []
        self.name = inner.name

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    @property
    def max_tokens(self) -> int:
        return self._inner.max_tokens

    @property
    def loaded(self) -> bool:
        return self._inner.loaded

    def load(self, on_progress: ProgressCallback | None = None) -> None:
        self._inner.load(on_progress)

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return self._inner.encode(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._inner.count_tokens(texts)


def test_nothing_that_reaches_the_embedder_is_truncated(documents: dict[str, Document]) -> None:
    """Counted where it happens: at the call of the embedder, with all context that is put before a window."""
    for config in (RagConfig(), replace(RagConfig(), splitting=SIZES[1])):
        recorder = RecordingEmbedder(EMBEDDER)
        index = DocumentIndex(config, recorder)
        for name in ("options.md", *(name for name in documents if name.endswith((".pdf", ".xlsx", ".html")))):
            index.add(documents[name], split_document(documents[name], config.splitting, recorder))
        index.close()
        counts = EMBEDDER.count_tokens(recorder.texts)
        assert len(counts) > 50
        assert max(counts) <= config.splitting.window_tokens <= EMBEDDER.max_tokens == 254
        assert max(counts) > config.splitting.window_tokens * 0.9


def test_the_index_key_names_the_sizes(tmp_path: Path) -> None:
    """Other sizes cut otherwise, so they must not share what is kept."""
    for size in SIZES:
        config = replace(RagConfig().with_setting("index.directory", tmp_path), splitting=size)
        DocumentIndex(config, EMBEDDER).close()
    assert len(list(tmp_path.iterdir())) == len(SIZES)
