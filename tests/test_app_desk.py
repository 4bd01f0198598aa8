"""Asking and adding as the page and the endpoints do it: streamed, stopped, refused, failed, tried again."""

from __future__ import annotations

import contextvars
import itertools
import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import ScriptedGenerator
from waiting import PATIENCE_SECONDS, eventually

from rag_core import (
    BusyError,
    Document,
    EmptyDocumentError,
    Message,
    ModelLoadError,
    Progress,
    QuestionError,
    RagConfig,
    RagPipeline,
)
from rag_core.generation import GenerationDelta
from ui.desk import Desk, Finished, Waiting, Writing, friendly
from ui.judging import feedback_store
from ui.page import privacy_html
from ui.sessions import Visitor, VisitorGoneError
from ui.settings import AppSettings

NOTE = "The bank loan of EUR 50 million matures in June 2027.\n"
QUESTION = "When does the bank loan mature?"
seen_in_model: contextvars.ContextVar[str] = contextvars.ContextVar("seen_in_model", default="nothing")


class SlowGenerator(ScriptedGenerator):
    """Takes its time for each word, notes what context it runs in, and fails where it is told to."""

    failure: Exception | None = None
    load_failures = 0
    context = ""

    def load(self, on_progress: object = None) -> None:
        if self.load_failures:
            self.load_failures -= 1
            raise ModelLoadError("The model's file is damaged; download it again")
        super().load(on_progress)

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        self.context = seen_in_model.get()
        for delta in super().stream(messages, max_new_tokens=max_new_tokens):
            if self.failure:
                raise self.failure
            time.sleep(0.01)
            try:
                yield delta
            except GeneratorExit:
                self.closed_after = len(self.calls)
                raise


@pytest.fixture(scope="module")
def base() -> RagPipeline:
    return RagPipeline(RagConfig())


@pytest.fixture
def generator() -> SlowGenerator:
    return SlowGenerator(*["The bank loan matures in June 2027."] * 9)


@pytest.fixture
def desk(base: RagPipeline, generator: SlowGenerator, tmp_path: Path) -> Iterator[Desk]:
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "loan.txt").write_text(NOTE)
    pipeline = RagPipeline(base.config, embedder=base.embedder, generator=generator)
    settings = AppSettings(answers_at_once=1, queue_size=1, feedback_file=str(tmp_path / "feedback.jsonl"))
    desk = Desk(pipeline, settings, samples)
    yield desk
    desk.store.close()


@pytest.fixture
def visitor(desk: Desk) -> Visitor:
    visitor = desk.store.open(("page", ""))
    list(desk.add_sample(visitor, "loan.txt"))
    return visitor


def test_an_answer_comes_in_steps_and_is_remembered(desk: Desk, visitor: Visitor) -> None:
    turn = visitor.begin(QUESTION)
    steps = list(desk.ask(visitor, turn, []))
    assert isinstance(steps[0], Waiting)
    texts = [step.text for step in steps if isinstance(step, Writing)]
    # The first word is a step of its own; how many follow depends on how fast they come.
    assert texts[0] == "The"
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert isinstance(steps[-1], Finished)
    assert turn.answer is steps[-1].answer
    assert [message.content for message in visitor.history([turn.id])] == [QUESTION, turn.text]


def test_closing_the_steps_stops_the_model(desk: Desk, visitor: Visitor, generator: SlowGenerator) -> None:
    generator.replies.insert(0, "The bank loan matures in June 2027. " * 400)
    steps = desk.ask(visitor, visitor.begin(QUESTION), [])
    for step in steps:
        if isinstance(step, Writing):
            break
    assert generator.closed_after is None
    steps.close()  # type: ignore[attr-defined]
    assert eventually(lambda: generator.closed_after is not None)
    assert isinstance(list(desk.ask(visitor, visitor.begin(QUESTION), []))[-1], Finished)


def test_the_stop_button_stops_the_model(desk: Desk, visitor: Visitor, generator: SlowGenerator) -> None:
    generator.replies.insert(0, "The bank loan matures in June 2027. " * 400)
    turn = visitor.begin(QUESTION)
    steps = []
    for step in desk.ask(visitor, turn, []):
        steps.append(step)
        if isinstance(step, Writing):
            visitor.stop()
    assert not isinstance(steps[-1], Finished)
    assert turn.answer is None
    assert eventually(lambda: generator.closed_after is not None)


