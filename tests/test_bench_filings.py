"""The long reports that retrieval is measured on: complete, repeatable, and true about where an answer stands."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CORPUS = [
    {
        "id": f"note-{number}",
        "text": f"Note {number}\n\nQuetzal {number} bonds.\n\nTable:\nLine | 2019\nBonds | {number}",
    }
    for number in range(6)
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    filings = importlib.import_module("bench.filings")
    folder = tmp_path_factory.mktemp("filings")
    asked = [(f"What about quetzal {row['id']}?", frozenset({row["id"]}), "text") for row in CORPUS]
    return folder, filings.build_filings(folder, CORPUS, asked)


def test_a_page_that_is_named_holds_what_is_asked(built: tuple[Path, list[object]]) -> None:
    baseline = importlib.import_module("bench.baseline")
    folder, questions = built
    pages = {path.name: baseline.pdf_text(path) for path in folder.glob("*.pdf")}
    assert len(pages) == 6
    assert all(len(texts) >= 30 for texts in pages.values())
    seen = set()
    for question in questions:
        held = " ".join(pages[question.file][page - 1] for page in question.pages)  # type: ignore[attr-defined]
        text = question.text  # type: ignore[attr-defined]
        seen.add(question.kind)  # type: ignore[attr-defined]
        if question.kind == "text":  # type: ignore[attr-defined]
            assert f"Quetzal {text[-2]}" in held
        elif "capital expenditure amount" in text or "new plant and equipment" in text:
            assert any(label in held for label in ("Purchase", "Capital", "Additions"))
        elif "quick ratio is defined" in text or "working capital defined as" in text:
            assert "otal current liabilities" in held or "Total Current Liabilities" in held
        elif question.kind == "fourth analyst":  # type: ignore[attr-defined]
            continue
        elif "working capital" in text or "due within twelve months" in text:
            assert "otal current liabilities" in held or "Total Current Liabilities" in held
    assert seen == {"text", "analyst", "second analyst", "third analyst", "fourth analyst"}
    texts = [question.text for question in questions]  # type: ignore[attr-defined]
    assert len(set(texts)) == len(texts) == 6 * (44 + 60 + 80 + 80) + 6


def test_the_same_reports_are_built_again(built: tuple[Path, list[object]], tmp_path: Path) -> None:
    filings = importlib.import_module("bench.filings")
    assert [q.pages for q in filings.build_filings(tmp_path, CORPUS, [])] == [
        question.pages
        for question in built[1]
        if question.kind != "text"  # type: ignore[attr-defined]
    ]
    for path in tmp_path.glob("*.pdf"):
        assert path.read_bytes() == (built[0] / path.name).read_bytes()
