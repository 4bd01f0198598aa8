"""The command line as a user runs it: a real process, real models, stdout apart from stderr, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag_core import Answer, AnswerSentence, TokenCounts
from rag_core.cli import build_parser
from rag_core.terminal import plain, print_answer_notes

NOTE = "# Loan note\n\nThe bank loan of EUR 50 million matures in June 2027 and is secured by the plant in Ghent.\n"
QUESTION = "When does the bank loan mature?"


def run(folder: Path, *words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rag_core", *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=500,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **environ},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    (place / "loan.md").write_text(NOTE, encoding="utf-8")
    (place / "cheese.txt").write_text("Gouda is a mild cheese from the Netherlands.\n", encoding="utf-8")
    elsewhere = {"question": QUESTION, "answer": "June 2027", "document": "gone.pdf"}
    (place / "elsewhere.jsonl").write_text(json.dumps(elsewhere), encoding="utf-8")
    assert run(place, "index", "loan.md", "cheese.txt").returncode == 0
    return place


def test_ask_prints_the_answer_and_its_sources_on_stdout(folder: Path) -> None:
    done = run(folder, "ask", "loan.md", QUESTION)
    assert done.returncode == 0, done.stderr
    assert "2027" in done.stdout
    assert "Sources" in done.stdout
    assert "[1] loan.md, page 1:" in done.stdout
    assert "Traceback" not in done.stderr


def test_json_is_one_object_with_the_answers_fields(folder: Path) -> None:
    done = run(folder, "ask", "loan.md", QUESTION, "--json", "--top-k", "2")
    answer = json.loads(done.stdout)
    assert not answer["abstained"]
    citation = answer["citations"][0]
    assert {"number", "document", "page", "start", "end", "quote", "score"} <= set(citation)
    assert citation["document"]["name"] == "loan.md"
    assert len(answer["hits"]) <= 2
    assert set(answer["tokens"]) == {"prompt", "completion", "cached"}


def test_ask_without_files_asks_all_that_is_indexed(folder: Path) -> None:
    done = run(folder, "ask", QUESTION, "--json")
    assert json.loads(done.stdout)["hits"][0]["document"]["name"] == "loan.md"


def test_named_files_alone_are_asked(folder: Path) -> None:
    done = run(folder, "search", "cheese.txt", QUESTION, "--json")
    assert {hit["document"]["name"] for hit in json.loads(done.stdout)["hits"]} == {"cheese.txt"}


def test_search_shows_passages_with_place_and_score(folder: Path) -> None:
    done = run(folder, "search", QUESTION)
    assert done.returncode == 0
    assert "[1] loan.md, page 1, characters" in done.stdout
    assert "plant in Ghent" in done.stdout


def test_chat_keeps_the_conversation(folder: Path) -> None:
    done = run(folder, "chat", "loan.md", "--json", stdin=f"{QUESTION}\nWhat secures it?\n\n")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["query"] == QUESTION
    assert "bank loan" in second["query"]


def test_eval_measures_the_questions_of_a_file(folder: Path) -> None:
    rows = [
        {"id": "loan", "question": QUESTION, "answer": "June 2027", "document": "loan.md"},
        {
            "id": "cheese",
            "question": "From which country is Gouda?",
            "answer": "the Netherlands",
            "document": "cheese.txt",
        },
        {
            "id": "text",
            "question": "Who chairs the board?",
            "answer": "Anna Reuter",
            "text": "Anna Reuter chairs the board.",
        },
        {
            "id": "none",
            "question": "What is the melting point of tungsten?",
            "answerable": False,
            "document": "loan.md",
        },
        {"question": "Gone?", "answer": "Yes.", "verdict": "up", "citations": [{"quote": "x", "document": "gone.pdf"}]},
    ]
    (folder / "questions.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    done = run(folder, "eval", "questions.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    by_id = {row["id"]: row for row in report["rows"]}
    assert list(by_id) == ["loan", "cheese", "text", "none"]
    assert by_id["none"]["given"]["abstained"] is True
    assert by_id["loan"]["marks"]["contained"] is True
    assert report["summary"]["abstention_recall"] == 1.0
    assert report["summary"]["quotes_verbatim"] == 1.0
    assert "their document is not here: 1" in done.stderr
    assert "4 of 4 questions" in done.stderr
    shown = run(folder, "eval", "questions.jsonl", "loan.md", "--wrong")
    assert "answer F1" in shown.stdout
    assert "abstention recall" in shown.stdout


def test_index_lists_and_remove_deletes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Net asset value is assets less liabilities.\n", encoding="utf-8")
    done = run(tmp_path, "index", "a.txt", "--json")
    identity = json.loads(done.stdout)["documents"][0]["id"]
    assert identity[:12] in run(tmp_path, "index").stdout
    assert run(tmp_path, "remove", identity[:12]).stdout == "removed a.txt\n"
    assert json.loads(run(tmp_path, "index", "--json").stdout) == {"documents": []}
    again = run(tmp_path, "remove", "a.txt")
    assert again.returncode == 1
    assert again.stderr.startswith("error: No document is called a.txt")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "missing.pdf", "What is it?"], "missing.pdf"),
        (["ask", "loan.md"], "put the question last"),
        (["search", "loan.md", " "], "question is empty"),
        (["ask", "loan.md", QUESTION, "--model", "no/such-folder/here"], "no/such-folder/here"),
        (["index", "loan.md", "--embedder", "./nowhere"], "nowhere"),
        (["eval", "missing.jsonl"], "missing.jsonl cannot be read"),
        (["eval", "elsewhere.jsonl"], "names the document gone.pdf, which is not here"),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_one(folder: Path, words: list[str], message: str) -> None:
    done = run(folder, *words)
    assert done.returncode == 1
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_exit_two_and_a_wrong_setting_is_told(folder: Path) -> None:
    assert run(folder, "ask").returncode == 2
    assert run(folder, "dance").returncode == 2
    done = run(folder, "index", RAG_MODLE="x")
    assert done.returncode == 1
    assert "RAG_MODLE is no setting" in done.stderr


def test_doctor_names_what_is_there_and_what_to_do(folder: Path) -> None:
    done = run(folder, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {"python", "packages", "device", "memory", "cache", "index", "embedder", "generator"} <= set(checks)
    assert done.returncode == int(any(check["state"] == "bad" for check in checks.values()))
    broken = run(folder, "doctor", "--model", "./nowhere", "--json")
    assert broken.returncode == 1
    generator = next(check for check in json.loads(broken.stdout)["checks"] if check["name"] == "generator")
    assert generator["state"] == "bad"
    assert "nowhere" in generator["found"]


def test_help_teaches_with_examples_and_settings() -> None:
    text = build_parser().format_help()
    assert "python -m rag_core ask report.pdf" in text
    assert "RAG_LOAD_IN_4BIT" in text


def test_terminal_escapes_in_documents_never_reach_the_terminal() -> None:
    assert plain("a\x1b[2Jb\u202ec\x07d\ne") == "a[2Jbcde"
    assert plain("a\nb", keep="\n") == "a\nb"


def test_an_unsupported_sentence_is_marked_where_the_answer_goes(capsys: pytest.CaptureFixture[str]) -> None:
    text = "The loan matures in 2023."
    answer = Answer(
        question="When?",
        query="When?",
        text=text,
        citations=(),
        sentences=(AnswerSentence(0, len(text), text),),
        abstained=False,
        hits=(),
        finish_reason="stop",
        model="m",
        timings={},
        tokens=TokenCounts(),
    )
    print_answer_notes(answer)
    shown = capsys.readouterr()
    assert f"No passage supports: {text}" in shown.out
    assert shown.err == ""
