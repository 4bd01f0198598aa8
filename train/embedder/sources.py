"""Where pairs come from: the paragraphs that teach reading, and rows of a data set in finance-alpaca's columns."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from train.embedder.pairs import Pair
from train.reader.paragraphs import Paragraph
from train.rows import Row

__all__ = ["SECTIONS", "paragraph_pairs", "row_pairs", "with_header"]

# A bar between cells, or a word that only draws a line: left out of what is embedded, see `rag_core.chunking.windows`.
_RULES = re.compile(r"(?<!\S)(?:\|+|[-–—._=*|:]{3,})(?!\S)")
_SPACES = re.compile(r"[^\S\n]+")
_LINK = re.compile(r"https?://\S+|www\.\S+")
_WORD = re.compile(r"[a-z]{3,}")
_QUERY_WORDS, _QUERY_CHARACTERS, _PASSAGE_WORDS = 4, 300, 12
# The longest text of which the encoder could read all; the exact cut is made by its tokenizer.
_PASSAGE_CHARACTERS = 4_000
# Beginnings of words of which finance speaks; rows of general instructions have few of them.
_FINANCE = tuple(
    "accrual acquisition amortiz annuit asset audit bank bond broker budget capital cash compensation covenant credit currenc "
    "debt deduct deferred depreciat derivativ dividend earning equit etf exchange expens financ fiscal fund goodwill hedg "
    "impairment income inflation insur interest inventor invest lease lend liabilit liquid loan margin market mortgage "
    "obligation option payable pension portfolio premium price pric profit purchase receivable rent retire return revenue "
    "risk salar sales saving securit segment share stock tax trad treasur valuation valu yield".split()
)
_FINANCE_SHARE = 0.03
# Titles under which texts stand in reports; they say little, as most titles there do.
SECTIONS = (
    "Annual Report", "Notes to the Consolidated Financial Statements", "Management's Discussion and Analysis",
    "Strategic report", "Business review", "Financial review", "Item 1. Business", "Item 7. Results of Operations",
    "Item 8. Financial Statements and Supplementary Data", "Report of the directors", "Risk factors", "Governance",
    "Note 2. Significant accounting policies", "Liquidity and capital resources", "Segment information", "Outlook",
)  # fmt: skip


def paragraph_pairs(paragraphs: Iterable[Paragraph], chance: random.Random, headed: float) -> list[Pair]:
    """Return a pair for each question that its paragraph answers; `headed` is the share of passages under a title."""
    places: dict[str, int] = {}
    pairs = []
    for paragraph in paragraphs:
        number = places[paragraph.topic] = places.get(paragraph.topic, 0) + 1
        text = cleaned(paragraph.text)
        for question in paragraph.questions:
            if question.answer:
                passage = with_header(text, chance) if chance.random() < headed else text
                pairs.append(Pair(question.text.strip(), passage, f"{paragraph.topic}-{number}"))
    return pairs


def row_pairs(rows: Iterable[Row], name: str, chance: random.Random, headed: float) -> list[Pair]:
    """Return the finance-like rows as pairs: the question with the text that it is about, else with its answer.

    Left out are questions of under 4 words or over 300 characters, passages of under 12 words, and repetitions.
    """
    groups: dict[str, str] = {}
    asked: set[str] = set()
    pairs = []
    for row in rows:
        query, passage = cleaned(row.question), cleaned(row.context or row.answer)[:_PASSAGE_CHARACTERS]
        usable = (
            len(query.split()) >= _QUERY_WORDS
            and len(query) <= _QUERY_CHARACTERS
            and len(passage.split()) >= _PASSAGE_WORDS
            and finance_share(f"{query} {passage}") >= _FINANCE_SHARE
        )
        key = query.casefold()
        if not usable or (key in asked and passage not in groups):
            continue
        asked.add(key)
        group = groups.setdefault(passage, f"{name}-{len(groups) + 1}")
        pairs.append(Pair(query, with_header(passage, chance) if chance.random() < headed else passage, group))
    return list(dict.fromkeys(pairs))


def cleaned(text: str) -> str:
    """Return `text` without addresses of pages and without what draws tables, one space between words."""
    text = _RULES.sub(" ", _LINK.sub(" ", text))
    return "\n".join(line for line in (_SPACES.sub(" ", line).strip() for line in text.splitlines()) if line)


def finance_share(text: str) -> float:
    """Return how many of the words of three letters and more begin as words of finance do, in [0, 1]."""
    words = _WORD.findall(text.lower())
    return sum(1 for word in words if word.startswith(_FINANCE)) / max(1, len(words))


def with_header(text: str, chance: random.Random, sections: Sequence[str] = SECTIONS) -> str:
    """Return `text` under titles, as the index embeds it: the path in one line, then the text."""
    path = chance.sample(sections, chance.choice((1, 1, 2)))
    return f"{' > '.join(path)}\n{text}"