class EmptyGenerator(ScriptedGenerator):
    """Reads a long prompt for ever, and says so often; only being closed ends it."""

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        try:
            while True:
                time.sleep(0.01)
                yield GenerationDelta("", 0)
        except GeneratorExit:
            self.closed_after = 0
            raise


def test_a_caller_can_close_while_events_without_text_come_thick_and_fast(base: RagPipeline, tmp_path: Path) -> None:
    generator = EmptyGenerator()
    pipeline = RagPipeline(base.config, embedder=base.embedder, generator=generator)
    (tmp_path / "loan.txt").write_text(NOTE)
    desk = Desk(pipeline, AppSettings(feedback_file="off"), tmp_path)
    visitor = desk.store.open(("page", ""))
    list(desk.add_sample(visitor, "loan.txt"))
    turn = visitor.begin(QUESTION)
    # Should no step ever come, this ends the wait, and the test fails.
    guard = threading.Timer(PATIENCE_SECONDS, turn.stopped.set)
    guard.start()
    steps = desk.ask(visitor, turn, [])
    reading = (step for step in steps if step == Waiting("Reading the passages"))
    assert len(list(itertools.islice(reading, 2))) == 2
    steps.close()  # type: ignore[attr-defined]
    guard.cancel()
    assert eventually(lambda: generator.closed_after is not None)
    desk.store.close()


class ReadingGenerator(ScriptedGenerator):
    """Says that it reads, and then begins at once."""

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        yield GenerationDelta("", 0)
        yield from super().stream(messages, max_new_tokens=max_new_tokens)


