"""What a reading model finds in the first passages shifts their order a little, and nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from conftest import make_document, make_hit

from rag_core import RagConfig, RagPipeline
from rag_core.errors import ModelLoadError
from rag_core.records import Hit, Window
from rag_core.search.rereading import Rereader

TEXTS = ("The loan matures in 2027.", "A dividend is proposed.", "The rent rises with prices.")
CLOSE, FAR = (0.50, 0.48, 0.46), (0.50, 0.48, 0.20)


@dataclass(frozen=True)
class Found:
    margin: float


class Fixed:
    """Finds the given margins, by the first word but one of a text."""

    def __init__(self, **margins: float) -> None:
        self._margins = margins
        self.asked: list[tuple[str, ...]] = []

    def load(self) -> None:
        pass

    def read(self, question: str, texts: Sequence[str]) -> list[Found]:
        self.asked.append(tuple(texts))
        return [Found(self._margins[text.split()[1]]) for text in texts]


class Absent(Fixed):
    loads = 0

    def load(self) -> None:
        self.loads += 1
        raise ModelLoadError("no model here")


def hits(scores: Sequence[float] = CLOSE) -> list[Hit]:
    return [make_hit(make_document(text), score=score) for text, score in zip(TEXTS, scores, strict=True)]


def order(found: Sequence[Hit]) -> list[int]:
    return [TEXTS.index(hit.text) for hit in found]


def test_what_is_found_decides_between_passages_that_lie_close_and_the_scores_stay() -> None:
    found = Rereader(Fixed(loan=-8.0, dividend=8.0, rent=0.0)).ordered("any", hits(), 8)
    assert order(found) == [1, 2, 0]
    assert [hit.score for hit in found] == list(CLOSE)
    assert order(Rereader(Fixed(loan=1.0, dividend=1.0, rent=1.0)).ordered("any", hits(), 8)) == [0, 1, 2]


def test_however_sure_the_reader_is_it_adds_no_more_than_so_much() -> None:
    sure = Fixed(loan=-math.inf, dividend=-math.inf, rent=1e9)
    assert order(Rereader(sure).ordered("any", hits((0.70, 0.69, 0.54)), 8)) == [0, 1, 2]
    assert order(Rereader(sure).ordered("any", hits((0.70, 0.69, 0.65)), 8)) == [2, 0, 1]


def test_the_first_keeps_its_place_in_a_near_tie() -> None:
    level = (0.5, 0.5, 0.5)
    assert order(Rereader(Fixed(loan=0.0, dividend=1.5, rent=0.0)).ordered("any", hits(level), 8)) == [0, 1, 2]
    assert order(Rereader(Fixed(loan=0.0, dividend=2.5, rent=0.0)).ordered("any", hits(level), 8)) == [1, 0, 2]


def test_what_lies_far_behind_is_not_read() -> None:
    reader = Fixed(loan=-4.0, dividend=4.0, rent=4.0)
    assert order(Rereader(reader).ordered("any", hits(FAR), 8)) == [1, 0, 2]
    assert reader.asked == [TEXTS[:2]]
    assert order(Rereader(reader).ordered("any", hits((0.9, 0.2, 0.1)), 8)) == [0, 1, 2]
    assert len(reader.asked) == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_more_are_read_than_wanted(count: int) -> None:
    reader = Fixed(loan=-4.0, dividend=4.0, rent=5.0)
    assert order(Rereader(reader).ordered("any", hits(), count)) == ([1, 0, 2] if count == 2 else [0, 1, 2])
    assert reader.asked == ([TEXTS[:2]] if count == 2 else [])
    assert Rereader(reader).ordered("any", [], 8) == []


def test_the_window_that_was_found_is_read() -> None:
    reader = Fixed(loan=0.0, dividend=0.0, rent=0.0)
    cut = [replace(hit, focus=Window(0, hit.text.index(" ", 6))) for hit in hits()]
    Rereader(reader).ordered("any", cut, 8)
    assert reader.asked == [("The loan", "A dividend", "The rent")]


@pytest.mark.parametrize("scores", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)])
def test_scores_at_the_ends_of_the_scale_are_taken(scores: tuple[float, ...]) -> None:
    assert order(Rereader(Fixed(loan=0.0, dividend=4.0, rent=8.0)).ordered("any", hits(scores), 8)) == [2, 1, 0]


def test_without_the_model_the_order_stays_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    reader = Absent()
    rereader = Rereader(reader)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert order(rereader.ordered("any", hits(), 8)) == [0, 1, 2]
    assert reader.loads == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("setting", ["generation.reader", "retrieval.reread"])
def test_settings_turn_it_off(setting: str) -> None:
    with RagPipeline() as rag, RagPipeline(RagConfig().with_setting(setting, "0")) as without:
        assert rag._rereader is not None
        assert without._rereader is None
        assert rag.session()._rereader is rag._rereader
