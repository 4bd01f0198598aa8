"""Sentences as spans, and the normalised terms by which two pieces of financial text are compared.

The splitter is made for filings: it keeps decimals, abbreviations ("U.S.", "Inc.", "approx.") and initials whole, and
treats each line of a table as a sentence of its own. Spans are half-open character ranges of the text given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["STOP_WORDS", "content_terms", "normalise_number", "sentence_spans", "terms", "years"]

# Words after which a full stop does not end a sentence.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof inc corp co ltd plc llc no nos vs etc eg e.g ie i.e al fig figs approx est dept jan feb mar apr "
    "jun jul aug sep sept oct nov dec u.s u.k u.n st art sec par para ch vol pp p a.m p.m cf ca max min incl excl".split()
)
_BOUNDARY = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)")
_LINE = re.compile(r"[^\n]+")
_LIST_ENTRY = re.compile(r"\d{1,3}[.)]\s")
_WORD_BEFORE = re.compile(r"([A-Za-z][A-Za-z.]*)$")

STOP_WORDS = frozenset(
    "a an the of to in on at by for from with without and or but nor as is are was were be been being do does did has have "
    "had having it its this that these those there here he she they them their his her him i you we our us your my me what "
    "which who whom whose when where why how much many can could will would shall should may might must not no yes if then "
    "than so such also into over under about between during per each any all both more most other some own same very just "
    "please tell give show say s t".split()
)

_NUMBER = r"\(?[-−–]?[$€£¥]?\s?\d{1,3}(?:,\d{3})+(?:\.\d+)?\)?|\(?[-−–]?[$€£¥]?\d+(?:\.\d+)?\)?"
_TERM = re.compile(rf"(?P<number>{_NUMBER})|(?P<word>[^\W\d_]+(?:[&'’][^\W\d_]+)*|[^\W_]+)")
_YEAR = re.compile(r"(?<![\d.,$€£])(?:19|20)\d{2}(?![\d%]|[.,]\d)")


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Return the spans of the sentences of `text[start:end]`, in order, without the white space around them.

    A line break after a line that ends a sentence, a table row or a blank line always separates.
    """
    end = len(text) if end is None else end
    spans: list[tuple[int, int]] = []
    for block_start, block_end in _blocks(text, start, end):
        position = block_start
        for match in _BOUNDARY.finditer(text, block_start, block_end):
            if match.end() < block_end and not _ends_sentence(text, block_start, match):
                continue
            _append(spans, text, position, match.end())
            position = match.end()
        _append(spans, text, position, block_end)
    return spans


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield runs of lines that belong together: soft-wrapped prose is joined, table rows and short lines stand alone."""
    block: tuple[int, int] | None = None
    for match in _LINE.finditer(text, start, end):
        line = match.group()
        joins = (
            block is not None
            and text[block[1] : match.start()].count("\n") == 1
            and " | " not in line
            and " | " not in text[block[0] : block[1]]
            and _LIST_ENTRY.match(line) is None
            and (line[:1].islower() or (line[:1].isdigit() and text[block[0] : block[1]].rstrip()[-1:].isalpha()))
        )
        if joins and block is not None:
            block = (block[0], match.end())
            continue
        if block is not None:
            yield block
        block = (match.start(), match.end())
    if block is not None:
        yield block


def _ends_sentence(text: str, block_start: int, match: re.Match[str]) -> bool:
    if text[match.start()] != ".":
        return True
    following = text[match.end() :].lstrip()[:1]
    if following.islower():
        return False
    word = _WORD_BEFORE.search(text, block_start, match.start())
    if word is None:
        # "3." at the start of a block numbers a list entry; elsewhere a number may end a sentence.
        return bool(text[block_start : match.start()].strip().rstrip("0123456789"))
    before = word.group(1).lower().strip(".")
    if len(before) == 1:
        return following.isdigit() is False and before != word.group(1).lower() and not word.group(1).isupper()
    return before not in _ABBREVIATIONS


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def normalise_number(text: str) -> str:
    """Return a figure in one spelling: `$ 1,452.40` -> `1452.4`, `(1,163)` -> `-1163`, `12.0` -> `12`.

    A closing or opening bracket alone says nothing; only a figure wholly in brackets is negative (accounting style).
    """
    negative = (text.startswith("(") and text.endswith(")")) or text.strip("($€£¥ ")[:1] in "-−–"
    digits = re.sub(r"[^\d.]", "", text).strip(".")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    digits = digits.lstrip("0") or "0"
    if digits.startswith("."):
        digits = "0" + digits
    return f"-{digits}" if negative and digits != "0" else digits


def terms(text: str) -> list[str]:
    """Return the normalised words and figures of `text`, in order, stop words included."""
    return [term for term, _ in _terms(text)]


def content_terms(text: str) -> list[str]:
    """Return `terms` without stop words."""
    return [term for term, word in _terms(text) if word not in STOP_WORDS and term not in STOP_WORDS]


def _terms(text: str) -> Iterator[tuple[str, str]]:
    """Yield each term with the word that it was made of ("does" for "doe"), nothing for a figure."""
    for match in _TERM.finditer(text):
        number = match.group("number")
        word = "" if number else match.group("word").lower().replace("’", "'")
        yield (normalise_number(number), "") if number else (_stem(word), word)


def years(text: str) -> list[str]:
    """Return the calendar years (1900 to 2099) named in `text`, in order."""
    return _YEAR.findall(text)


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    """Fold plurals and the commonest verb endings; deliberately light, so that no two finance terms fall together."""
    if word.endswith("'s"):
        word = word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 5 and word.endswith("sses"):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
