"""Finance terms, and the marks of passages and questions made of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_core.search.asking import asked_part
from rag_core.words.lexical import LexicalIndex
from rag_core.words.marks import passage_marks, question_marks
from rag_core.words.vocabulary import concepts, spelt_out, statement_of, wanted
from rag_core.words.wording import asks_only, names_period, quarters, short_years, stems

BALANCE_SHEET = """Consolidated Balance Sheets
In millions | 2019 | 2018
Cash and cash equivalents | 958 | 823
Accounts receivable, net | 566 | 467
Inventories | 337 | 341
Total current assets | 2,272 | 2,036
Total current liabilities | 1,076 | 981
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("capex in 2018", "Purchases of property and equipment"),
        ("the capital expenditures", "Additions to property, plant and equipment"),
        ("SG&A", "Selling, general and administrative expenses"),
        ("D&A", "Depreciation and amortisation"),
        ("COGS", "Cost of goods sold"),
        ("PP&E", "Property, plant and equipment, net"),
        ("the bottom line", "Net earnings"),
        ("turnover", "Net sales"),
        ("EPS", "Diluted earnings per share"),
        ("share buybacks", "Repurchases of common stock"),
        ("OCF", "Net cash provided by operating activities"),
    ],
)
def test_names_of_one_thing_are_one_concept(one: str, other: str) -> None:
    assert concepts(stems(one)) == concepts(stems(other)) != []


def test_the_longest_name_counts() -> None:
    assert concepts(stems("cost of sales and sales")) == ["cogs", "revenue"]
    assert concepts(stems("fixed asset turnover")) == ["fixed_turnover"]
    assert concepts([]) == concepts(stems("the weather in Lisbon")) == []


@pytest.mark.parametrize(
    ("question", "items", "statement"),
    [
        ("Does it have positive working capital?", ("current_assets", "current_liabilities"), "balance sheet"),
        ("What is the free cash flow?", ("operating_cash", "capex"), "cash flow statement"),
        ("How high is the interest coverage?", ("operating_income", "interest"), "income statement"),
    ],
)
def test_a_ratio_wants_its_items_on_their_statement(question: str, items: tuple[str, ...], statement: str) -> None:
    asked = wanted(question)
    assert asked.items == items
    assert asked.statements == (statement,)
    assert {statement_of(item) for item in items} == {statement}


def test_a_question_is_spelt_out_as_statements_have_it() -> None:
    assert spelt_out("What is capex?") == "What is capex? capital expenditure; consolidated statements of cash flows"
    assert spelt_out("Who is the chair?") == "Who is the chair?"


def test_a_statement_is_marked_in_a_report_alone() -> None:
    marks = passage_marks(BALANCE_SHEET)
    assert marks.count("!balance sheet") == 5
    assert marks.count("!!balance sheet") == 1
    assert {"=inventory", "=total current asset", "#receivables"} <= set(marks)
    excerpt = passage_marks(BALANCE_SHEET, report=False)
    assert "=inventory" in excerpt
    assert not any(mark.startswith("!") for mark in excerpt)
    # So is one whose cells were not told apart; a table of contents, with one number a line, is none.
    assert passage_marks(BALANCE_SHEET.replace(" | ", " ")).count("!balance sheet") == 5
    assert not any(
        mark.startswith("!") for mark in passage_marks("Inventories 12\nGoodwill 13\nTotal assets 15\nDebt 16")
    )
    # Neither prose about the items nor rows without figures make a statement.
    assert not any(mark.startswith("!") for mark in passage_marks(BALANCE_SHEET.replace(" | ", ", ")))
    assert not any(mark.startswith("!") for mark in passage_marks("\n".join(["Inventories | see note"] * 9)))


def test_the_longest_label_of_a_question_counts_and_unknown_marks_do_not() -> None:
    known = {"=total current asset", "=current asset", "=inventory"}
    marks = question_marks("What are total current assets and inventories?", known.__contains__)
    assert set(marks) == {"=total current asset", "=inventory"}
    assert question_marks("What are total current assets?", lambda mark: False) == {}


