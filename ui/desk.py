"""What the page and the endpoints share: take a file in, ask a question, as steps that can be shown and stopped."""

from __future__ import annotations

import contextvars
import logging
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rag_core import Answer, Document, DoneEvent, Message, Progress, QuestionError, RagError, TextEvent
from rag_core.records import AnswerEvent
from ui.answers import progress_words
from ui.judging import feedback_store
from ui.line import Line
from ui.samples import Samples
from ui.sessions import Turn, Visitor, VisitorGoneError, VisitorStore
from ui.settings import AppSettings

if TYPE_CHECKING:
    from rag_core.pipeline import RagPipeline

__all__ = ["Desk", "Finished", "Waiting", "Warmer", "Writing", "friendly"]

# Pages are repainted at most this often while an answer is written: faster than reading, slow enough for a phone.
_PAINT_SECONDS = 0.05
_POLL_SECONDS = 0.2
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing to read yet; `words` say what is going on."""

    words: str


@dataclass(frozen=True, slots=True)
class Writing:
    """The answer so far."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The whole answer."""

    answer: Answer


Step = Waiting | Writing | Finished


def friendly(error: BaseException) -> str:
    """Return one line for a visitor; anything but our own errors is logged with a reference and told as that alone."""
    if isinstance(error, RagError):
        return str(error)
    if isinstance(error, VisitorGoneError):
        return "Your visit has ended and its documents were deleted; add them again"
    reference = secrets.token_hex(4)
    log.error("Unexpected failure %s", reference, exc_info=error)
    return f"Something failed on our side; try again. Reference for the operator: {reference}"


