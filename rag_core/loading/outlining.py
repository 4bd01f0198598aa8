"""Which lines of text without markup are headings: a conservative rule, since a wrong heading misleads more than none."""

from __future__ import annotations

import re

__all__ = ["capitals_heading", "numbered_level"]

_NUMBERED = re.compile(
    r"(?:(?P<digits>\d{1,2}(?:\.\d{1,2}){0,4})[.)]?|(?P<item>(?:item|part|chapter|section|note|appendix|article|schedule)"
    r"\s+(?:\d{1,3}[A-Za-z]?|[IVXLC]{1,6}|[A-Z]))[.:)]?)\s+(?P<title>\S.*)",
    re.IGNORECASE,
)
_MOST_CHARACTERS = 90
_SENTENCE_END = (".", ";", ",", ":", "?", "!")
# Words that stay lower case inside a title.
_SMALL = frozenset("a an and as at by for from in into of on or per the to versus vs with".split())


def numbered_level(line: str) -> int:
    """Return the level of a line such as `2.1 Cash flows` or `Item 7. Risk factors`: 1 to 5, or 0 for no heading."""
    line = line.strip()
    match = _NUMBERED.fullmatch(line) if len(line) <= _MOST_CHARACTERS else None
    if match is None or line.endswith(_SENTENCE_END) or "|" in line or "\t" in line:
        return 0
    title = match["title"]
    words = re.findall(r"[^\W\d_]+", title)
    if not words or not title[0].isupper() or sum(character.isdigit() for character in title) > len(title) / 4:
        return 0
    if not all(word[0].isupper() or word in _SMALL for word in words) and len(words) > 6:
        return 0
    return match["digits"].count(".") + 1 if match["digits"] else 1


def capitals_heading(line: str) -> bool:
    """Tell whether a line is short and all in capitals, with at least four letters and more letters than figures."""
    line = line.strip()
    letters = [character for character in line if character.isalpha()]
    if not len(letters) >= 4 or len(line) > _MOST_CHARACTERS or line.endswith(_SENTENCE_END) or "|" in line:
        return False
    return line.upper() == line and line.lower() != line and len(letters) > sum(c.isdigit() for c in line)
