"""HTML: what a reader would see, as headings, paragraphs and tables; hidden elements are left out with a warning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rag_core.reading.building import Refused, TextBuilder
from rag_core.reading.plain import decode

__all__ = ["read_html"]

_SKIPPED = frozenset(
    "script style noscript template head iframe object embed svg math canvas video audio select option".split()
)
_BLOCKS = frozenset(
    "p div section article main header footer nav aside ul ol dl li dt dd blockquote pre figure figcaption form "
    "fieldset address details summary hr br body center".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|font-size\s*:\s*0(?:\.\d+)?(?:px|pt|em|rem|%)?\s*(?:;|$|!)|"
    r"opacity\s*:\s*0(?:\.0+)?\s*(?:;|$|!)|(?:left|top|text-indent)\s*:\s*-\d{3,}",
    re.IGNORECASE,
)


def read_html(path: Path, out: TextBuilder) -> None:
    """Read an HTML page. Nothing it refers to is fetched."""
    import lxml.etree
    import lxml.html

    out.page(1)
    data = path.read_bytes()
    declared = re.search(rb"<meta[^>]+charset=[\"']?([\w-]+)", data[:4_096], re.IGNORECASE)
    try:
        text = data.decode(declared.group(1).decode("ascii")) if declared else decode(data)
    except (LookupError, UnicodeDecodeError):
        text = decode(data)
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text.replace("\0", ""))
    parser = lxml.html.HTMLParser(no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        root = lxml.html.document_fromstring(text, parser=parser)
    except (lxml.etree.LxmlError, ValueError) as error:
        raise Refused("CorruptDocumentError", "is no readable HTML; save the page again") from error
    _Reader(out).read(root)


class _Reader:
    """Walks the tree without recursion: pages nested thousands deep are hostile and must not end the process."""

    def __init__(self, out: TextBuilder) -> None:
        self._out = out
        self._text: list[str] = []

    def read(self, root: Any) -> None:
        """Write everything visible below `root`."""
        stack: list[tuple[str, Any]] = [("open", root)]
        while stack:
            action, item = stack.pop()
            if action == "text":
                self._text.append(item)
            elif action == "break":
                self._flush()
            else:
                self._open(item, stack)
        self._flush()

    def _open(self, element: Any, stack: list[tuple[str, Any]]) -> None:
        tag = element.tag if isinstance(element.tag, str) else ""
        after = [("text", element.tail)] if element.tail else []
        if not tag or tag in _SKIPPED or self._hidden(element):
            stack.extend(after)
            return
        if tag in _HEADINGS:
            self._flush()
            self._out.heading(_HEADINGS[tag], " ".join(_visible_text(element).split()))
            stack.extend(after)
            return
        if tag == "table" and not element.xpath(".//table"):
            self._flush()
            self._table(element)
            stack.extend(after)
            return
        block = tag in _BLOCKS or tag in ("table", "tr")
        if block:
            self._flush()
        stack.extend(after)
        if block or tag in ("td", "th"):
            stack.append(("break", None))
        stack.extend(("open", child) for child in reversed(element))
        if element.text:
            stack.append(("text", element.text))

    def _hidden(self, element: Any) -> bool:
        if _is_hidden(element):
            self._out.warn("Hidden elements were left out.")
            return True
        return False

    def _flush(self) -> None:
        text = " ".join("".join(self._text).split())
        self._text.clear()
        if text:
            self._out.paragraph(text)

    def _table(self, element: Any) -> None:
        for caption in element.iter("caption"):
            self._out.line(_visible_text(caption))
        rows = []
        for row in element.iter("tr"):
            if _is_hidden(row):
                self._out.warn("Hidden elements were left out.")
                continue
            cells = [cell for cell in row if cell.tag in ("td", "th") and not _is_hidden(cell)]
            rows.append([_visible_text(cell) for cell in cells])
        self._out.table(rows)


def _is_hidden(element: Any) -> bool:
    return (
        "hidden" in element.attrib
        or element.get("aria-hidden") == "true"
        or bool(_HIDING.search(element.get("style") or ""))
        or (element.tag == "input" and element.get("type") == "hidden")
    )


def _visible_text(element: Any) -> str:
    """Return the visible text below `element`, which may be nested deeply."""
    parts: list[str] = []
    stack: list[Any] = [element]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        if item is not element and item.tail:
            stack.append(item.tail)
        if not isinstance(item.tag, str) or item.tag in _SKIPPED or (item is not element and _is_hidden(item)):
            continue
        if item.tag in _BLOCKS:
            parts.append(" ")
        stack.extend(reversed(item))
        if item.text:
            stack.append(item.text)
    return "".join(parts)
