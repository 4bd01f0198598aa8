"""The ranking model's training: lists of windows, rows of question and window, the loss, and a tiny model that learns."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import write_tiny_encoder

from rag_core.config import RagConfig
from rag_core.encoder.changes import fitting_change
from rag_core.encoder.embedding import create_embedder
from train.errors import DataError, SettingsError
from train.ranker.batching import draw, rows_of, table
from train.ranker.build import build_lists
from train.ranker.lists import Listed, RankingLists, read_lists, write_lists
from train.ranker.network import distilling_loss, listwise_loss, scores_of
from train.ranker.train import Recipe, main, train_ranker
from train.ranker.windows import Asked, asked_about, cut, held_by, holding
from train.reader.formulas import Calculation, Formula
from train.reader.network import build_network, load_network, save_network
from train.reader.paragraphs import Paragraph, Question

CPU = torch.device("cpu")
LONG = " ".join(f"In {1900 + year} the mill at Oster sold {year + 300} bales." for year in range(60))


@pytest.fixture(scope="module")
def embedder() -> Any:
    return create_embedder(RagConfig())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def lists() -> RankingLists:
    """Eight questions, each with a window of its own that says that it was granted; all others say the contrary."""
    words = ("copper", "barley", "violin", "harbour", "glacier", "pension", "lantern", "orchard")
    windows = tuple(f"The {word} plea was {said}." for said in ("granted", "refused") for word in words)
    refused = tuple(range(len(words), len(windows)))
    return RankingLists(
        windows, tuple(Listed(f"Which {word} plea?", (number,), (), refused) for number, word in enumerate(words))
    )


# Lists -----------------------------------------------------------------------------------------------------------------


def test_windows_that_hold_what_is_needed_are_right(embedder: Any) -> None:
    windows = cut(LONG, RagConfig().splitting, embedder)
    assert len(windows.spans) > 3
    assert all(LONG[start:end] in window for (start, end), window in zip(windows.spans, windows.embedded, strict=True))
    for part in ("351 bales", "300 bales"):
        found = holding(Asked("how many", LONG, (part,)), windows)
        assert found
        assert all(part in windows.embedded[number] for number in found)
        assert all(part not in window for number, window in enumerate(windows.embedded) if number not in found)
    # Both figures stand in no window: those with one of them are the best there are.
    assert len(holding(Asked("how many more", LONG, ("300", "359")), windows)) >= 2
    assert holding(Asked("why", LONG, ()), windows) == []


def test_questions_ask_for_words_figures_or_nothing() -> None:
    paragraph = Paragraph("news", "Sales rose to 41.", (Question("To what?", "41"), Question("Why?", "")))
    formula = Formula("x0 - x1", ("41", "38"), False)
    computed = [
        Calculation("news", "41 after 38", "Up by how much?", formula, ""),
        Calculation("news", "41 after 38", "What before?", None, "38"),
        Calculation("news", "41 after 38", "Whose?", None, ""),
    ]
    parts = [each.parts for each in asked_about([paragraph], computed)]
    assert parts == [("41",), (), ("41", "38"), ("38",), ()]


def test_lists_name_wrong_windows_of_other_texts_that_do_not_hold_the_answer(embedder: Any) -> None:
    texts = [
        "The harbour of Oster earned fees of $41 million in 2020.",
        "At Lund the port authority took harbour fees worth $38 million during 2020.",
        "Fees at Brack, whose harbour is young, came to $41 million for 2020 after a slow start.",
        "A recipe for soup asks for leeks.",
    ]
    asked = [
        Asked("What fees did the harbour of Oster earn in 2020?", texts[0], ("$41 million",)),
        Asked("What fees did the harbour of Oster earn in 1999?", texts[0], ()),
        *(Asked(f"What is said in text {number}?", text, ()) for number, text in enumerate(texts[1:])),
    ]
    found = build_lists(asked, embedder)
    assert len(found.windows) == len(texts)
    first = found.lists[0]
    assert [found.windows[number] for number in first.right] == [texts[0]]
    assert first.own == ()
    assert [found.windows[number] for number in first.wrong] == [texts[1], texts[3]]
    unanswered = found.lists[1]
    assert unanswered.right == ()
    assert [found.windows[number] for number in unanswered.own] == [texts[0]]
    assert found.windows[unanswered.wrong[0]] in texts[1:3]
    assert held_by(("a", "b"), "ab")
    assert not held_by((), "ab")


def test_lists_are_read_as_written(tmp_path: Path, lists: RankingLists) -> None:
    write_lists(lists, tmp_path / "new")
    assert read_lists(tmp_path / "new") == lists


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "", "right": [], "own": [0], "wrong": []}, "row 1: a question"),
        ({"question": "a", "right": [0], "own": [1]}, "row 1: a question"),
        ({"question": "a", "right": [16], "own": [1], "wrong": []}, "numbers below 16"),
        ({"question": "a", "right": ["0"], "own": [1], "wrong": []}, "numbers below 16"),
        ({"question": "a", "right": [0], "own": [], "wrong": []}, "nothing to put"),
    ],
)
def test_a_wrong_list_is_named(tmp_path: Path, lists: RankingLists, row: dict[str, Any], said: str) -> None:
    write_lists(lists, tmp_path)
    (tmp_path / "lists.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_lists(tmp_path)


# Rows ------------------------------------------------------------------------------------------------------------------


def test_drawn_lists_have_their_right_windows_first_and_the_likeliest_wrong_ones_more_often() -> None:
    listed = Listed("a", (0,), (1, 2), tuple(range(10, 50)))
    chance = random.Random(0)
    counts: dict[int, int] = {}
    for _ in range(200):
        drawn = draw([listed], 12, chance)
        (row,), (right,) = drawn.windows, drawn.right
        assert len(row) == len(right) == 12
        assert row[0] == 0
        assert set(row[1:3]) == {1, 2}
        assert len(set(row)) == 12
        assert right == [True] + [False] * 11
        for number in row[3:]:
            counts[number] = counts.get(number, 0) + 1
    assert sum(counts.get(number, 0) for number in range(10, 20)) > 2 * sum(counts.get(n, 0) for n in range(40, 50))


def test_a_list_with_few_windows_repeats_its_wrong_ones() -> None:
    drawn = draw([Listed("a", (7,), (), (3, 4)), Listed("b", (), (5,), ())], 6, random.Random(0))
    assert drawn.windows[0][0] == 7
    assert set(drawn.windows[0][1:]) == {3, 4}
    assert drawn.windows[1] == [5] * 6
    assert drawn.right == [[True, *[False] * 5], [False] * 6]


def test_rows_are_what_the_tokenizer_makes_of_both(tiny: Path) -> None:
    from rag_core.answers.readingmodels import plain_tokenizer

    tokenizer = plain_tokenizer(tiny)
    marks = tokenizer.encode("").ids[0], tokenizer.encode("").ids[-1]
    questions, windows = ["What fell?", "Why did it rise in 2020?"], ["It fell by a tenth.", "", LONG]
    asked, shown = [0, 1, 1, 0], [2, 0, 1, 1]
    rows = rows_of(
        table(questions, tokenizer, 96, CPU),
        table(windows, tokenizer, 4_000, CPU),
        torch.tensor(asked),
        torch.tensor(shown),
        marks,
    )
    for number, (question, window) in enumerate(zip(asked, shown, strict=True)):
        whole = tokenizer.encode(questions[question], windows[window])
        length = len(whole.ids)
        assert rows.ids[number, :length].tolist() == whole.ids
        assert rows.segments[number, :length].tolist() == whole.type_ids
        assert rows.mask[number].tolist() == [1] * length + [0] * (rows.ids.shape[1] - length)
        assert not rows.ids[number, length:].any()
        assert not rows.segments[number, length:].any()


# Learning --------------------------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_definition() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5], [1.0, 0.0, -2.0]])
    right = torch.tensor([[True, False, True], [False, False, False]])
    first = (math.exp(2.0) + math.exp(0.5)) / (1 + math.exp(2.0) + math.exp(-1.0) + math.exp(0.5))
    second = 1 / (1 + math.exp(1.0) + math.exp(0.0) + math.exp(-2.0))
    assert float(listwise_loss(scores, right)) == pytest.approx(-(math.log(first) + math.log(second)) / 2, abs=1e-5)


def test_the_distance_to_a_teacher_is_that_of_the_definition() -> None:
    scores, taught = torch.tensor([[2.0, -1.0], [0.0, 12.0]]), torch.tensor([[1.0, -1.5], [0.0, 15.0]])
    assert float(distilling_loss(taught, taught)) == pytest.approx(0.0, abs=1e-6)
    summed = 0.0
    for row, aim in zip(scores.tolist(), taught.tolist(), strict=True):
        shares, aims = ([math.exp(value) for value in (0.0, *each)] for each in (row, aim))
        for share, wanted in zip(shares, aims, strict=True):
            summed += wanted / sum(aims) * math.log((wanted / sum(aims)) / (share / sum(shares)))
    # Beyond 10 nats both are as good as certain.
    distance = (0.5 * 1.0**2 + 0.5 * 0.5**2) / 4
    assert float(distilling_loss(scores, taught)) == pytest.approx(summed / 2 + 0.1 * distance, abs=1e-5)


def test_scores_do_not_depend_on_what_else_is_read(tiny: Path) -> None:
    from rag_core.answers.readingmodels import plain_tokenizer

    tokenizer = plain_tokenizer(tiny)
    network = build_network(tiny, CPU, outputs=1).eval()
    questions, windows = table(["What fell?"], tokenizer, 96, CPU), table(["It did.", LONG], tokenizer, 192, CPU)
    with torch.no_grad():
        both = scores_of(network, rows_of(questions, windows, torch.tensor([0, 0]), torch.tensor([1, 0]), (101, 102)))
        alone = scores_of(network, rows_of(questions, windows, torch.tensor([0]), torch.tensor([0]), (101, 102)))
    assert float(both[1]) == pytest.approx(float(alone[0]), abs=1e-5)


def test_a_tiny_model_learns_its_lists_and_what_is_saved_scores_alike(
    tiny: Path, lists: RankingLists, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=12, rate=3e-3, rows=2, windows=4, headed=0.2, average=0.9)
    file = tmp_path / "ranker.safetensors"
    network = train_ranker(lists, recipe, tiny, lambda made: save_network(made, tiny, file))
    assert max(_firsts(network, tiny, lists)) < 8
    again = build_network(tiny, CPU, outputs=1).eval()
    load_network(again, tiny, file)
    assert _firsts(again, tiny, lists) == _firsts(network, tiny, lists)
    assert fitting_change(file, tiny)["head.weight"].shape == (1, 64)


def test_a_model_learns_the_mean_of_its_teachers_scores(tiny: Path, lists: RankingLists, tmp_path: Path) -> None:
    recipe = Recipe(epochs=8, rate=3e-3, rows=2, windows=4, headed=0.0, average=0.9)
    files = [tmp_path / f"{name}.safetensors" for name in ("one", "other", "student")]
    teachers = [
        train_ranker(lists, replace(recipe, seed=seed), tiny, lambda made, file=file: save_network(made, tiny, file))
        for seed, file in enumerate(files[:2])
    ]
    # Which windows are right is not told: its lists say the contrary.
    told = RankingLists(
        lists.windows,
        tuple(replace(each, right=each.wrong[:1], wrong=each.right + each.wrong[1:]) for each in lists.lists),
    )
    student = train_ranker(told, replace(recipe, epochs=16), tiny, teachers=files[:2])
    wanted = sum(_scores(teacher, tiny, lists) for teacher in teachers) / 2
    untaught = _scores(build_network(tiny, CPU, outputs=1).eval(), tiny, lists)
    assert (_scores(student, tiny, lists) - wanted).abs().mean() < 0.3 * (untaught - wanted).abs().mean()


def test_a_readers_file_is_gone_on_from_without_its_head(tiny: Path, tmp_path: Path) -> None:
    reader = build_network(tiny, CPU)
    with torch.no_grad():
        reader["encoder"].encoder.layer[0].output.dense.bias.add_(1.0)
    save_network(reader, tiny, tmp_path / "reader.safetensors")
    network = build_network(tiny, CPU, outputs=1)
    head = network["head"].weight.detach().clone()
    before = network["encoder"].encoder.layer[0].output.dense.bias.detach().clone()
    load_network(network, tiny, tmp_path / "reader.safetensors")
    assert torch.equal(network["head"].weight, head)
    assert torch.allclose(network["encoder"].encoder.layer[0].output.dense.bias, before + 1.0)


def _firsts(network: Any, folder: Path, lists: RankingLists) -> list[int]:
    return [int(place) for place in _scores(network, folder, lists).argmax(1)]


def _scores(network: Any, folder: Path, lists: RankingLists) -> Any:
    from rag_core.answers.readingmodels import plain_tokenizer

    tokenizer = plain_tokenizer(folder)
    questions = table([each.question for each in lists.lists], tokenizer, 96, CPU)
    windows = table(lists.windows, tokenizer, 192, CPU)
    count = len(lists.windows)
    asked, shown = torch.arange(len(lists.lists)).repeat_interleave(count), torch.arange(count).repeat(len(lists.lists))
    with torch.no_grad():
        return scores_of(network, rows_of(questions, windows, asked, shown, (101, 102))).view(-1, count)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"rows": 1}, {"windows": 1}, {"rate": 0.0}])
def test_a_wrong_recipe_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="must be"):
        Recipe(**wrong)


def test_the_command_writes_its_file(tiny: Path, lists: RankingLists, tmp_path: Path) -> None:
    write_lists(lists, tmp_path / "lists")
    file = tmp_path / "ranker.safetensors"
    given = ["--lists", str(tmp_path / "lists"), "--base", str(tiny), "--epochs", "1", "--windows", "3"]
    assert main([str(file), *given]) == 0
    assert file.stat().st_size > 0
