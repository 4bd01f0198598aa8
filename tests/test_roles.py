from __future__ import annotations

import pytest

from rag_core.answers.questions import analyse
from rag_core.answers.roles import holders, lacks_role, left_role, restated, role_of, signatures


@pytest.mark.parametrize(
    ("question", "role"),
    [
        ("Who audits the company?", "auditor"),
        ("Which firm is the external auditor?", "auditor"),
        ("Who chairs the audit committee?", "chair"),
        ("Who is the vice chair?", ""),
        ("Who is the CEO?", "chief executive"),
        ("Who is the finance director?", "chief financial officer"),
        ("Who is the trustee of the notes?", "trustee"),
        ("Who founded the company?", "founder"),
        ("What did the auditor say?", ""),
    ],
)
def test_the_role_that_is_asked_for_is_known(question: str, role: str) -> None:
    assert role_of(analyse(question)) == role


@pytest.mark.parametrize(
    ("question", "sentence", "lacks"),
    [
        ("Who audits the company?", "Matthias Oyelaran | Vice-Chair; chairs the Audit Committee | 2019", True),
        ("Who audits the company?", "Pemberton & Vale audit the accounts.", False),
        ("Who audits the company?", "The statutory auditor is Calloway Finch LLP.", False),
        ("Who is the chair of the board?", "Kirsten Valdecasas chairs the Remuneration Committee.", True),
        ("Who chairs the remuneration committee?", "Kirsten Valdecasas chairs the Remuneration Committee.", False),
        ("Who is the chair?", "Renata Quillfeather | Chair of the Supervisory Board | 2017", False),
        ("Who is the company secretary?", "Priya Sondergaard | Chief Technology Officer | 2021", True),
        ("Who is the president?", "Ana Ruiz is vice president for sales.", True),
        ("Who is the registered agent?", "The administrator is Severn Fund Services.", True),
        ("Who chairs the audit committee?", "Kirsten Valdecasas chairs the Remuneration Committee.", True),
        ("Who chairs the audit committee?", "Matthias Oyelaran | Vice-Chair; chairs the Audit Committee | 2019", False),
        ("Who invented the meter?", "The meter is the work of Ana Ruiz.", False),
    ],
)
def test_a_sentence_states_the_role_or_lacks_it(question: str, sentence: str, lacks: bool) -> None:
    assert bool(lacks_role(analyse(question), sentence, 0, len(sentence))) is lacks


def test_a_role_on_the_line_above_counts() -> None:
    text = "Auditor\nCalloway Finch LLP"
    assert lacks_role(analyse("Who is the auditor?"), text, text.index("Calloway"), len(text)) == ""


def test_who_left_a_role_is_told_apart() -> None:
    text = "Peter Lind was chief executive until June and was succeeded by Naomi Farrow."
    assert left_role(analyse("Who is the chief executive?"), text, len("Peter Lind"))
    assert not left_role(analyse("Who is the chief executive?"), text, text.index("Farrow") + len("Farrow"))
    assert not left_role(analyse("Who was the chief executive?"), text, len("Peter Lind"))


def test_who_runs_the_company_is_its_chief_executive() -> None:
    own = "orvane.txt Orvane Foods plc. Annual report."
    assert restated("Who runs Orvane Foods?", own) == "Who is the chief executive officer of Orvane Foods?"
    assert restated("Who leads the company?", own) == "Who is the chief executive officer of the company?"
    assert restated("Who leads the Drinks division?", own) == ""
    assert restated("Who is the CFO?", own) == "Who is the chief financial officer?"
    assert restated("Who heads the audit committee?", own) == "Who chairs the audit committee?"
    assert restated("Who founded Orvane Foods?", own) == ""


def test_signatures_are_names_with_a_title_on_lines_of_their_own() -> None:
    text = (
        "Dear shareholders,\nWe thank you.\n\nIlse Marchetti-Voss, Chief Executive Officer\n\nEnschede, 8 March 2024\n"
    )
    found = [text[start:end] for start, end in signatures("Who signed the letter?", text)]
    assert found == ["Ilse Marchetti-Voss"]
    assert list(signatures("Who wrote the letter?", text)) == []


def test_rows_of_a_table_of_offices_give_their_holders() -> None:
    text = (
        "Name | Office\nAda Lund | Vice-Chair; chairs the Audit Committee\nIda Berg | Chief Financial Officer | 2019\n"
    )
    for question, names in [
        ("Who is the chief financial officer?", ["Ida Berg"]),
        ("Who chairs the audit committee?", ["Ada Lund"]),
        ("Who is the trustee?", []),
        ("What is the office?", []),
    ]:
        assert [text[start:end] for start, end in holders(analyse(question), text)] == names
