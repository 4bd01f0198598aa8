"""What the styles of a Word document say of a paragraph or run: its level as a heading, whether it is hidden or listed.

Element names are those of WordprocessingML (ECMA-376 part 1, chapter 17).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["PLAIN", "Style", "W", "is_on", "outline_level", "read_styles"]

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING_STYLE = re.compile(r"heading (\d)", re.IGNORECASE)
_OFF = ("0", "false", "off")
_MOST_BASES = 20


@dataclass(frozen=True, slots=True)
class Style:
    """A style: `level` as a heading, 1 to 9 (0: none), whether it hides its text, and whether it makes list items."""

    level: int
    hidden: bool
    listed: bool


PLAIN = Style(0, False, False)


def read_styles(document: Any) -> dict[str, Style]:
    """Return what each style (by its id) says about level, hiding and lists, following what it is based on."""
    elements = {style.style_id: style.element for style in document.styles}
    found = {}
    for identity in elements:
        chain: list[Any] = []
        current = identity
        while current in elements and len(chain) < _MOST_BASES:
            chain.append(elements[current])
            based = elements[current].find(f"{W}basedOn")
            current = based.get(f"{W}val") if based is not None else None
        levels = [level for level in map(_style_level, chain) if level]
        found[identity] = Style(
            levels[0] if levels else 0,
            any(is_on(element.find(f"{W}rPr/{W}vanish")) for element in chain),
            any(element.find(f"{W}pPr/{W}numPr") is not None for element in chain) and not levels,
        )
    return found


def _style_level(element: Any) -> int:
    name = element.find(f"{W}name")
    text = (name.get(f"{W}val") or "") if name is not None else ""
    if match := _HEADING_STYLE.fullmatch(text):
        return int(match[1])
    return 1 if text.lower() == "title" else outline_level(element.find(f"{W}pPr"))


def outline_level(properties: Any) -> int:
    """Return the level, 1 to 9, that paragraph properties (`w:pPr` or None) give; 0 where they give none."""
    level = properties.find(f"{W}outlineLvl") if properties is not None else None
    value = (level.get(f"{W}val") or "") if level is not None else ""
    return int(value) + 1 if value.isdecimal() and int(value) < 9 else 0


def is_on(element: Any) -> bool:
    """Tell whether a switch (`w:vanish` and its like, or None) is there and not turned off."""
    return element is not None and element.get(f"{W}val", "true") not in _OFF
