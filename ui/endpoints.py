"""The named endpoints for programs (gradio_client, curl): the same visitor rules as the page, typed JSON out.

A program's session is its `gradio_client.Client`: documents that it adds are seen by that client alone and are deleted
when it closes. Annotations are evaluated here, since Gradio reads the endpoints' schema from them.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypedDict, TypeVar

import gradio as gr
from gradio.events import api

from rag_core import Document, QuestionError, RagError
from rag_core.serialising import answer_dict, document_dict, hit_dict
from ui.desk import Desk, Finished, friendly
from ui.sessions import Turn, Visitor, messages_of
from ui.uploads import claim
from ui.web import find_visitor, open_visitor

__all__ = ["ChatUpdate", "CitationJson", "DocumentJson", "Endpoints", "HitJson", "RemovedJson", "checked_count"]

_MOST_HITS = 50
Result = TypeVar("Result")


class DocumentJson(TypedDict):
    """A document: `id` is what /remove_document takes; sizes in bytes, characters, passages and embedded windows."""

    id: str
    name: str
    media_type: str
    bytes: int
    pages: int
    characters: int
    chunks: int
    windows: int
    warnings: list[str]


class ReferenceJson(TypedDict):
    """Which document."""

    id: str
    name: str


class CitationJson(TypedDict):
    """A verbatim quote: characters [start, end) of the document's text, on a 1-based page; `score` in [0, 1]."""

    number: int
    document: ReferenceJson
    page: int
    start: int
    end: int
    quote: str
    score: float


class SentenceJson(TypedDict):
    """A sentence of the answer, characters [start, end) of its text, with the numbers of its citations."""

    start: int
    end: int
    text: str
    supported: bool
    citations: list[int]


class HitJson(TypedDict):
    """A passage that was found: `text` is characters [start, end) of the document; `score` in [0, 1]."""

    document: ReferenceJson
    page: int
    start: int
    end: int
    score: float
    headings: list[str]
    text: str


class ChatUpdate(TypedDict):
    """The answer so far. Until `done`, only `question` and `text` are filled; the last update is the whole answer."""

    done: bool
    question: str
    query: str
    text: str
    abstained: bool
    reason: str
    citations: list[CitationJson]
    sentences: list[SentenceJson]
    hits: list[HitJson]
    finish_reason: str
    model: str
    timings: dict[str, float]
    tokens: dict[str, int]
    dropped_passages: int
    dropped_turns: int
    computation: dict[str, Any] | None


class RemovedJson(TypedDict):
    """What was deleted."""

    removed: str


def told(function: Callable[..., Result]) -> Callable[..., Result]:
    """Turn any failure of an endpoint into one line for its caller."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def stream(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from function(*args, **kwargs)
            except Exception as error:
                raise gr.Error(friendly(error), print_exception=False) from error

        return stream

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Result:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise gr.Error(friendly(error), print_exception=False) from error

    return call


def checked_count(value: Any, name: str, most: int = _MOST_HITS) -> int:
    """Return a whole number from 1 to `most`; what arrives over the wire has any type. Raises QuestionError."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not value.is_integer())
    ):
        raise QuestionError(f"{name} must be a whole number from 1 to {most}")
    if not 1 <= value <= most:
        raise QuestionError(f"{name} is {value}; it must be from 1 to {most}")
    return int(value)


class Endpoints:
    """The endpoints' functions. `register` must be called inside a gr.Blocks context."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def register(self) -> None:
        """Set up /chat, /add_document, /list_documents, /remove_document and /search."""
        settings = self.desk.settings
        # The schema is that of one update; the function itself yields many.
        chat = told(self.chat)
        chat.__signature__ = inspect.signature(chat).replace(return_annotation=ChatUpdate)  # type: ignore[attr-defined]
        # How many answer at one time, and how many wait, is settled at the desk, with a message for those beyond.
        api(chat, api_name="chat", concurrency_limit=None)
        api(
            told(self.add_document),
            api_name="add_document",
            concurrency_id="uploads",
            concurrency_limit=settings.uploads_at_once,
        )
        api(told(self.list_documents), api_name="list_documents")
        api(told(self.remove_document), api_name="remove_document")
        api(told(self.search), api_name="search")

    def chat(self, message: str, request: gr.Request, new_conversation: bool = False) -> Iterator[ChatUpdate]:
        """Answer a question about the documents of this session, streaming; the last update holds the citations.

        Earlier questions of the session are its history ("and in 2022?"), unless `new_conversation` is true.
        """
        if not isinstance(message, str):
            raise QuestionError("message must be a text")
        visitor = self._with_documents(request)
        if new_conversation:
            visitor.conversation.clear()
        turn = visitor.begin(message)
        history = messages_of(visitor.conversation)
        with closing(self.desk.ask(visitor, turn, history)) as steps:  # type: ignore[type-var]
            for step in steps:
                if isinstance(step, Finished):
                    visitor.remember(turn)
                    yield {"done": True, **answer_dict(step.answer)}  # type: ignore[typeddict-item]
                else:
                    yield _unfinished(turn)

    def add_document(self, file: gr.FileData, request: gr.Request) -> DocumentJson:
        """Add a file (txt, md, pdf, docx, html, csv, xlsx) to the documents of this session.

        The same content again returns the same document. The uploaded file itself is not kept.
        """
        visitor = open_visitor(self.desk.store, request)
        path, name = claim(visitor, file)
        for step in self.desk.add(visitor, path, name):
            if isinstance(step, Document):
                return document_dict(step)  # type: ignore[return-value]
        raise RagError("The document was not added; send it again")

    def list_documents(self, request: gr.Request) -> list[DocumentJson]:
        """List the documents of this session, in the order in which they were added."""
        visitor = find_visitor(self.desk.store, request)
        if visitor is None:
            return []
        with visitor.at_work():
            return [document_dict(document) for document in visitor.documents()]  # type: ignore[misc]

    def remove_document(self, document_id: str, request: gr.Request) -> RemovedJson:
        """Delete a document of this session: its text, vectors, and every answer that quotes it."""
        visitor = self._with_documents(request)
        self.desk.remove(visitor, str(document_id))
        return {"removed": str(document_id)}

    def search(self, question: str, request: gr.Request, k: int = 5) -> list[HitJson]:
        """Find the `k` passages (1 to 50) of this session's documents that fit a question best, best first."""
        count = checked_count(k, "k")
        visitor = self._with_documents(request)
        with visitor.at_work():
            return [hit_dict(hit) for hit in visitor.pipeline.search(question, count)]  # type: ignore[misc]

    def _with_documents(self, request: gr.Request) -> Visitor:
        visitor = find_visitor(self.desk.store, request)
        if visitor is not None:
            with visitor.at_work():
                if visitor.documents():
                    return visitor
        raise QuestionError("This session has no document yet; add one with /add_document first")


def _unfinished(turn: Turn) -> ChatUpdate:
    return {
        "done": False,
        "question": turn.question,
        "query": "",
        "text": turn.text,
        "abstained": False,
        "reason": "",
        "citations": [],
        "sentences": [],
        "hits": [],
        "finish_reason": "",
        "model": "",
        "timings": {},
        "tokens": {},
        "dropped_passages": 0,
        "dropped_turns": 0,
        "computation": None,
    }
