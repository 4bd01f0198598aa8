"""Gives an open file to a worker process, passes its progress on, and kills it when it takes too long."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from rag_core import errors
from rag_core.config import LimitsConfig
from rag_core.errors import CorruptDocumentError, DocumentError, DocumentTooLargeError
from rag_core.loading.starting import SPARE, Worker, end, kill, start
from rag_core.loading.worker import FRAME_HEADER

__all__ = ["ParserError", "parse_in_child"]

# A page of a result is at most this many bytes for each character and each recorded span; beyond, the child is broken.
_BYTES_PER_CHARACTER = 12
_RESULT_SLACK_BYTES = 64 * 1024 * 1024
# An Office file may unpack to this many times the largest file.
_EXPANSION = 10


class ParserError(Exception):
    """What happened in the worker, as text: the cause of the DocumentError that the caller sees."""


def parse_in_child(
    content: BinaryIO, suffix: str, limits: LimitsConfig, on_page: Callable[[int, int], None]
) -> dict[str, Any]:
    """Parse the open file `content`, from its start, and return the worker's result.

    Whatever ends this call, an error of `on_page` included, the worker and all it started are dead afterwards.
    Raises DocumentError with a message that does not name the file.
    """
    child = _start(content, suffix, limits)
    overdue = threading.Event()

    def stop() -> None:
        overdue.set()
        kill(child)

    clock = threading.Timer(limits.parse_seconds, stop)
    clock.daemon = True
    clock.start()
    try:
        result = _converse(child, limits, on_page)
        if result is None and overdue.is_set():
            raise DocumentTooLargeError(
                f"reading it took longer than {limits.parse_seconds:g} seconds; split it into smaller files"
            )
        if result is None:
            raise _death(child.wait())
        return result
    finally:
        clock.cancel()
        end(child)


def _start(content: BinaryIO, suffix: str, limits: LimitsConfig) -> Worker:
    job = {
        "suffix": suffix,
        "pages": limits.pages,
        "characters": limits.characters,
        "seconds": limits.parse_seconds,
        "memory_bytes": limits.parse_memory_bytes,
        "expanded_bytes": _EXPANSION * limits.file_bytes,
    }
    try:
        content.seek(0)
        return SPARE.hand_over(content, job) or start(content.fileno(), job)
    except OSError as error:
        raise DocumentError(
            f"its reader could not be started ({error.strerror}); free some memory and try again"
        ) from error


def _converse(child: Worker, limits: LimitsConfig, on_page: Callable[[int, int], None]) -> dict[str, Any] | None:
    """Return the result, or None where the worker ended without one. Raises the error that it reports."""
    if child.stdout is None:
        return None
    most = _BYTES_PER_CHARACTER * limits.characters + _RESULT_SLACK_BYTES
    while True:
        header = child.stdout.read(FRAME_HEADER.size)
        if len(header) < FRAME_HEADER.size:
            return None
        kind, length = FRAME_HEADER.unpack(header)
        if length > most:
            raise CorruptDocumentError("its reader returned more than a document can hold; get a new copy of it")
        body = child.stdout.read(length)
        if len(body) < length:
            return None
        payload = json.loads(body)
        if kind == b"P":
            on_page(int(payload["done"]), int(payload["total"]))
        elif kind == b"R":
            return dict(payload)
        else:
            raise _reported(payload)


def _reported(payload: dict[str, Any]) -> DocumentError:
    """Return the worker's error as ours, with what it says about where it happened as the cause."""
    kind = getattr(errors, str(payload["error"]), None)
    if not (isinstance(kind, type) and issubclass(kind, DocumentError)):
        kind = CorruptDocumentError
    error = kind(str(payload["message"])[:500])
    error.__cause__ = ParserError(str(payload["detail"]))
    return error


def _death(status: int) -> DocumentError:
    """Return what a worker's end without a result means; `status` is negative for the signal that ended it."""
    time_signal = getattr(signal, "SIGXCPU", None)
    if time_signal is not None and status == -time_signal:
        return DocumentTooLargeError("reading it took too much processor time; split it into smaller files")
    if status == -getattr(signal, "SIGKILL", 9):
        return DocumentTooLargeError("reading it took too much memory or time; split it into smaller files")
    error = CorruptDocumentError("it crashed its reader, so it is damaged or too complex; export it again, or as .pdf")
    error.__cause__ = ParserError(f"the worker ended with status {status}")
    return error
