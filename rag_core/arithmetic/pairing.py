"""Two line items that a question sets side by side: what the second leaves unsaid is said of the first.

"Net sales of Tissue than of Board", "the bonus of A than that of B", "what share of total sales came from Tissue".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_core.arithmetic.phrases import FILLERS
from rag_core.arithmetic.wording import GENERIC, words
from rag_core.language.periods import without_periods

__all__ = ["completed", "part_of"]

_HEADED = re.compile(r"^(?P<head>.+?)\s(?P<link>of|for|in|at|from|on)\s(?P<name>.+)$")
_LED = re.compile(
    r"^\W*(?:(?:that|those|the one|it|there)\s)?(?:was\s|were\s|is\s|are\s)?(?:of|for|in|at|from|on)\s(?P<name>.+)$"
)
_OWNED = re.compile(r"^(?P<owner>.+?'s?)\s(?P<thing>.+)$")
_OWNS = re.compile(r"'s?\W*$")
_WHOLE = re.compile(r"\b(?:total|all|overall|whole|entire|group|gross|its|their|the)\b")
# Of so many words each is tried as the one that the second item has another for.
_MOST_WORDS = 5


def completed(first: str, second: str) -> Iterator[tuple[str, str]]:
    """Yield the pair as it stands, and with what the second item may have left out."""
    yield first, second
    headed, led = _HEADED.match(first), _LED.match(second)
    if headed and led:
        yield first, f"{headed['head']} of {led['name']}"
    owned = _OWNED.match(first.strip())
    if owned and _OWNS.search(_bare(second)):
        yield first, f"{second} {owned['thing']}"
    named = [word for word in _bare(first).split() if words(word)]
    if 2 <= len(named) <= _MOST_WORDS:
        for left in range(len(named)):
            yield first, " ".join([second, *named[:left], *named[left + 1 :]])


def part_of(part: str, whole: str) -> Iterator[tuple[str, str]]:
    """Yield (part, whole) as they stand, and with the part called what the whole is: Tissue net sales of total net sales."""
    yield part, whole
    rest = _WHOLE.sub(" ", _bare(whole))
    if set(words(rest)) - GENERIC - set(words(part)):
        yield f"{part} {rest}", whole
    named = [word for word in rest.split() if words(word)]
    if 2 <= len(named) <= _MOST_WORDS:
        for left in range(len(named)):
            yield " ".join([part, *named[:left], *named[left + 1 :]]), whole


def _bare(text: str) -> str:
    return " ".join(FILLERS.sub(" ", without_periods(text)).replace("?", " ").split())
