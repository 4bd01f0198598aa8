"""Windows: the parts of a passage that are embedded, each short enough that the embedder reads all of it.

What is embedded is the window's text under the titles it stands under and, inside a table, the table's header row: a
row of figures says little without them. Bars between cells, rules and dotted leaders are left out: they say nothing, take
a tenth of a table's tokens, and texts with tables are found better without them (`bench/results/ablation.json`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from rag_core.chunking.outline import HeadingPaths, TableHeaders
from rag_core.chunking.tokens import MAX_WORD, TokenCounter, WordTokens
from rag_core.config import SplittingConfig
from rag_core.records import Document, Window

__all__ = ["PlacedTexts", "WindowTexts", "cut_windows"]

# Of a window's tokens, the share that its context may take: the titles above it, and the table's header row.
_TITLE_SHARE = 1 / 6
_HEADER_SHARE = 1 / 4
# The same in words, where nothing counts tokens.
_TITLE_WORDS, _HEADER_WORDS = 14, 24
_LONG_WORD = re.compile(rf"(\S{{{MAX_WORD}}})(?=\S)")
# A word that only draws a table or a line.
_RULE = re.compile(r"(?:\|+|\.|[-–—._=*|:]{3,})")
_RULES = re.compile(rf"(?<!\S){_RULE.pattern}(?!\S)")
_CLOSING = ".!?\"')]"
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\Z")


class WindowTexts:
    """What is embedded of each window of one document. Made alike for the same document, config and counter."""

    def __init__(self, document: Document, config: SplittingConfig, counter: TokenCounter) -> None:
        self._document = document
        self._title_tokens = int(config.window_tokens * _TITLE_SHARE)
        self._header_tokens = int(config.window_tokens * _HEADER_SHARE)
        self._paths = HeadingPaths(document.headings)
        self._headers = TableHeaders(document)
        titles = [heading.title for heading in document.headings]
        self._words = WordTokens(counter, " ".join([">", *titles, *self._headers.rows()]))

    def embedded(self, start: int, end: int) -> str:
        """Return the text to embed for the window [start, end): its context, a line break, and its words without rules."""
        text = _RULES.sub("", self._document.text[start:end])
        context = self.context(start)
        return _LONG_WORD.sub(r"\1 ", f"{context}\n{text}" if context else text)

    def in_table(self, position: int) -> bool:
        """Return whether `position` is in a table."""
        return self._headers.inside(position)

    def context(self, start: int) -> str:
        """Return the titles above position `start` and the header row of the table it is in; may be empty."""
        # A heading that stands in the window itself is not repeated.
        titles = " > ".join(self._paths.at(start - 1)).split()
        # Of a long path the innermost titles say most, of a long row its first cells.
        inner = self._fitting(titles[::-1], self._title_tokens)[::-1]
        header = self._fitting(_RULES.sub("", self._headers.at(start)).split(), self._header_tokens)
        return "\n".join(" ".join(part) for part in (inner, header) if part)

    def _fitting(self, words: Sequence[str], tokens: int) -> Sequence[str]:
        """Return the first of `words` that together take at most `tokens` tokens."""
        for number, word in enumerate(words):
            tokens -= self._words.count(word)
            if tokens < 0:
                return words[:number]
        return words


class PlacedTexts:
    """About what `WindowTexts` embeds, for a model that reads more than an embedder: counted in words alone."""

    def __init__(self, document: Document) -> None:
        self._text = document.text
        self._headers = TableHeaders(document)

    def placed(self, window: Window, titles: Sequence[str]) -> str:
        """Return the window's text under `titles`, the path of headings above it, and the header of the table it is in."""
        text = _RULES.sub("", self._text[window.start : window.end])
        inner = " > ".join(titles).split()[-_TITLE_WORDS:]
        header = _RULES.sub("", self._headers.at(window.start)).split()[:_HEADER_WORDS]
        return "\n".join(part for part in (" ".join(inner), " ".join(header), text) if part)


def cut_windows(
    document: Document,
    spans: Sequence[tuple[int, int]],
    config: SplittingConfig,
    words: WordTokens,
    counter: TokenCounter,
) -> list[list[Window]]:
    """Return the windows of each span, in reading order; together they hold all of its text that is not blank.

    What `WindowTexts.embedded` gives for a window has at most `config.window_tokens` tokens by `counter`: planned from
    the counts of single words, then counted as a whole, and halved where the plan was short.
    """
    texts = WindowTexts(document, config, counter)
    planned = [_plan(document.text, start, end, config, words, texts) for start, end in spans]
    flat = [window for windows in planned for window in windows]
    counts = counter.count_tokens([texts.embedded(window.start, window.end) for window in flat])
    excess = {window for window, count in zip(flat, counts, strict=True) if count > config.window_tokens}
    if not excess:
        return planned
    return [
        [part for window in windows for part in (_halved(window, texts, config, counter, document.text, excess))]
        for windows in planned
    ]


