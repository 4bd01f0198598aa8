from __future__ import annotations

import pytest

from rag_core import Message
from rag_core.followup import resolve_question


def conversation(*turns: str | tuple[str, str]) -> list[Message]:
    history = []
    for turn in turns:
        question, answer = turn if isinstance(turn, tuple) else (turn, "Yes.")
        history += [Message("user", question), Message("assistant", answer)]
    return history


@pytest.mark.parametrize(
    ("history", "question", "expected"),
    [
        (conversation("What was revenue in 2022?"), "and in 2021?", "What was revenue in 2021?"),
        (conversation("What was revenue in 2022?"), "And what was it in 2021?", "What was revenue in 2021?"),
        (conversation("What was revenue in 2022?"), "what about the year before?", "What was revenue in 2021?"),
        (conversation("What was revenue in 2022?"), "And the next year?", "What was revenue in 2023?"),
        (conversation("What was revenue in 2022?"), "two years earlier?", "What was revenue in 2020?"),
        (conversation("What was revenue in 2022?", "and in 2021?"), "the prior year?", "What was revenue in 2020?"),
        (conversation("What was total debt?"), "in 2021?", "What was total debt in 2021?"),
        (
            conversation("What was revenue in 2022?"),
            "What about operating profit?",
            "What about operating profit in 2022?",
        ),
    ],
)
def test_what_is_left_unsaid_comes_from_the_conversation(history: list[Message], question: str, expected: str) -> None:
    assert resolve_question(question, history) == expected


@pytest.mark.parametrize(
    "question",
    [
        "How does the fund calculate net asset value?",
        "What was net income in 2023?",
        "Which bonds mature in 2027?",
        "Explain the haircut on repo collateral",
    ],
)
def test_a_question_that_stands_alone_is_left_alone(question: str) -> None:
    assert resolve_question(question, conversation("What was revenue in 2022?")) == question
    assert resolve_question(question, []) == question


def test_pronouns_bring_the_subject_and_the_names_of_the_answer() -> None:
    history = conversation(
        ("Who is the chief executive of Halden Instruments?", "Maria Keller is the chief executive.")
    )
    resolved = resolve_question("When did she join?", history)
    assert resolved.startswith("When did she join?")
    assert "Maria Keller" in resolved
    assert "Halden Instruments" in resolved


def test_white_space_is_folded_and_system_messages_do_not_count() -> None:
    assert resolve_question("  What \n is NAV? ", [Message("system", "What was revenue in 2022?")]) == "What is NAV?"
