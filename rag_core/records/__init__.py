"""The values that pass between the stages: frozen, plain, and free of behaviour beyond what they derive from themselves."""

from __future__ import annotations

from rag_core.records.answers import (
    Answer,
    AnswerEvent,
    AnswerSentence,
    Citation,
    CitationsEvent,
    Computation,
    DoneEvent,
    FinishReason,
    Operand,
    Operation,
    TextEvent,
    TokenCounts,
)
from rag_core.records.documents import Chunk, Document, Heading, Hit, Page, Table, Window
from rag_core.records.turns import Message, Progress, ProgressCallback

__all__ = [
    "Answer",
    "AnswerEvent",
    "AnswerSentence",
    "Chunk",
    "Citation",
    "CitationsEvent",
    "Computation",
    "Document",
    "DoneEvent",
    "FinishReason",
    "Heading",
    "Hit",
    "Message",
    "Operand",
    "Operation",
    "Page",
    "Progress",
    "ProgressCallback",
    "Table",
    "TextEvent",
    "TokenCounts",
    "Window",
]
