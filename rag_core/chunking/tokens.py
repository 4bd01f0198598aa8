"""Token counts of many overlapping parts of one text, from one pass of the tokenizer over its distinct words.

Word-piece tokenizers cut at white space first, so the count of a text is the sum over its words. Where a tokenizer
does not (byte-pair encoding folds the space into the word), the sum is close, and the splitter checks what it made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

__all__ = ["MAX_WORD", "TokenCounter", "WordTokens"]

# Word-piece tokenizers give up on a word of more than 100 characters and read it as one unknown token. Longer words
# (addresses, encoded data) are therefore read in parts; 64 leaves room for scripts whose letters decompose.
MAX_WORD = 64
_WORD = re.compile(rf"\S{{1,{MAX_WORD}}}")
_BATCH_WORDS = 20_000


class TokenCounter(Protocol):
    """Whatever counts tokens as the embedder does."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, without special tokens and without any limit."""


class WordTokens:
    """Counts of a text's parts, looked up by word."""

    def __init__(self, counter: TokenCounter, text: str) -> None:
        """Count every distinct word of `text`."""
        self._counter = counter
        self._known: dict[str, int] = {}
        self._learn(_WORD.findall(text))

    def _learn(self, words: Sequence[str]) -> None:
        new = iter(dict.fromkeys(word for word in words if word not in self._known))
        while batch := list(islice(new, _BATCH_WORDS)):
            for word, tokens in zip(batch, self._counter.count_tokens(batch), strict=True):
                # A long word that the tokenizer reads as one unknown token is still text: no length is free.
                self._known[word] = max(1, tokens, len(word) // 8)

    def count(self, text: str) -> int:
        """Return the tokens of `text`; every word counts one at least, and one for every 8 characters."""
        words = _WORD.findall(text)
        try:
            return sum([self._known[word] for word in words])
        except KeyError:
            self._learn(words)
            return sum([self._known[word] for word in words])

    def words(self, text: str, offset: int) -> Iterator[tuple[int, int, int]]:
        """Yield (start, end, tokens) of each word of `text`, the positions moved by `offset`."""
        known = self._known
        for match in _WORD.finditer(text):
            word = match.group()
            yield offset + match.start(), offset + match.end(), known[word] if word in known else self.count(word)
