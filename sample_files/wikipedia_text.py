"""From the HTML of a Wikipedia page to plain text, and from its title to a file name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from lxml import html

from rag_core.loading.drafting import Draft, DraftLimits
from rag_core.loading.webpage import read_html

__all__ = ["file_name", "navigation_titles", "page_text"]

_CHROME = (
    "navbox navbox-styles sidebar infobox metadata ambox hatnote shortdescription reference reflist references "
    "mw-references-wrap mw-editsection toc noprint sistersitebox thumb gallery portalbox refbegin mw-empty-elt"
).split()
_LAST_SECTIONS = frozenset(
    ("see also", "references", "external links", "further reading", "notes", "footnotes", "bibliography", "sources")
)
_RESERVED = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))])
_MOST_NAME_CHARACTERS = 50
# What MediaWiki puts around every formula.
_DISPLAY = re.compile(r"^\{\\displaystyle\s*(.*)\}$", re.DOTALL)


def navigation_titles(page: str) -> list[str]:
    """Return the titles that the navigation boxes of a page link to, each once, without pages that are missing."""
    anchors = [anchor for anchor in _tree(page).iterfind(".//a[@title]") if _in_box(anchor)]
    return list(dict.fromkeys(anchor.get("title") for anchor in anchors))


def file_name(title: str) -> str:
    """Return a name, without its ending, that every file system takes and that cannot leave its folder."""
    plain = unicodedata.normalize("NFC", title)
    words = re.sub(r"[^\w-]+", "_", plain).strip("_-")[:_MOST_NAME_CHARACTERS].strip("_-")
    return f"page_{words}" if not words or words.casefold() in _RESERVED else words


def page_text(title: str, page: str) -> str:
    """Return the article's words: its title and headings underlined, paragraphs, lists and table rows; empty for none."""
    root = _tree(page)
    _drop_chrome(root)
    draft = Draft(DraftLimits(pages=1, characters=20_000_000, expanded_bytes=0))
    read_html(html.tostring(root, encoding="utf-8"), draft)
    text, _ = draft.finish()
    marks = {
        heading.end: "\n" + ("=" if heading.level <= 2 else "-") * len(heading.title) for heading in draft.headings
    }
    sections = [heading for heading in draft.headings if heading.level <= 2]
    body = _underlined(text, 0, sections[0].start if sections else len(text), marks)
    for number, heading in enumerate(sections):
        end = sections[number + 1].start if number + 1 < len(sections) else len(text)
        if heading.title.casefold() not in _LAST_SECTIONS:
            body += _underlined(text, heading.start, end, marks)
    return f"{title}\n{'=' * len(title)}\n\n{body.strip()}\n" if body.strip() else ""


def _drop_chrome(root: Any) -> None:
    """Take out what is not the article's text, and put each formula's own words in its place."""
    for element in list(root.iter("figure", "style", "script")):
        element.drop_tree()
    for element in list(root.iterfind(".//*[@class]")):
        classes = element.get("class").split()
        if any(name in _CHROME for name in classes):
            element.drop_tree()
        elif "mwe-math-element" in classes:
            formula = element.find(".//math")
            words = (formula.get("alttext") or "") if formula is not None else ""
            shown = html.Element("span")
            shown.text, shown.tail = _DISPLAY.sub(r"\1", words).strip(), element.tail
            element.getparent().replace(element, shown)


def _underlined(text: str, start: int, end: int, marks: Mapping[int, str]) -> str:
    parts, position = [], start
    for place in sorted(place for place in marks if start < place <= end):
        parts += [text[position:place], marks[place]]
        position = place
    return "".join([*parts, text[position:end]])


def _tree(page: str) -> Any:
    """Return the HTML as a tree, without comments."""
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    return html.document_fromstring(f"<div>{page}</div>".encode("utf-8", "replace"), parser=parser)


def _in_box(anchor: Any) -> bool:
    """Whether a link is one of a navigation box, and not to its own template or to a page that is missing."""
    if "new" in (anchor.get("class") or "").split():
        return False
    around = {name for element in anchor.iterancestors() for name in (element.get("class") or "").split()}
    return bool(around & {"navbox", "sidebar"}) and "navbar" not in around
