from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import arithmetic_questions as asked
import pytest
from conftest import ScriptedGenerator, make_document, make_hit
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_core import Computation, Document, DoneEvent, Hit, RagConfig
from rag_core.answers.answering import stream_answer
from rag_core.answers.citing import verify
from rag_core.arithmetic import cite_operands, compute
from rag_core.arithmetic.figures import parse_figure
from rag_core.language.periods import Period, find_periods
from rag_core.loading import load_document
from rag_core.records import Table
from rag_core.serialising import answer_dict
from rag_core.terminal import print_answer_notes


def whole(text: str) -> list[Hit]:
    return [make_hit(make_document(text))]


@pytest.fixture(scope="module")
def report(samples: Path) -> Document:
    return load_document(samples / "norvellan_annual_report_2023.pdf", RagConfig().limits)


def pages(document: Document, *numbers: int) -> list[Hit]:
    return [make_hit(document, document.pages[n - 1].start, document.pages[n - 1].end) for n in numbers]


def computed(question: str, hits: Sequence[Hit]) -> Computation:
    found = compute(question, hits)
    assert found is not None
    return found


@pytest.mark.parametrize(("table", "question", "answer"), asked.QUESTIONS, ids=[row[1] for row in asked.QUESTIONS])
def test_answers_what_is_clear_and_nothing_else(table: str, question: str, answer: str | None) -> None:
    found = compute(question, whole(table))
    assert (found.text if found else None) == answer


@pytest.mark.parametrize(
    ("page", "question", "answer"),
    [
        (9, "What was the percentage change in revenue from 2022 to 2023?", "11.87%"),
        (9, "What was the gross profit as a percentage of revenue in 2023?", "45.61%"),
        (9, "What is the average revenue from 2021 to 2023?", "EUR 341,233.33 thousand"),
        (9, "What was the change in administrative expenses from 2022 to 2023?", "EUR 2,350 thousand"),
        (9, "What is the sum of finance income and finance costs in 2023?", "EUR -3,120 thousand"),
        (9, "What was the compound annual growth rate of revenue from 2021 to 2023?", "11.22%"),
        (10, "What is the ratio of current assets to current liabilities in 2023?", "1.99"),
        (10, "How much higher were trade receivables than inventories in 2023?", "EUR 10,640 thousand"),
        (10, "In which year were inventories the lowest?", "2021"),
        (10, "What was the percentage change in borrowings from 2022 to 2023?", None),
        (6, "What was the revenue growth of the Process Analysers segment in 2023?", "15.19%"),
        (6, "What share of revenue came from Germany in 2023?", "18.07%"),
        (
            8,
            "What is the difference between the bonus of Ilse Marchetti-Voss and Priya Sondergaard?",
            "EUR 142 thousand",
        ),
        (9, "What was revenue in 2023?", None),
        (15, "What was the effective tax rate in 2023?", None),
    ],
)
def test_reads_the_tables_of_a_pdf(report: Document, page: int, question: str, answer: str | None) -> None:
    found = compute(question, pages(report, page))
    assert (found.text if found else None) == answer


@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        ("alder_fund_2023.csv", "What was the average NAV per unit in 2023?", "EUR 119.81"),
        ("alder_fund_2023.csv", "What is the percentage change in net assets between 2023-01 and 2023-12?", "6.34%"),
        ("working_capital.md", "What is the ratio of inventories to trade payables?", "1.6"),
        ("net_asset_value.html", "What is the sum of cash and accrued interest?", "EUR 11,460 thousand"),
    ],
)
def test_reads_the_tables_of_other_formats(samples: Path, name: str, question: str, answer: str) -> None:
    document = load_document(samples / name, RagConfig().limits)
    assert computed(question, [make_hit(document)]).text == answer


