"""An OpenAI-compatible server on loopback over our own engine with the real SmolLM2, which can be told to fail.

`transformers serve` needs a package that is no dependency of ours, so the few lines of the protocol that we use are
served here, over a real socket. Faults come first in, first out, one a chat request; without any, it answers.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from rag_core import Message
from rag_core.generation import GenerationDelta, TextGenerator

MODEL = "SmolLM2-135M-Instruct"
KEY = "sk-loopback-93f1"
# A fault: what to send in place of an answer; given the chunks that an answer would have.
Fault = Callable[[AsyncIterator[bytes]], Response]


@dataclass
class LoopbackServer:
    url: str
    models: list[dict[str, Any]]
    faults: list[Fault] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    # Set when a client went away before its answer was whole.
    disconnected: threading.Event = field(default_factory=threading.Event)
    key: str = ""


def status(code: int, message: str = "", **headers: str) -> Fault:
    return lambda _: JSONResponse(
        {"error": {"message": message}}, code, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def streamed(make: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]) -> Fault:
    return lambda answer: StreamingResponse(make(answer), media_type="text/event-stream")


def redirect(to: str) -> Fault:
    return lambda _: RedirectResponse(to, 307)


async def cut_after_text(answer: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Send a few words, then break the connection."""
    sent = 0
    async for part in answer:
        yield part
        sent += 1
        if sent == 4:
            raise ConnectionAbortedError


async def cut_at_once(_: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b": hello\n\n"
    raise ConnectionAbortedError


async def ends_early(answer: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """End as if all were well, but without a reason to finish."""
    sent = 0
    async for part in answer:
        yield part
        sent += 1
        if sent == 4:
            return


async def stalls(_: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Send a few words, then nothing but comments, which keep the connection alive.

    The words are no model's, so that a limit on silence is kept up to them, however slow the machine.
    """
    for word in ("The", " capital", " is"):
        yield _event({"model": MODEL}, [{"index": 0, "delta": {"content": word}, "finish_reason": None}])
    while True:
        yield b": still here\n\n"
        await asyncio.sleep(0.05)


async def malformed(answer: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    sent = 0
    async for part in answer:
        yield part if sent < 2 else b'data: {"choices": [{"delta"\n\n'
        sent += 1


async def error_in_stream(answer: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for part in answer:
        yield part
        break
    yield b'data: {"error": {"message": "CUDA error: out of memory", "code": 500}}\n\n'


def build(server: LoopbackServer, generator: TextGenerator) -> FastAPI:
    app = FastAPI()

    def refused(request: Request) -> Response | None:
        given = request.headers.get("authorization")
        server.authorizations.append(given)
        if server.key and given != f"Bearer {server.key}":
            return JSONResponse({"error": {"message": f"bad key {given}"}}, 401)
        return None

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        return refused(request) or JSONResponse({"object": "list", "data": server.models})

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        if (answer := refused(request)) is not None:
            return answer
        body = await request.json()
        server.requests.append(body)
        if body["model"] not in [model["id"] for model in server.models]:
            return JSONResponse({"error": {"message": f"The model `{body['model']}` does not exist."}}, 404)
        chunks = _chunks(generator, body)
        answer = server.faults.pop(0)(chunks) if server.faults else streamed(lambda parts: parts)(chunks)
        if isinstance(answer, StreamingResponse):
            answer.body_iterator = _watched(server, answer.body_iterator)  # type: ignore[arg-type]
        return answer

    return app


async def _chunks(generator: TextGenerator, body: dict[str, Any]) -> AsyncIterator[bytes]:
    messages = [Message(turn["role"], turn["content"]) for turn in body["messages"]]
    deltas = generator.stream(messages, max_new_tokens=body["max_tokens"])
    prompt = completion = 0
    with closing(deltas):  # type: ignore[type-var]
        yield _event(body, [{"index": 0, "delta": {"role": "assistant", "content": ""}}])
        while (delta := await _step(deltas)) is not None:
            prompt, completion = delta.prompt_tokens or prompt, completion + delta.tokens
            if delta.text or delta.finish_reason:
                choice = {"index": 0, "delta": {"content": delta.text}, "finish_reason": delta.finish_reason}
                yield _event(body, [choice])
        if (body.get("stream_options") or {}).get("include_usage"):
            counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
            yield _event(body, [], {**counts, "prompt_tokens_details": {"cached_tokens": 3}})
        yield b"data: [DONE]\n\n"


async def _step(deltas: Iterator[GenerationDelta]) -> GenerationDelta | None:
    """Return the next delta; a step under way ends first where the request is given up, so that it can be closed."""
    step = asyncio.ensure_future(asyncio.to_thread(next, deltas, None))
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await step
        raise


async def _watched(server: LoopbackServer, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Note when a response is given up, which is what happens once its client has gone."""
    try:
        async for part in parts:
            yield part
    except (asyncio.CancelledError, GeneratorExit):
        server.disconnected.set()
        raise


def _event(body: dict[str, Any], choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
    row = {"id": "chat-1", "object": "chat.completion.chunk", "created": 0, "model": body["model"], "choices": choices}
    return b"data: " + json.dumps({**row, "usage": usage}).encode() + b"\n\n"


@contextmanager
def serving(generator: TextGenerator, **fields: Any) -> Iterator[LoopbackServer]:
    """Serve on a free port in a thread of this process, until the block ends."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = LoopbackServer(f"http://127.0.0.1:{port}", [{"id": MODEL, "max_model_len": 8_192}], **fields)
        config = uvicorn.Config(build(server, generator), log_level="critical", timeout_graceful_shutdown=1)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield server
        finally:
            running.should_exit = True
            thread.join()
