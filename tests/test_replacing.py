from __future__ import annotations

import pytest
from conftest import make_document, make_hit

from rag_core import RagConfig
from rag_core.answers.evidence import Evidence, find_evidence
from rag_core.answers.nearness import WordNearness
from rag_core.answers.questions import Asked, analyse
from rag_core.answers.replacing import class_replaced, helping_terms, modifier_replaced, name_replaced
from rag_core.encoder.embedding import create_embedder


@pytest.fixture(scope="module")
def wording() -> WordNearness:
    return WordNearness(create_embedder(RagConfig()))


def evidence(question: str, text: str, wording: WordNearness) -> tuple[Asked, Evidence]:
    asked = analyse(question)
    (found,) = find_evidence(asked, [make_hit(make_document(text))], wording)
    return asked, found


@pytest.mark.parametrize(
    ("question", "text", "answer", "replaced"),
    [
        ("What was the gross margin?", "The operating margin was 14.8%.", "14.8%", True),
        ("What was the operating margin?", "The operating margin was 14.8%.", "14.8%", False),
        ("What is the new dividend?", "The quarterly dividend is 27 cents.", "27 cents", False),
        ("Who heads the board of Kestrel?", "The board of Thornbury is headed by E. Vale.", "E. Vale", True),
    ],
)
def test_another_modifier_in_the_place_of_the_one_asked_for(
    question: str, text: str, answer: str, replaced: bool, wording: WordNearness
) -> None:
    asked, found = evidence(question, text, wording)
    start = text.index(answer)
    assert modifier_replaced(asked, found, start, start + len(answer)) == replaced


def test_another_of_a_class_and_another_name(wording: WordNearness) -> None:
    asked, found = evidence("When was the third terminal opened?", "The second terminal was opened in May.", wording)
    assert class_replaced(asked, found)
    text = "The dam at Orlice was finished in 1964."
    asked, found = evidence("When was the dam at Ludov finished?", text, wording)
    assert name_replaced(asked, found, text.index("1964"), len(text) - 1)
    asked, found = evidence("When was the dam at Orlice finished?", text, wording)
    assert not name_replaced(asked, found, text.index("1964"), len(text) - 1)


def test_another_role_on_the_line_above(wording: WordNearness) -> None:
    text = "Ilse Voss, Chief Executive Officer\nEnschede, 8 March 2024"
    asked = analyse("Who is the chief operating officer?")
    found = find_evidence(asked, [make_hit(make_document(text))], wording)
    below = next(item for item in found if item.text.startswith("Enschede"))
    assert class_replaced(asked, below)


def test_words_that_help_to_ask_are_told() -> None:
    assert "new" in helping_terms(analyse("How much did the new terminal cost?"))
    assert "terminal" not in helping_terms(analyse("How much did the new terminal cost?"))
