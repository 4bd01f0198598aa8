"""What of a document is matched by words: of each passage its text, and what it stands under."""

from __future__ import annotations

import re

from rag_core.chunking.outline import TableHeaders
from rag_core.indexing.storage import Record
from rag_core.words.postings import ChunkKey

__all__ = ["is_report", "matched_texts"]

# Passages from which a document counts as a report: about 10 pages.
_REPORT_CHUNKS = 20


def is_report(record: Record) -> bool:
    """Return whether a document is long enough to have financial statements among other things."""
    return len(record.chunks) >= _REPORT_CHUNKS


def matched_texts(record: Record) -> list[tuple[ChunkKey, str]]:
    """Return what is matched by words of each chunk: the document's name, headings, table header, and its text."""
    headers = TableHeaders(record.document)
    name = re.sub(r"\.\w+\Z", "", record.document.name)
    return [
        (
            (chunk.document_id, chunk.number),
            "\n".join([name, *chunk.headings, headers.at(chunk.start), chunk.text]),
        )
        for chunk in record.chunks
    ]