class Warmer:
    """Loads the models once, in the background. A failed load is tried again at the next question."""

    def __init__(self, pipeline: RagPipeline) -> None:
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.ready = False
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin to load unless that is done or under way; returns at once."""
        with self._lock:
            if self.ready or (self._thread is not None and self._thread.is_alive()):
                return
            self.error = None
            self._thread = threading.Thread(target=self._load, name="warm-up", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for a load under way; return whether one still is."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is not None and thread.is_alive()

    def words(self) -> str:
        """Return what the models are at, in words."""
        if self.ready:
            return "Ready"
        if self.error is not None:
            return "The model could not be loaded"
        status = self._pipeline.load_status
        return progress_words(status) if status else "Model loads at the first question"

    def _load(self) -> None:
        try:
            self._pipeline.warm_up()
            self.ready = True
        except BaseException as error:  # kept for the next question, which tells the visitor
            self.error = error
            log.warning("Loading the models failed: %s", error, exc_info=not isinstance(error, RagError))


class Desk:
    """One for the process: the shared pipeline, the visitors, the samples."""

    def __init__(self, pipeline: RagPipeline, settings: AppSettings, samples: Path) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.store = VisitorStore(pipeline, settings)
        self.samples = Samples(samples)
        self.warmer = Warmer(pipeline)
        self.line = Line(settings.answers_at_once, settings.queue_size)
        self.feedback = feedback_store(settings)

    def remove(self, visitor: Visitor, document_id: str) -> None:
        """Delete a document of the visitor's, every answer that rests on it, and the verdicts on those.

        Raises DocumentNotFoundError, EvaluationError where the verdicts cannot be deleted (then nothing is).
        """
        with visitor.judging:
            if self.feedback is not None:
                self.feedback.forget(document_id, visit=visitor.id)
            visitor.remove(document_id)

    def judge(self, visitor: Visitor, turn_id: str, verdict: str) -> None:
        """Keep or, where `verdict` is empty, drop what the visitor thinks of an answer.

        Raises QuestionError where the answer is gone or no verdicts are kept, EvaluationError.
        """
        with visitor.judging:
            turn = visitor.turn(turn_id)
            if self.feedback is None or turn is None or turn.answer is None:
                raise QuestionError("This answer is no longer there to be judged; ask again")
            if verdict:
                self.feedback.judge(turn.answer, verdict, id=turn.id, visit=visitor.id)
            else:
                self.feedback.retract(id=turn.id, visit=visitor.id)

    def add(self, visitor: Visitor, path: Path, name: str) -> Iterator[Progress | Document]:
        """Take in the file at `path`, which is the visitor's own and is deleted; yield progress, then the Document.

        Closing the iterator abandons the file. Raises RagError, VisitorGoneError.
        """
        updates: queue.SimpleQueue[Progress | Document | BaseException] = queue.SimpleQueue()
        abandoned = threading.Event()

        def report(progress: Progress) -> None:
            if abandoned.is_set():
                raise VisitorGoneError
            updates.put(progress)

        def work() -> None:
            try:
                updates.put(visitor.add(path, name, report))
            except BaseException as error:  # raised where the visitor waits
                updates.put(error)

        _start("ingest", work)
        try:
            while True:
                latest = _latest(updates)
                if isinstance(latest, BaseException):
                    raise latest
                yield latest
                if isinstance(latest, Document):
                    return
                time.sleep(_PAINT_SECONDS)
        finally:
            abandoned.set()

    def add_sample(self, visitor: Visitor, name: str) -> Iterator[Progress | Document]:
        """Take in a copy of a sample file. Raises RagError."""
        sample = self.samples.get(name)
        if sample is None:
            raise QuestionError("There is no sample of that name; choose one from the list")
        copy = visitor.folder / f"{secrets.token_hex(8)}{sample.path.suffix}"
        shutil.copyfile(sample.path, copy)
        return self.add(visitor, copy, sample.name)

    def ask(self, visitor: Visitor, turn: Turn, history: Sequence[Message]) -> Iterator[Step]:
        """Answer `turn.question`; yield what to show. Closing the iterator, or `turn.stopped`, stops the model.

        The model runs in a thread of its own: its state belongs to one thread, and a stop need not wait for its next
        token. Raises BusyError where too many wait already, other RagError, VisitorGoneError.
        """
        yield from self._wait_for_models(turn)
        with self.line.join() as place:
            while (ahead := place.ahead()) and not turn.stopped.is_set():
                yield Waiting(f"Waiting for {ahead} other {'answer' if ahead == 1 else 'answers'}")
                time.sleep(_POLL_SECONDS)
            if place.taken:
                yield from self._run(visitor, turn, history)

    def _run(self, visitor: Visitor, turn: Turn, history: Sequence[Message]) -> Iterator[Step]:
        events: queue.SimpleQueue[AnswerEvent | BaseException | None] = queue.SimpleQueue()
        _start("answer", partial(_answer, visitor, turn, history, events))
        try:
            yield Waiting("Searching your documents")
            yield from self._steps(turn, events)
        finally:
            turn.stopped.set()

    def _wait_for_models(self, turn: Turn) -> Iterator[Step]:
        self.warmer.start()
        while self.warmer.wait(_POLL_SECONDS) and not turn.stopped.is_set():
            yield Waiting(self.warmer.words())
        if self.warmer.error is not None:
            raise self.warmer.error

    def _steps(self, turn: Turn, events: queue.SimpleQueue[AnswerEvent | BaseException | None]) -> Iterator[Step]:
        painted = time.monotonic() - _PAINT_SECONDS
        pending = shown = False
        while not turn.stopped.is_set():
            try:
                event = events.get(timeout=_PAINT_SECONDS if pending else _POLL_SECONDS)
            except queue.Empty:
                # Said again although nothing is new: only between two steps can the caller close this iterator.
                painted, pending = time.monotonic(), False
                yield _so_far(turn)
                continue
            if isinstance(event, BaseException):
                raise event
            if event is None:
                return
            if isinstance(event, DoneEvent):
                turn.answer, turn.text = event.answer, event.answer.text
                yield Finished(event.answer)
                return
            if isinstance(event, TextEvent):
                turn.text += event.text
                pending = pending or bool(event.text)
            now = time.monotonic()
            first = pending and not shown  # nobody waits for the first word longer than it takes
            if first or now - painted >= (_PAINT_SECONDS if pending else _POLL_SECONDS):
                painted, pending, shown = now, False, bool(turn.text)
                yield _so_far(turn)


def _so_far(turn: Turn) -> Step:
    return Writing(turn.text) if turn.text else Waiting("Reading the passages")


def _start(name: str, work: Callable[[], None]) -> None:
    """Run `work` in a thread that keeps the request's context: ZeroGPU reads from it whose quota is spent."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name=name, daemon=True).start()


def _answer(
    visitor: Visitor,
    turn: Turn,
    history: Sequence[Message],
    events: queue.SimpleQueue[AnswerEvent | BaseException | None],
) -> None:
    """Run the pipeline's stream in this thread and hand its events on, until it ends or the turn is stopped."""
    try:
        with visitor.at_work():
            stream = visitor.pipeline.stream(turn.question, history)
            with closing(stream):  # type: ignore[type-var]
                for event in stream:
                    if turn.stopped.is_set():
                        break
                    events.put(event)
        events.put(None)
    except BaseException as error:  # raised where the visitor waits
        events.put(error)


def _latest(updates: queue.SimpleQueue[Progress | Document | BaseException]) -> Progress | Document | BaseException:
    """Wait for an update, and skip to the newest where several have come: older progress is of no interest."""
    latest = updates.get()
    while isinstance(latest, Progress):
        try:
            latest = updates.get_nowait()
        except queue.Empty:
            break
    return latest
