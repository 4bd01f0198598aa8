from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SAMPLES

from rag_core import Document
from rag_core.config import LimitsConfig
from rag_core.loading import SUPPORTED_SUFFIXES, load_document
from sample_files.build.__main__ import build
from sample_files.build.company import COMPANY, YEARS
from sample_files.build.questions import QUESTIONS, REPORT
from sample_files.build.report import PAGES

FILES = sorted(path for path in SAMPLES.iterdir() if path.suffix in SUPPORTED_SUFFIXES and path.name != "README.md")


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    return {path.name: load_document(path, LimitsConfig()) for path in FILES}


def test_every_format_is_among_the_samples(documents: dict[str, Document]) -> None:
    suffixes = {Path(name).suffix for name in documents}
    assert suffixes == {".txt", ".md", ".pdf", ".docx", ".html", ".csv", ".xlsx"}
    assert len(documents) >= 10


def test_the_report_has_twenty_pages_each_marked_as_invented(documents: dict[str, Document]) -> None:
    report = documents[REPORT]
    assert report.page_count == PAGES == 20
    for page in report.pages:
        assert "Invented company" in report.text[page.start : page.end]


@pytest.mark.parametrize("question", [item for item in QUESTIONS if item.answer], ids=lambda item: item.question)
def test_the_evidence_stands_on_the_page_that_is_named(documents: dict[str, Document], question: object) -> None:
    document = documents[question.file]
    page = document.pages[question.page - 1]
    assert question.evidence in document.text[page.start : page.end]


def test_there_are_enough_questions_and_some_without_an_answer() -> None:
    assert sum(1 for item in QUESTIONS if item.answer) >= 40
    assert sum(1 for item in QUESTIONS if item.answer is None) >= 10
    assert len({(item.file, item.question) for item in QUESTIONS}) == len(QUESTIONS)


def test_statements_agree_with_each_other() -> None:
    for year in YEARS:
        found = COMPANY.years[year]
        assert found.total_assets == found.total_liabilities + found.equity
        assert found.cash - found.opening.cash == found.operating_cash + found.investing_cash + found.financing_cash
        assert found.revenue == found.inputs.industrial + found.inputs.medical + found.inputs.services
        if year - 1 in COMPANY.years:
            before = COMPANY.years[year - 1]
            assert (found.opening.cash, found.opening.equity, found.opening.ppe) == (
                before.cash,
                before.equity,
                before.ppe,
            )


def test_what_is_committed_is_what_the_code_builds(tmp_path: Path, documents: dict[str, Document]) -> None:
    build(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        if path.suffix == ".json":
            assert json.loads(path.read_text()) == json.loads((SAMPLES / path.name).read_text())
        else:
            assert load_document(path, LimitsConfig()).text == documents[path.name].text
