"""The page's fixed parts: header, tabs for small screens, the welcome, the note on privacy."""

from __future__ import annotations

from ui.judging import feedback_place
from ui.markup import escape
from ui.samples import Samples
from ui.settings import AppSettings

__all__ = ["header_html", "hero_html", "privacy_html", "tabs_html"]


def header_html(words: str, ready: bool) -> str:
    """Return the header with the models' state in words."""
    state = "is-ready" if ready else "is-busy"
    return (
        '<header class="rag-header"><div class="rag-brand"><span class="rag-logo" aria-hidden="true"></span>'
        "<h1>RagOptimize</h1><p>Answers from your documents, each claim tied to its passage</p></div>"
        f'<div class="rag-tools"><span class="rag-state {state}" role="status">{escape(words)}</span>'
        '<button type="button" class="rag-theme" data-rag="theme" aria-label="Switch between light and dark">◐</button>'
        "</div></header>"
    )


def tabs_html() -> str:
    """Return the three tabs of a small screen."""
    tabs = "".join(
        f'<button type="button" data-rag="pane" data-pane="{pane}" aria-pressed="{str(pane == "chat").lower()}">{words}'
        "</button>"
        for pane, words in (("side", "Documents"), ("chat", "Chat"), ("sources", "Source"))
    )
    return f'<nav class="rag-tabs" aria-label="Parts of the page">{tabs}</nav>'


def hero_html(samples: Samples) -> str:
    """Return what stands in the chat before the first question."""
    starters = samples.starters_html()
    hint = '<p class="rag-try">Or try a sample: one click adds the document and asks.</p>' if starters else ""
    return (
        '<div class="rag-hero"><h2>Ask a report. See where it says so.</h2>'
        "<p>Add an annual report, a fact sheet or a workbook. Each sentence of the answer carries a number that opens "
        "the document at the exact words; what no passage supports is marked.</p>"
        f"{hint}{starters}</div>"
    )


def privacy_html(settings: AppSettings) -> str:
    """Return what happens to documents, with the time that is set."""
    minutes = round(settings.idle_seconds / 60)
    kept = f"{minutes} minutes" if minutes > 1 else f"{round(settings.idle_seconds)} seconds"
    return (
        '<p class="rag-privacy">Only this page sees your documents. They are deleted when you close it, or after '
        f"{kept} without use.{_judged(settings)}</p>"
    )


def _judged(settings: AppSettings) -> str:
    """Return what becomes of an answer that is judged."""
    if not (place := feedback_place(settings)):
        return ""
    return f" An answer you judge is kept {escape(place)}, with its quotes, unless you delete its document."
