"""Figures read in every spelling, and answers compared with expected ones."""

from __future__ import annotations

import pytest

from rag_core.evaluation.figures import figures_in, numeric_match
from rag_core.evaluation.scoring import exact_match, holds, token_f1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Revenue was $1,234.5m.", [1_234_500_000]),
        ("US$ 3 bn and €2.5 billion", [3_000_000_000, 2_500_000_000]),
        ("EUR 12 thousand, 4k, 7 mn, 1.2 trillion", [12_000, 4_000, 7_000_000, 1_200_000_000_000]),
        ("a loss of (1,163) and $(4.5) million", [-1_163, -4_500_000]),
        ("($12.1) (3%) (7)%", [-12.1, -3, -7]),
        ("-5, −6.5 and –7%", [-5, -6.5, -7]),
        ("-$5 and $-5", [-5, -5]),
        ("2019-2020, 5–7 and 3 - 2", [2019, 2020, 5, 7, 3, 2]),
        ("in the best year (2019)", [2019]),
        ("FY2023, the 4th quarter, Q3, COVID-19, 10-K and 8-K", [2023]),
        ("12,34,567 rupees, 3 crore, 2 lakh", [1_234_567, 30_000_000, 200_000]),
        ("1,2 and 3", [1, 2, 3]),
        ("5% or 6 percent, 7 per cent, 8 percentage points, 25 basis points, 50bps", [5, 6, 7, 8, 0.25, 0.5]),
        (".5 of it, 0.25.", [0.5, 0.25]),
        ("1.5x sales, 5 m long, 20 minutes", [1.5, 5, 20]),
        ("12-million-dollar loan", [12_000_000]),
        ("3 blue books and 4 kites", [3, 4]),
        ("no figures, (a) and (b)", []),
        ("", []),
    ],
)
def test_figures_are_read_in_every_spelling(text: str, values: list[float]) -> None:
    assert [float(figure.value) for figure in figures_in(text)] == pytest.approx(values)


@pytest.mark.parametrize(
    ("predicted", "expected", "match"),
    [
        ("It was 1234.5 million dollars", "$1,234.5m", True),
        ("$1.2345 billion", "$1,234.5m", True),
        ("1,234,500,000", "$1,234.5m", True),
        ("1,234,499,000", "$1,234.5m", True),
        ("1,234.6m", "$1,234.5m", False),
        # The expected one rounded: three digits are enough, two are not.
        ("1.23 billion", "$1,234.5m", True),
        ("1.2 billion", "$1,234.5m", False),
        ("1 billion", "$1,234.5m", False),
        # More exact than expected.
        ("12.34%", "12.3%", True),
        ("12.36%", "12.3%", False),
        ("12.25%", "12.3%", True),
        ("19.0%", "19%", True),
        ("0.4", "0", False),
        ("0", "0.4", False),
        ("0.00", "0", True),
        # Years do not round.
        ("2020", "2019", False),
        ("2019", "2019", True),
        # Signs.
        ("-1,163", "(1,163)", True),
        ("1,163", "(1,163)", False),
        ("(5)%", "-5%", True),
        ("0.01", "-0.01", False),
        # Percentages without their sign, and as fractions.
        ("5", "5%", True),
        ("0.05", "5%", True),
        ("5%", "0.05", True),
        ("500%", "5%", False),
        ("50 basis points", "0.5%", True),
        # Scale words count.
        ("3.5", "3.5 million", False),
        ("3.5 thousand", "3,500", True),
        # All of them, in any order, beside others.
        ("from 7 to 5 in 2019", "5 and 7", True),
        ("only 5", "5 and 7", False),
        ("none", "5", False),
        ("", "5", False),
        ("5", "no figures", None),
        ("no", "no", None),
    ],
)
def test_the_right_figures_count_however_they_are_written(predicted: str, expected: str, match: bool | None) -> None:
    assert numeric_match(predicted, expected) is match


@pytest.mark.parametrize(
    ("predicted", "expected", "f1", "exact"),
    [
        ("The revenue rose.", "revenue rose", 1.0, True),
        ("revenue fell", "revenue rose", 0.5, False),
        ("revenue", "the revenue rose a lot", 0.5, False),
        ("rose rose rose", "rose", 0.5, False),
        ("", "revenue", 0.0, False),
        ("revenue", "", 0.0, False),
        ("", "the", 1.0, True),
        ("anthem", "them", 0.0, False),
        ("U.S. dollars", "us dollars", 1.0, True),
    ],
)
def test_words_are_compared_as_squad_does(predicted: str, expected: str, f1: float, exact: bool) -> None:
    assert token_f1(predicted, expected) == pytest.approx(f1)
    assert token_f1(expected, predicted) == pytest.approx(f1)
    assert exact_match(predicted, expected) is exact


@pytest.mark.parametrize(
    ("text", "wanted", "held"),
    [
        ("The loan matures in June 2027.", "June 2027", True),
        ("It rose to €1,452.4 million (2018: $1,146.2 million).", "1452.4 million", True),
        ("a loss of $(14,234)", "14,234", True),
        ("the Part", "art", False),
        ("37 sites", "3", False),
        ("1.5 percent", "15", False),
        ("it rose 11%", "11 percent", True),
        ("it rose 12%", "11 percent", False),
        ("$12,300,000", "12.3 million", True),
        ("in the plant, at Ghent", "plant at Ghent", True),
        ("plant in Ghent", "Ghent plant", False),
        ("anything", "", False),
        ("anything", "the", False),
    ],
)
def test_an_answer_is_held_in_whole_words_or_by_its_value(text: str, wanted: str, held: bool) -> None:
    assert holds(text, wanted) is held
