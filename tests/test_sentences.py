from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_core.language.sentences import content_terms, normalise_number, sentence_spans, terms, years


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Revenue rose 3.5% to $1.2 billion. Costs fell.", ["Revenue rose 3.5% to $1.2 billion.", "Costs fell."]),
        ("Acme Inc. sold units in the U.S. market. It grew.", ["Acme Inc. sold units in the U.S. market.", "It grew."]),
        ("See note No. 5 for details. End.", ["See note No. 5 for details.", "End."]),
        ("Is it safe? Yes! It is.", ["Is it safe?", "Yes!", "It is."]),
        ('He said "we grew." Then he left.', ['He said "we grew."', "Then he left."]),
        ("Cash | 10 | 12\nDebt | 5 | 6", ["Cash | 10 | 12", "Debt | 5 | 6"]),
        ("A line that wraps\nonto the next one. Done.", ["A line that wraps\nonto the next one.", "Done."]),
        ("1. First item\n2. Second item", ["1. First item", "2. Second item"]),
        ("Growth was strong in 2021. In 2022 it slowed.", ["Growth was strong in 2021.", "In 2022 it slowed."]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_sentences_of_financial_text(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@given(st.text(alphabet=st.sampled_from("aB1 .,!?\n|$%()—é\t"), max_size=200))
def test_spans_are_ordered_disjoint_and_keep_every_visible_character(text: str) -> None:
    spans = sentence_spans(text)
    position, kept = 0, []
    for start, end in spans:
        assert position <= start < end <= len(text)
        assert text[position:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        kept.append(text[start:end])
        position = end
    assert text[position:].strip() == ""


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("$ 1,452.40", "1452.4"),
        ("(1,163)", "-1163"),
        ("12.0", "12"),
        ("-5", "-5"),
        ("0.50", "0.5"),
        ("€7", "7"),
        ("007", "7"),
        ("(0)", "0"),
    ],
)
def test_one_figure_has_one_spelling(written: str, normal: str) -> None:
    assert normalise_number(written) == normal


def test_terms_fold_case_plurals_and_figures() -> None:
    assert terms("Companies' Policies: $1,000.00") == terms("company policy 1000")
    assert "sg&a" in terms("SG&A costs")
    assert content_terms("What is the revenue of the fund?") == ["revenu", "fund"]


def test_years_are_calendar_years_only() -> None:
    assert years("In 2021 and 1999 we sold 2,021 units for $2020 at 2022%.") == ["2021", "1999"]
