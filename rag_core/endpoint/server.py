"""One OpenAI-compatible server: its models, and chats that stream, are retried before their first token, and can be cut.

Requests run on an event loop in a thread of its own, for one reason: there a request can be ended at any moment, also
while nothing comes, and ending it closes the connection, which is how servers notice that nobody waits any more.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import HfHubHTTPError

from rag_core.endpoint.errors import Failure, RedirectedError, SystemRoleError, failure, refuses_system_role
from rag_core.errors import BusyError, RagError

__all__ = ["Chunk", "ModelServer", "ServedModel"]

_CONNECT_SECONDS = 10.0
_TRIES = 4
_FIRST_WAIT_SECONDS = 0.5
# A server that asks for more patience than this gets none: the visitor is told instead.
_LONGEST_WAIT_SECONDS = 20.0
# How often the caller gets a chance to stop while nothing comes.
_BEAT_SECONDS = 0.2
_ERROR_BODY_BYTES = 8_192
# A server need not list its models to serve one: some have no such path, some fail at it (`transformers serve` without a
# cache of the Hub).
_NO_LIST = (404, 405, 500, 501)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server lists; `context_tokens` 0 where it does not say."""

    id: str
    context_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer. Token counts are 0 where the server has not told them (most do with the last chunk)."""

    text: str = ""
    finish: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class ModelServer:
    """Requests to one server. All methods may be called from any thread, and chats run side by side."""

    def __init__(self, url: str, key: str = "", silence_seconds: float = 60.0) -> None:
        """Remember the address; nothing is sent before it is needed. `key` stays in this object."""
        base = url.rstrip("/").removesuffix("/chat/completions")
        self._base = base if base.endswith("/v1") else f"{base}/v1"
        self._key = key
        self._seconds = silence_seconds
        self._http: httpx.AsyncClient | None = None
        parts = urlsplit(url)
        # Without path or key: what messages may show.
        self.place = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def models(self) -> list[ServedModel]:
        """Return the models that the server lists, none where it has no list.

        Raises ModelError, ConfigError (the key) or BusyError.
        """
        found: list[ServedModel] = _run(self._models()).result()
        return found

    def chat(self, model: str, turns: Sequence[dict[str, str]], max_new_tokens: int) -> Iterator[Chunk | None]:
        """Yield the chunks of one greedy answer, None whenever nothing came for a moment; closing it ends the request.

        The last chunk has a `finish`. Raises RagError, and SystemRoleError where the template has no system role.
        """
        arrived: queue.SimpleQueue[Chunk | Exception] = queue.SimpleQueue()
        request = _run(self._answered(model, list(turns), max_new_tokens, arrived))
        try:
            while True:
                try:
                    chunk = arrived.get(timeout=_BEAT_SECONDS)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
                if chunk.finish:
                    return
        finally:
            request.cancel()

    # On the event loop ------------------------------------------------------------------------------------------------

    async def _models(self) -> list[ServedModel]:
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._client().get(f"{self._base}/models")
                if response.status_code in _NO_LIST:
                    return []
                if response.is_error:
                    raise HfHubHTTPError("", response=response)
                listed = response.json()["data"]
                return [ServedModel(str(item["id"]), _int(item.get("max_model_len"))) for item in listed]
            except Exception as error:
                detail = error.response.text if isinstance(error, HfHubHTTPError) else ""
                await self._pause(failure(error, self.place, "", self._seconds, detail), attempt, error)

    async def _answered(
        self, model: str, turns: list[dict[str, str]], max_new_tokens: int, arrived: queue.SimpleQueue[Any]
    ) -> None:
        """Put the answer's chunks, or the one error that ends it."""
        attempt, begun = 0, False
        while True:
            attempt += 1
            try:
                async for chunk in self._attempt(model, turns, max_new_tokens):
                    arrived.put(chunk)
                    begun = begun or bool(chunk.text)
                return
            except (RagError, SystemRoleError) as error:
                arrived.put(error)
                return
            except Exception as error:
                detail = str(getattr(error, "detail", ""))
                told = failure(error, self.place, model, self._seconds, detail)
                try:
                    await self._pause(Failure(told.error) if begun else told, attempt, error)
                except RagError as final:
                    arrived.put(final)
                    return

    async def _attempt(self, model: str, turns: list[dict[str, str]], max_new_tokens: int) -> AsyncIterator[Chunk]:
        """Yield the chunks of one request. Whatever ends it, its connection is given back or closed."""
        last, counts = "", Chunk()
        async with _Client(self._client(), self._base, self._seconds) as client:
            try:
                stream = await client.chat_completion(
                    turns,
                    model=model,
                    stream=True,
                    max_tokens=max_new_tokens,
                    temperature=0.0,
                    stream_options={"include_usage": True},
                )
                rows = aiter(stream)
                while (row := await _next(rows, self._seconds)) is not None:
                    counts = _usage(row) or counts
                    choice = row.choices[0] if row.choices else None
                    if choice is not None:
                        last = choice.finish_reason or last
                        if text := choice.delta.content:
                            yield Chunk(str(text))
            except HfHubHTTPError as error:
                error.detail = await _body(error.response)  # type: ignore[attr-defined]
                if refuses_system_role(error.response.status_code, error.detail):  # type: ignore[attr-defined]
                    raise SystemRoleError from error
                raise
        if not last:
            raise EOFError("No reason to finish")
        yield Chunk("", last, counts.prompt_tokens, counts.completion_tokens, counts.cached_tokens)

    async def _pause(self, told: Failure, attempt: int, error: Exception) -> None:
        """Wait before another try, or raise where none may help."""
        wait = told.wait
        if wait is None:
            # Back-off doubles; the random part keeps many clients from coming back at the same moment.
            wait = _FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * (1 + random.random())  # noqa: S311 - no secret
        elif wait > _LONGEST_WAIT_SECONDS:
            raise BusyError(f"The server {self.place} asks to wait {wait:.0f} s; try again then") from error
        if not told.retry or attempt >= _TRIES:
            raise told.error from error
        await asyncio.sleep(wait)

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=httpx.Timeout(self._seconds, connect=min(_CONNECT_SECONDS, self._seconds)),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
                follow_redirects=False,
                event_hooks={"request": [self._signed], "response": [_not_redirected]},
            )
        return self._http

    async def _signed(self, request: httpx.Request) -> None:
        """Put the server's key, and no other: the client library would send the Hub's token to whoever is asked."""
        request.headers.pop("authorization", None)
        if self._key:
            request.headers["authorization"] = f"Bearer {self._key}"


