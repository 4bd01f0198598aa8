"""A document to chunks: passages for the prompt, each with the windows under which it is found.

A passage never crosses a page, keeps table rows whole, and starts at a heading where one is near. LangChain's
`RecursiveCharacterTextSplitter` cuts what is too long, counting in tokens of the embedder. Every span is exact:
`chunk.text == document.text[chunk.start:chunk.end]`, and the chunks together hold all text that is not blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag_core.chunking.outline import HeadingPaths
from rag_core.chunking.tokens import TokenCounter, WordTokens
from rag_core.chunking.windows import cut_windows
from rag_core.config import SplittingConfig
from rag_core.records import Chunk, Document, Page

__all__ = ["SPLITTER_VERSION", "split_document"]

# Part of the key under which an index persists: raised whenever the same document would be cut or embedded otherwise.
SPLITTER_VERSION = "3"

_TEXT_SEPARATORS = ["\n\n", "\n", ". ", "? ", "! ", "; ", ", ", " ", ""]
_TABLE_SEPARATORS = ["\n", " | ", " ", ""]
# A passage is closed at a heading once it holds this share of a full one: short sections travel together.
_HEADING_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class _Block:
    """A run of text that starts at a heading, a table, or after one; `bare` is a heading with nothing under it yet."""

    start: int
    end: int
    tokens: int
    heading: bool = False
    table: bool = False
    bare: bool = False


def split_document(document: Document, config: SplittingConfig, counter: TokenCounter) -> tuple[Chunk, ...]:
    """Return the chunks of `document` in reading order.

    A chunk has at most `config.passage_tokens` tokens, and what is embedded of each of its windows (see
    `rag_core.chunking.windows.WindowTexts`) at most `config.window_tokens`, both counted by `counter`.
    """
    words = WordTokens(counter, document.text)
    spans: list[tuple[Page, int, int]] = []
    for page in document.pages or (Page(1, 0, len(document.text)),):
        blocks = [part for block in _blocks(document, page, words) for part in _cut(document, block, config, words)]
        for start, end in _pack(document.text, blocks, config.passage_tokens - config.passage_overlap_tokens, words):
            start = _overlapping(document.text, start, page.start, config.passage_overlap_tokens, words)
            trimmed = _trim(document.text, start, end)
            if trimmed is not None:
                spans.append((page, *trimmed))
    windows = cut_windows(document, [(start, end) for _, start, end in spans], config, words, counter)
    paths = HeadingPaths(document.headings)
    return tuple(
        Chunk(
            document_id=document.id,
            number=number,
            start=start,
            end=end,
            page=page.number,
            text=document.text[start:end],
            headings=paths.at(start),
            windows=tuple(windows[number]),
        )
        for number, (page, start, end) in enumerate(spans)
    )


def _blocks(document: Document, page: Page, words: WordTokens) -> Iterator[_Block]:
    """Yield the page's text cut at headings and at the edges of tables."""
    inside = [heading for heading in document.headings if page.start <= heading.start < page.end]
    tables = [table for table in document.tables if page.start <= table.start < page.end]
    headings = {heading.start: min(heading.end, page.end) for heading in inside}
    table_starts = {table.start for table in tables}
    edges = {page.start, page.end, *headings, *table_starts, *(min(table.end, page.end) for table in tables)}
    ordered = sorted(edge for edge in edges if page.start <= edge <= page.end)
    for start, end in pairwise(ordered):
        text = document.text[start:end]
        if text.strip():
            bare = start in headings and not document.text[headings[start] : end].strip()
            yield _Block(start, end, words.count(text), start in headings, start in table_starts, bare)


def _cut(document: Document, block: _Block, config: SplittingConfig, words: WordTokens) -> list[_Block]:
    """Return `block` in parts that fit a passage, of about equal size, rows and sentences whole where they can be."""
    limit = config.passage_tokens - config.passage_overlap_tokens
    if block.tokens <= limit:
        return [block]
    text = document.text[block.start : block.end]
    count = -(-block.tokens // limit)
    # A little over the equal share, so that parts end at a good place; where that needs more parts, they are full ones.
    pieces = _recursive(text, min(limit, int(block.tokens / count * 1.1) + 1), block.table, words)
    if len(pieces) > count:
        pieces = _recursive(text, limit, block.table, words)
    parts, start = [], block.start
    for index, piece in enumerate(pieces):
        part = _Block(start, start + len(piece), words.count(piece), block.heading and index == 0, block.table)
        parts.append(part)
        start = part.end
    return parts


def _recursive(text: str, size: int, table: bool, words: WordTokens) -> list[str]:
    """Cut `text` into parts of at most `size` tokens; joined, they are `text` again."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        separators=_TABLE_SEPARATORS if table else _TEXT_SEPARATORS,
        keep_separator="end",
        chunk_size=size,
        chunk_overlap=0,
        length_function=words.count,
        strip_whitespace=False,
    )
    pieces = splitter.split_text(text)
    if "".join(pieces) != text:
        raise ValueError("The text splitter did not keep the text; passages would not be exact")
    return pieces


def _pack(text: str, blocks: Sequence[_Block], limit: int, words: WordTokens) -> list[tuple[int, int]]:
    """Join neighbouring blocks into passages of at most `limit` tokens, preferring to start at headings."""
    spans: list[tuple[int, int]] = []
    held: list[_Block] = []
    for block in blocks:
        size = sum(part.tokens for part in held)
        full = bool(held) and size + block.tokens > limit
        if held and not full and re.match(r"\S\S", text[block.start - 1 : block.start + 1]):
            # Cut inside a word, whose parts may count less than the whole.
            full = words.count(text[held[0].start : block.end]) > limit
        # A heading stays with what it heads: all bare headings at the end of the passage move on.
        if (
            held
            and not all(part.bare for part in held)
            and (full or (block.heading and size >= limit * _HEADING_SHARE))
        ):
            keep = len(held)
            while held[keep - 1].bare:
                keep -= 1
            carried = held[keep:]
            if sum(part.tokens for part in carried) + block.tokens > limit:
                keep, carried = len(held), []
            spans.append((held[0].start, held[keep - 1].end))
            held = carried
        elif full:
            spans.append((held[0].start, held[-1].end))
            held = []
        held.append(block)
    if held:
        spans.append((held[0].start, held[-1].end))
    return spans


def _overlapping(text: str, start: int, first: int, tokens: int, words: WordTokens) -> int:
    """Return `start` moved back over at most `tokens` tokens of whole words, not before `first`."""
    while tokens > 0:
        found = re.search(r"\S{1,64}\s*\Z", text[max(first, start - 256) : start])
        if found is None:
            break
        tokens -= words.count(found.group())
        if tokens >= 0:
            start -= len(found.group())
    return start


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the span without white space at its ends, None where nothing is left."""
    inner = text[start:end]
    left, right = len(inner) - len(inner.lstrip()), len(inner.rstrip())
    return (start + left, start + right) if right > left else None
