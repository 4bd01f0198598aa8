"""Measures that finance knows by name: computed from the statements where the document does not print them, else read."""

from __future__ import annotations

import pytest
from conftest import make_document, make_hit

from rag_core.arithmetic import cite_operands, compute
from rag_core.arithmetic.lineitems import item_of

STATEMENTS = """Harlow Dyes plc – Annual report
£ million, year ended 31 March
 | 2022 | 2021
Revenue | 640.0 | 600.0
Cost of sales | (400.0) | (390.0)
Administrative expenses | (120.0) | (110.0)
Operating profit | 120.0 | 100.0
Finance costs | (8.0) | (10.0)
Profit before tax | 112.0 | 90.0
Income tax expense | (28.0) | (18.0)
Profit for the year | 84.0 | 72.0

Balance sheet at 31 March (£ million)
 | 2022 | 2021
Inventories | 50.0 | 45.0
Trade and other receivables | 80.0 | 75.0
Cash and cash equivalents | 30.0 | 60.0
Current assets | 160.0 | 180.0
Property, plant and equipment, net | 320.0 | 300.0
Total assets | 500.0 | 500.0
Current portion of long-term debt | 20.0 | 10.0
Trade payables | 40.0 | 40.0
Current liabilities | 64.0 | 60.0
Long-term debt, net of current portion | 100.0 | 120.0
Total equity | 300.0 | 280.0

Cash flow (£ million)
 | 2022 | 2021
Net cash generated from operating activities | 110.0 | 95.0
Purchases of property, plant and equipment | (45.0) | (50.0)
Dividends paid | (21.0) | (18.0)

Revenue by division
 | 2022 | 2021
Textiles | 410.0 | 380.0
Leather | 230.0 | 220.0
"""


def computed(question: str, text: str = STATEMENTS) -> str | None:
    found = compute(question, [make_hit(make_document(text))])
    return found.text if found else None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What was the current ratio at the end of fiscal 2022?", "2.50"),
        ("current ratio 2021", "3.00"),
        ("What is the FY2022 quick ratio?", "1.72"),
        ("How much working capital did Harlow Dyes have in 2022?", "£96.0 million"),
        ("What was free cash flow in 2022?", "£65.0 million"),
        ("FCF FY21", "£45.0 million"),
        ("What was the effective tax rate in 2022?", "25%"),
        ("What was Harlow's debt-to-equity ratio at 31 March 2022?", "0.40"),
        ("net debt 2021", "£70.0 million"),
        ("What was the interest cover in 2022?", "15.00"),
        ("What is the return on equity for 2022?", "28%"),
        ("ROA 2021", "14.4%"),
        ("What was the inventory turnover in 2022?", "8.00"),
        ("What was days sales outstanding in 2021? Round to one decimal place.", "45.6 days"),
        ("How high was the payout ratio in 2022?", "25%"),
        ("What was the gross margin in 2022?", "37.5%"),
        ("What is the fixed asset turnover?", "2.00"),
    ],
)
def test_is_computed_by_its_definition(question: str, answer: str) -> None:
    assert computed(question) == answer


@pytest.mark.parametrize(
    "question",
    [
        "What was the current ratio in 2019?",
        "What was Brenner's current ratio in 2022?",
        "What was the current ratio of Leather in 2022?",
        "Why did free cash flow fall in 2022?",
        "How is free cash flow defined?",
        "How did the current ratio change from 2021 to 2022?",
        "What is the target for the effective tax rate?",
        "What was the average free cash flow of 2021 and 2022?",
        "What was free cash flow in the second quarter of 2022?",
        "What was EBITDA in 2022?",
    ],
)
def test_what_is_asked_otherwise_or_lacks_an_item_is_not(question: str) -> None:
    assert computed(question) is None


def test_what_the_document_states_is_left_to_be_read() -> None:
    stated = STATEMENTS + "\nThe effective tax rate, before one-off items, was 23.1% (2021: 20.4%).\n"
    assert computed("What was the effective tax rate in 2022?", stated) is None
    assert computed("What was the current ratio in 2022?", stated) == "2.50"


def test_two_statements_that_disagree_are_not_decided_between() -> None:
    second = STATEMENTS.replace("160.0 | 180.0", "150.0 | 170.0").replace("Harlow Dyes plc – Annual report", "Parent")
    assert computed("What was the current ratio in 2022?", STATEMENTS + "\n" + second) is None


def test_a_division_is_not_taken_for_the_whole() -> None:
    text = STATEMENTS.replace("Revenue by division\n", "Segments\n").replace(
        "Textiles | 410.0 | 380.0", "Leather |  | \nRevenue | 230.0 | 220.0\nResult | 31.0 | 29.0"
    )
    assert computed("What was the asset turnover in 2022?", text) == "1.28"


def test_a_share_is_taken_of_the_whole_and_not_of_a_neighbour() -> None:
    text = """Corran Instruments – segments, $ million
 | 2023 | 2022
Laboratory |  |
Net sales | 1,380.2 | 1,322.7
Segment operating income | 248.0 | 251.5
Water |  |
Net sales | 1,038.4 | 908.3
Segment operating income | 136.1 | 102.8

Income statement, $ million
 | 2023 | 2022
Net sales | 2,418.6 | 2,231.0
Net income | 223.2 | 203.7
"""
    assert computed("What share of net sales came from Water in 2023?", text) == "42.93%"


def test_the_formula_names_the_definition_and_cites_each_row() -> None:
    found = compute("What was free cash flow in 2022?", [make_hit(make_document(STATEMENTS))])
    assert found is not None
    assert found.formula == "operating cash flow \u2212 capital expenditure: 110.0 \u2212 45.0 = £65.0 million"
    citations, _ = cite_operands(found)
    quotes = [citation.quote for citation in citations]
    assert quotes == [
        "Net cash generated from operating activities | 110.0 | 95.0",
        "Purchases of property, plant and equipment | (45.0) | (50.0)",
    ]
    assert all(STATEMENTS[each.start : each.end] == each.quote for each in citations)


@pytest.mark.parametrize(
    ("label", "item"),
    [
        ("Inventories, net", "inventory"),
        ("Change in inventories", ""),
        ("Accounts receivable, less allowance of $8.1 and $7.4", "receivables"),
        ("Total stockholders’ equity", "equity"),
        ("Total liabilities and stockholders’ equity", ""),
        ("Provision for (benefit from) income taxes", "income taxes"),
        ("Deferred income taxes", ""),
        ("Net cash provided by (used in) operating activities", "operating cash flow"),
        ("Net cash used in investing activities", ""),
        ("Current maturities of long-term debt (note 7)", "short-term debt"),
        ("Income (loss) before income taxes", "income before taxes"),
        ("Net income per share", ""),
        ("Total current assets", "current assets"),
        ("Other current assets", ""),
        ("Cost of revenues", "cost of sales"),
        ("Creditors: amounts falling due within one year", "current liabilities"),
    ],
)
def test_a_row_is_known_by_its_whole_name(label: str, item: str) -> None:
    assert item_of(label) == item
