"""Questions that need a calculation: what is written in `train/reader/formulas`, and what breaks the form."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from train.errors import DataError
from train.reader.formulas import load_calculations, read_formula

TEXT = "Revenue was 418.2 (397.5) and profit (27.9); €1.2bn is owed, of which €300 million falls due, and 12% was paid."


def test_all_that_is_written_can_be_computed_but_for_figures_as_few_countries_print_them() -> None:
    found = load_calculations()
    formulas = [each.formula for each in found if each.formula is not None]
    assert len(found) > 7_000
    assert len(formulas) > 4_000
    unread = [formula for formula in formulas if formula.value() is None]
    assert len(unread) < 150
    assert all(re.search(r"\d[ \xa0']\d|,\d|RM?\d", " ".join(formula.operands)) for formula in unread)
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
