"""The data gate: what it counts on rows whose faults are known, what it shows, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import HubStandIn, connect
from train_models import embedded_folder, mistral_tokenizer, tiny_rows

from train.batching import Plan
from train.data import main, marked_text
from train.encoding import Encoder
from train.errors import DataError
from train.findings import Report
from train.gate import examine
from train.rows import Row, load_split
from train.settings import TrainSettings, load_settings
from train.terminal import run

ROOT = Path(__file__).parent.parent
CONFIG = str(ROOT / "train" / "configs" / "smollm2-cpu.yaml")


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(question: str, answer: str = "Yes.", context: str = "") -> dict[str, str]:
    return {"instruction": question, "input": context, "output": answer}


def settings_for(train: Path, *changes: str) -> TrainSettings:
    return load_settings(CONFIG, [f"data.train={train}", *changes])


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(embedded_folder(), "SmolLM2-135M-Instruct")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "good.jsonl", tiny_rows(60))


def texts(report: Report, severity: str) -> list[str]:
    return [finding.text for finding in report.findings if finding.severity == severity]


def test_good_rows_pass(good: Path, encoder: Encoder) -> None:
    settings = settings_for(good, "data.eval_rows=10")
    report, split = examine(settings, encoder)
    assert report.passed
    assert texts(report, "error") == texts(report, "warning") == []
    assert split == load_split(settings.data)
    source = report.sources[0]
    assert (source.rows, source.duplicates, source.conflicts, source.control_tokens) == (60, 0, 0, 0)
    assert source.columns == dict.fromkeys(("instruction", "input", "output", "text"), "text")
    train, held_out = report.parts
    assert (train.rows, held_out.rows) == (50, 10)
    assert train.with_context + held_out.with_context == 30


def test_lengths_and_effort_are_those_of_a_run(good: Path, encoder: Encoder) -> None:
    settings = settings_for(good, "data.eval_rows=10", "optim.epochs=3")
    report, split = examine(settings, encoder, devices=2)
    assert split is not None
    assert report.effort is not None
    examples = encoder.encode_all(split.train, settings.data.max_tokens, settings.data.overlong)
    part, effort = report.parts[0], report.effort
    assert part.lengths == tuple((item.answer_start, len(item) - item.answer_start) for item in examples)
    totals = sorted(map(len, examples))
    assert (part.total.minimum, part.total.median, part.total.maximum) == (totals[0], totals[24], totals[-1])
    assert part.total.p95 == totals[47]
    assert effort.tokens_per_epoch == sum(totals)
    assert effort.answer_tokens_per_epoch == sum(answer for _, answer in part.lengths)
    plan = Plan(tuple(map(len, examples)), settings.batch, settings.optim, settings.data.seed, 2)
    assert (effort.steps, effort.steps_per_epoch) == (plan.total_steps, len(plan.epoch(0)))
    padded = [
        len(batch) * (-(-max(len(examples[index]) for index in batch) // 64) * 64)
        for step in plan.epoch(0)
        for batch in step
    ]
    used = sum(len(examples[index]) for step in plan.epoch(0) for batch in step for index in batch)
    assert effort.padding == pytest.approx(1 - used / sum(padded))


def test_faults_of_rows_are_counted_and_named(tmp_path: Path, encoder: Encoder) -> None:
    rows = [
        *tiny_rows(20),
        row("", "An answer to nothing."),
        row("A question without an answer?", "  "),
        row("Twice?", "The same."),
        row(" Twice? ", "The same.\n"),
        row("Which?", "This."),
        row("Which?", "That."),
        row("Does it say </s> or [INST]?"),
        row("What ends a turn?", "<|im_end|> does."),
    ]
    report, _ = examine(settings_for(write_rows(tmp_path / "rows.jsonl", rows)), encoder)
    source = report.sources[0]
    assert (source.empty_questions, source.empty_answers) == (1, 1)
    assert (source.duplicates, source.conflicts, source.control_tokens) == (1, 2, 2)
    assert report.passed
    warnings = " ".join(texts(report, "warning"))
    assert "empty in rows 21, 22" in warnings
    assert "different answers in rows 25, 26" in warnings
    assert "control tokens of a chat format stand in the text of rows 27, 28" in warnings
    assert any("1 row word for word as another" in text for text in texts(report, "note"))


def test_wrong_columns_forbid_training(tmp_path: Path, encoder: Encoder) -> None:
    rows = [*tiny_rows(20), {"instruction": "q", "output": 5}, {"question": "q", "output": "a"}, row("", "empty")]
    report, split = examine(settings_for(write_rows(tmp_path / "rows.jsonl", rows)), encoder)
    assert not report.passed
    assert split is None
    errors = texts(report, "error")
    assert any("column output is no text in row 21 (text, int)" in text for text in errors)
    assert any("column instruction is no text in row 22 (text, missing)" in text for text in errors)
    assert len(errors) == 2
    # Training refuses the same rows, at the first one.
    with pytest.raises(DataError, match="row 21: column output is int"):
        load_split(settings_for(tmp_path / "rows.jsonl").data)


def test_too_few_rows_forbid_training(tmp_path: Path, encoder: Encoder) -> None:
    report, split = examine(settings_for(write_rows(tmp_path / "rows.jsonl", [row("q")] * 3)), encoder)
    assert not report.passed
    assert split is None
    assert "leaves 1 rows to train on and 0 to evaluate" in texts(report, "error")[0]
    (tmp_path / "none.jsonl").write_text("\n")
    report, _ = examine(settings_for(tmp_path / "none.jsonl"), encoder)
    assert texts(report, "error") == [f"{tmp_path / 'none.jsonl'} holds no rows"]


def test_long_rows_are_cut_or_go(tmp_path: Path, encoder: Encoder) -> None:
    rows = [*tiny_rows(20), row("Explain.", "word " * 200), row("word " * 200, "Long question.")]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    held_out = write_rows(tmp_path / "eval.jsonl", [row(f"Other {number}?") for number in range(4)])
    changes = (f"data.eval={held_out}", "data.max_tokens=160", "batch.tokens=1024")
    report, split = examine(settings_for(path, *changes), encoder)
    assert split is not None
    assert (report.parts[0].cut, report.parts[0].lost) == (1, 1)
    kept = encoder.encode_all(split.train, 160, "cut")
    assert (len(kept), sum(item.cut for item in kept)) == (21, 1)
    assert report.effort is not None
    assert report.effort.tokens_per_epoch == sum(map(len, kept))
    assert "1 train row longer than 160 tokens: the end of the answer is cut" in " ".join(texts(report, "warning"))
    report, _ = examine(settings_for(path, *changes, "data.overlong=drop"), encoder)
    assert (report.parts[0].cut, report.parts[0].lost) == (0, 2)
    report, _ = examine(settings_for(path, *changes, "data.max_tokens=16"), encoder)
    assert not report.passed
    assert "No train row has room for an answer in data.max_tokens 16" in texts(report, "error")


def test_held_out_rows_in_training_are_found(tmp_path: Path, encoder: Encoder) -> None:
    train = [
        *tiny_rows(20),
        row("What is EBITDA?", "Earnings before interest, taxes and more."),
        row("Net debt?", "x" * 90),
    ]
    held_out = [
        row("What is EBITDA?", "Another answer."),  # the same question
        row("what is  liquidity? answer number 1", "Cash."),  # another spelling of a row of tiny_rows
        row("Something else?", "x" * 90),  # a long answer that training holds
        row("Nothing alike?", "No."),
    ]
    changes = (f"data.eval={write_rows(tmp_path / 'eval.jsonl', held_out)}",)
    report, split = examine(settings_for(write_rows(tmp_path / "train.jsonl", train), *changes), encoder)
    assert split is not None
    assert (report.overlap, report.overlap_normalised) == (1, 1)
    assert len(split.train) == 21
    assert "1 held-out row in training too" in " ".join(texts(report, "warning"))
    notes = " ".join(texts(report, "note"))
    assert "1 training row with the question of a held-out one" in notes
    assert "1 held-out row with a long answer that training gives to another question" in notes
    assert "4 rows held out" in notes


def test_rows_split_off_leave_no_overlap(tmp_path: Path, encoder: Encoder) -> None:
    rows = [*tiny_rows(40), *(row(f"Twice {number}?", answer) for number in range(20) for answer in ("a", "b"))]
    report, split = examine(settings_for(write_rows(tmp_path / "rows.jsonl", rows), "data.eval_rows=16"), encoder)
    assert split is not None
    held_out = {(item.question, item.context) for item in split.eval}
    assert not held_out & {(item.question, item.context) for item in split.train}
    assert report.overlap == 80 - len(split.train) - len(split.eval)
    assert report.overlap > 0


def test_rows_without_any_context_get_a_note(tmp_path: Path, encoder: Encoder) -> None:
    rows = [item for item in tiny_rows(40) if not item["input"]]
    report, _ = examine(settings_for(write_rows(tmp_path / "rows.jsonl", rows)), encoder)
    assert "No training row has a context" in texts(report, "note")


def test_a_batch_that_holds_no_row_forbids_training(tmp_path: Path, encoder: Encoder) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(f"{number} {'word ' * 150}") for number in range(10)])
    changes = ("data.max_tokens=200", "batch.tokens=200", "batch.pad_multiple=128")
    report, _ = examine(settings_for(path, *changes), encoder)
    assert not report.passed
    assert report.effort is None
    assert "does not fit into batch.tokens 200" in texts(report, "error")[0]


def test_padding_that_ends_a_turn_forbids_training(good: Path, tmp_path: Path) -> None:
    """As with pad = eos and every end masked away; a tokenizer that holds one control token alone brings it about."""
    folder = mistral_tokenizer(tmp_path / "base")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] == "<unk>"]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    names = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**names, "eos_token": "<unk>"}))
    report, _ = examine(settings_for(good), Encoder(folder, "mistral"))
    assert not report.passed
    assert "Token 0 both fills short rows and ends a turn" in texts(report, "error")


def test_parquet_and_json_hold_the_same_rows(tmp_path: Path, good: Path, encoder: Encoder) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    rows = tiny_rows(60)
    parquet.write_table(pyarrow.Table.from_pylist(rows), str(tmp_path / "rows.parquet"))
    (tmp_path / "rows.json").write_text("\ufeff" + json.dumps(rows), encoding="utf-8")
    expected, split = examine(settings_for(good), encoder)
    for name in ("rows.parquet", "rows.json"):
        report, found = examine(settings_for(tmp_path / name), encoder)
        assert found == split
        assert report.parts == expected.parts
        assert replace(report.sources[0], name="") == replace(expected.sources[0], name="")


def test_a_data_set_on_the_hub_holds_them_too(
    tmp_path: Path, good: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with HubStandIn() as server:
        connect(monkeypatch, server, tmp_path / "home")
        files = {"README.md": b"---\n---\n", "rows.json": json.dumps(tiny_rows(60)).encode()}
        server.add_repo("someone/finance-rows", files, kind="dataset")
        report, split = examine(settings_for(Path("someone/finance-rows")), encoder)
        assert split == examine(settings_for(good), encoder)[1]
        assert report.sources[0].name == "someone/finance-rows"
        assert run(main, [CONFIG, "--set", "data.train=someone/missing"]) == 1
    assert "someone/missing" in capsys.readouterr().err


def test_a_row_is_shown_with_what_is_learnt(encoder: Encoder) -> None:
    item = encoder.encode(Row("What is a bond?", "", "A loan – 5%."))
    plain = marked_text(item, encoder, colour=False)
    assert plain.endswith("assistant\n>>>A loan – 5%.<|im_end|><<<")
    assert plain.count(">>>") == 1
    assert "<|im_start|>user\nWhat is a bond?<|im_end|>" in plain
    colour = marked_text(item, encoder, colour=True)
    green, dim, control, off = "\x1b[32m", "\x1b[2m", "\x1b[7m", "\x1b[0m"
    assert colour.endswith(f"{green}A loan – 5%.{off}{green}{control}<|im_end|>{off}")
    assert colour.startswith(f"{dim}{control}<|im_start|>{off}")
    # Without colour and marks, both are the text of the tokens.
    for code in (green, dim, control, off):
        colour = colour.replace(code, "")
    assert colour == plain.replace(">>>", "").replace("<<<", "") == encoder.tokenizer.decode(item.ids, control=True)
    # A terminal is never written to by the data.
    hostile = marked_text(encoder.encode(Row("\x1b[2J", "", "\x1b]0;x\x07")), encoder, colour=False)
    assert "\x1b" not in hostile
    assert "\x07" not in hostile


def test_a_cut_row_shows_no_end(encoder: Encoder) -> None:
    whole = encoder.encode(Row("What is a bond?", "", "A loan."))
    short = encoder.encode(Row("What is a bond?", "", "A loan."), len(whole) - 1)
    assert marked_text(short, encoder, colour=False).endswith(">>>A loan.<<<")


def test_the_command_writes_json(good: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "lengths.png"
    arguments = [CONFIG, "--set", f"data.train={good}", "--json", "--row", "2", "--plot", str(picture)]
    assert run(main, arguments) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert shown.err == ""
    assert found["passed"] is True
    assert found["sources"][0]["rows"] == 60
    assert found["row"]["number"] == 2
    assert found["row"]["text"].endswith("<|im_end|><<<")
    assert found["row"]["ids"][found["row"]["answer_start"] :][-1] == 2
    assert "lengths" not in found["parts"][0]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_command_ends_with_1_where_training_must_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [*tiny_rows(20), {"instruction": 1, "output": "a"}])
    assert run(main, [CONFIG, "--set", f"data.train={path}"]) == 1
    shown = capsys.readouterr()
    assert "error: " in shown.out
    assert "21 rows; columns instruction (text, int), input (text, missing), output, text not read" in shown.out
    assert shown.out.endswith("Training must not start: mend the errors first.\n")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--set", "data.train=missing.jsonl"], "missing.jsonl cannot be read"),
        (["--set", "data.train={good}", "--row", "1000"], "--row 1000: there are"),
        (["--set", "data.train={good}", "--plot", "{folder}/no/such.png"], "cannot be written"),
        (["--set", "data.train={good}", "--plot", "{folder}/rows.words"], "cannot be written"),
        (["--set", "data.train={folder}/bad.jsonl"], "bad.jsonl is not JSON Lines"),
        (["--set", "data.train={folder}/bad.json"], "bad.json is not JSON"),
        (["--set", "data.train={folder}/list.jsonl"], "row 1: not an object"),
        (["--set", "data.train={folder}/bad.parquet"], "cannot be read as Parquet"),
        (["--set", "data.train={folder}/rows.csv"], "neither .jsonl, .json nor .parquet"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[str], said: str
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b'{"instruction": "caf\xe9"}\n')
    for name in ("bad.json", "bad.parquet", "rows.csv"):
        (tmp_path / name).write_bytes(b"[\xff")
    (tmp_path / "list.jsonl").write_text("[1]\n")
    words = [word.replace("{good}", str(good)).replace("{folder}", str(tmp_path)) for word in changes]
    assert run(main, [CONFIG, *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [["--row", "0"], ["--row", "x"], ["--devices", "-1"], ["--nothing"]])
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([CONFIG, *words])
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_teaches_without_loading_torch() -> None:
    code = (
        "import sys\nfrom train.data import main\n"
        "try: main(['--help'])\nexcept SystemExit: print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "python -m train.data train/configs/mistral-7b-p100.yaml" in done.stdout
    assert done.stdout.endswith("False False\n")
