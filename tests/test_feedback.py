"""Verdicts on answers: kept, changed, taken back, deleted with their document, and read back as questions."""

from __future__ import annotations

import json
import multiprocessing
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import make_document, make_hit

from rag_core import Answer, Citation, EvaluationError, TokenCounts
from rag_core.evaluation import read_questions
from rag_core.evaluation.feedback import FeedbackStore

SECRET = "The rest of the note is nobody's business."


def answer_of(identity: str = "a" * 64, text: str = "It matures in June 2027.", **fields: Any) -> Answer:
    document = make_document(f"It matures in June 2027. {SECRET}", "loan.md", identity)
    defaults: dict[str, Any] = {
        "question": "And when does it mature?",
        "query": "When does the loan mature?",
        "text": text,
        "citations": (Citation(1, document, 1, 0, 24, document.text[:24]),),
        "sentences": (),
        "abstained": False,
        "hits": (make_hit(document),),
        "finish_reason": "stop",
        "model": "m",
        "timings": {},
        "tokens": TokenCounts(),
    }
    return Answer(**{**defaults, **fields})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(tmp_path / "kept" / "feedback.jsonl")


def test_a_verdict_holds_the_quotes_and_no_more_of_the_document(store: FeedbackStore) -> None:
    store.judge(answer_of(), "up", id="t1", visit="v1")
    (row,) = rows(store.path)
    assert (row["verdict"], row["answer"], row["visit"]) == ("up", "It matures in June 2027.", "v1")
    assert row["citations"][0]["quote"] == "It matures in June 2027."
    assert SECRET not in store.path.read_text(encoding="utf-8")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_later_verdict_takes_the_place_of_an_earlier_and_can_be_taken_back(store: FeedbackStore) -> None:
    store.judge(answer_of(), "up", id="t1", visit="v1")
    store.judge(answer_of(), "up", id="t1", visit="v2")
    store.judge(answer_of(), "down", id="t1", visit="v1")
    assert [(row["visit"], row["verdict"]) for row in rows(store.path)] == [("v2", "up"), ("v1", "down")]
    store.retract(id="t1", visit="v1")
    store.retract(id="never", visit="v1")
    assert [row["visit"] for row in rows(store.path)] == ["v2"]


def test_deleting_a_document_deletes_the_verdicts_of_that_visit_that_rest_on_it(store: FeedbackStore) -> None:
    store.judge(answer_of("a" * 64), "up", id="t1", visit="v1")
    store.judge(answer_of("b" * 64), "up", id="t2", visit="v1")
    store.judge(answer_of("a" * 64), "up", id="t3", visit="v2")
    # An answer that was withheld cites nothing, and yet says what was looked at.
    store.judge(answer_of("a" * 64, abstained=True, citations=()), "down", id="t4", visit="v1")
    store.forget("a" * 64, visit="v1")
    assert [row["id"] for row in rows(store.path)] == ["t2", "t3"]


def test_nothing_is_written_where_there_is_nothing_to_drop(store: FeedbackStore) -> None:
    store.forget("a" * 64, visit="v1")
    store.retract(id="t1", visit="v1")
    assert not store.path.parent.exists()


def test_lines_of_others_stay_as_they_are(store: FeedbackStore) -> None:
    store.path.parent.mkdir()
    theirs = 'not json\n[1]\n{"documents": "odd"}\n{"id": "t1"}'
    store.path.write_text(theirs, encoding="utf-8")
    store.judge(answer_of(), "up", id="t1", visit="v1")
    store.forget("a" * 64, visit="v1")
    assert store.path.read_text(encoding="utf-8") == f"{theirs}\n"


def test_what_cannot_be_kept_is_told(store: FeedbackStore, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="must be up or down"):
        store.judge(answer_of(), "sideways", id="t1", visit="v1")
    with pytest.raises(EvaluationError, match="size limit"):
        FeedbackStore(tmp_path / "small.jsonl", most_bytes=50).judge(answer_of(), "up", id="t1", visit="v1")
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="cannot be written") as caught:
        FeedbackStore(tmp_path / "file" / "x.jsonl").judge(answer_of(), "up", id="t1", visit="v1")
    # Visitors of the app read it: it tells nothing of the server's folders.
    assert str(tmp_path) not in str(caught.value)
    assert not list(tmp_path.glob(".*.part"))


def judge_some(path: Path, visit: str) -> None:
    for number in range(20):
        FeedbackStore(path).judge(answer_of(), "up", id=f"t{number}", visit=visit)


def test_threads_and_processes_lose_none_of_each_others_verdicts(store: FeedbackStore) -> None:
    process = multiprocessing.get_context("spawn").Process(target=judge_some, args=(store.path, "process"))
    process.start()
    threads = [threading.Thread(target=judge_some, args=(store.path, f"thread {n}")) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.join()
    assert process.exitcode == 0
    assert len(rows(store.path)) == 60


def test_verdicts_are_read_back_as_questions(store: FeedbackStore) -> None:
    store.judge(answer_of(), "up", id="t1", visit="v1")
    # A line separator of Unicode is no end of a line here.
    store.judge(answer_of(text="It matures\u2028in 2020."), "down", id="t2", visit="v1")
    silent: dict[str, Any] = {"text": "Not found.", "abstained": True, "citations": ()}
    store.judge(answer_of(**silent), "up", id="t3", visit="v1")
    store.judge(answer_of(**silent), "down", id="t4", visit="v1")
    good, bad, silent_well, silent_badly = read_questions(store.path)
    assert (good.question, good.document) == ("When does the loan mature?", "loan.md")
    assert (good.answers, good.evidence) == (("It matures in June 2027.",), ("It matures in June 2027.",))
    assert (bad.answers, bad.rejected) == ((), ("It matures\u2028in 2020.",))
    assert (silent_well.answerable, silent_well.document) == (False, "loan.md")
    assert (silent_badly.answerable, silent_badly.answers, silent_badly.rejected) == (True, (), ())
