"""Question answering over your own documents, every claim tied to an exact passage. Importing it loads no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag_core.config import RagConfig
from rag_core.errors import (
    BusyError,
    ConfigError,
    CorruptDocumentError,
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    EvaluationError,
    IndexStateError,
    ModelError,
    ModelLoadError,
    ModelNotFoundError,
    OutOfMemoryError,
    QuestionError,
    RagError,
    ScannedDocumentError,
    UnsupportedFormatError,
)
from rag_core.records import (
    Answer,
    AnswerEvent,
    AnswerSentence,
    Citation,
    CitationsEvent,
    Computation,
    Document,
    DoneEvent,
    Hit,
    Message,
    Operand,
    Page,
    Progress,
    TextEvent,
    TokenCounts,
)

if TYPE_CHECKING:
    from rag_core.pipeline import RagPipeline

__all__ = [
    "Answer",
    "AnswerEvent",
    "AnswerSentence",
    "BusyError",
    "Citation",
    "CitationsEvent",
    "Computation",
    "ConfigError",
    "CorruptDocumentError",
    "Document",
    "DocumentError",
    "DocumentNotFoundError",
    "DocumentTooLargeError",
    "DoneEvent",
    "EmptyDocumentError",
    "EncryptedDocumentError",
    "EvaluationError",
    "Hit",
    "IndexStateError",
    "Message",
    "ModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "Operand",
    "OutOfMemoryError",
    "Page",
    "Progress",
    "QuestionError",
    "RagConfig",
    "RagError",
    "RagPipeline",
    "ScannedDocumentError",
    "TextEvent",
    "TokenCounts",
    "UnsupportedFormatError",
    "__version__",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The pipeline pulls in numpy and the stages; the records and errors should not cost that.
    if name == "RagPipeline":
        from rag_core.pipeline import RagPipeline

        return RagPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
