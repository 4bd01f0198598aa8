"""Generated documents of any size: seeded words with the frequencies of English, figures, headings and pages.

They mean nothing. What is measured with them is time and memory, which depend on lengths and frequencies alone. No word
is in a tokenizer's vocabulary, so a page has about three times the tokens of an English one: 18 windows of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from rag_core.records import Document, Heading, Page

__all__ = ["LETTERS_A_PAGE", "documents", "questions", "text_of"]

LETTERS_A_PAGE = 3_000
_WORDS = 40_000
_SYLLABLES = (
    "ba be bi bo bu ca ce co da de di do fa fi fo ga go ha he in ka la le li lo ma me mi mo na ne no pa pe po ra re ri "
    "ro sa se si so ta te ti to va ve vi vo tion ment ing ed er al"
).split()


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[np.ndarray, np.ndarray]:
    """Return distinct words, the common ones short, and their probabilities after Zipf's law."""
    draw = np.random.default_rng(1)
    words: dict[str, None] = {}
    while len(words) < _WORDS:
        count = 2 + int(len(words) > 500) + int(draw.integers(0, 3))
        words["".join(draw.choice(_SYLLABLES, count))] = None
    weights = 1.0 / (np.arange(_WORDS) + 2.7)
    return np.array(list(words)), weights / weights.sum()


def text_of(seed: int, letters: int) -> tuple[str, list[Heading]]:
    """Return text of about that many letters, and its headings: one every 1,500 letters."""
    draw = np.random.default_rng(seed)
    words, weights = _vocabulary()
    # All at once: a draw costs time that depends on the vocabulary, not on how many words are drawn.
    drawn = iter(draw.choice(words, letters // 4 + 64, p=weights).tolist())
    figures = iter(draw.integers(1, 99_999, letters // 20 + 64).tolist())
    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    while length < letters:
        if length >= 1_500 * len(headings):
            title = f"{next(drawn)} {next(drawn)} {next(drawn)}".title()
            headings.append(Heading(1, title, length, length + len(title)))
            parts.append(f"{title}\n\n")
            length += len(parts[-1])
        chosen = [next(drawn) if place not in (6, 13) else f"{next(figures) / 10:,.1f}" for place in range(20)]
        parts.append(" ".join(chosen).capitalize() + (".\n" if len(parts) % 5 == 0 else ". "))
        length += len(parts[-1])
    return "".join(parts), headings


def documents(count: int, pages: int, seed: int = 0) -> Iterator[Document]:
    """Yield `count` documents of `pages` pages."""
    for number in range(count):
        text, headings = text_of(seed * 1_000_003 + number, pages * LETTERS_A_PAGE)
        cuts = [round(page * len(text) / pages) for page in range(pages + 1)]
        spans = tuple(Page(page + 1, cuts[page], cuts[page + 1]) for page in range(pages))
        identity = hashlib.sha256(text.encode()).hexdigest()
        name = f"report {number}.txt"
        yield Document(identity, name, "text/plain", len(text), text, spans, headings=tuple(headings))


def questions(count: int, seed: int = 99) -> list[str]:
    """Return questions of eight words, of which some are rare and some are everywhere."""
    draw = np.random.default_rng(seed)
    words, weights = _vocabulary()
    return ["What was the " + " ".join(draw.choice(words, 8, p=weights)) + "?" for _ in range(count)]
