"""The visitor's documents as HTML: a list to open and delete from, and files on their way in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_core import Document, Progress
from ui.answers import progress_words
from ui.markup import attributes, escape, plain_name

__all__ = ["Arrival", "documents_html"]


@dataclass
class Arrival:
    """A file on its way in: waiting, at some stage, or refused with a message for the visitor."""

    name: str
    progress: Progress | None = None
    error: str = ""


def documents_html(documents: Sequence[Document], arrivals: Sequence[Arrival] = ()) -> str:
    """Return the list: files on their way and refused ones first, then the documents, latest first."""
    items = [_arrival(arrival) for arrival in arrivals] + [_document(document) for document in reversed(documents)]
    if not items:
        return '<p class="rag-none">None yet. Drop a file above, or take a sample below.</p>'
    return f'<ul class="rag-documents">{"".join(items)}</ul>'


def _document(document: Document) -> str:
    name = escape(plain_name(document.name, 60))
    pages = f"{document.page_count} page{'s' if document.page_count != 1 else ''}"
    passages = f"{document.chunk_count} passage{'s' if document.chunk_count != 1 else ''}"
    facts = f"{_kind(document.name)} · {pages} · {passages}"
    warnings = "".join(f'<span class="rag-warning">{escape(warning)}</span>' for warning in document.warnings)
    action = attributes(document=document.id)
    return (
        f'<li class="rag-document"><button type="button" class="rag-open" data-rag="view" data-index="0"{action}>'
        f'{_name(document.name)}<span class="rag-facts">{escape(facts)}</span>{warnings}</button>'
        f'<button type="button" class="rag-delete" data-rag="remove"{action} aria-label="Delete {name}" '
        f'title="Delete with all that was made of it">&times;</button></li>'
    )


def _arrival(arrival: Arrival) -> str:
    name = _name(arrival.name)
    if arrival.error:
        return (
            f'<li class="rag-document is-refused" role="alert"><div class="rag-open">{name}'
            f'<span class="rag-facts">{escape(arrival.error)}</span></div>'
            '<button type="button" class="rag-delete" data-rag="dismiss" aria-label="Dismiss">&times;</button></li>'
        )
    progress = arrival.progress
    words = progress_words(progress) if progress else "Waiting"
    share = f' value="{progress.done}" max="{progress.total}"' if progress and progress.total > 0 else ""
    bar = f'<progress class="rag-bar"{share} aria-label="{escape(words)}"></progress>' if progress else ""
    return (
        f'<li class="rag-document is-arriving" role="status"><div class="rag-open">{name}'
        f'<span class="rag-facts">{escape(words)}</span>{bar}</div></li>'
    )


def _name(name: str) -> str:
    """Return a file's name that may break after an underscore rather than inside a word or a year."""
    return f'<span class="rag-name">{escape(plain_name(name, 60)).replace("_", "_<wbr>")}</span>'


def _kind(name: str) -> str:
    return name.rpartition(".")[2].upper()[:5] if "." in name else "FILE"