def test_a_year_or_a_word_that_only_asks_is_no_label() -> None:
    marks = question_marks(
        "What were inventories in millions in 2019?", {"=inventory", "=million", "=2019"}.__contains__
    )
    assert set(marks) == {"=inventory"}


def test_prose_about_a_statement_is_not_its_title() -> None:
    rows = BALANCE_SHEET.split("\n", 2)[2]
    told = f"As of the date of our consolidated balance sheets, these were the amounts.\n{rows}"
    assert "!!balance sheet" not in passage_marks(told)


def test_a_question_with_a_period_that_names_nothing_known_looks_in_the_statements() -> None:
    statements = {"!!income statement", "!!balance sheet", "!!cash flow statement"}
    assert statements <= set(question_marks("What was left for the owners in 2019?", lambda mark: True))
    assert not statements & set(question_marks("What was left for the owners?", lambda mark: True))
    assert statements & set(question_marks("What was capex in 2019?", lambda mark: True)) == {"!!cash flow statement"}


@pytest.mark.parametrize(
    ("text", "years", "found"),
    [
        ("FY22", ["2022"], []),
        ("FY'98 and FY2019", ["1998"], []),
        ("3Q22 or Q3'22", ["2022", "2022"], ["3", "3"]),
        ("the third quarter of fiscal 2022", [], ["3"]),
        ("second fiscal quarter", [], ["2"]),
        ("a quarter of FY 5%, and 12 FYI22", [], []),
    ],
)
def test_fiscal_years_and_quarters_are_read_in_every_form(text: str, years: list[str], found: list[str]) -> None:
    assert short_years(text) == years
    assert quarters(text) == found
    assert names_period(text) == bool(years) or "2022" in text


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What was capex in 2019? Answer in USD millions.", "What was capex in 2019?"),
        ("You are an analyst. What was capex?", "What was capex?"),
        ("Compute the FCF. If it makes no sense, say so and explain why.", "Compute the FCF."),
        # A finance term, a figure or a name may be part of what is asked.
        ("What is DPO? Use average payables.", "What is DPO? Use average payables."),
        ("What was it? Give 2019 alone.", "What was it? Give 2019 alone."),
        ("What was it? Give that of Acme.", "What was it? Give that of Acme."),
        ("Answer briefly.", "Answer briefly."),
        ("Answer briefly. Explain why.", "Answer briefly. Explain why."),
        ("", ""),
    ],
)
def test_what_only_says_how_to_answer_is_told_from_what_is_asked(question: str, asked: str) -> None:
    assert asked_part(question) == asked


def test_offices_are_named_in_full_in_questions_for_people_alone() -> None:
    assert asked_part("Who is the CFO?") == "Who is the CFO, chief financial officer,?"
    assert asked_part("What was CFO in 2023?") == "What was CFO in 2023?"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.sampled_from("aB1 |\n.&$%-é\0\ud800"), max_size=80))
def test_any_text_has_marks_that_no_word_is_taken_for(text: str) -> None:
    assert all(mark[0] in "=#!@" for mark in passage_marks(text))
    assert question_marks(text, lambda mark: True) is not None


def test_words_that_only_ask_count_less() -> None:
    assert asks_only("compute")
    assert not any(asks_only(word) for word in ("dividend", "between", "more"))


def test_the_statement_is_found_for_a_question_in_other_words() -> None:
    """No word of the question stands in the statement; many stand in the prose around it."""
    notes = [f"Note {n}. Capital expenditure for plant {n} in the segment was approved by the board." for n in range(9)]
    cash_flow = """Consolidated Statements of Cash Flows
In millions | 2019 | 2018
Depreciation | 25 | 23
Purchases of property and equipment | (403) | (394)
Dividends paid | (88) | (73)
Repurchases of common stock | (83) | (67)
"""
    index = LexicalIndex()
    index.add([(("report", 0), cash_flow), *((("report", n + 1), note) for n, note in enumerate(notes))], report=True)
    assert index.search("What is the 2019 capex?", 1)[0].key == ("report", 0)
    assert index.search("What is the free cash flow in 2019?", 1)[0].key == ("report", 0)
