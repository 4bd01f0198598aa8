"""Scores of answers and tokens, and the comparison of checkpoints, with small models on real paths."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_stand_in import WRITE_TOKEN, HubStandIn, child_environment, connect
from train_models import tiny_base, tiny_rows

from train import comparison
from train.answers import generate_answers
from train.base import load_base
from train.batching import collate
from train.checkpoint import base_facts, list_checkpoints, publish, write_checkpoint
from train.compare import main
from train.comparison import Result, best_result, mounted
from train.encoding import Encoder, Example, labels_of
from train.errors import CheckpointError, DataError
from train.heads import head_of
from train.hub import push_folder
from train.modelling import add_adapters
from train.plots import plot_losses
from train.rows import Row, load_split
from train.scoring import TokenScores, score_answers, score_examples
from train.selecting import select_checkpoint
from train.settings import BatchSettings, TrainSettings, dump_settings, settings_from
from train.stepping import LossModel
from train.terminal import run as run_command

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
REPO = "someone/finance"

# Answers -------------------------------------------------------------------------------------------------------------


def test_answers_are_averaged_and_figures_over_rows_that_have_some() -> None:
    scores = score_answers(["5 million", "no", "yes"], ["5m", "no", "2%"])
    assert (scores.f1, scores.exact) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (scores.numeric, scores.numeric_rows, scores.rows) == (0.5, 2, 3)
    assert score_answers(["a"], ["b"]).numeric is None


# Tokens --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny", tied=True)


@pytest.fixture(scope="module")
def encoder(base: Path) -> Encoder:
    return Encoder(base, "tiny")


@pytest.fixture(scope="module")
def examples(encoder: Encoder) -> list[Example]:
    rows = [Row(row["instruction"], row["input"], row["output"]) for row in tiny_rows(7)]
    return [encoder.encode(row) for row in rows]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def load(base: Path) -> Any:
    return load_base(base, torch.float32, CPU).eval()


def test_a_batch_scores_each_row_as_it_would_score_alone(base: Path, encoder: Encoder, examples: list[Example]) -> None:
    model = load(base)
    # Other ids than the padding's own must not matter either.
    together = score_examples(model, examples, encoder.pad_id, CPU, BatchSettings(tokens=4096, pad_multiple=64))
    loss = correct = tokens = 0.0
    for example in examples:
        with torch.no_grad():
            logits = model(torch.tensor([example.ids])).logits[0]
        labels = torch.tensor(labels_of(example)[1:])
        learnt = labels != -100
        loss += float(torch.nn.functional.cross_entropy(logits[:-1], labels, reduction="sum"))
        correct += int((logits[:-1].argmax(-1) == labels)[learnt].sum())
        tokens += int(learnt.sum())
    assert together.loss == pytest.approx(loss / tokens, rel=1e-5)
    assert (together.token_accuracy, together.tokens, together.rows) == (correct / tokens, tokens, 7)
    alone = score_examples(model, examples, encoder.end_id, CPU, BatchSettings(rows=1, pad_multiple=1), chunk_tokens=3)
    assert alone.loss == pytest.approx(together.loss, rel=1e-5)
    # Padding with another id, to another width, moves no state that counts.
    batch = collate(examples, encoder.pad_id, 64)
    assert (batch.ids == encoder.pad_id).any()
    heard: list[tuple[int, int]] = []
    score_examples(
        model, examples, 5, CPU, BatchSettings(rows=3), on_progress=lambda done, total: heard.append((done, total))
    )
    assert heard == [(3, 7), (6, 7), (7, 7)]


def test_rows_without_answers_are_told(base: Path, encoder: Encoder) -> None:
    with pytest.raises(DataError, match="no answer tokens"):
        score_examples(load(base), [Example((1, 2, 3), 3)], encoder.pad_id, CPU)


def test_answers_are_greedy_and_the_same_alone_and_together(
    base: Path, encoder: Encoder, examples: list[Example]
) -> None:
    model = load(base)
    # What a model's own settings say about sampling and repetition is left out.
    own = model.generation_config
    own.do_sample, own.temperature, own.repetition_penalty, own.max_length = True, 5.0, 3.0, 4
    prompts = [example.ids[: example.answer_start] for example in examples]
    limits: dict[str, Any] = {"max_new_tokens": 6}
    together = generate_answers(model, prompts, encoder.end_id, encoder.pad_id, CPU, batch_rows=4, **limits)
    expected = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(6):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        expected.append(ids[len(prompt) :])
    assert together == expected
    assert model.generation_config is own
    # An answer ends where the model ends its turn, in a batch whose others go on.
    end = expected[0][2]
    ended = generate_answers(model, prompts, end, encoder.pad_id, CPU, **limits)
    assert ended == [ids[: ids.index(end)] if end in ids else ids for ids in expected]
    assert len(ended[0]) < 6


# Checkpoints ---------------------------------------------------------------------------------------------------------


def write_rows(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in tiny_rows(count)), encoding="utf-8")
    return path


def settings_for(folder: Path, base: Path, **sections: dict[str, Any]) -> TrainSettings:
    content: dict[str, dict[str, Any]] = {
        "base": {"model": str(base), "quantization": "nf4"},
        "data": {"train": str(folder / "rows.jsonl"), "eval_rows": 6, "max_tokens": 256},
        "lora": {"rank": 4, "alpha": 8},
        "run": {"output": str(folder)},
    }
    for name, values in sections.items():
        content[name] = {**content.get(name, {}), **values}
    return settings_from(content, "test")


def make_run(folder: Path, base: Path, learnt: dict[int, int], **sections: dict[str, Any]) -> Path:
    """Write a run whose checkpoint of each step learnt its own held-out rows so often; below 0 it unlearnt them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.jsonl", 40)
    settings = settings_for(folder, base, **sections)
    encoder = Encoder(base, "tiny")
    batch = collate(encoder.encode_all(load_split(settings.data).eval, 256, "cut"), encoder.pad_id, 64)
    for step, times in learnt.items():
        model = add_adapters(load(base), settings)
        loss_model = LossModel(model, torch.float32, 256)
        optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], 0.01)
        for _ in range(abs(times)):
            loss, _ = loss_model.loss_of(batch)
            (loss / len(batch.labels) * (1 if times > 0 else -1)).backward()
            optimizer.step()
            optimizer.zero_grad()
        facts = base_facts(settings, base)
        publish(write_checkpoint(folder, step, model, settings, facts, {"loss": 9.0 - step}), step)
    (folder / "settings.yaml").write_text(dump_settings(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "first", base, {1: 2, 2: 25, 3: -4}, run={"hub_repo": REPO})


def measured(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_checkpoints_are_put_on_one_base_and_leave_it_as_it_was(
    base: Path, run: Path, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    other = make_run(tmp_path / "other", base, {5: 3}, lora={"rank": 8, "targets": ["q_proj"]}, head={"train": False})
    model = load(base)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}

    def score(model: Any) -> float:
        return score_examples(model, examples, encoder.pad_id, CPU).loss

    untouched = score(model)
    folders = [found.folder for found in (*list_checkpoints(run), *list_checkpoints(other))]
    first = []
    for folder in folders:
        with mounted(model, folder) as trained:
            first.append(score(trained))
    assert len({untouched, *first}) == 5
    # Each again in another order, and alone on a base of its own: none has left anything behind.
    for folder, expected in reversed(list(zip(folders, first, strict=True))):
        with mounted(model, folder) as trained:
            assert score(trained) == expected
        with mounted(load(base), folder) as trained:
            assert score(trained) == pytest.approx(expected, rel=1e-6)
    assert score(model) == untouched
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert head_of(model).weight is model.get_input_embeddings().weight
    broken = tmp_path / "broken"
    broken.mkdir()
    with pytest.raises(CheckpointError), mounted(model, broken):
        pass
    assert score(model) == untouched


def test_a_run_is_compared_and_its_best_named_recorded_and_drawn(
    run: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []
    load_once = comparison.load_base

    def counted(folder: Path, *arguments: Any, **options: Any) -> Any:
        loads.append(folder)
        return load_once(folder, *arguments, **options)

    monkeypatch.setattr(comparison, "load_base", counted)
    out = tmp_path / "out"
    arguments = [
        str(run),
        "--generate",
        "3",
        "--max-new-tokens",
        "12",
        "--out",
        str(out),
        "--no-tag",
        "--device",
        "cpu",
    ]
    assert run_command(main, arguments) == 0
    shown = capsys.readouterr()
    found = measured(out)
    assert len(loads) == 1
    assert [(result["run"], result["step"]) for result in found["results"]] == [
        ("base", None),
        *((str(run), step) for step in (1, 2, 3)),
    ]
    losses = [result["loss"] for result in found["results"]]
    assert losses[2] < losses[1] < losses[0] < losses[3]
    assert found["best"] == {"run": str(run), "step": 2}
    assert (found["rows"], found["generated"], found["quantization"], found["dtype"]) == (6, 3, "none", "float32")
    assert all(result["f1"] is not None for result in found["results"])
    assert found["results"][2]["f1"] > found["results"][0]["f1"]
    best = json.loads((run / "best.json").read_text(encoding="utf-8"))
    assert (best["step"], best["by"], best["folder"]) == (2, "loss", "checkpoints/step-000002")
    # The scores that training noted say otherwise; merging takes what was compared.
    assert min(list_checkpoints(run), key=lambda checkpoint: checkpoint.scores["loss"]).step == 3
    assert select_checkpoint(str(run), "best").step == 2
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    answers = [json.loads(line) for line in (out / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [set(answer["answers"]) for answer in answers] == [{"base", *(f"{run} step {n}" for n in (1, 2, 3))}] * 3
    lines = shown.out.splitlines()
    assert [line[0] for line in lines[1:5]] == [" ", " ", "*", " "]
    assert f"{losses[2]:.4f}" in lines[3]
    assert lines[5] == f"best by loss: {run} step 2"
    assert f"base: loss {losses[0]:.4f}" in shown.err


def test_rows_measures_and_the_base_can_be_chosen(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = run / "checkpoints" / "step-000003"
    arguments = [str(checkpoint), str(run), "--rows", "2", "--generate", "0", "--by", "token_accuracy", "--no-tag"]
    assert run_command(main, [*arguments, "--no-base", "--out", str(tmp_path)]) == 0
    found = measured(tmp_path)
    assert [result["step"] for result in found["results"]] == [3, 1, 2, 3]
    assert found["results"][0]["loss"] == found["results"][3]["loss"]
    assert found["best"] == {"run": str(run), "step": 2}
    assert (found["rows"], found["results"][0]["f1"]) == (2, None)
    # The folder of a checkpoint is what is uploaded: nothing is written into it.
    assert {path.name for path in checkpoint.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
        "state",
        "training.json",
    }
    capsys.readouterr()
    assert run_command(main, [str(checkpoint), "--generate", "0", "--no-tag", "--out", str(tmp_path)]) == 0
    assert "The untouched base is as good or better" in capsys.readouterr().err


def test_runs_with_other_rows_are_scored_on_rows_that_none_was_trained_on(
    run: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # By these seeds two rows are held out by both, and none.
    other = make_run(tmp_path / "other", base, {1: 1}, data={"seed": 2})
    arguments = [str(run), str(other), "--generate", "0", "--no-tag", "--no-base", "--out", str(tmp_path / "out")]
    assert run_command(main, arguments) == 0
    assert measured(tmp_path / "out")["rows"] == 2
    assert f"less 4 that {other} was trained on" in capsys.readouterr().err
    apart = make_run(tmp_path / "apart", base, {1: 1}, data={"seed": 1})
    assert run_command(main, [arguments[0], str(apart), *arguments[2:]]) == 1
    assert f"{apart} was trained on every row that {run} held out" in capsys.readouterr().err
    wider = make_run(tmp_path / "wider", base, {1: 1}, data={"eval_rows": 7})
    assert run_command(main, [arguments[0], str(wider), *arguments[2:]]) == 0
    assert measured(tmp_path / "out")["rows"] == 6
    assert "held out other rows; all are scored on those of" in capsys.readouterr().err


def test_what_cannot_be_compared_is_told_in_one_line(
    run: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = tmp_path / "another-name"
    tiny_base(renamed, tied=True)
    elsewhere = make_run(tmp_path / "elsewhere", renamed, {1: 0})
    llama = tiny_base(tmp_path / base.name, tied=True, kind="llama")
    for arguments, said in (
        ([str(tmp_path / "none")], "is no folder, and no owner/name"),
        ([str(tmp_path)], "holds no checkpoints"),
        ([str(run), str(elsewhere)], "compare runs of one base"),
        ([str(run), "--set", f"base.model={llama}"], "name the same base"),
        ([str(run), "--set", "data.train=/absent.jsonl"], "/absent.jsonl cannot be read"),
        ([str(run), "--set", "nonsense"], "--set takes section.key=value"),
        ([str(run), "--device", "nonsense"], "--device nonsense"),
        ([str(run), "--generate", "0", "--no-base", "--no-tag", "--out", str(run / "rows.jsonl")], "cannot be written"),
    ):
        assert run_command(main, arguments) == 1, arguments
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert said in errors[0]
    for wrong in (["--by", "f1", "--generate", "0"], ["--rows", "-1"], ["--by", "luck"]):
        with pytest.raises(SystemExit) as usage:
            main([str(run), *wrong])
        assert usage.value.code == 2


def test_the_best_is_the_earlier_of_equals_and_never_what_was_not_measured(run: Path) -> None:
    one, two, three = list_checkpoints(run)

    def result(checkpoint: Any, loss: float) -> Result:
        return Result("r", checkpoint, TokenScores(loss, 0.5, 1, 1), None, (), 0.0)

    results = [result(None, 0.1), result(three, 2.0), result(one, 2.0), result(two, math.nan)]
    assert best_result(results, "loss") is results[2]
    assert best_result(results, "f1") is None
    assert best_result([result(None, 1.0), result(two, math.inf)], "loss") is None


# The Hub -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    with HubStandIn() as server:
        connect(monkeypatch, server, tmp_path / "home")
        yield server


def test_a_run_whose_old_checkpoints_are_on_the_hub_alone(
    hub: HubStandIn, run: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for found in list_checkpoints(run)[:2]:
        push_folder(found.folder, REPO, "up", tag=found.folder.name, replaces="training.json")
    kept = make_run(tmp_path / "kept", base, {3: -1}, run={"hub_repo": REPO, "keep": 1})
    arguments = [str(kept), "--generate", "0", "--no-base"]
    assert run_command(main, arguments) == 0
    found = measured(kept / "compare")
    assert [result["step"] for result in found["results"]] == [1, 2, 3]
    assert hub.repo(REPO).tags["best"] == hub.repo(REPO).tags["step-000002"]
    best = json.loads((kept / "best.json").read_text(encoding="utf-8"))
    assert (Path(best["folder"]) / "adapter_model.safetensors").is_file()
    assert select_checkpoint(str(kept), "best").step == 2
    capsys.readouterr()
    hub.stop()
    assert run_command(main, [*arguments, "--no-tag"]) == 0
    assert "the checkpoints on this disk alone are compared" in capsys.readouterr().err
    assert [result["step"] for result in measured(kept / "compare")["results"]] == [3]


def test_a_best_that_is_not_on_the_hub_is_not_tagged(
    hub: HubStandIn, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add_repo(REPO)
    arguments = [str(run), "--generate", "0", "--no-base", "--rows", "1", "--out", str(tmp_path / "out")]
    assert run_command(main, arguments) == 0
    assert f"not tagged: {REPO} does not have step-000002 of {run}; python -m train.upload" in capsys.readouterr().err
    assert run_command(main, [*arguments, "--tag"]) == 1
    assert "error: " in capsys.readouterr().err
    assert hub.repo(REPO).tags == {}


_COMPARE_AND_LOAD = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
from train.compare import main
from train.terminal import run
base, repo, out = sys.argv[1:]
code = run(main, [repo, "--generate", "0", "--tag", "--out", out])
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), repo, revision="best")
print(code, sorted(model.peft_config["default"].target_modules))
"""


def test_a_repository_is_compared_and_any_of_its_checkpoints_loads_with_peft(
    hub: HubStandIn, run: Path, base: Path, tmp_path: Path
) -> None:
    for found in list_checkpoints(run):
        push_folder(found.folder, REPO, "up", tag=found.folder.name, replaces="training.json")
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", _COMPARE_AND_LOAD, str(base), REPO, str(out)],
        cwd=ROOT,
        env={**child_environment(hub, tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert WRITE_TOKEN not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 ['k_proj', 'o_proj', 'q_proj', 'v_proj']"
    assert f"best by loss: {REPO} step 2" in done.stdout
    assert len(measured(out)["results"]) == 4
    repo = hub.repo(REPO)
    assert repo.tags["best"] == repo.tags["step-000002"]


# Pictures ------------------------------------------------------------------------------------------------------------


def test_a_log_of_losses_is_drawn_even_when_it_is_empty(tmp_path: Path) -> None:
    log = [{"event": "step", "step": step, "loss": 3.0 / step} for step in range(1, 30)]
    log += [{"event": "eval", "step": 20, "loss": 1.0, "rows": 3}, {"event": "save", "step": 20, "folder": "x"}]
    figure = plot_losses(log, tmp_path / "losses.png")
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].get_lines()}
    assert lines["training, each step"][0] == 3.0
    assert lines["training, smoothed"][0] == pytest.approx(3.0)
    assert lines["held out"] == [1.0]
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert plot_losses([]).axes[0].get_lines() == []  # type: ignore[comparison-overlap]
