"""What analysts ask to be computed, over tables and sentences: how much of it is, and that nothing is computed wrongly."""

from __future__ import annotations

from collections import Counter

import pytest
from computing_questions import ASKED
from conftest import make_document, make_hit

from rag_core import Hit
from rag_core.arithmetic import cite_operands, compute
from rag_core.arithmetic.prosepairs import sentence_pairs
from rag_core.arithmetic.prosewholes import sentence_shares
from rag_core.arithmetic.rephrasing import rephrased
from rag_core.evaluation.figures import numeric_match
from rag_core.language.periods import Period

# Of the 45 that can be computed; the others may stay silent.
_LEAST_RIGHT = 39


def whole(text: str) -> list[Hit]:
    return [make_hit(make_document(text))]


def computed(text: str, question: str) -> str | None:
    found = compute(question, whole(text))
    return found.text if found else None


def test_most_is_computed_and_nothing_wrongly() -> None:
    verdicts: Counter[str] = Counter()
    for _, text, question, answer in ASKED:
        given = computed(text, question)
        if given is None:
            verdicts["silent"] += 1
            continue
        assert answer is not None, f"{question}: {given}"
        assert numeric_match(given, answer), f"{question}: {given}, not {answer}"
        verdicts["right"] += 1
    assert verdicts["right"] >= _LEAST_RIGHT


@pytest.mark.parametrize(
    ("sentence", "earlier", "later", "before", "now"),
    [
        ("The margin was 14.2% (2022: 11.9%).", "11.9%", "14.2%", Period(2022), Period(2023)),
        ("Sales rose from £3.1m in 2019 to £4.4m in 2020.", "£3.1m", "£4.4m", Period(2019), Period(2020)),
        ("The rate narrowed to 21.6% from 24.1%.", "24.1%", "21.6%", None, None),
        ("Churn was 8.3%, against 9.1% a year earlier.", "9.1%", "8.3%", None, None),
        (
            "Costs are put at $140 million, up from our first estimate of $115 million.",
            "$115 million",
            "$140 million",
            None,
            None,
        ),
    ],
)
def test_a_sentence_sets_a_figure_beside_the_one_before(
    sentence: str, earlier: str, later: str, before: Period | None, now: Period | None
) -> None:
    (pair,) = sentence_pairs(sentence)
    assert (pair.earlier[0].text, pair.later[0].text, pair.before, pair.now) == (earlier, later, before, now)


@pytest.mark.parametrize(
    "sentence",
    [
        "Royalties range from 12% to 19%.",
        "Rates rose by about 28% (2021: 4%).",
        "It sold 1,284 units, against 94% of the market.",
        "Orders were EUR 12 million, against a budget of EUR 14 million.",
        "Sales went from £3.1m to $4.4m.",
    ],
)
def test_other_figures_side_by_side_are_no_pair(sentence: str) -> None:
    assert list(sentence_pairs(sentence)) == []


@pytest.mark.parametrize(
    ("sentence", "whole_figure", "part_figure"),
    [
        ("The facility is EUR 12.0 million, of which EUR 3.5 million is drawn.", "EUR 12.0 million", "EUR 3.5 million"),
        ("Of the 1,936 people, 704 work abroad.", "1,936", "704"),
        ("Five of the seven members are independent.", "seven", "Five"),
        ("Capital expenditure of £7.4m included £5.1m for the berth.", "£7.4m", "£5.1m"),
        ("A dividend of EUR 2.35 (2023: EUR 2.20), of which EUR 0.85 was paid.", "EUR 2.35", "EUR 0.85"),
    ],
)
def test_a_sentence_gives_a_whole_and_its_part(sentence: str, whole_figure: str, part_figure: str) -> None:
    (share,) = sentence_shares(sentence)
    assert (share.whole[0].text, share.part[0].text) == (whole_figure, part_figure)


