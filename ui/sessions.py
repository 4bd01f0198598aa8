"""Each visitor's documents and answers: kept apart, found by a key that cannot be guessed, gone when the visit ends."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rag_core import Answer, BusyError, Citation, Document, DocumentNotFoundError, Hit, Message, Progress
from ui.markup import without_halves
from ui.settings import AppSettings

if TYPE_CHECKING:
    from rag_core.pipeline import RagPipeline

__all__ = ["Turn", "Visitor", "VisitorGoneError", "VisitorKey", "VisitorStore"]

# The page's own session, and the secret that its browser was given (empty for programs, which hold no cookie).
VisitorKey = tuple[str, str]
_KEPT_TURNS = 100
_SPOKEN_TURNS = 20
log = logging.getLogger(__name__)


class VisitorGoneError(Exception):
    """The visitor left while work for them was under way."""


@dataclass
class Turn:
    """One question and what was said so far; `answer` is set once it is complete, `stopped` ends it early."""

    question: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    text: str = ""
    answer: Answer | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def names(self, document_id: str) -> bool:
        """Whether the answer rests on that document."""
        if self.answer is None:
            return False
        named = [source.document.id for source in self.answer.citations] + [hit.document.id for hit in self.answer.hits]
        return document_id in named


class Visitor:
    """One visitor: a pipeline of their own over the shared models, a private folder, and the latest turns."""

    def __init__(self, pipeline: RagPipeline, folder: Path) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.id = secrets.token_urlsafe(12)  # names this visit where its verdicts are kept
        self.judging = threading.Lock()  # no verdict is kept on an answer that is being deleted
        self.conversation: list[Turn] = []  # of the /chat endpoint; the page keeps its own
        self.created = self.used = time.monotonic()
        self.leaves_at: float | None = None
        self.shown = ""  # id of the document in the sources panel
        self.closed = False
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._indexed = False
        self._users = 0
        self._lock = threading.RLock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep the index open while a request uses it; closing waits for the last one. Raises VisitorGoneError."""
        with self._lock:
            if self.closed:
                raise VisitorGoneError
            self._users += 1
            self.used = time.monotonic()
        try:
            yield
        finally:
            self._end_use()

    def documents(self) -> tuple[Document, ...]:
        """Return the visitor's documents; opens no index before the first was added."""
        return self.pipeline.documents() if self._indexed else ()

    def add(self, path: Path, name: str, on_progress: Callable[[Progress], None] | None = None) -> Document:
        """Add the file at `path` and delete it, whatever happens. Raises RagError, VisitorGoneError."""

        def report(progress: Progress) -> None:
            if self.closed:
                raise VisitorGoneError
            if on_progress:
                on_progress(progress)

        try:
            with self.at_work():
                self._indexed = True
                return self.pipeline.add_document(path, name=name, on_progress=report)
        finally:
            path.unlink(missing_ok=True)

    def remove(self, document_id: str) -> None:
        """Delete a document, and every answer that quotes it. Raises DocumentNotFoundError."""
        with self.at_work():
            if not self._indexed:
                raise DocumentNotFoundError("You have no document of that id")
            self.pipeline.remove_document(document_id)
            with self._lock:
                for turn in [turn for turn in self._turns.values() if turn.names(document_id)]:
                    del self._turns[turn.id]
                self.conversation = [turn for turn in self.conversation if not turn.names(document_id)]

    def take_in(self, upload: Path) -> Path:
        """Move an uploaded file out of the server's cache into the private folder. Raises DocumentNotFoundError."""
        place = self.folder / f"{secrets.token_hex(8)}{upload.suffix[:12].lower()}"
        try:
            shutil.move(upload, place)
        except OSError as error:
            raise DocumentNotFoundError("The upload is no longer there; drop the file again") from error
        return place

    def begin(self, question: str) -> Turn:
        """Return a new turn, remembered under its id. Halves of characters in the question, which no answer can hold, go."""
        turn = Turn(without_halves(question))
        with self._lock:
            self._turns[turn.id] = turn
            while len(self._turns) > _KEPT_TURNS:
                self._turns.popitem(last=False)
        return turn

    def remember(self, turn: Turn) -> None:
        """Add an answered turn to the conversation of the /chat endpoint, which keeps the latest."""
        with self._lock:
            self.conversation = [*self.conversation, turn][-_SPOKEN_TURNS:]

    def turn(self, turn_id: str) -> Turn | None:
        """Return the turn of that id, or None where it was never there or is gone."""
        return self._turns.get(turn_id)

    def source(self, turn_id: str, kind: str, number: int) -> Citation | Hit | None:
        """Return citation `number` (1-based) of a turn, or its hit of that rank where `kind` is "hit"; else None."""
        turn = self.turn(turn_id)
        if turn is None or turn.answer is None:
            return None
        sources: tuple[Citation, ...] | tuple[Hit, ...] = turn.answer.hits if kind == "hit" else turn.answer.citations
        return sources[number - 1] if 1 <= number <= len(sources) else None

    def history(self, turn_ids: list[str]) -> list[Message]:
        """Return the turns of these ids that are still there as messages, oldest first."""
        turns = [turn for turn in map(self.turn, turn_ids) if turn is not None]
        return messages_of(turns)

    def stop(self) -> None:
        """End all answers that are being written."""
        for turn in list(self._turns.values()):
            turn.stopped.set()

    def close(self) -> None:
        """Stop what runs, then delete index, answers and files: now, or when the last request has ended."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self.stop()
            if not self._users:
                self._delete()

    def _end_use(self) -> None:
        with self._lock:
            self._users -= 1
            self.used = time.monotonic()
            if self.closed and not self._users:
                self._delete()

    def _delete(self) -> None:
        self._turns.clear()
        self.conversation.clear()
        self.pipeline.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def messages_of(turns: list[Turn]) -> list[Message]:
    """Return turns that have text as user and assistant messages, oldest first."""
    messages: list[Message] = []
    for turn in turns:
        if turn.text.strip():
            messages += [Message("user", turn.question), Message("assistant", turn.text)]
    return messages


class VisitorStore:
    """All visitors of this process. Thread-safe. `close()` deletes everything."""

    def __init__(self, pipeline: RagPipeline, settings: AppSettings) -> None:
        # Told the key of each visitor that was deleted, for whatever else is kept of a session elsewhere.
        self.on_gone: Callable[[VisitorKey], object] = lambda key: None
        self._pipeline = pipeline
        self._settings = settings
        self._visitors: dict[VisitorKey, Visitor] = {}
        self._lock = threading.Lock()
        self._root = Path(tempfile.mkdtemp(prefix="ragoptimize-visitors-"))
        self._ended = threading.Event()
        period = min(30.0, settings.idle_seconds / 4, settings.grace_seconds / 2)
        threading.Thread(target=self._sweep_until_closed, args=(period,), name="visitor-expiry", daemon=True).start()

    def find(self, key: VisitorKey) -> Visitor | None:
        """Return the visitor of that key, or None where there is none yet or any more."""
        with self._lock:
            visitor = self._visitors.get(key)
            if visitor is not None:
                visitor.leaves_at = None
                visitor.used = time.monotonic()
            return visitor

    def open(self, key: VisitorKey) -> Visitor:
        """Return the visitor of that key, new where there is none. Raises BusyError when the house is full."""
        visitor = self.find(key)
        if visitor is not None:
            return visitor
        self.sweep()
        with self._lock:
            if key not in self._visitors:
                if len(self._visitors) >= self._settings.visitors:
                    raise BusyError("All places are taken at the moment; try again in a few minutes")
                folder = self._root / secrets.token_urlsafe(24)
                folder.mkdir(mode=0o700)
                self._visitors[key] = Visitor(self._pipeline.session(), folder)
            return self._visitors[key]

    def leave(self, key: VisitorKey) -> None:
        """Note that the page was closed: unless it comes back within the grace period, its documents go."""
        with self._lock:
            visitor = self._visitors.get(key)
            if visitor is not None:
                visitor.stop()
                visitor.leaves_at = time.monotonic() + self._settings.grace_seconds

    def sweep(self) -> int:
        """Close the visitors whose time is up; return how many."""
        now = time.monotonic()
        with self._lock:
            ended = [key for key, visitor in self._visitors.items() if self._is_over(visitor, now)]
            gone = {key: self._visitors.pop(key) for key in ended}
        for key, visitor in gone.items():
            visitor.close()
            self.on_gone(key)
        return len(gone)

    def close(self) -> None:
        """Close every visitor and delete the folder of all."""
        self._ended.set()
        with self._lock:
            gone = list(self._visitors.values())
            self._visitors.clear()
        for visitor in gone:
            visitor.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._visitors)

    def _is_over(self, visitor: Visitor, now: float) -> bool:
        left = visitor.leaves_at is not None and now >= visitor.leaves_at
        idle = now - visitor.used >= self._settings.idle_seconds and not visitor._users
        return left or idle or now - visitor.created >= self._settings.age_seconds

    def _sweep_until_closed(self, period: float) -> None:
        while not self._ended.wait(period):
            try:
                self.sweep()
            except Exception:  # one visitor's failing deletion must not end the deletions of all others
                log.exception("Deleting an expired visitor failed")
