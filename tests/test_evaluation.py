"""Questions read from a file, answers marked against them, and the means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import make_document

from rag_core import Answer, AnswerSentence, Citation, EvaluationError, TokenCounts
from rag_core.evaluation import EvalQuestion, Given, given_by, mark, question_from, read_questions, summarise, table

CASH = EvalQuestion("1", "How much cash was there in 2022?", ("39,145",))


def write(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_of_every_form_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "q.jsonl",
        {"question": "What is it?", "answer": 5, "document": "a.pdf"},
        {"id": "two", "question": "Which?", "answers": ["one", "two"], "evidence": "one or two"},
        "",
        {"question": "When?", "answerable": False, "text": "A paragraph."},
        {"question": "Who?", "answer": None},
        {
            "question": "What changed?",
            "answer": "3; 4 thousand",
            "answer_list": ["3", "4"],
            "scale": "thousand",
            "derivation": "(7 + 5)/2",
            "evidence_text": ["Rents | 7 | 5 | 2"],
        },
    )
    first, second, third, fourth, fifth = read_questions(path)
    assert (first.id, first.answers, first.document) == ("1", ("5",), "a.pdf")
    assert (second.id, second.answers, second.evidence) == ("two", ("one", "two"), ("one or two",))
    assert (third.answerable, third.text) == (False, "A paragraph.")
    assert fourth.answerable is False
    assert fifth.figures == ("3 thousand", "4 thousand")
    assert fifth.operands == ("7", "5")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{nonsense", "line 2 is not JSON"),
        ("[1, 2]", "line 2 is no object"),
        ({"answer": "x"}, "line 2 has no `question`"),
        ({"question": "x"}, "line 2 has no `answer`"),
        ({"question": "x", "answer": ""}, "line 2 has no `answer`"),
        ({"question": "x", "answerable": True}, "line 2 has no `answer`"),
        ({"question": "x", "answerable": "no"}, "`answerable` is 'no'; it must be true or false"),
        ({"question": ["x"], "answer": "y"}, "`question` is"),
        ({"question": "x", "answer": {"a": 1}}, "`answer` is"),
        ({"question": "x", "answer": "y", "verdict": "good"}, "`verdict` is 'good'; it must be up or down"),
        ({"question": "x", "answer": "y", "verdict": "up", "citations": "z"}, "`citations` must be a list"),
    ],
)
def test_a_bad_row_is_named_with_what_it_lacks(tmp_path: Path, row: Any, message: str) -> None:
    path = write(tmp_path / "q.jsonl", {"question": "Good?", "answer": "yes"}, row)
    with pytest.raises(EvaluationError) as caught:
        read_questions(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_without_questions_or_of_bytes_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_questions(tmp_path / "missing.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_questions(tmp_path / "b.jsonl")
    with pytest.raises(EvaluationError, match="no questions"):
        read_questions(write(tmp_path / "e.jsonl", ""))


def test_a_thumb_up_is_the_expected_answer_and_a_thumb_down_a_rejected_one() -> None:
    row = {
        "question": "How much?",
        "answer": "It was 5.",
        "citations": [{"quote": "Total | 5", "document": "a.pdf"}],
        "verdict": "up",
        "abstained": False,
    }
    good = question_from(row, "f")
    assert (good.answers, good.evidence, good.document) == (("It was 5.",), ("Total | 5",), "a.pdf")
    bad = question_from({**row, "verdict": "down"}, "f")
    assert (bad.answers, bad.rejected) == ((), ("It was 5.",))
    assert mark(bad, Given("It was 5.")).repeated is True
    assert mark(bad, Given("It was 6.")).repeated is False
    silent = question_from({**row, "abstained": True, "citations": []}, "f")
    assert silent.answerable is False


def test_marks_of_a_right_and_of_a_wrong_answer() -> None:
    right = mark(
        CASH, Given("It was 39,145.", quotes=("Cash | 61,795 | 39,145", "Total | 1"), sentences=1, supported=1)
    )
    assert (right.contained, right.numeric, right.exact) == (True, True, False)
    assert right.f1 == pytest.approx(0.5)
    assert (right.cited_right, right.citation_precision, right.citation_recall) == (True, 0.5, 1.0)
    wrong = mark(CASH, Given("It was 61,795."))
    assert (wrong.contained, wrong.numeric, wrong.f1) == (False, False, 0.0)
    assert (wrong.cited_right, wrong.citation_precision, wrong.citation_recall) == (False, None, 0.0)
    silent = mark(CASH, Given("I could not find this.", abstained=True))
    assert (silent.f1, silent.cited_right) == (0.0, None)


def test_all_parts_belong_to_an_answer_and_scale_is_marked_apart() -> None:
    question = EvalQuestion(
        "1", "?", ("716; 668 thousand",), parts=("716", "668"), figures=("716 thousand", "668 thousand")
    )
    assert mark(question, Given("716 and 668")).contained is True
    assert mark(question, Given("716 alone")).contained is False
    assert mark(question, Given("716 and 668")).numeric is False
    assert mark(question, Given("716 and 668")).as_written is True
    both = mark(question, Given("$716 thousand and $668 thousand"))
    assert (both.numeric, both.as_written) == (True, True)


def test_a_computed_answer_cites_its_cells() -> None:
    question = EvalQuestion("1", "?", ("10%",), parts=("10",), operands=("1,100", "1,000"))
    both = mark(question, Given("10%", quotes=("Sales | $1,100", "Sales before | (1,000)")))
    assert (both.cited_right, both.citation_precision, both.citation_recall) == (True, 1.0, 1.0)
    one = mark(question, Given("10%", quotes=("Sales | $1,100", "Costs | 10")))
    assert (one.cited_right, one.citation_precision, one.citation_recall) == (False, 0.5, 0.5)


def test_citations_of_a_computed_answer_are_not_judged_where_its_cells_are_not_told() -> None:
    row = {"question": "By how much did sales grow?", "answers": ["3"], "text": "Sales | 10 | 7"}
    question = question_from(row, "here", "1")
    given = Given("3", False, ("Sales | 10 | 7",), 1, 1, 1, 0.1, 0.1)
    marks = mark(question, given)
    assert (marks.cited_right, marks.citation_precision, marks.citation_recall) == (None, None, None)
    stands = question_from({**row, "answers": ["7"]}, "here", "1")
    assert mark(stands, given).cited_right


def test_evidence_is_quoted_though_the_answer_is_put_in_other_words() -> None:
    question = EvalQuestion("1", "?", ("twice a year",), evidence=("The coupon is paid each June and December.",))
    quote = "The coupon is paid each June and December."
    assert mark(question, Given("Twice a year.", quotes=(quote,))).cited_right is True
    assert mark(question, Given("Twice a year.", quotes=("The bond has a coupon of 4 percent.",))).cited_right is False


def test_means_count_each_mark_over_the_questions_that_have_it() -> None:
    lacking = EvalQuestion("2", "?", answerable=False)
    silent, loud = Given("Not found.", abstained=True), Given("word " * 61, sentences=1)
    said = Given("39,145", quotes=("39,145",), verbatim=1, sentences=1, supported=1, total_seconds=2.0)
    pairs = [(CASH, said), (CASH, silent), (lacking, silent), (lacking, loud), (lacking, loud)]
    means = summarise([(mark(question, given), given) for question, given in pairs])
    assert (means.questions, means.answerable, means.answered) == (5, 2, 0.5)
    assert (means.f1, means.exact, means.cited_right) == (0.5, 0.5, 1.0)
    assert (means.abstention_precision, means.abstention_recall) == (0.5, pytest.approx(1 / 3))
    assert (means.sentences_supported, means.quotes_verbatim) == (pytest.approx(1 / 3), 1.0)
    assert (means.longest_words, means.long_answers) == (61, 2)
    assert means.repeated is None
    shown = table({"ours": means})
    assert "rejected answers" not in shown
    assert "abstention precision" in shown


def test_what_an_answer_gave_is_kept_with_its_quotes_checked() -> None:
    document = make_document("Cash was 39,145 in 2022. Debt was 5.")
    text = "Cash was 39,145."
    answer = Answer(
        question="?",
        query="?",
        text=text,
        citations=(Citation(1, document, 1, 0, 24, document.text[:24]), Citation(2, document, 1, 0, 9, "not there")),
        sentences=(AnswerSentence(0, len(text), text, (1,)),),
        abstained=False,
        hits=(),
        finish_reason="stop",
        model="m",
        timings={"first_token": 0.5, "total": 1.0},
        tokens=TokenCounts(),
    )
    given = given_by(answer)
    assert (given.verbatim, given.supported, given.sentences) == (1, 1, 1)
    assert Given.from_dict(json.loads(json.dumps(given.as_dict()))) == given