def test_the_first_word_is_shown_however_lately_something_else_was(
    base: RagPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = ReadingGenerator("The bank loan matures in June 2027.")
    pipeline = RagPipeline(base.config, embedder=base.embedder, generator=generator)
    (tmp_path / "loan.txt").write_text(NOTE)
    desk = Desk(pipeline, AppSettings(feedback_file="off"), tmp_path)
    visitor = desk.store.open(("page", ""))
    list(desk.add_sample(visitor, "loan.txt"))
    # Whatever is shown next is shown lately.
    monkeypatch.setattr("ui.desk._PAINT_SECONDS", 3_600.0)
    steps = list(desk.ask(visitor, visitor.begin(QUESTION), []))
    assert Waiting("Reading the passages") in steps
    assert [step.text for step in steps if isinstance(step, Writing)] == ["The"]
    desk.store.close()


def verdicts(desk: Desk) -> list[dict[str, object]]:
    assert desk.feedback is not None
    path = desk.feedback.path
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def test_a_verdict_is_kept_changed_and_taken_back(desk: Desk, visitor: Visitor) -> None:
    turn = visitor.begin(QUESTION)
    with pytest.raises(QuestionError, match="no longer there"):
        desk.judge(visitor, turn.id, "up")
    list(desk.ask(visitor, turn, []))
    desk.judge(visitor, turn.id, "up")
    desk.judge(visitor, turn.id, "down")
    assert [(row["visit"], row["verdict"]) for row in verdicts(desk)] == [(visitor.id, "down")]
    desk.judge(visitor, turn.id, "")
    assert verdicts(desk) == []


def test_no_verdict_outlives_its_document(desk: Desk, visitor: Visitor) -> None:
    turn = visitor.begin(QUESTION)
    list(desk.ask(visitor, turn, []))
    desk.judge(visitor, turn.id, "up")
    stranger = desk.store.open(("other", ""))
    with pytest.raises(QuestionError):
        desk.judge(stranger, turn.id, "down")
    (document,) = visitor.documents()
    desk.remove(visitor, document.id)
    assert verdicts(desk) == []
    with pytest.raises(QuestionError):
        desk.judge(visitor, turn.id, "up")
    assert verdicts(desk) == []


def test_verdicts_can_be_off_and_on_a_space_go_with_the_process(
    desk: Desk, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = AppSettings(feedback_file="off")
    assert feedback_store(off) is None
    assert "judge" not in privacy_html(off)
    desk.feedback = None
    turn = visitor.begin(QUESTION)
    list(desk.ask(visitor, turn, []))
    with pytest.raises(QuestionError):
        desk.judge(visitor, turn.id, "up")
    monkeypatch.setenv("SPACE_ID", "someone/space")
    settings = AppSettings(feedback_file="here.jsonl")
    public = feedback_store(settings)
    assert public is not None
    assert public.path.parent.name.startswith("ragoptimize-feedback-")
    assert "until it restarts" in privacy_html(settings)


def test_the_model_runs_in_the_context_of_the_request(desk: Desk, visitor: Visitor, generator: SlowGenerator) -> None:
    token = seen_in_model.set("this request")
    try:
        list(desk.ask(visitor, visitor.begin(QUESTION), []))
    finally:
        seen_in_model.reset(token)
    assert generator.context == "this request"


def test_errors_reach_whoever_waits(desk: Desk, visitor: Visitor, generator: SlowGenerator) -> None:
    with pytest.raises(QuestionError):
        list(desk.ask(visitor, visitor.begin("  "), []))
    generator.failure = ZeroDivisionError("inside")
    with pytest.raises(ZeroDivisionError):
        list(desk.ask(visitor, visitor.begin(QUESTION), []))
    generator.failure = None
    assert isinstance(list(desk.ask(visitor, visitor.begin(QUESTION), []))[-1], Finished)


def test_a_failed_load_is_told_and_tried_again(desk: Desk, visitor: Visitor, generator: SlowGenerator) -> None:
    generator.load_failures = 1
    with pytest.raises(ModelLoadError, match="download it again"):
        list(desk.ask(visitor, visitor.begin(QUESTION), []))
    assert desk.warmer.words() == "The model could not be loaded"
    assert isinstance(list(desk.ask(visitor, visitor.begin(QUESTION), []))[-1], Finished)
    assert desk.warmer.words() == "Ready"


def test_one_answers_one_waits_the_third_is_asked_to_come_back(
    desk: Desk, visitor: Visitor, generator: SlowGenerator
) -> None:
    generator.replies.insert(0, "The bank loan matures in June 2027. " * 400)
    first = desk.ask(visitor, visitor.begin(QUESTION), [])
    assert any(isinstance(step, Writing) for step in first)
    second = desk.ask(visitor, visitor.begin(QUESTION), [])
    assert next(second) == Waiting("Waiting for 1 other answer")
    with pytest.raises(BusyError, match="try again"):
        list(desk.ask(visitor, visitor.begin(QUESTION), []))
    first.close()  # type: ignore[attr-defined]
    assert isinstance(list(second)[-1], Finished)


def test_adding_yields_progress_then_the_document(desk: Desk) -> None:
    visitor = desk.store.open(("page", ""))
    steps = list(desk.add_sample(visitor, "loan.txt"))
    assert isinstance(steps[-1], Document)
    assert steps[-1].name == "loan.txt"
    assert all(isinstance(step, Progress) for step in steps[:-1])
    assert not list(visitor.folder.iterdir())
    with pytest.raises(QuestionError):
        desk.add_sample(visitor, "../loan.txt")


def test_a_refused_file_is_deleted_and_told(desk: Desk) -> None:
    visitor = desk.store.open(("page", ""))
    path = visitor.folder / "blank.txt"
    path.write_text(" ")
    with pytest.raises(EmptyDocumentError):
        list(desk.add(visitor, path, "blank.txt"))
    assert not path.exists()
    assert visitor.documents() == ()


def test_failures_are_told_in_one_line_and_only_unexpected_ones_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert friendly(QuestionError("The question is empty; write one")) == "The question is empty; write one"
        assert "add them again" in friendly(VisitorGoneError())
    assert caplog.records == []
    with caplog.at_level(logging.ERROR):
        told = friendly(ValueError("secret detail"))
    assert "secret" not in told
    reference = told.rsplit(" ", 1)[1]
    assert reference in caplog.text
    assert "secret detail" in caplog.text


def test_no_threads_are_left_behind(desk: Desk, visitor: Visitor) -> None:
    before = threading.active_count()
    list(desk.ask(visitor, visitor.begin(QUESTION), []))
    assert eventually(lambda: threading.active_count() <= before)
