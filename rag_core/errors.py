"""Every error that this package raises on purpose.

RagError                        the base: `except RagError` catches all of them, `str(error)` is one line for a person
├── ConfigError                 a setting is unknown, malformed or out of range
├── DocumentError               a file cannot become a document
│   ├── DocumentNotFoundError   no such file, or no document of that id
│   ├── UnsupportedFormatError  the type is not one that is read, or the content is not what the extension says
│   ├── EmptyDocumentError      nothing in it: zero bytes, or no text at all
│   ├── ScannedDocumentError    pages hold pictures and no text: text recognition is needed first
│   ├── EncryptedDocumentError  a password is needed
│   ├── CorruptDocumentError    the content is damaged, or the parser gave up on it
│   └── DocumentTooLargeError   over a limit: bytes, pages, characters, or time to parse
├── QuestionError               a question that cannot be asked: empty, or longer than the model's context
├── EvaluationError             a file of questions or verdicts cannot be read or written
├── IndexStateError             the index on disk cannot be used: another embedder, locked, or not writable
├── ModelError                  a model cannot serve
│   ├── ModelNotFoundError      the id or the folder resolves to nothing, here or on the Hub
│   ├── ModelLoadError          found, and yet it does not load: damaged, unknown architecture, missing package
│   └── OutOfMemoryError        it does not fit in the memory of the device
└── BusyError                   too many requests at once: worth another try shortly (`retryable` is true)

A message says what is wrong, where, and what to do next, in one line. Errors of the libraries below are translated at
the edge of the stage that calls them, with the original chained as `__cause__`.
"""

from __future__ import annotations

__all__ = [
    "BusyError",
    "ConfigError",
    "CorruptDocumentError",
    "DocumentError",
    "DocumentNotFoundError",
    "DocumentTooLargeError",
    "EmptyDocumentError",
    "EncryptedDocumentError",
    "EvaluationError",
    "IndexStateError",
    "ModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "OutOfMemoryError",
    "QuestionError",
    "RagError",
    "ScannedDocumentError",
    "UnsupportedFormatError",
]


class RagError(Exception):
    """Base of all errors raised on purpose; `str()` is one line: what, where, and what to do next."""

    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class ConfigError(RagError):
    """A setting is unknown, malformed or out of range."""


class DocumentError(RagError):
    """A file cannot become a document."""


class DocumentNotFoundError(DocumentError):
    """No such file, or no document of that id."""


class UnsupportedFormatError(DocumentError):
    """The type is not one that is read, or the content is not what the extension says."""


class EmptyDocumentError(DocumentError):
    """Zero bytes, or no text at all."""


class ScannedDocumentError(DocumentError):
    """Pages hold pictures and no text."""


class EncryptedDocumentError(DocumentError):
    """A password is needed to open it."""


class CorruptDocumentError(DocumentError):
    """The content is damaged, or the parser gave up on it."""


class DocumentTooLargeError(DocumentError):
    """Over a limit: bytes, pages, characters, or time to parse."""


class QuestionError(RagError):
    """A question that cannot be asked: empty, or longer than the model's context."""


class EvaluationError(RagError):
    """A file of questions or verdicts cannot be read or written."""


class IndexStateError(RagError):
    """The index on disk cannot be used: another embedder, locked, or not writable."""


class ModelError(RagError):
    """A model cannot serve."""


class ModelNotFoundError(ModelError):
    """The id or the folder resolves to nothing, here or on the Hub."""


class ModelLoadError(ModelError):
    """Found, and yet it does not load: damaged, unknown architecture, missing package."""


class OutOfMemoryError(ModelError):
    """The model or the request does not fit in the memory of the device."""


class BusyError(RagError):
    """Too many requests at once: worth another try shortly."""

    retryable = True
