"""What the ranking model says of the first passages shifts their order, and nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from conftest import make_document, make_hit

from rag_core import RagConfig, RagPipeline
from rag_core.errors import ModelLoadError
from rag_core.records import Hit, Window
from rag_core.search.rereading import Rereader

TEXTS = ("The loan matures in 2027.", "A dividend is proposed.", "The rent rises with prices.")
CLOSE, FAR = (0.50, 0.48, 0.46), (0.50, 0.48, 0.10)


class Fixed:
    """Gives the given scores, by the first word but one of a text; others get the lowest."""

    def __init__(self, **scores: float) -> None:
        self._scores = scores
        self.asked: list[str] = []

    def load(self) -> None:
        pass

    def scores(self, question: str, windows: Sequence[str]) -> list[float]:
        self.asked += windows
        return [self._scores.get(text.split()[1], -math.inf) for text in windows]


class Absent(Fixed):
    loads = 0

    def load(self) -> None:
        self.loads += 1
        raise ModelLoadError("no model here")


def hits(scores: Sequence[float] = CLOSE) -> list[Hit]:
    return [make_hit(make_document(text), score=score) for text, score in zip(TEXTS, scores, strict=True)]


def ordered(scorer: Any, found: Sequence[Hit], count: int = 8) -> list[int]:
    given = [[hit.focus] for hit in found]
    return [TEXTS.index(hit.text) for hit in Rereader(scorer).ordered("any", found, given, count)]


def test_what_is_read_decides_between_passages_that_lie_close_and_the_scores_stay() -> None:
    found = Rereader(Fixed(loan=-4.0, dividend=4.0, rent=0.0)).ordered("any", hits(), [[], [], []], 8)
    assert [TEXTS.index(hit.text) for hit in found] == [1, 2, 0]
    assert [hit.score for hit in found] == list(CLOSE)
    assert ordered(Fixed(loan=1.0, dividend=1.0, rent=1.0), hits()) == [0, 1, 2]


def test_however_sure_the_model_is_it_adds_no_more_than_so_much() -> None:
    sure = Fixed(loan=-math.inf, dividend=-math.inf, rent=1e9)
    assert ordered(sure, hits((0.95, 0.94, 0.70))) == [0, 1, 2]
    assert ordered(sure, hits((0.70, 0.69, 0.55))) == [2, 0, 1]


def test_what_lies_far_behind_is_not_read() -> None:
    scorer = Fixed(loan=-4.0, dividend=4.0, rent=8.0)
    assert ordered(scorer, hits(FAR)) == [1, 0, 2]
    assert scorer.asked == list(TEXTS[:2])
    assert ordered(scorer, hits((0.9, 0.2, 0.1))) == [0, 1, 2]
    assert len(scorer.asked) == 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_more_are_read_than_wanted(count: int) -> None:
    scorer = Fixed(loan=-4.0, dividend=4.0, rent=5.0)
    assert ordered(scorer, hits(), count) == ([1, 0, 2] if count == 2 else [0, 1, 2])
    assert scorer.asked == (list(TEXTS[:2]) if count == 2 else [])
    assert ordered(scorer, []) == []


def test_of_those_ahead_every_window_is_read_and_the_best_counts() -> None:
    first, second = "The loan matures. A dividend is proposed.", "The rent rises with prices."
    found = [make_hit(make_document(first), score=0.5), make_hit(make_document(second), score=0.5)]
    parts = [Window(0, 17), Window(18, len(first))]
    found[0] = replace(found[0], focus=parts[0])
    scorer = Fixed(loan=-4.0, dividend=6.0, rent=5.0)
    given = [parts, [found[1].focus]]
    assert [hit.text for hit in Rereader(scorer).ordered("any", found, given, 8)] == [first, second]
    assert scorer.asked == ["The loan matures.", second, "A dividend is proposed."]
    # Whatever the other window says, what was found first keeps its worth.
    worse = Fixed(loan=6.0, dividend=-9.0, rent=5.0)
    assert [hit.text for hit in Rereader(worse).ordered("any", found, given, 8)] == [first, second]


@pytest.mark.parametrize(("short", "whole"), [(False, 6), (True, 12)])
def test_more_passages_of_short_documents_are_read_whole(short: bool, whole: int) -> None:
    text = "The rent rises. The loan matures."
    parts = [Window(0, 15), Window(16, len(text))]
    found = [replace(make_hit(make_document(text), score=0.5), focus=parts[0]) for _ in range(14)]
    scorer = Fixed(rent=1.0, loan=2.0)
    Rereader(scorer).ordered("any", found, [parts] * 14, 30, short=short)
    assert scorer.asked.count("The rent rises.") == 14
    assert scorer.asked.count("The loan matures.") == whole


def test_windows_are_read_under_their_titles() -> None:
    scorer = Fixed()
    found = [replace(hit, headings=("Report", "Notes > Debt")) for hit in hits()]
    ordered(scorer, found)
    assert scorer.asked == [f"Report > Notes > Debt\n{text}" for text in TEXTS]


@pytest.mark.parametrize("scores", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)])
def test_scores_at_the_ends_of_the_scale_are_taken(scores: tuple[float, ...]) -> None:
    assert ordered(Fixed(loan=0.0, dividend=4.0, rent=8.0), hits(scores)) == [2, 1, 0]


def test_without_the_model_the_order_stays_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scorer = Absent()
    rereader = Rereader(scorer)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = rereader.ordered("any", hits(), [[], [], []], 8)
            assert [TEXTS.index(hit.text) for hit in found] == [0, 1, 2]
    assert scorer.loads == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_setting_turns_it_off() -> None:
    with RagPipeline() as rag, RagPipeline(RagConfig().with_setting("retrieval.reread", "0")) as without:
        assert rag._rereader is not None
        assert without._rereader is None
        assert rag.session()._rereader is rag._rereader
