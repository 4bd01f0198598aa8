from __future__ import annotations

import pytest
from conftest import make_document, make_hit

from rag_core.answers.extremes import find_extremes
from rag_core.answers.questions import analyse
from rag_core.answers.rowlists import RowList, find_kinds, find_rows
from rag_core.arithmetic.grids import read_grids

REGIONS = (
    "The table shows net sales by region (in thousands):\n\n | 2023 | 2022\nNorth | 410 | 395\nSouth | 286 | 301\n"
    "Overseas | 97 | 88\nTotal | 793 | 784\n"
)
DEBT = (
    "Borrowings were as follows:\n\n | 2023 | 2022\nFalling due within one year: |  | \nBank overdrafts(1) | 12 | 9\n"
    "Lease debts | 31 | 28\n | 43 | 37\nFalling due later: |  | \nBonds | 250 | 250\nLease debts | 88 | 91\n | 338 | 341\n"
    "Profit before tax | 90 | 84\nIncome taxes | (22) | (21)\nProfit for the year | 68 | 63\n"
    "Operating cash flow | 120 | 100\nInterest paid | 40 | 50\nInterest cover | 3.0 | 2.0\n"
)


def rows(question: str, text: str) -> RowList | None:
    asked, grids = analyse(question), read_grids([make_hit(make_document(text))])
    return find_rows(asked, grids) or find_kinds(asked, grids)


def names(found: RowList | None) -> list[str]:
    return [item.document.text[item.start : item.end] for item in found.items] if found else []


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("What are the regions by which net sales are split?", REGIONS, ["North", "South", "Overseas"]),
        ("How many regions are shown for net sales in 2023?", REGIONS, ["North", "South", "Overseas"]),
        ("What do the borrowings falling due within one year consist of?", DEBT, ["Bank overdrafts", "Lease debts"]),
        ("What does debt falling due within one year consist of?", DEBT, []),
        ("What items does falling due within one year consist of?", DEBT, ["Bank overdrafts", "Lease debts"]),
        ("What are the components of the profit for the year?", DEBT, ["Profit before tax", "Income taxes"]),
        (
            "Which items are used when calculating the interest cover ratio?",
            DEBT,
            ["Operating cash flow", "Interest paid"],
        ),
        ("How many types of items are there in falling due later?", DEBT, []),
        ("How many items in falling due later are there?", DEBT, ["Bonds", "Lease debts"]),
        ("What are the components of the operating cash flow?", DEBT, []),
        ("What are the products by which net sales are split?", REGIONS, []),
        ("What are the regions by which net sales of 2019 are split?", REGIONS, []),
        ("What are the regions in which employees work?", REGIONS, []),
        ("How many regions are there?", f"The firm sells in five regions.\n\n{REGIONS}", []),
    ],
)
def test_rows_are_named_that_a_heading_holds_or_a_total_adds_up(question: str, text: str, expected: list[str]) -> None:
    assert names(rows(question, text)) == expected


def test_rows_that_do_not_add_up_are_not_named() -> None:
    assert (
        rows("What are the regions by which net sales are split?", REGIONS.replace("97", "98").replace("88", "20"))
        is None
    )


def test_the_line_that_makes_rows_one_whole_is_told_with_them() -> None:
    found = rows("What are the components of the profit for the year?", DEBT)
    assert found is not None
    document = found.items[0].document
    assert [document.text[slice(*span)] for span in found.beside] == ["Profit for the year | 68 | 63"]
    assert document.text[found.items[1].line_start : found.items[1].line_end] == "Income taxes | (22) | (21)"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which region had the highest net sales in 2023?", ["North"]),
        ("Which region had the lowest net sales in 2022?", ["Overseas"]),
        (
            "What is the region that contributed the most to net sales in 2022 and 2023 respectively?",
            ["North", "North"],
        ),
        ("Which region had the highest net sales?", []),
        ("Which region had the highest net sales in 2020?", []),
        ("Which product had the highest net sales in 2023?", []),
        ("Which region had the highest wages in 2023?", []),
        ("Which year had the highest net sales?", []),
    ],
)
def test_the_row_with_the_most_or_the_least_is_named(question: str, expected: list[str]) -> None:
    assert names(find_extremes(analyse(question), read_grids([make_hit(make_document(REGIONS))]))) == expected


@pytest.mark.parametrize("change", [("South | 286 | 301", "South | 410 | 286"), ("North |", "Other regions |")])
def test_no_row_is_named_where_two_are_alike_or_the_rest_has_the_most(change: tuple[str, str]) -> None:
    text = REGIONS.replace(*change).replace(
        "Total | 793 | 784", "Total | 917 | 769" if "410" in change[1] else "Total | 793 | 784"
    )
    grids = read_grids([make_hit(make_document(text))])
    assert find_extremes(analyse("Which region had the highest net sales in 2023?"), grids) is None
