"""Text to HTML: the one way in which a document's, a model's or a visitor's words reach a page."""

from __future__ import annotations

import html
import re

__all__ = ["attributes", "escape", "plain_name", "shorten", "without_halves"]

# Control characters (tab and line feed aside), and the marks that turn the direction of text: in a name they can make
# one file look like another. U+2028 and U+2029 end lines for some parsers only.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
# Halves of characters come in through JSON (`"\ud800"`), and nothing that holds one can be sent or kept as UTF-8.
_HALVES = re.compile("[\ud800-\udfff]")
# Beyond what html.escape covers: characters with a meaning to a template engine or to Markdown, so that the text stays
# text whatever reads the page next.
_SPECIAL = {ord(character): f"&#{ord(character)};" for character in "{}$`"}


def escape(text: str) -> str:
    """Return `text` as HTML that shows exactly these characters, in an element or in a quoted attribute."""
    return html.escape(_INVISIBLE.sub("", text), quote=True).translate(_SPECIAL)


def without_halves(text: str) -> str:
    """Return `text` without halves of characters (lone surrogates)."""
    return _HALVES.sub("", text)


def plain_name(name: str, limit: int = 80) -> str:
    """Return a file's name on one line, without invisible characters, shortened in the middle to `limit` characters."""
    name = " ".join(_INVISIBLE.sub("", name).split()) or "document"
    if len(name) <= limit:
        return name
    tail = limit // 3
    return f"{name[: limit - tail - 1]}…{name[-tail:]}"


def shorten(text: str, limit: int) -> str:
    """Return `text` on one line, cut at a word to at most `limit` characters."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text.rfind(" ", limit // 2, limit)
    return text[: cut if cut > 0 else limit].rstrip(" ,;:.") + "…"


def attributes(**values: object) -> str:
    """Return ` data-name="value"` for each value, escaped; underscores in a name become hyphens."""
    return "".join(f' data-{name.replace("_", "-")}="{escape(str(value))}"' for name, value in values.items())
