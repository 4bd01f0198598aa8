from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SAMPLES

from rag_core import Document
from rag_core.config import LimitsConfig
from rag_core.loading import SUPPORTED_SUFFIXES, load_document
from sample_files.build.__main__ import build
from sample_files.build.blocks import Heading, read_blocks
from sample_files.build.figures import amount_of
from sample_files.build.ledger import YEARS, Ledger, read_ledger
from sample_files.build.pdf import PAGE_COUNT
from sample_files.build.questions import QUESTIONS, REPORT
from sample_files.build.tables import read_tables

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
    assert report.page_count == PAGE_COUNT == 20
    for page in report.pages:
        text = report.text[page.start : page.end]
        assert "Invented company" in text
        assert len(text) > (300 if page.number == 1 else 1_000)


def test_the_report_reads_as_it_was_written(documents: dict[str, Document]) -> None:
    """Every table and heading of the source is found again, cell for cell."""
    report = documents[REPORT]
    lines = report.text.splitlines()
    titles = {heading.title for heading in report.headings}
    tables = read_tables(read_ledger())
    for table in tables.values():
        for row in (table.header, *(row.cells for row in table.rows)):
            assert " | ".join(row).rstrip(" |") in lines
    sources = sorted((SAMPLES / "build" / "report").glob("*.md"))
    written = [block for source in sources for block in read_blocks(source.read_text(encoding="utf-8"), tables)]
    assert {block.text for block in written if isinstance(block, Heading)} <= titles


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
    ledger = read_ledger()

    def differs(year: int, left: tuple[str, ...], right: tuple[str, ...]) -> int:
        return ledger.sum_of(*left)(year) - ledger.sum_of(*right)(year)

    for year in YEARS:
        assert differs(year, ("assets",), ("liabilities", "equity")) == 0
        flows = ("operating_cash_flow", "investing_cash_flow", "financing_cash_flow", "exchange_cash")
        assert ledger("cash", year) - ledger("cash", year - 1) == ledger.sum_of(*flows)(year)
        assert differs(year, ("revenue_flow", "revenue_analysers", "revenue_service"), ("revenue",)) == 0
        assert (
            differs(year, ("result_segments", "-administration_corporate", "other_operating"), ("operating_profit",))
            == 0
        )
        changes = ("comprehensive_income", "share_based_expense", "-treasury_bought", "-dividend_paid")
        assert ledger("equity", year) - ledger("equity", year - 1) == ledger.sum_of(*changes)(year)


def test_books_that_do_not_balance_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sample_files.build import ledger

    changed = ledger._INPUTS.read_text(encoding="utf-8").replace(
        "share_premium,38000,38000", "share_premium,38000,38001"
    )
    (tmp_path / "company.csv").write_text(changed, encoding="utf-8")
    monkeypatch.setattr(ledger, "_INPUTS", tmp_path / "company.csv")
    with pytest.raises(ValueError, match="2021 does not balance"):
        ledger.read_ledger()


def test_amounts_are_printed_as_the_report_prints_them() -> None:
    ledger = Ledger({"sales": {2022: 200, 2023: 1_234_567}, "cost": {2022: -50, 2023: -50}, "none": {2023: 0}})
    for expression, shown in (
        ("sales", "1,234,567"),
        ("-sales", "(1,234,567)"),
        ("cost", "(50)"),
        ("none", "-"),
        ("sales~", "1,234.6"),
        ("sales@2022", "200"),
        ("sales@-1", "200"),
        ("cost%cost", "100.0%"),
        ("cost/sales@2022", "-0.25"),
        ("sales^", "617183.5%"),
    ):
        assert amount_of(ledger, expression) == shown


def test_what_is_committed_is_what_the_code_builds(tmp_path: Path, documents: dict[str, Document]) -> None:
    build(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} >= {".pdf", ".xlsx", ".docx", ".csv", ".json"}
    for path in sorted(tmp_path.iterdir()):
        if path.suffix == ".json":
            assert json.loads(path.read_text()) == json.loads((SAMPLES / path.name).read_text())
        else:
            assert load_document(path, LimitsConfig()).text == documents[path.name].text
