from __future__ import annotations

import pytest

from rag_core.answers.kinds import is_of_kind, whole_quantity
from rag_core.answers.questions import analyse


@pytest.mark.parametrize(
    ("question", "words", "fits"),
    [
        ("Who was elected mayor?", "Sunday", False),
        ("Who was elected mayor?", "Mira Solberg", True),
        ("After whom was the lake named?", "her sister", True),
        ("How many claims were made?", "$412 million", False),
        ("How many claims were made?", "seven", True),
        ("How many shops are there?", "1999", False),
        ("How much was paid in commissions?", "four years", False),
        ("What is the ongoing charge?", "0.85% a year", True),
        ("What share of trains was late?", "$4.1 million", False),
        ("What share of the votes did she get?", "a fifth", True),
        ("What interest does the loan bear?", "$250 million", False),
        ("What rating was given to the bond?", "the bond", False),
        ("Which years are shown?", "2019 | 2018", False),
        ("What does it cost?", "in thousands", False),
        ("Why did profit fall?", "12.4", False),
        ("When does it end?", "at the close of business", True),
    ],
)
def test_words_are_of_the_kind_asked_for_or_not(question: str, words: str, fits: bool) -> None:
    assert is_of_kind(analyse(question), words) == fits


@pytest.mark.parametrize(
    ("question", "text", "marked", "whole"),
    [
        ("How much stronger is it?", "It is four to five times stronger.", "four", "four to five times"),
        ("How much is released?", "About two tonnes of it.", "About two", "About two tonnes"),
        ("How many shops are there?", "There are 203 shops.", "203", "203"),
        ("What did it cost?", "It cost 31.6 million euros.", "31.6", "31.6 million euros"),
        ("What were sales?", "Sales | 12 | 14", "12", "12"),
    ],
)
def test_a_figure_is_given_with_its_range_and_unit(question: str, text: str, marked: str, whole: str) -> None:
    start = text.index(marked)
    end = whole_quantity(analyse(question), text, start, start + len(marked))
    assert text[start:end] == whole