def test_formula_operands_and_citations_are_those_of_the_document(report: Document) -> None:
    found = computed("What was the gross profit as a percentage of revenue in 2023?", pages(report, 9))
    assert found.formula == "172,770 / 378,830 = 45.61%"
    assert (found.value, found.unit, found.operation) == (Decimal("45.61"), "%", "percentage of")
    assert [(item.label, item.period, item.value) for item in found.operands] == [
        ("Gross profit", "2023", Decimal(172770)),
        ("Revenue", "2023", Decimal(378830)),
    ]
    for item in found.operands:
        assert report.text[item.start : item.end] == item.text
        assert item.row_start <= item.start < item.end <= item.row_end
        assert item.unit == "EUR thousand"
    citations, sentences = cite_operands(found)
    assert [citation.quote.split(" | ")[0] for citation in citations] == ["Gross profit", "Revenue"]
    assert all(verify(citation) for citation in citations)
    assert [sentence.citations for sentence in sentences] == [(1, 2)]


def test_operands_of_one_row_share_a_citation(report: Document) -> None:
    found = computed("What was the percentage change in revenue from 2022 to 2023?", pages(report, 9))
    assert found.formula == "(378,830 − 338,630) / 338,630 = 11.87%"
    assert len(found.operands) == 2
    assert len(cite_operands(found)[0]) == 1


def test_a_hit_of_one_row_is_read_with_its_whole_table() -> None:
    document = make_document(asked.INCOME)
    start = document.text.index("Gross profit")
    hit = make_hit(document, start, start + 30)
    assert computed("What was the change in gross profit in 2022?", [hit]).text == "£31.8 million"


def test_rows_of_the_same_name_in_two_documents_leave_it_open() -> None:
    first = make_document("Sales | 2022 | 2021\nAmount | 10 | 8\nNorth | 5 | 4", identity="a" * 64)
    second = make_document("Sales | 2022 | 2021\nNorth | 9 | 3\nOther | 1 | 1", identity="b" * 64)
    question = "What was the change in North sales from 2021 to 2022?"
    assert compute(question, [make_hit(first), make_hit(second)]) is None
    assert computed(question, [make_hit(first, score=0.9), make_hit(second, score=0.2)]).text == "1"


def test_the_answer_is_computed_without_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    generator = ScriptedGenerator("The model must not be asked.")
    question = "What was the percentage change in revenue from 2021 to 2022?"
    events = list(
        stream_answer(question, question, whole(asked.INCOME), [], generator, RagConfig(), time.perf_counter(), 0.0)
    )
    assert isinstance(events[-1], DoneEvent)
    answer = events[-1].answer
    assert generator.calls == []
    assert (answer.text, answer.abstained, answer.finish_reason) == ("5.13%", False, "stop")
    assert answer.computation is not None
    assert answer.citations
    assert all(sentence.supported for sentence in answer.sentences)
    shown = answer_dict(answer)["computation"]
    assert (shown["formula"], shown["value"]) == ("(1,240.5 − 1,180.0) / 1,180.0 = 5.13%", "5.13")
    assert [operand["text"] for operand in shown["operands"]] == ["1,240.5", "1,180.0"]
    print_answer_notes(answer)
    assert "(1,240.5 − 1,180.0) / 1,180.0 = 5.13%" in capsys.readouterr().out


