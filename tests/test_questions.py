from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_core.answers.questions import analyse


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who chairs the board?", "name"),
        ("Which bank arranged the issue?", "name"),
        ("In which town was she born?", "place"),
        ("In what year was the plant closed?", "date"),
        ("How many shops are there?", "count"),
        ("How much did the terminal cost?", "amount"),
        ("What percentage of sales came from Asia?", "percentage"),
        ("How long is the lease?", "duration"),
        ("Why did margins fall?", "reason"),
        ("What is liquidity risk?", "definition"),
        ("What was the rise in costs due to?", "reason"),
        ("What do purchase obligations represent?", "reason"),
        ("What interest does the loan bear?", "percentage"),
        ("What dividend per share was paid?", "amount"),
        ("What is swing pricing for?", "thing"),
        ("What is the capital of France?", "place"),
        ("What was the invested capital in 2020?", "amount"),
        ("What share of sales came from Asia?", "percentage"),
        ("What were the dilutive shares in 2020?", "thing"),
        ("Did revenue rise?", "yes_no"),
    ],
)
def test_the_kind_of_answer(question: str, kind: str) -> None:
    assert analyse(question).kind == kind


def test_terms_leave_out_what_only_says_the_kind() -> None:
    asked = analyse("In which year did Halden buy the plant in Oslo?")
    assert "year" not in asked.terms
    assert {"halden", "plant", "oslo"} <= set(asked.terms)
    assert asked.names == {"halden", "oslo"}
    assert analyse("What was revenue in 2021?").years == ("2021",)


def test_a_wish_for_a_long_answer_is_seen() -> None:
    assert analyse("Summarise the note on leases").open_ended
    assert analyse("We are new here. Please list the covenants").open_ended
    assert not analyse("What is the note on leases numbered?").open_ended
    # Who describes it is another, or "list" a noun.
    assert not analyse("How did the minister describe the tightening?").open_ended
    assert not analyse("I keep a list of fees: what did the waiver cost?").open_ended
    assert not analyse("What was the fair value of all liabilities?").open_ended


@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    asked = analyse(text)
    assert asked.names <= set(asked.terms)
