"""Which HTML elements a reader cannot see: by attribute, by their own style, or by a simple rule of the page's style.

Text marked `aria-hidden`, which a screen reader's user does not meet, counts as hidden unless whole parts of the page
stand in it. Otherwise only what can be told without a browser: declarations that hide (`display: none`, no size, no
opacity, off the page, letters in the ground's colour) on the element itself, or on a selector of one tag, class or id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["HidingRules"]

_ZERO = r"[+-]?0*(?:\.0*)?"
_HIDING = re.compile(
    rf"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|content-visibility\s*:\s*hidden"
    rf"|opacity\s*:\s*{_ZERO}%?\s*(?=[;!]|$)|font(?:-size)?\s*:\s*(?:{_ZERO}|0*1|0?\.\d+)(?:px|pt)\b"
    rf"|font-size\s*:\s*{_ZERO}(?:r?em|%|ex|ch|vw|vh)?\s*(?=[;!]|$)"
    rf"|(?:left|right|top|bottom|text-indent|margin-left|margin-top)\s*:\s*-\d{{4,}}(?:\.\d+)?(?:px|pt|em|rem|%)?"
    rf"|transform\s*:[^;]{{0,100}}translate[xy3d]{{0,2}}\(\s*-\d{{3,}}(?:\.\d+)?(?:px|pt|em|rem|vw|vh|%)"
    rf"|clip-path\s*:\s*(?:inset\(\s*(?:[5-9]\d|100)(?:\.\d+)?%|circle\(\s*{_ZERO}(?:px|%)?\s*[\s)]|polygon\(\s*0(?:px|%)?\s+0(?:px|%)?\s*(?:,\s*0(?:px|%)?\s+0(?:px|%)?\s*)*\))"
    rf"|clip\s*:\s*rect\(\s*[01](?:px)?[,\s]+[01](?:px)?[,\s]+[01](?:px)?[,\s]+[01](?:px)?\s*\)"
    rf"|transform\s*:\s*scale[xy]?\(\s*{_ZERO}\s*\)|color\s*:\s*transparent)",
    re.IGNORECASE,
)
_NO_SIZE = re.compile(
    rf"(?:^|;)\s*(?:max-)?(?:height|width)\s*:\s*{_ZERO}(?:px|pt|em|rem|%)?\s*(?=[;!]|$)", re.IGNORECASE
)
_CLIPPED = re.compile(r"(?:^|;)\s*overflow(?:-[xy])?\s*:\s*(?:hidden|clip)", re.IGNORECASE)
_WHITE = re.compile(
    r"(?:^|;)\s*color\s*:\s*(?:white|#fff(?:fff)?(?:f|ff)?|rgba?\(\s*255\s*,\s*255\s*,\s*255\s*(?:,[^)]*)?\))\s*(?=[;!]|$)",
    re.IGNORECASE,
)
_GROUND = re.compile(r"(?:^|;)\s*background(?:-color|-image)?\s*:\s*([^;]+)", re.IGNORECASE)
_WHITE_GROUND = re.compile(r"\s*(?:white|#fff(?:fff)?|transparent|none|inherit)\s*(?:!important)?\s*", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_SIMPLE = re.compile(r"(?P<tag>[a-z][a-z0-9]*)?(?:\.(?P<cls>[\w-]+)|#(?P<id>[\w-]+))?", re.IGNORECASE)
_PARTS = frozenset("body main article table h1 h2 h3 h4 h5 h6".split())
_MOST_STYLE_CHARACTERS = 500_000
_MOST_ANCESTORS = 64


@dataclass(frozen=True, slots=True)
class HidingRules:
    """The page's own selectors that hide (`names`), and those that give a ground, as `tag`, `.class`, `#id` or both."""

    names: frozenset[str]
    grounds: bool

    @classmethod
    def of(cls, root: Any) -> HidingRules:
        """Read the rules from the style elements below `root`; rules for print or other conditions do not count."""
        text = " ".join("".join(style.itertext()) for style in root.iter("style"))[:_MOST_STYLE_CHARACTERS]
        text = _without_conditions(_COMMENT.sub(" ", text))
        names: set[str] = set()
        shown: set[str] = set()
        grounds = False
        for selectors, declarations in _RULE.findall(text):
            grounds = grounds or any(not _WHITE_GROUND.fullmatch(value) for value in _GROUND.findall(declarations))
            hides = _hides(declarations)
            shows = re.search(r"display\s*:\s*(?!none)\w", declarations) is not None
            for selector in (selector.strip() for selector in selectors.split(",")):
                if selector and (match := _SIMPLE.fullmatch(selector)):
                    name = _name(match["tag"] or "", match["cls"] or "", match["id"] or "")
                    (names if hides else shown if shows else set()).add(name)
        return cls(frozenset(names - shown - {"html", "body"}), grounds)

    def hides(self, element: Any) -> bool:
        """Tell whether the element itself, and so everything in it, cannot be seen."""
        tag = element.tag
        if element.get("hidden") is not None or (tag == "dialog" and element.get("open") is None):
            return True
        if (element.get("aria-hidden") or "").strip().lower() == "true" and not _is_part_of_page(element):
            return True
        if tag == "input" or (tag == "font" and (element.get("size") or "") == "0"):
            return True
        style = element.get("style")
        if style and (_hides(style) or (_WHITE.search(style) and not self._on_ground(element))):
            return True
        if not self.names:
            return False
        classes = (element.get("class") or "").split()[:50]
        identity = element.get("id") or ""
        candidates = [_name(tag, "", ""), *(_name(kind, one, "") for one in classes for kind in ("", tag))]
        if identity:
            candidates += [_name("", "", identity), _name(tag, "", identity)]
        return any(name in self.names for name in candidates)

    def _on_ground(self, element: Any) -> bool:
        """Tell whether white letters may stand on a colour: one is set on the element, around it, or by a rule."""
        if self.grounds:
            return True
        for depth, outer in enumerate([element, *element.iterancestors()]):
            if depth > _MOST_ANCESTORS or outer.get("bgcolor") or outer.get("background"):
                return True
            for value in _GROUND.findall(outer.get("style") or ""):
                if not _WHITE_GROUND.fullmatch(value):
                    return True
        return False


def _is_part_of_page(element: Any) -> bool:
    """Tell whether an element holds headings or tables: a page that was saved under an open dialog hides all of itself."""
    return element.tag in _PARTS or any(below.tag in _PARTS for below in element.iterdescendants())


def _hides(declarations: str) -> bool:
    declarations = declarations.strip()[:2_000]
    return bool(_HIDING.search(declarations)) or bool(_NO_SIZE.search(declarations) and _CLIPPED.search(declarations))


def _name(tag: str, cls: str, identity: str) -> str:
    return tag.lower() + (f".{cls}" if cls else "") + (f"#{identity}" if identity else "")


def _without_conditions(text: str) -> str:
    """Return a style sheet without its `@` blocks, which hold under conditions that are not ours."""
    kept, depth, position = [], 0, 0
    for found in re.finditer(r"@[^{};]*\{|[{}]", text):
        if depth == 0 and found[0].startswith("@"):
            kept.append(text[position : found.start()])
            depth = 1
        elif depth:
            depth += 1 if found[0].endswith("{") else -1
            position = found.end() if depth == 0 else position
    return "".join(kept) + (text[position:] if depth == 0 else "")
