"""A file to a Document: checked at the edge, parsed in a child process that can be killed, never trusted."""

from __future__ import annotations

from rag_core.reading.checks import SUPPORTED_SUFFIXES
from rag_core.reading.load import load_document

__all__ = ["SUPPORTED_SUFFIXES", "load_document"]