def test_an_ordinary_question_goes_to_the_model() -> None:
    generator = ScriptedGenerator("Revenue was 1,240.5 in 2022.")
    question = "What was revenue in 2022?"
    events = list(
        stream_answer(question, question, whole(asked.INCOME), [], generator, RagConfig(), time.perf_counter(), 0.0)
    )
    assert events[-1].answer.computation is None
    assert len(generator.calls) == 1


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,240.5", "1240.5"),
        ("$ (7,158)", "-7158"),
        ("$(874)", "-874"),
        ("(3)%", "-3"),
        ("65.4%)", "65.4"),
        ("−27,603", "-27603"),
        ("—", "0"),
        ("$ —", "0"),
        ("€4.1m", "4.1"),
        ("12,34,567", "1234567"),
        ("CHF 1'284'000.5", "1284000.5"),
        ("(12’345)", "-12345"),
        ("1'28", None),
        ("1,234 (2)", "1234"),
        ("$ 11,54", None),
        ("1.2.3", None),
        ("181–360", None),
        ("30/7/2021", None),
        ("n/a", None),
        ("Note 4", None),
        ("", None),
    ],
)
def test_a_cell_is_a_figure_only_where_it_surely_is(cell: str, value: str | None) -> None:
    figure = parse_figure(cell)
    assert (str(figure.value) if figure else None) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Year ended 31 March 2019", [Period(2019, month=3, day=31)]),
        ("June 30 and December 31, 2019", [Period(2019, month=6, day=30), Period(2019, month=12, day=31)]),
        ("FY18 to FY19", [Period(2018), Period(2019)]),
        ("Q4 2019 and third quarter of 2018", [Period(2019, quarter=4), Period(2018, quarter=3)]),
        ("2018/19", [Period(2019)]),
        ("2018/2019 and 12/2018/2019", [Period(2019), Period(2018), Period(2019)]),
        ("2023-06", [Period(2023, month=6)]),
        ("H1 2022", [Period(2022, half=1)]),
        ("Q3 of the fiscal year 2023, FY2022 Q2", [Period(2023, quarter=3), Period(2022, quarter=2)]),
        ("Dec. 2021 and on 1 February.", [Period(2021, month=12), Period(0, month=2, day=1)]),
        ("in $2,019 and 20195", []),
    ],
)
def test_periods_are_read_as_reports_write_them(text: str, found: list[Period]) -> None:
    assert [period for period, _, _ in find_periods(text)] == found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-(10**12), 10**12),
    st.integers(-(10**12), 10**12),
    st.integers(0, 4),
)
def test_a_difference_of_any_two_cells_is_exact(new: int, old: int, places: int) -> None:
    def cell(value: int) -> str:
        text = f"{abs(Decimal(value).scaleb(-places)):,f}"
        return f"({text})" if value < 0 else text

    text = f"Item | 2022 | 2021\nOther result | 1 | 2\nTrading result | {cell(new)} | {cell(old)}"
    found = computed("What was the change in the trading result from 2021 to 2022?", whole(text))
    assert found.value == Decimal(new - old).scaleb(-places)
    assert [item.value for item in found.operands] == [Decimal(new).scaleb(-places), Decimal(old).scaleb(-places)]


@settings(max_examples=150, deadline=None)
@given(st.text("|- \n$%()ab12,.20192018’", max_size=300), st.text("ab12 |$%?20192018", max_size=60))
def test_no_table_and_no_question_breaks_it(text: str, words: str) -> None:
    found = compute(f"What is the change in {words} from 2018 to 2019?", whole(text + "\nab | 2019 | 2018\nb | 1 | 2"))
    if found is not None:
        assert all(item.document.text[item.start : item.end] == item.text for item in found.operands)


def test_a_row_deep_in_a_long_table_is_read_under_its_heads() -> None:
    head = "Branch | 2022 | 2021"
    rows = "\n".join(
        f"Branch of {chr(97 + n // 676)}{chr(97 + n // 26 % 26)}{chr(97 + n % 26)} | {n} | 7" for n in range(3_000)
    )
    document = make_document(f"{head}\n{rows}", tables=(Table(0, len(head) + 1 + len(rows), 0, len(head)),))
    start = document.text.index("Branch of dcb")
    question = "What was the change in branch of dcb from 2021 to 2022?"
    expected = 3 * 676 + 2 * 26 + 1 - 7
    assert computed(question, [make_hit(document, start, start + 200)]).value == expected


def test_a_huge_hostile_table_is_read_in_bounds() -> None:
    rows = "\n".join(f"Item {number} | " + " | ".join(["1,000"] * 300) for number in range(3_000))
    document = make_document("x | 2022 | 2021\n" + rows)
    found = compute("What was the change in item 12 from 2021 to 2022?", [make_hit(document, 0, 5_000)])
    assert found is None or found.value == 0
