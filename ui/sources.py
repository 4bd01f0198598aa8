"""The sources panel: the citations of an answer, and one document opened at a passage or at a page."""

from __future__ import annotations

import secrets

from rag_core import Answer, Citation, Document, Hit
from ui.markup import attributes, escape, plain_name, shorten
from ui.passages import passage_html
from ui.views import view_at, views_of

__all__ = ["empty_panel", "gone_panel", "source_panel", "view_panel"]


def empty_panel() -> str:
    """Return the panel before anything was asked."""
    return (
        '<section class="rag-panel is-empty" aria-label="Source">'
        '<div class="rag-empty"><p class="rag-empty-title">Sources</p>'
        "<p>Every sentence of an answer carries a number. Choose it, and the document opens here at the exact words, "
        "marked.</p></div></section>"
    )


def gone_panel() -> str:
    """Return the panel for a source that was deleted or has expired."""
    return (
        '<section class="rag-panel is-empty" aria-label="Source"><div class="rag-empty" role="status">'
        '<p class="rag-empty-title">No longer there</p>'
        "<p>This document was deleted, or your visit expired. Add it again and ask anew.</p></div></section>"
    )


def source_panel(turn_id: str, answer: Answer, kind: str, number: int) -> str:
    """Return the panel with citation or hit `number` (1-based) of an answer opened at its passage."""
    sources: tuple[Citation, ...] | tuple[Hit, ...] = answer.hits if kind == "hit" else answer.citations
    source = sources[number - 1]
    span = (source.start, source.end) if isinstance(source, Citation) else (source.focus.start, source.focus.end)
    listed = _list(turn_id, answer.citations, number) if kind == "citation" and len(answer.citations) > 1 else ""
    note = "" if kind == "citation" else '<p class="rag-note">Nearest passage; it does not answer the question.</p>'
    tag = f'<b class="rag-number">{number}</b>' if kind == "citation" else ""
    return _panel(source.document, view_at(views_of(source.document), span[0]), span, tag, listed + note)


def view_panel(document: Document, index: int) -> str:
    """Return the panel with view `index` (0-based, brought into range) of a document, nothing marked."""
    views = views_of(document)
    return _panel(document, max(0, min(index, len(views) - 1)), None, "", "")


def _panel(document: Document, index: int, span: tuple[int, int] | None, tag: str, above: str) -> str:
    views = views_of(document)
    view = views[index]
    # A token of its own for each showing lets the page see that this is another one, and scroll to its mark once.
    shown = attributes(shown=secrets.token_hex(4))
    name = escape(plain_name(document.name, 60))
    place = _place(document, index)
    before = _step(document, index - 1, "Previous", "&lsaquo;") if index > 0 else _no_step("&lsaquo;")
    after = _step(document, index + 1, "Next", "&rsaquo;") if index + 1 < len(views) else _no_step("&rsaquo;")
    return (
        f'<section class="rag-panel" aria-label="Source"{shown}>'
        f'<header class="rag-panel-head">'
        f'<button type="button" class="rag-back" data-rag="back">&lsaquo; Back to the answer</button>'
        f'<h2 class="rag-panel-title" tabindex="-1">{tag}<span>{name}</span></h2>'
        f'<div class="rag-pager">{before}<span class="rag-page">{escape(place)}</span>{after}</div></header>'
        f'{above}<div class="rag-page-text" tabindex="0" role="region" aria-label="{escape(place)} of {name}">'
        f"{passage_html(document, view.start, view.end, span)}</div></section>"
    )


def _place(document: Document, index: int) -> str:
    """Name the view: page and number of pages, the sheet where it has a name, the part of a long page."""
    view = views_of(document)[index]
    unit = "Sheet" if document.name.lower().endswith(".xlsx") else "Page"
    words = f"{unit} {view.page} of {max(1, document.page_count)}"
    if view.label and view.label != str(view.page):
        words += f" · {plain_name(view.label, 30)}"
    return words + (f" · part {view.part} of {view.parts}" if view.parts > 1 else "")


def _step(document: Document, index: int, words: str, sign: str) -> str:
    action = attributes(rag="view", document=document.id, index=index)
    return f'<button type="button" class="rag-step"{action} aria-label="{words} page">{sign}</button>'


def _no_step(sign: str) -> str:
    return f'<span class="rag-step is-off" aria-hidden="true">{sign}</span>'


def _list(turn_id: str, citations: tuple[Citation, ...], chosen: int) -> str:
    """Return the answer's citations as a list to choose from."""
    items = []
    for citation in citations:
        action = attributes(rag="source", turn=turn_id, kind="citation", number=citation.number)
        current = ' aria-current="true"' if citation.number == chosen else ""
        items.append(
            f'<li><button type="button" class="rag-citation"{action}{current}>'
            f'<b class="rag-number">{citation.number}</b>'
            f"<span><i>{escape(plain_name(citation.document.name, 40))}, page {citation.page}</i>"
            f"{escape(shorten(citation.quote, 120))}</span></button></li>"
        )
    return f'<ol class="rag-citations" aria-label="Sources of this answer">{"".join(items)}</ol>'