class _Client(AsyncInferenceClient):
    """The Hub's client over a connection pool that outlives it.

    Its own pool would be made anew for each request, and refuses every address while HF_HUB_OFFLINE is set, also one
    on this machine.
    """

    def __init__(self, pool: httpx.AsyncClient, base_url: str, seconds: float) -> None:
        super().__init__(base_url=base_url, api_key="unused", timeout=seconds)
        self._pool = pool

    async def _get_async_client(self) -> httpx.AsyncClient:
        return self._pool


async def _next(rows: AsyncIterator[Any], seconds: float) -> Any:
    """Return the next row, None at the end. Raises TimeoutError; what keeps a connection alive is no row."""
    # Not asyncio.wait_for, which before Python 3.12 loses a cancellation that comes together with a row.
    with anyio.fail_after(seconds):
        return await anext(rows, None)


async def _not_redirected(response: httpx.Response) -> None:
    if response.is_redirect:
        raise RedirectedError


async def _body(response: Any) -> str:
    """Return the start of an error's body, whatever of it can be read."""
    with suppress(httpx.ResponseNotRead):
        return str(response.text)[:_ERROR_BODY_BYTES]
    body = b""
    with suppress(httpx.HTTPError, httpx.StreamError):
        async for part in response.aiter_bytes():
            body += part
            if len(body) >= _ERROR_BODY_BYTES:
                break
    return body[:_ERROR_BODY_BYTES].decode("utf-8", "replace")


def _usage(row: Any) -> Chunk | None:
    usage = row.usage
    if usage is None:
        return None
    details = getattr(usage, "prompt_tokens_details", None) or {}
    return Chunk("", "", _int(usage.prompt_tokens), _int(usage.completion_tokens), _int(details.get("cached_tokens")))


def _int(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


_loop: asyncio.AbstractEventLoop | None = None
_starting = threading.Lock()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` on the event loop that all servers of this process share; return its concurrent future."""
    global _loop
    with _starting:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="endpoint", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(work, _loop)
