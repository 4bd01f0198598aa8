from __future__ import annotations

import pytest
from conftest import make_document, make_hit

from rag_core.answers.cells import Tables, look_up
from rag_core.answers.questions import analyse
from rag_core.answers.sentences import respective_figures
from rag_core.arithmetic import cite_operands, compute
from rag_core.arithmetic.columns import read_columns
from rag_core.arithmetic.grids import read_grids

OPTIONS = (
    "The mean market price of a share when staff options were exercised in 2023 was 412 pence.\n\n"
    "Of total sales, sales to the harbour accounted for 14% and 9% in 2023 and 2022, respectively.\n\n"
    "In thousands | 2023 | 2022\nOptions exercised | 320 | 290\nHarbour sales | 75 | 44\n"
)
RELIEFS = (
    "At the end of 2023 the firm had wage, housing and travel reliefs of 7.5 million, 3.1 million and 0.4 million, "
    "respectively. The wage and travel reliefs end in 2030 and 2031, respectively."
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        # The row says but a part of what the sentence says.
        ("What was the mean market price of a share when staff options were exercised in 2023?", None),
        ("How many options were exercised in 2023?", "320 thousand"),
        ("What were the harbour sales in 2023?", "75 thousand"),
        ("What percentage of total sales did sales to the harbour account for in 2022?", "9%"),
    ],
)
def test_a_row_answers_where_no_sentence_says_more(question: str, answer: str | None) -> None:
    found = look_up(analyse(question), Tables([make_hit(make_document(OPTIONS))]))
    assert (found[0].text if found else None) == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            "What were the wage, housing and travel reliefs at the end of 2023, respectively?",
            "7.5 million, 3.1 million and 0.4 million",
        ),
        ("What were the respective travel, wage and housing reliefs?", "0.4 million, 7.5 million and 3.1 million"),
        ("What were the wage, housing and travel reliefs at the end of 2021, respectively?", None),
        ("What were the wage, housing and pension reliefs, respectively?", None),
        ("What were the wage, housing and travel reliefs?", None),
    ],
)
def test_figures_are_given_for_the_things_that_a_sentence_lists_with_them(question: str, answer: str | None) -> None:
    document = make_document(RELIEFS)
    found = respective_figures(analyse(question), [make_hit(document)])
    assert (found.text if found else None) == answer
    if found:
        assert document.text[slice(*found.span)].startswith("At the end of 2023")


def test_a_period_that_is_computed_is_cited_where_it_stands() -> None:
    table = "In thousands | 2023 | 2022 | 2021\nHarbour sales | 75 | 44 | 61\n"
    found = compute("How many years did harbour sales exceed 50 thousand?", [make_hit(make_document(table))])
    assert found is not None
    assert found.text == "2"
    assert [citation.quote for citation in cite_operands(found)[0]] == [
        "In thousands | 2023 | 2022 | 2021",
        "Harbour sales | 75 | 44 | 61",
    ]


def test_heads_in_the_middle_of_their_columns_stand_over_those_of_their_kind() -> None:
    table = " |  | June 30, |  | Change\n | 2023 | 2022 | $ | %\nHarbour sales | $ 75 | $ 44 | $ 31 | 70.5%\n"
    (found,) = look_up(
        analyse("What were the harbour sales in 2022 and 2023?"), Tables([make_hit(make_document(table))])
    )
    assert found.text == "$ 44 and $ 75"
    grids = read_grids([make_hit(make_document(table))])
    assert [column.derived for column in read_columns(grids[0].rows[0].heads)] == [False, False, False, True, True]


def test_percentages_that_a_head_excepts_are_no_unit() -> None:
    table = " | Years ended June 30, | \n | 2023 | 2022\n | (In thousands, except percentages) | \nHarbour sales | 75 | 44\n"
    (found,) = look_up(analyse("What were the harbour sales in 2022?"), Tables([make_hit(make_document(table))]))
    assert found.text == "44 thousand"


def test_fiscal_years_written_out_are_one_year_each() -> None:
    table = "In thousands | 2021/2022 | 2022/2023\nHarbour sales | 44 | 75\n"
    (found,) = look_up(
        analyse("In which year were the harbour sales larger?"), Tables([make_hit(make_document(table))])
    )
    assert found.text == "2023"