def _halved(
    window: Window,
    texts: WindowTexts,
    config: SplittingConfig,
    counter: TokenCounter,
    text: str,
    excess: set[Window] | None,
) -> list[Window]:
    """Return `window`, or halves of it that fit; cut at white space where there is some, else anywhere."""
    if excess is not None and window not in excess:
        return [window]
    if excess is None and counter.count_tokens([texts.embedded(window.start, window.end)])[0] <= config.window_tokens:
        return [window]
    if window.end - window.start <= 1:
        return [window]
    middle = (window.start + window.end) // 2
    gap = max(text.rfind(" ", window.start + 1, middle), text.rfind("\n", window.start + 1, middle))
    cut = gap if gap > window.start else middle
    parts = [_trimmed(text, window.start, cut), _trimmed(text, cut, window.end)]
    return [half for part in parts if part for half in _halved(part, texts, config, counter, text, None)]


def _trimmed(text: str, start: int, end: int) -> Window | None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return Window(start, end) if start < end else None


def _plan(
    text: str, start: int, end: int, config: SplittingConfig, words: WordTokens, texts: WindowTexts
) -> list[Window]:
    """Cut the span [start, end) into windows of about equal size that end at a good place."""
    parts = list(words.words(text[start:end], start))
    sums = [0]
    for first, last, tokens in parts:
        sums.append(sums[-1] + (0 if not text[first].isalnum() and _RULE.fullmatch(text, first, last) else tokens))
    ranks = _break_ranks(text, parts, texts)
    windows: list[Window] = []
    first = 0
    while first < len(parts):
        budget = max(1, config.window_tokens - words.count(texts.context(parts[first][0])))
        overlap = min(config.window_overlap_tokens, budget // 4)
        last = _last_word(sums, ranks, first, budget, overlap)
        windows.append(Window(parts[first][0], parts[last - 1][1]))
        if last == len(parts):
            break
        first = _next_start(sums, ranks, first, last, overlap)
    return windows


def _break_ranks(text: str, parts: Sequence[tuple[int, int, int]], texts: WindowTexts) -> list[int]:
    """Rank how good it is to cut before each word: 4 table row, 3 line or paragraph, 2 sentence, 1 space, 0 inside."""
    ranks = [3]
    for (_, before_end, _), (after_start, _, _) in pairwise(parts):
        gap = text[before_end:after_start]
        if "\n" in gap:
            ranks.append(4 if texts.in_table(after_start) else 3)
        elif gap:
            ends = text[before_end - 1] in _CLOSING and _SENTENCE_END.search(text, max(0, before_end - 4), before_end)
            ranks.append(2 if ends else 1)
        else:
            ranks.append(0)
    return [*ranks, 3]


def _last_word(sums: list[int], ranks: list[int], first: int, budget: int, overlap: int) -> int:
    """Return the index after the last word of the window that starts at word `first`."""
    total = sums[-1] - sums[first]
    fits = max(first + 1, bisect_right(sums, sums[first] + budget) - 1)
    if fits >= len(sums) - 1:
        return len(sums) - 1
    # What is left is shared out equally, so that no window is a stub; each further window repeats the overlap.
    count = -(-(total - overlap) // max(1, budget - overlap))
    aim = sums[first] + (total + (count - 1) * overlap) / max(1, count)
    lowest = max(first + 1, bisect_right(sums, sums[first] + budget // 2) - 1)
    best = max(range(lowest, fits + 1), key=lambda index: (min(ranks[index], 3), -abs(sums[index] - aim)))
    if ranks[best] < 3:
        # A row of a table is not torn for the sake of a fuller window.
        return next((index for index in range(lowest, first, -1) if ranks[index] == 4), best)
    return best


def _next_start(sums: list[int], ranks: list[int], first: int, last: int, overlap: int) -> int:
    """Return the word at which the next window starts: the first line or sentence within the overlap, else a word."""
    lowest = last
    while lowest - 1 > first and sums[last] - sums[lowest - 1] <= overlap:
        lowest -= 1
    for least in (3, 2):
        for index in range(lowest, last):
            if ranks[index] >= least:
                return index
    # After a sentence's end nothing is torn apart, so nothing needs repeating.
    return last if ranks[last] >= 2 else lowest
