from __future__ import annotations

from dataclasses import replace

import pytest

from rag_core.answers.questions import analyse
from rag_core.answers.widening import asks_for_several, whole_answer


def whole(question: str, text: str, marked: str) -> str:
    start = text.index(marked)
    low, high = whole_answer(analyse(question), text, start, start + len(marked), 0, len(text))
    return text[low:high]


@pytest.mark.parametrize(
    ("question", "text", "marked", "expected"),
    [
        ("Which countries does it sell to?", "It sells to Ghana, India and Peru.", "Ghana", "Ghana, India and Peru"),
        (
            "What are the three divisions?",
            "It has three: coatings, glue and water.",
            "water",
            "coatings, glue and water",
        ),
        ("Which cities are served?", "It flies to Oslo, Bergen, Tromso.", "Oslo", "Oslo, Bergen, Tromso"),
        (
            "Name the owners.",
            "Owners: Alder (51%), Brill Fund (34%) and Corvin Sons (15%).",
            "Alder",
            "Alder (51%), Brill Fund (34%) and Corvin Sons (15%)",
        ),
        (
            "Which limits apply?",
            "Conditions: dust not above 4 g; moisture not above 7.5%; no insects. A fee is due.",
            "dust not above 4 g",
            "dust not above 4 g; moisture not above 7.5%; no insects",
        ),
        (
            "Which countries have schemes?",
            "Schemes exist in Ghana, India, the UK and the group operates plans in Peru.",
            "Ghana",
            "Ghana, India, the UK",
        ),
        (
            "Which countries have schemes?",
            "They exist in Ghana and the United States.",
            "Ghana",
            "Ghana and the United States",
        ),
        ("Where is the head office?", "It is in San Diego, California.", "San Diego", "San Diego, California"),
        (
            "Why did costs rise?",
            "They rose because of higher wages and of freight.",
            "higher wages",
            "higher wages and of freight",
        ),
        (
            "Where are wages reported?",
            "They are reported in cost of sales and in other costs in the statement.",
            "in cost of sales",
            "in cost of sales and in other costs",
        ),
        (
            "What does the fund consist of?",
            "It consists of fees paid by Alder Ltd. to cover the costs of the fleet.",
            "fees paid by Alder Ltd",
            "fees paid by Alder Ltd. to cover the costs of the fleet",
        ),
        ("Why did costs rise?", "They rose mainly due to wages.", "wages", "mainly due to wages"),
        (
            "Which two organs shrink?",
            "They shrink the gizzard and the liver.",
            "the liver",
            "the gizzard and the liver",
        ),
        ("Which two towns host plants?", "Lyon and Turin do.", "Turin", "Lyon and Turin"),
        ("Name the three uses.", "It is found in labels, maps and tags.", "tags", "labels, maps and tags"),
        (
            "Name both risks.",
            "The risks are fire at sea and the loss of a lock.",
            "the loss of a lock",
            "fire at sea and the loss of a lock",
        ),
        (
            "Which three banks arranged it?",
            "The loan was arranged by Kestrel Bank, Banque Oriel and Nord.",
            "Nord",
            "Kestrel Bank, Banque Oriel and Nord",
        ),
    ],
)
def test_what_belongs_to_the_answer_is_added(question: str, text: str, marked: str, expected: str) -> None:
    assert whole(question, text, marked) == expected


@pytest.mark.parametrize(
    ("question", "text", "marked"),
    [
        ("Which bank leads it?", "Orrin Bank, which lends much, leads it.", "Orrin Bank"),
        ("Which airlines fly there?", "Bluewing and Sarda Air, and most of it is freight.", "Bluewing and Sarda Air"),
        ("Which town hosts the plant?", "Lyon and Turin do.", "Turin"),
        ("Which two regions grew?", "In the north sales grew, and Europe fell.", "Europe"),
        ("Which three towns host plants?", "Lyon and Turin do.", "Turin"),
        ("What happened in both years?", "Sales fell and wages rose.", "wages rose"),
        ("Who founded it?", "Anna Holm, Piet Blom and others invested.", "Anna Holm"),
    ],
)
def test_what_does_not_belong_is_left_alone(question: str, text: str, marked: str) -> None:
    assert whole(question, text, marked) == marked


def test_figures_are_never_several() -> None:
    assert not asks_for_several(analyse("What were total sales?"))
    assert asks_for_several(analyse("What does the fee consist of?"))


@pytest.mark.parametrize(
    ("question", "words", "answer"),
    [
        ("What were the values in 2019 and 2018?", "0.3 million", "$0.3 million and $0.9 million"),
        ("What were the values in 2019 and 2018?", "0.9 million", "$0.3 million and $0.9 million"),
        ("What was the value in 2019?", "$0.3 million", "$0.3 million"),
    ],
)
def test_several_figures_are_told_together_where_several_are_asked_for(question: str, words: str, answer: str) -> None:
    text = "The expense was $0.3 million and $0.9 million in 2019 and 2018, respectively."
    start = text.index(words)
    low, high = whole_answer(replace(analyse(question), kind="amount"), text, start, start + len(words), 0, len(text))
    assert text[low:high] == answer


@pytest.mark.timeout(20)
def test_a_long_sentence_without_a_list_is_looked_through_at_once() -> None:
    """Its words could be parted in exponentially many ways by a pattern that does without the space between two."""
    ways = "rival houses failed yet the old bank which had never financed vineyards gained some depositors "
    text = f"When blight ruined the districts in 1882, {ways * 40}within months."
    assert whole("Which districts were ruined?", text, "the districts") == "the districts"


@pytest.mark.timeout(20)
def test_a_sentence_of_figures_without_end_is_looked_through_at_once() -> None:
    text = f"The costs were $3 million and {'1' * 6_000} in 2019, and {'Alba Corto, ' * 3_000} and $9 million."
    assert whole("What were the costs in 2019 and 2018?", text, "$3 million").startswith("$3 million")
    assert whole("Who are the two directors?", text, "$9 million.").endswith("$9 million.")
