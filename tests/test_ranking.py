"""The ranking model that is shipped: it tells the window that answers, and fails in one line where it cannot be had."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import make_document

from rag_core.answers.readingmodels import encoder_model
from rag_core.chunking.windows import PlacedTexts
from rag_core.config import RagConfig
from rag_core.errors import ModelLoadError
from rag_core.records import Table, Window
from rag_core.search.ranking import WindowRanker

RIGHT = "Purchases of property, plant and equipment came to $412 million in 2022, after $371 million in 2021."
WRONG = (
    "Purchases of treasury shares came to $412 million in 2022, after $371 million in 2021.",
    "Property, plant and equipment is depreciated over ten to forty years, land not at all.",
    "The board met nine times in 2022.",
)


@pytest.fixture(scope="module")
def ranker() -> WindowRanker:
    return WindowRanker(RagConfig().cache_directory)


@pytest.mark.parametrize(
    "question", ["What was spent on property and equipment in 2022?", "capex 2022", "How much went into new plant?"]
)
def test_the_window_that_answers_scores_highest(ranker: WindowRanker, question: str) -> None:
    scores = ranker.scores(question, [*WRONG, RIGHT])
    assert max(range(4), key=scores.__getitem__) == 3


def test_a_windows_score_depends_on_no_other(ranker: WindowRanker) -> None:
    question = "What was spent on property and equipment in 2022?"
    together = ranker.scores(question, [*WRONG, RIGHT, RIGHT * 20])
    alone = [ranker.scores(question, [text])[0] for text in (*WRONG, RIGHT, RIGHT * 20)]
    assert together == pytest.approx(alone, abs=0.05)
    assert ranker.scores(question, []) == []


@pytest.mark.parametrize("text", ["", "\ud800", "[SEP] [CLS]", "x" * 5_000])
def test_any_text_gets_a_score(ranker: WindowRanker, text: str) -> None:
    assert len(ranker.scores(text, [text, RIGHT])) == 2


def test_a_file_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    missing = WindowRanker(tmp_path, partial(encoder_model, tmp_path, tmp_path / "ranker.safetensors"))
    with pytest.raises(ModelLoadError, match=r"^The ranker [^\n]+$"):
        missing.load()


def test_a_window_stands_under_its_titles_and_the_header_of_its_table() -> None:
    text = "Cash flows\n | 2022 | 2021\nCapex | 412 | 371\nDividends | 90 | 88"
    document = replace(make_document(text), tables=(Table(11, len(text), 11, 25),))
    texts = PlacedTexts(document)
    assert texts.placed(Window(text.index("Dividends"), len(text)), ("Report", "Cash flows")) == (
        "Report > Cash flows\n2022 2021\nDividends  90  88"
    )
    assert texts.placed(Window(0, 10), ()) == "Cash flows"
    assert texts.placed(Window(0, 10), ["word " * 40]).split("\n")[0] == " ".join(["word"] * 14)
