"""How questions without an answer are made, and that a measurement that was cut off goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.quality import ask_all, figures_of
from bench.sets import Item, QuestionSet, Source, feedback_set, read_sets, take
from bench.systems import Cache, declines
from rag_core.evaluation import EvalQuestion, Given
from rag_core.evaluation.scoring import holds

TOWNS = ("Ghent", "Delft", "Lille", "Turin", "Basel", "Graz", "Bergen", "Porto", "Kiel", "Vaasa")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten texts of two questions each, one of which names a year."""
    corpus, queries = [], []
    for number, town in enumerate(TOWNS):
        corpus.append(
            {"id": town, "text": f"The plant in {town} made {number + 20} tons in 2019 and shipped all of them."}
        )
        for question, answer in (
            (f"How many tons did the plant in {town} make in 2019?", f"{number + 20} tons"),
            (f"Where does plant number {number} stand?", town),
        ):
            queries.append({"question": question, "answer": answer, "relevant_ids": [town]})
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return tmp_path


def test_questions_without_an_answer_are_put_where_it_is_not(data: Path) -> None:
    alone, among = read_sets(data, ["alone", "all"], seed=0)
    answers = {item.question.question: item.question.answers for item in alone.items if item.question.answerable}
    lacking = [item for item in alone.items if not item.question.answerable]
    kinds = [item.question.kind for item in lacking]
    assert (len(answers), kinds.count("other document"), kinds.count("wrong year")) == (20, 10, 10)
    for item in lacking:
        text = alone.sources[item.source].text
        if item.question.kind == "other document":
            assert not any(holds(text, answer) for answer in answers[item.question.question])
        else:
            assert "2019" not in item.question.question
            assert item.question.question not in answers
    assert len(among.sources) == 8
    left_out = [item for item in among.items if item.question.kind == "left out"]
    assert len(left_out) == 4
    assert all(town not in among.sources for town in TOWNS if any(town in i.question.question for i in left_out))
    assert all(item.source == "" for item in among.items)


def test_a_part_of_a_set_keeps_the_share_of_each_kind_and_is_the_same_again(data: Path) -> None:
    (alone,) = read_sets(data, ["alone"], seed=0)
    part = take(alone, 20, seed=1)
    assert [
        sum(item.question.kind == kind for item in part.items) for kind in ("", "other document", "wrong year")
    ] == [
        10,
        5,
        5,
    ]
    assert part == take(alone, 20, seed=1)
    assert part != take(alone, 20, seed=2)


def test_an_unknown_set_is_told_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="samples"):
        read_sets(None, ["nonsense"], seed=0)


def test_thumbs_are_put_to_the_documents_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The loan matures in June 2027.", encoding="utf-8")
    row = {"question": "When?", "answer": "In June 2027.", "verdict": "up", "abstained": False}
    rows = [{**row, "citations": [{"quote": "x", "document": name}]} for name in ("note.txt", "gone.txt")]
    path = tmp_path / "thumbs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    chosen = feedback_set(path, tmp_path)
    assert [(item.source, item.question.answers) for item in chosen.items] == [("note.txt", ("In June 2027.",))]
    assert chosen.sources["note.txt"].text == "The loan matures in June 2027."


class Echo:
    """A system that says the question again, and fails once it was asked as often as it may be."""

    name, version = "echo", "1"

    def __init__(self, calls: int = 99) -> None:
        self.held: list[list[str]] = []
        self.asked: list[str] = []
        self.calls = calls

    def hold(self, sources: Iterable[Source]) -> None:
        self.held.append([source.key for source in sources])

    def ask(self, question: str) -> Given:
        if len(self.asked) == self.calls:
            raise KeyboardInterrupt
        self.asked.append(question)
        return Given(question, quotes=("one",), verbatim=1, total_seconds=1.5)


def test_a_measurement_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    items = tuple(Item(EvalQuestion(str(n), f"Question {n}", (f"Question {n}",)), "ab"[n % 2]) for n in range(4))
    chosen = QuestionSet("set", {"a": Source("a", "A text."), "b": Source("b", "B text.")}, items)
    path = tmp_path / "cache.jsonl"
    first = Echo(calls=3)
    with pytest.raises(KeyboardInterrupt):
        ask_all(chosen, [first], Cache(path))
    assert first.held == [["a"], ["b"]]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "cut o')
    again = Echo()
    rows = ask_all(chosen, [again], Cache(path))
    assert again.asked == ["Question 3"]
    assert figures_of(rows)["echo"]["all"]["f1"] == 1.0
    # Only what was asked in this run has times to compare.
    assert [given.total_seconds for _, _, given in rows["echo"]] == [0.0, 0.0, 0.0, 1.5]
    third = Echo()
    ask_all(chosen, [third], Cache(path))
    assert third.asked == []
    changed = Echo()
    changed.version = "2"
    ask_all(chosen, [changed], Cache(path))
    assert len(changed.asked) == 4


@pytest.mark.parametrize(
    ("text", "declined"),
    [
        ("I don't know.", True),
        ("The context does not provide the answer.", True),
        ("There is no information about this in the text. Revenue was 5.", True),
        ("I cannot find this in the document.", True),
        ("Revenue was $5 million in 2019.", False),
        ("The loan matures in June 2027. I don't know more.", False),
        ("", False),
    ],
)
def test_a_model_that_declines_in_its_own_words_is_understood(text: str, declined: bool) -> None:
    assert declines(text) is declined
