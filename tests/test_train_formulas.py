"""Questions that need a calculation: what is written in `train/reader/formulas`, and what breaks the form."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from bench.formulas import is_right, verdicts
from rag_core.arithmetic import compute
from train.errors import DataError
from train.reader.formulas import Calculation, load_calculations, read_formula

TEXT = "Revenue was 418.2 (397.5) and profit (27.9); €1.2bn is owed, of which €300 million falls due, and 12% was paid."


def test_all_that_is_written_can_be_computed_but_for_figures_as_few_countries_print_them() -> None:
    found = load_calculations()
    formulas = [each.formula for each in found if each.formula is not None]
    assert len(found) > 16_000
    assert len(formulas) > 9_000
    unread = [formula for formula in formulas if formula.value() is None]
    assert len(unread) < len(formulas) / 30
    odd = [
        formula for formula in unread if not re.search(r"\d[ \xa0']\d|,\d|RM?\d|\d[a-zA-Z]", " ".join(formula.operands))
    ]
    assert len(odd) < len(formulas) / 200
    # Of the others two in five are said by the text or neither said nor computed.
    assert 0.2 < sum(not each.answer and each.formula is None for each in found) / len(found) < 0.4


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("= [418.2] - [397.5]", "20.7"),
        ("= [397.5] / [418.2] %", "95.05"),
        ("= ([418.2] - [397.5]) / [397.5] %", "5.21"),
        ("= avg([418.2], [397.5])", "407.85"),
        ("= [€1.2bn] - [€300 million]", "900000000"),
        ("= 100 - [12%]", "88"),
        ("= [418.2] / 12", "34.85"),
        ("= [418.2] + [(27.9)]", "390.3"),
    ],
)
def test_a_formula_is_computed(answer: str, value: str) -> None:
    formula = read_formula(answer, TEXT)
    found = formula.value()
    assert found is not None
    assert round(found, 2) == Decimal(value)


@pytest.mark.parametrize(
    ("said", "value", "right"),
    [
        ("£20.7 million", "20.7", True),
        ("EUR 40,200 thousand, or 11.87%", "11.871", True),
        ("5.2%", "5.2075", True),
        ("5.9%", "5.2075", False),
        ("(3,118)", "-3118000", True),
        ("12", "120", False),
        ("It is not said.", "3", False),
    ],
)
def test_a_figure_is_right_but_for_rounding_and_thousands(said: str, value: str, right: bool) -> None:
    assert is_right(said, Decimal(value)) == right


def test_what_is_computed_is_counted_by_kind() -> None:
    text = "Results:\n | 2023 | 2022\nRevenue | 418.2 | 397.5\nProfit | 27.9 | 31.3\n"
    asked = [
        Calculation(
            "t", text, "By how much did revenue increase in 2023?", read_formula("= [418.2] - [397.5]", text), ""
        ),
        Calculation("t", text, "By how much did profit change in 2023?", read_formula("= [418.2] - [27.9]", text), ""),
        Calculation("t", text, "By how much did headcount change in 2023?", None, ""),
        Calculation("t", text, "What was revenue in 2023?", None, "418.2"),
    ]
    assert verdicts(asked, compute) == {
        "formula": Counter(right=1, wrong=1),
        "said": Counter(none=1),
        "none": Counter(none=1),
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("= 3 + 4", "no operand"),
        ("= [400]", "once"),
        ("= [18.2]", "once"),
        ("= [418.2] ** [397.5]", "no formula"),
        ("= max([418.2], [397.5])", "no formula"),
        ("= [418.2] -", "no formula"),
        ("= __import__('os').system('true') + [418.2]", "no formula"),
    ],
)
def test_what_is_no_formula_is_named(answer: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_formula(answer, TEXT)


def test_a_faulty_block_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no questions"):
        load_calculations(tmp_path)
    path = tmp_path / "notes.txt"
    for block, told in (
        ("Only text.", "block 1 has no questions"),
        ("A text.\nQ Why", "is not `Q question"),
        ("A text.\nQ Why? | because", "does not stand in the text"),
        ("A text.\nQ How much? | = [3] - [2]", "block 1: the operand '3'"),
    ):
        path.write_text(block, encoding="utf-8")
        with pytest.raises(DataError, match=told):
            load_calculations(tmp_path)
