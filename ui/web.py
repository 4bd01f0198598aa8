"""What surrounds every request: headers that keep the page to itself, and the secret that ties a browser to a visit."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from rag_core import QuestionError
from ui.sessions import Visitor, VisitorKey, VisitorStore

if TYPE_CHECKING:
    import gradio as gr
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "Guard", "find_visitor", "open_visitor", "visitor_key"]

COOKIE = "rag_visit"
# Nothing is fetched from anywhere else: a picture or a link that slips into an answer cannot report what was read.
# Gradio's own page needs inline scripts and evaluated templates. A Space shows the app inside a frame of the Hub.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
    )
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


# Parts of Gradio that this app has no use for: the one writes a page's conversation to disk, where it outlives the visit,
# the other fetches addresses.
_CLOSED = ("/gradio_api/deep_link", "/gradio_api/proxy=")
# Gradio bounds uploads, which go to disk, and reads any other body into memory. A tool call may bring a document of a
# million characters, each escaped as up to twelve bytes.
_UPLOAD = "/gradio_api/upload"
_MOST_BODY_BYTES = 16 * 1024 * 1024


class Guard:
    """ASGI middleware: adds the headers, gives a browser its cookie, and reports a page that reconnected.

    It turns away what the app has no use for, and bodies that are too large.
    """

    def __init__(self, app: ASGIApp, secure: bool, on_return: Callable[[VisitorKey], object]) -> None:
        self.app = app
        self.secure = secure
        self.on_return = on_return

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope.get("headers", [])}
        secret = _cookie(headers.get(b"cookie", b"").decode("latin-1"))
        path = scope.get("path", "")
        if path.startswith(_CLOSED):
            await _refuse(send, 404)
            return
        bounded = not path.startswith(_UPLOAD)
        length = headers.get(b"content-length", b"0")
        if bounded and not (length.isdigit() and int(length) <= _MOST_BODY_BYTES):
            await _refuse(send, 413)
            return
        if "/heartbeat/" in path:
            self.on_return((path.rsplit("/", 1)[-1], secret))
        # Only the page itself hands the secret out; a program that calls an endpoint never sees one.
        wants_page = scope["method"] == "GET" and b"text/html" in headers.get(b"accept", b"")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = list(_HEADERS)
                if wants_page and not secret:
                    extra.append((b"set-cookie", self._new_cookie()))
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self.app(scope, _bounded(receive) if bounded else receive, send_guarded)

    def _new_cookie(self) -> bytes:
        # Inside the Hub's frame a cookie is a third party's: it needs Secure, and a partition of its own.
        place = "SameSite=None; Secure; Partitioned" if self.secure else "SameSite=Strict"
        return f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; HttpOnly; {place}".encode()


def _bounded(receive: Receive) -> Receive:
    """Return `receive` for a body that does not say its length: past the bound it is as if the client had gone."""
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return message if taken <= _MOST_BODY_BYTES else {"type": "http.disconnect"}

    return receive_bounded


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0"), *_HEADERS]})
    await send({"type": "http.response.body", "body": b""})


def visitor_key(request: gr.Request) -> VisitorKey | None:
    """Return the key of the visitor behind a request, None where it belongs to no session."""
    if not request.session_hash:
        return None
    return request.session_hash, str(request.cookies.get(COOKIE, ""))


def find_visitor(store: VisitorStore, request: gr.Request) -> Visitor | None:
    """Return the visitor behind a request, None where there is none yet or any more."""
    key = visitor_key(request)
    return store.find(key) if key else None


def open_visitor(store: VisitorStore, request: gr.Request) -> Visitor:
    """Return the visitor behind a request, new where there is none. Raises QuestionError, BusyError."""
    key = visitor_key(request)
    if key is None:
        raise QuestionError("The request belongs to no session; reload the page, or send a session_hash with it")
    return store.open(key)


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
