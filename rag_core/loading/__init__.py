"""A file to a `Document`: checked at the edge, parsed in a child process that can be killed, its result checked again."""

from __future__ import annotations

from rag_core.loading.formats import SUPPORTED_SUFFIXES
from rag_core.loading.opening import load_document

__all__ = ["SUPPORTED_SUFFIXES", "load_document"]
