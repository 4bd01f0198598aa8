"""A file to a `Document`: checked at the edge, parsed in a child process that can be killed, its result checked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag_core.loading.formats import SUPPORTED_SUFFIXES

if TYPE_CHECKING:
    from rag_core.loading.opening import load_document

__all__ = ["SUPPORTED_SUFFIXES", "load_document"]


def __getattr__(name: str) -> Any:
    # The child process comes through here as well; what starts it would cost each document some milliseconds.
    if name == "load_document":
        from rag_core.loading.opening import load_document

        return load_document
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