FREIGHT = (
    "Lathbury Freight, third quarter. Maintenance spending is now $62 million, $9 million lighter, as two were put off. "
    "Of our drivers 38% are members of a union. We guide to EBITDA of between $410 million and $440 million. "
    "Head office cost $12 million, $2 million more than the budget. Rent rose from $5 million to $6 million."
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What was the previous plan for maintenance spending?", "$71 million"),
        ("What percentage of drivers are not members of a union?", "62%"),
        ("What is the midpoint of the EBITDA guidance?", "$425 million"),
        ("What was the previous cost of the head office?", None),
        ("What was the previous rent?", None),
        ("What percentage of managers are not members of a union?", None),
    ],
)
def test_one_statement_gives_by_a_step(question: str, answer: str | None) -> None:
    assert computed(FREIGHT, question) == answer


RIGHTS = """Number of rights | FY25 | FY24
Outstanding at 1 July | 2,940 | 2,615
Granted | 1,180 | 1,042
Vested | (1,200) | (717)
Outstanding at 30 June | 2,920 | 2,940
"""


def test_a_balance_moves_from_its_opening_to_its_closing_row() -> None:
    assert computed(RIGHTS, "Net change in rights outstanding over FY25?") == "-20"
    assert computed(RIGHTS, "What was the change in rights outstanding in FY23?") is None


TEAMS = """Team | Fees (EUR thousand) | Days
Audit | 410 | 190
Tax | 235 | 120
Advisory | 128 | 80
"""


def test_a_named_column_is_added_up_unless_the_text_does() -> None:
    assert computed(TEAMS, "What did the fees come to in all?") == "EUR 773 thousand"
    assert (
        computed(TEAMS + "\nFees totalled EUR 800 thousand with those of associates.", "What were total fees?") is None
    )
    assert computed(TEAMS + "Total | 773 | 390\n", "What did the fees come to in all?") is None


QUARTERS = """EUR million | Q1 2025 | Q1 2024 | Q4 2024
Net profit | 39 | 44 | 36
Orders | 50 | 40 | 60
"""


def test_a_quarter_is_compared_with_that_of_the_year_before() -> None:
    assert computed(QUARTERS, "By how much did orders rise year on year?") == "EUR 10 million"


CLINICS = """USD million | 2021 | 2020 | Change
Clinic revenue | 84.0 | 80.0 | 6.1%
Staff cost | 40.0 | 32.0 | 25.0%
"""


def test_what_the_table_prints_otherwise_is_not_computed() -> None:
    assert computed(CLINICS, "What was the percentage change in clinic revenue in 2021?") is None
    assert computed(CLINICS, "What was the percentage change in staff cost in 2021?") == "25%"


def test_what_a_sentence_states_is_read_and_not_computed() -> None:
    text = "Clinic revenue rose 6.1% to $84.0 million from $80.0 million in 2020."
    assert computed(text, "By what percentage did clinic revenue rise?") is None
    assert computed(text, "By how much did clinic revenue rise?") == "$4.0 million"


def test_an_open_question_of_growth_is_told_both_ways() -> None:
    found = compute("How much did staff cost grow in 2021?", whole(CLINICS))
    assert found is not None
    assert found.text == "USD 8.0 million, or 25%"
    assert found.formula.startswith("40.0 − 32.0 = USD 8.0 million; ")


def test_operands_from_sentences_are_cited_with_their_sentence() -> None:
    text = "The plans have 1,420 members, of whom 515 draw a pension."
    found = compute("What share of the members draws a pension?", whole(text))
    assert found is not None
    assert (found.formula, [item.text for item in found.operands]) == ("515 / 1,420 = 36.27%", ["515", "1,420"])
    citations, sentences = cite_operands(found)
    assert [citation.quote for citation in citations] == [text]
    assert [sentence.citations for sentence in sentences] == [(1,)]


@pytest.mark.parametrize(
    ("question", "read"),
    [
        ("what were gross loans less the allowance?", "excess of what were gross loans over the allowance?"),
        ("how far below its budget was rent in 2020?", "how much lower was rent in 2020? than its budget"),
        ("sales fell by how much?", "by how much did sales fell?"),
        ("what was revenue in 2020?", "what was revenue in 2020?"),
        ("how much was paid in each of 2019 and 2020?", "how much was paid in each of 2019 and 2020?"),
    ],
)
def test_wordings_are_put_into_those_that_are_read(question: str, read: str) -> None:
    assert rephrased(question) == read
