"""Writes the built sample files into the folder given, `sample_files` when none is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sample_files.build.duration import write_duration
from sample_files.build.pdf import write_report
from sample_files.build.questions import REPORT, WORKBOOK, as_json
from sample_files.build.spreadsheets import write_fund, write_workbook

__all__ = ["build"]


def build(folder: Path) -> None:
    """Write every built file into `folder`."""
    write_report(folder / REPORT)
    write_workbook(folder / WORKBOOK)
    write_duration(folder / "duration.docx")
    write_fund(folder / "alder_fund_2023.csv")
    questions = json.dumps(as_json(), ensure_ascii=False, indent=1)
    (folder / "questions.json").write_text(questions + "\n", encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent)
