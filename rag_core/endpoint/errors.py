"""What goes wrong between here and a server, told in one line each, and whether another try may help.

The server's own words are quoted in part and as plain text; the key is in none of them, because it is never handed to
the client library.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import httpx
from huggingface_hub.errors import HfHubHTTPError, OverloadedError, TextGenerationError

from rag_core.errors import BusyError, ConfigError, ModelError, ModelNotFoundError, QuestionError, RagError

__all__ = ["Failure", "RedirectedError", "SystemRoleError", "failure", "refuses_system_role"]

_QUOTED = 160
_CONTROL = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]+")
_TOO_LONG = re.compile(r"context|too long|max_model_len|maximum.{0,40}tokens|exceed", re.IGNORECASE)
_ROLES = re.compile(
    r"\bsystem\b.{0,80}\b(?:role|message|support)|\broles?\b.{0,80}\b(?:alternate|support|system|user)", re.I
)


class RedirectedError(Exception):
    """The server points elsewhere. It is not followed: the key belongs to the address that was set."""


class SystemRoleError(Exception):
    """The model's chat template has no system role."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error to tell; with `retry`, another try may help, after `wait` seconds where the server said so."""

    error: RagError
    retry: bool = False
    wait: float | None = None


def failure(error: Exception, place: str, model: str, seconds: float, detail: str = "") -> Failure:
    """Return what `error` means at the server `place` (host and port) that was asked for `model`.

    `seconds` is the silence that is allowed, `detail` the body of an error response.
    """
    if isinstance(error, HfHubHTTPError):
        return _status(error.response, place, model, _quoted(detail))
    if isinstance(error, OverloadedError):
        return Failure(BusyError(f"The server {place} is overloaded; try again shortly"), retry=True)
    if isinstance(error, TextGenerationError):
        return Failure(ModelError(f"The server {place} failed while it generated ({_quoted(str(error))}); ask again"))
    if isinstance(error, RedirectedError):
        return Failure(
            ConfigError(f"The server {place} redirects to another address; set RAG_ENDPOINT to the final one")
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        text = f"The server {place} cannot be reached; start it, or correct RAG_ENDPOINT"
        return Failure(ModelNotFoundError(text), retry=True)
    if isinstance(error, TimeoutError | asyncio.TimeoutError | httpx.TimeoutException):
        text = f"The server {place} sent nothing for {seconds:g} s; try again, or raise RAG_ENDPOINT_SECONDS"
        return Failure(BusyError(text))
    if isinstance(error, httpx.HTTPError | httpx.StreamError | EOFError):
        text = f"The connection to {place} ended in the middle of the answer; ask again, and look at the server's log"
        return Failure(ModelError(text), retry=True)
    if isinstance(error, ValueError | TypeError | KeyError | AttributeError | IndexError):
        # What the client library raises for a line that is no chunk of a chat completion.
        text = f"The server {place} sent what is no chat completion; RAG_ENDPOINT must be an OpenAI-compatible server"
        return Failure(ModelError(text))
    return Failure(ModelError(f"The server {place} failed ({type(error).__name__}); ask again"))


def _status(response: Any, place: str, model: str, said: str) -> Failure:
    """Return what an error status means."""
    status = int(response.status_code)
    quoted = f" ({said})" if said else ""
    if status in (401, 403):
        return Failure(ConfigError(f"The server {place} refuses the key (status {status}); set RAG_ENDPOINT_KEY"))
    if status == 404:
        text = f"The server {place} has no model {model or 'listed'}{quoted}; set RAG_MODEL to one that it serves"
        return Failure(ModelNotFoundError(text))
    if status == 429 or status == 503:
        text = f"The server {place} is busy (status {status}); try again shortly"
        return Failure(BusyError(text), retry=True, wait=_retry_after(response))
    if status in (408, 500, 502, 504):
        return Failure(ModelError(f"The server {place} failed with status {status}{quoted}; ask again"), retry=True)
    if status in (400, 413, 422) and _TOO_LONG.search(said):
        text = f"The prompt is longer than {model} at {place} reads{quoted}; set RAG_CONTEXT_TOKENS to what it reads"
        return Failure(QuestionError(text))
    return Failure(ModelError(f"The server {place} refuses the request with status {status}{quoted}"))


def refuses_system_role(status: int, detail: str) -> bool:
    """Return whether an error response says that the chat template knows no system role."""
    return status in (400, 422, 500) and _ROLES.search(detail) is not None


def _retry_after(response: Any) -> float | None:
    """Return the seconds of a Retry-After header; its other form, a date, is left to the back-off."""
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _quoted(text: str) -> str:
    """Return the start of a server's words on one line; of JSON, the message in it."""
    found = re.search(r'"(?:message|detail|error)"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
    words = " ".join(_CONTROL.sub(" ", found[1] if found else text).split())
    return words if len(words) <= _QUOTED else words[: _QUOTED - 1] + "…"
