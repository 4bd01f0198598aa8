"""Question answering over your own documents, every claim tied to an exact passage. Importing it loads no model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from rag_core.pipeline import RagPipeline
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

# Where the names are, the modules that cost least to import first.
_HOMES = ("rag_core.errors", "rag_core.config", "rag_core.records", "rag_core.pipeline")


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the pipeline pulls in numpy and the stages, and the process that reads a file, which
    # comes through here too, needs neither the configuration nor most records.
    if name in __all__:
        for home in map(import_module, _HOMES):
            if name in home.__all__:
                globals()[name] = getattr(home, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
