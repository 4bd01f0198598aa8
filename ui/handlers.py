"""What happens on the page: a question, dropped files, a click on a source, a deletion, the end of a visit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import gradio as gr

from rag_core import Document, QuestionError, RagError
from ui.answers import error_html, final_html, streaming_html, waiting_html
from ui.desk import Desk, Finished, Waiting, friendly
from ui.documents import Arrival, documents_html
from ui.judging import judged_html
from ui.sessions import Visitor, VisitorGoneError
from ui.sources import empty_panel, gone_panel, source_panel, view_panel
from ui.uploads import claim
from ui.web import find_visitor, open_visitor, visitor_key

__all__ = ["Handlers"]

_TURN = re.compile(r'data-turn="([\w-]+)"')
_NO_DOCUMENT = "Add a document first: drop a file on the left, or take a sample."


class Handlers:
    """Event handlers of the page; each finds its visitor by the request and touches nothing of anyone else."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    # Asking ----------------------------------------------------------------------------------------------------------

    def chat(self, message: Any, history: list[dict[str, Any]], request: gr.Request) -> Iterator[tuple[Any, Any]]:
        """Yield the answer so far as a message, and what the sources panel shows."""
        try:
            visitor = find_visitor(self.desk.store, request)
            if visitor is None or not visitor.documents():
                raise QuestionError(_NO_DOCUMENT)
            if not isinstance(message, str):
                raise QuestionError("The question must be a text")
            turn = visitor.begin(message)
            earlier = visitor.history(_turn_ids(history))
            with closing(self.desk.ask(visitor, turn, earlier)) as steps:  # type: ignore[type-var]
                for step in steps:
                    if isinstance(step, Waiting):
                        yield gr.HTML(waiting_html(turn.id, step.words)), gr.skip()
                    elif isinstance(step, Finished):
                        panel = gr.skip()
                        if step.answer.citations:
                            panel = self._show(visitor, turn.id, "citation", 1)
                        yield gr.HTML(final_html(turn.id, step.answer, judged=self.desk.feedback is not None)), panel
                    else:
                        yield gr.HTML(streaming_html(turn.id, step.text)), gr.skip()
        except Exception as error:
            yield gr.HTML(error_html(friendly(error))), gr.skip()

    def stop(self, request: gr.Request) -> None:
        """Stop what this visitor's model is writing."""
        if (visitor := find_visitor(self.desk.store, request)) is not None:
            visitor.stop()

    # Documents -------------------------------------------------------------------------------------------------------

    def upload(self, files: list[dict[str, Any]] | None, request: gr.Request) -> Iterator[tuple[Any, Any]]:
        """Take in dropped files one after the other; yield the list and clear the drop area."""
        arrivals = [(Arrival(_name_of(file)), file) for file in files or []]
        if not arrivals:
            yield gr.skip(), gr.skip()
            return
        try:
            visitor = open_visitor(self.desk.store, request)
        except Exception as error:
            yield documents_html((), [Arrival(arrivals[0][0].name, error=friendly(error))]), None
            return
        waiting = [arrival for arrival, _ in arrivals]
        yield documents_html(_documents(visitor), waiting), None
        for arrival, file in arrivals:
            yield from self._take_in(visitor, arrival, waiting, partial(self._add_upload, visitor, file))
        yield documents_html(_documents(visitor), [arrival for arrival in waiting if arrival.error]), gr.skip()

    def sample(self, event: gr.EventData, request: gr.Request) -> Iterator[Any]:
        """Take in the sample that was chosen; yield the list."""
        name = str(_data(event).get("file", ""))
        try:
            visitor = open_visitor(self.desk.store, request)
        except Exception as error:
            yield documents_html((), [Arrival(name, error=friendly(error))])
            return
        arrival = Arrival(name)
        waiting = [arrival]
        for listed, _ in self._take_in(visitor, arrival, waiting, partial(self.desk.add_sample, visitor, name)):
            yield listed
        yield documents_html(_documents(visitor), waiting)

    def sample_question(self, event: gr.EventData, request: gr.Request) -> Iterator[tuple[Any, Any]]:
        """Take in the sample that a question is about; yield the list, and the question for the text box at the end."""
        for listed in self.sample(event, request):
            yield listed, gr.skip()
        yield gr.skip(), str(_data(event).get("question", ""))[:1_000]

    def remove(self, event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        """Delete a document; return the list, and the panel where it showed that document."""
        document_id = str(_data(event).get("document", ""))
        visitor = find_visitor(self.desk.store, request)
        if visitor is None:
            return documents_html(()), empty_panel()
        shown = visitor.shown == document_id
        try:
            self.desk.remove(visitor, document_id)
        except (RagError, VisitorGoneError) as error:
            gr.Warning(friendly(error))
        return documents_html(_documents(visitor)), gone_panel() if shown else gr.skip()

    def dismiss(self, request: gr.Request) -> Any:
        """Return the list without refused files."""
        visitor = find_visitor(self.desk.store, request)
        return documents_html(_documents(visitor) if visitor else ())

    # Sources ---------------------------------------------------------------------------------------------------------

    def open_source(self, event: gr.EventData, request: gr.Request) -> Any:
        """Return the panel opened at a citation or hit of one of this visitor's answers."""
        data = _data(event)
        visitor = find_visitor(self.desk.store, request)
        if visitor is None:
            return gone_panel()
        return self._show(visitor, str(data.get("turn", "")), str(data.get("kind", "")), _integer(data.get("number")))

    def open_view(self, event: gr.EventData, request: gr.Request) -> Any:
        """Return the panel opened at one page of one of this visitor's documents."""
        data = _data(event)
        visitor = find_visitor(self.desk.store, request)
        if visitor is None:
            return gone_panel()
        wanted = str(data.get("document", ""))
        document = next((item for item in _documents(visitor) if item.id == wanted), None)
        if document is None:
            return gone_panel()
        visitor.shown = document.id
        return view_panel(document, _integer(data.get("index")))

    def _show(self, visitor: Visitor, turn_id: str, kind: str, number: int) -> str:
        source = visitor.source(turn_id, kind, number)
        turn = visitor.turn(turn_id)
        if source is None or turn is None or turn.answer is None:
            return gone_panel()
        visitor.shown = source.document.id
        return source_panel(turn_id, turn.answer, kind, number)

    def judge(self, event: gr.EventData, request: gr.Request) -> str:
        """Keep a verdict on one of this visitor's answers; return the element that tells the page what is kept."""
        data = _data(event)
        turn_id, verdict = str(data.get("turn", "")), str(data.get("verdict", ""))
        try:
            visitor = find_visitor(self.desk.store, request)
            if visitor is None:
                raise VisitorGoneError
            self.desk.judge(visitor, turn_id, verdict)
        except Exception as error:
            gr.Warning(friendly(error))
            return judged_html(turn_id, None)
        return judged_html(turn_id, verdict)

    # The visit -------------------------------------------------------------------------------------------------------

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        if (key := visitor_key(request)) is not None:
            self.desk.store.leave(key)

    def _add_upload(self, visitor: Visitor, file: Any) -> Iterator[Any]:
        path, name = claim(visitor, file)
        return self.desk.add(visitor, path, name)

    def _take_in(
        self,
        visitor: Visitor,
        arrival: Arrival,
        waiting: list[Arrival],
        start: Callable[[], Iterator[Any]],
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the list while one file goes in; a refusal stays on its entry, what went in leaves `waiting`."""
        try:
            with closing(start()) as steps:  # type: ignore[type-var]
                for step in steps:
                    if isinstance(step, Document):
                        waiting.remove(arrival)
                    else:
                        arrival.progress = step
                    yield documents_html(_documents(visitor), waiting), gr.skip()
        except Exception as error:
            arrival.progress, arrival.error = None, friendly(error)
            yield documents_html(_documents(visitor), waiting), gr.skip()


def _documents(visitor: Visitor) -> tuple[Document, ...]:
    try:
        with visitor.at_work():
            return visitor.documents()
    except VisitorGoneError:
        return ()


def _turn_ids(history: Iterable[dict[str, Any]]) -> list[str]:
    """Return the ids of the turns that the page's messages name, in order."""
    found: dict[str, None] = {}
    for message in history:
        if message.get("role") == "assistant":
            found.update(dict.fromkeys(_TURN.findall(_value_of(message.get("content")))[:1]))
    return list(found)


def _value_of(content: Any) -> str:
    """Return the HTML of a message, whatever shape the chat component gives it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_value_of(part) for part in content)
    if isinstance(content, dict):
        return _value_of(content.get("value") or content.get("text") or content.get("component") or "")
    value = getattr(content, "value", None)
    return value if isinstance(value, str) else ""


def _data(event: gr.EventData) -> dict[str, Any]:
    data = event._data
    return data if isinstance(data, dict) else {}


def _integer(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _name_of(file: Any) -> str:
    given = (file.get("orig_name") or file.get("path") or "") if isinstance(file, dict) else str(file)
    return str(given).replace("\\", "/").rpartition("/")[2] or "document"
