"""The part of a passage that a small model is shown: whole sentences and table rows around those the question names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_core.language.sentences import content_terms, sentence_spans
from rag_core.language.tablecells import table_at
from rag_core.records import Hit

__all__ = ["focused_text", "rough_tokens"]

# What tokenizers make of a text, roughly: digits and signs each one token, a word one for every seven letters.
_PIECE = re.compile(r"\d|[^\W\d_]{1,7}|[^\w\s]|_")


def rough_tokens(text: str) -> int:
    """Return about how many tokens `text` takes. A table takes three times as many as prose of the same length."""
    return sum(1 for _ in _PIECE.finditer(text))


def focused_text(hit: Hit, tokens: int, question: str = "") -> str:
    """Return the hit's text or, where it takes more than about `tokens` tokens, a part of it; 0 stands for all of it.

    The part is whole sentences and rows around the one of the hit's focus that holds most words of the question, rows
    under the header of their table. One sentence that alone takes more is cut at twice as much.
    """
    if not tokens or rough_tokens(hit.text) <= tokens:
        return hit.text
    spans = sentence_spans(hit.text)
    costs = [rough_tokens(hit.text[start:end]) for start, end in spans]
    first = last = _anchor(hit, spans, question)
    room = tokens - costs[first]
    while True:
        if last + 1 < len(spans) and costs[last + 1] <= room:
            last += 1
            room -= costs[last]
        elif first > 0 and costs[first - 1] <= room:
            first -= 1
            room -= costs[first]
        else:
            break
    return _heading(hit, spans[first][0]) + _cut(hit.text[spans[first][0] : spans[last][1]], 2 * tokens)


def _heading(hit: Hit, start: int) -> str:
    """Return the header of the table that a part begins in, where it begins under it: years are nowhere else."""
    table = table_at(hit.document, hit.start + start)
    if table is None or not table.header_start < table.header_end <= hit.start + start:
        return ""
    return hit.document.text[table.header_start : table.header_end].strip() + "\n"


def _anchor(hit: Hit, spans: Sequence[tuple[int, int]], question: str) -> int:
    """Return the number of the sentence in the focus that shares most words with the question, the first of equals."""
    low, high = hit.focus.start - hit.start, hit.focus.end - hit.start
    inside = [number for number, (start, end) in enumerate(spans) if start < high and end > low] or [0]
    asked = set(content_terms(question))
    return max(inside, key=lambda number: len(asked.intersection(content_terms(hit.text[slice(*spans[number])]))))


def _cut(text: str, tokens: int) -> str:
    for number, piece in enumerate(_PIECE.finditer(text)):
        if number == tokens:
            return text[: piece.start()].rstrip()
    return text
