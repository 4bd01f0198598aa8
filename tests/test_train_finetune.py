"""The whole of `train.finetune` on a tiny base: what it writes, exact resume after a kill, several processes, faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from train_models import tiny_base, tiny_rows

import train.finetune
from train.checkpoint import list_checkpoints
from train.errors import BaseModelError, CheckpointError, DataError, DeviceError, DiskError, SettingsError
from train.finetune import _with_sharding, main
from train.journal import read_journal
from train.settings import TrainSettings, change_settings
from train.sharding import require_shardable
from train.trainer import Trainer

ROOT = Path(__file__).parent.parent
TESTS = Path(__file__).parent
STEPS = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base, rows, and a config of six steps with dropout."""
    folder = tmp_path_factory.mktemp("training")
    tiny_base(folder / "tiny", tied=True, kind="llama")
    lines = [json.dumps(row) + "\n" for row in tiny_rows(40)]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    settings = {
        "base": {"model": str(folder / "tiny"), "quantization": "none"},
        "data": {"train": str(folder / "rows.jsonl"), "eval_rows": 6, "max_tokens": 256},
        "lora": {"dropout": 0.1},
        "optim": {"name": "adamw", "learning_rate": 0.003, "max_steps": STEPS},
        "batch": {"tokens": 512, "accumulation": 2},
        "run": {"output": str(folder / "whole"), "save_every": 2, "eval_every": 3, "log_every": 1},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder


def train_it(place: Path, name: str, *options: str) -> int:
    return main([str(place / "config.yaml"), "--set", f"run.output={place / name}", *options])


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """A run that went through."""
    assert train_it(place, "whole") == 0
    return place / "whole"


def events(run: Path, *kinds: str) -> list[tuple[Any, ...]]:
    """What was learnt, without what differs from run to run: the times."""
    kept = [event for event in read_journal(run) if event["event"] in kinds]
    names = ("event", "step", "loss", "grad_norm", "learning_rate", "token_accuracy")
    return [tuple(event.get(name) for name in names) for event in kept]


def child(place: Path, command: Sequence[str], name: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = [*command, str(place / "config.yaml"), "--set", f"run.output={place / name}", *options]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=500, check=False)


def test_it_learns_and_writes_what_others_read(whole: Path) -> None:
    steps = [event for event in read_journal(whole) if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, STEPS + 1))
    assert all(event["tokens_per_second"] > 0 and event["memory_bytes"] > 0 for event in steps)
    evals = {event["step"]: event["loss"] for event in read_journal(whole) if event["event"] == "eval"}
    assert sorted(evals) == [0, 3, 6]
    assert evals[6] < evals[3] < evals[0]
    found = list_checkpoints(whole)
    assert [checkpoint.step for checkpoint in found] == [2, 4, 6]
    assert found[-1].scores["loss"] == evals[6]
    assert (whole / "settings.yaml").is_file()


def test_the_head_moves_the_embeddings_do_not_and_the_config_says_so(whole: Path, place: Path) -> None:
    import torch
    from safetensors.torch import load_file

    newest = whole / "checkpoints" / "step-000006"
    base = load_file(str(place / "tiny" / "model.safetensors"))
    head = load_file(str(newest / "head.safetensors"))["lm_head.weight"]
    assert head.dtype is torch.float32
    assert not torch.equal(head, base["model.embed_tokens.weight"])
    stored = load_file(str(newest / "adapter_model.safetensors"))
    assert all("lora_" in name for name in stored)
    details = json.loads((newest / "training.json").read_text())
    assert (details["tie_word_embeddings"], details["base"]["tied"]) == (False, True)
    assert details["prompt_version"]


@pytest.mark.parametrize("where", ["step:3", "publish:4"])
def test_killed_and_resumed_the_losses_are_those_of_one_run(place: Path, whole: Path, where: str) -> None:
    name = where.replace(":", "-")
    killed = child(place, [sys.executable, str(TESTS / "killed_training.py"), where], name)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = [checkpoint.step for checkpoint in list_checkpoints(place / name)]
    assert before == [2]
    resumed = child(place, [sys.executable, "-m", "train.finetune"], name, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    # The fixture's run had more threads; the sums of this child are in its own order.
    straight = child(place, [sys.executable, "-m", "train.finetune"], f"straight-{name}") if where == "step:3" else None
    if straight is not None:
        assert straight.returncode == 0, straight.stderr
        assert events(place / name, "step", "eval") == events(place / f"straight-{name}", "step", "eval")
    found = events(place / name, "step", "eval")
    wanted = events(whole, "step", "eval")
    assert [line[:2] for line in found] == [line[:2] for line in wanted]
    assert [line[2] for line in found] == pytest.approx([line[2] for line in wanted], rel=1e-4)


def test_a_finished_run_and_one_that_is_there_are_told_apart(
    place: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError, match="--resume goes on"):
        train_it(place, "whole")
    assert train_it(place, "whole", "--resume") == 0
    assert "All 6 steps are done" in capsys.readouterr().err
    assert len(list_checkpoints(whole)) == 3


def test_a_run_is_resumed_with_its_own_settings_and_rows_only(place: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lora\.rank was 16 and is 8"):
        train_it(place, "whole", "--resume", "--set", "lora.rank=8")
    rows = place / "rows.jsonl"
    text = rows.read_text(encoding="utf-8")
    unfinished = place / "unfinished"
    assert train_it(place, "unfinished", "--set", "optim.max_steps=2", "--set", "optim.schedule=constant") == 0
    try:
        rows.write_text(text.replace("million", "billion"), encoding="utf-8")
        with pytest.raises(CheckpointError, match="trained on other rows"):
            train_it(
                place, unfinished.name, "--resume", "--set", "optim.max_steps=2", "--set", "optim.schedule=constant"
            )
    finally:
        rows.write_text(text, encoding="utf-8")


def test_interrupted_it_ends_after_a_checkpoint(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def interrupted(self: Trainer, number: int) -> dict[str, float]:
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert train_it(place, "interrupted") == 130
    assert [checkpoint.step for checkpoint in list_checkpoints(place / "interrupted")] == [2, 3]
    assert signal.getsignal(signal.SIGTERM) is before


# What `accelerate launch` starts on GPUs; on CPUs it starts one process alone.
PAIR = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "train.finetune"]


def test_two_processes_learn_what_one_does(place: Path) -> None:
    same = ("--set", "lora.dropout=0", "--set", "optim.max_steps=3")
    assert train_it(place, "alone", *same) == 0
    pair = child(place, PAIR, "pair", *same, "--set", "batch.accumulation=1")
    assert pair.returncode == 0, pair.stderr
    one, two = (events(place / name, "step", "eval") for name in ("alone", "pair"))
    assert [line[:2] for line in one] == [line[:2] for line in two]
    assert [line[2] for line in two] == pytest.approx([line[2] for line in one], rel=1e-4)
    assert [checkpoint.step for checkpoint in list_checkpoints(place / "pair")] == [2, 3]
    states = sorted(path.name for path in (place / "pair/checkpoints/step-000003/state").iterdir())
    assert states == ["optimizer-0.pt", "optimizer-1.pt", "position.json", "random-0.pt", "random-1.pt"]
    with pytest.raises(CheckpointError, match="written by 2 processes"):
        train_it(place, "pair", *same, "--set", "batch.accumulation=1", "--resume")


def test_a_model_split_over_two_processes_learns_what_one_does_and_goes_on(place: Path) -> None:
    same = ("--set", "lora.dropout=0", "--set", "optim.max_steps=3")
    assert train_it(place, "not-split", *same) == 0
    split = (*same, "--set", "batch.accumulation=1", "--set", "memory.shard=true")
    pair = child(place, PAIR, "split", *split)
    assert pair.returncode == 0, pair.stderr
    one, two = (events(place / name, "step", "eval") for name in ("not-split", "split"))
    assert [line[:2] for line in one] == [line[:2] for line in two]
    assert [line[2] for line in two] == pytest.approx([line[2] for line in one], rel=1e-4)
    # A checkpoint is the whole one that a single process writes, so everything else reads it.
    ends = [place / name / "checkpoints" / "step-000003" for name in ("not-split", "split")]
    for file in ("adapter_model.safetensors", "head.safetensors"):
        whole, joined = (load_file(end / file) for end in ends)
        assert whole.keys() == joined.keys()
        for name, weight in whole.items():
            torch.testing.assert_close(joined[name], weight, rtol=1e-3, atol=1e-5)
    shutil.rmtree(ends[1])
    again = child(place, PAIR, "split", *split, "--resume")
    assert again.returncode == 0, again.stderr
    assert [line[2] for line in events(place / "split", "step", "eval")] == pytest.approx(
        [line[2] for line in two], rel=1e-5
    )
    with pytest.raises(CheckpointError, match="written by 2 processes"):
        train_it(place, "split", *same, "--set", "batch.accumulation=1", "--resume")
    whole_again = child(place, PAIR, "split", *same, "--set", "batch.accumulation=1", "--resume")
    assert whole_again.returncode == 1
    assert "memory.shard=true; resume with the same" in whole_again.stderr


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["memory.shard=true"], DeviceError, "splits the model over several processes"),
        (["base.quantization=nf4"], DeviceError, "No CUDA GPU"),
        (["optim.name=adamw_8bit"], DeviceError, "needs a GPU"),
        (["base.dtype=float16"], DeviceError, "float16 is not trained on a CPU"),
        (["base.model=./absent"], BaseModelError, "absent"),
        (["lora.targets=[no_such_layer]"], SettingsError, "no_such_layer"),
        (["data.train=absent.jsonl"], DataError, r"absent\.jsonl"),
        (["data.max_tokens=16"], DataError, "no room|No row"),
        (["run.output=/proc/none"], DiskError, "/proc/none"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    place: Path, options: list[str], error: type[Exception], words: str
) -> None:
    sets = [word for option in options for word in ("--set", option)]
    with pytest.raises(error, match=words) as caught:
        train_it(place, "refused", *sets)
    assert "\n" not in str(caught.value)


def test_a_4_bit_base_is_trained_saved_and_resumed(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU's own NF4 kernels, which the command refuses to its users: too slow for a real base."""
    from transformers import AutoConfig, AutoModelForCausalLM

    base = tmp_path / "four-bit"
    shutil.copytree(place / "tiny", base)
    config = AutoConfig.from_pretrained(base)
    # Those kernels take widths that are multiples of 64.
    config.intermediate_size = 128
    AutoModelForCausalLM.from_config(config).save_pretrained(base)
    monkeypatch.setattr(train.finetune, "_device_and_precision", lambda settings: ("cpu", "no"))
    # Where a CPU has AVX-512's bfloat16, weights are packed for inference at the first evaluation, and then give no
    # gradients; a GPU knows no such packing.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)
    same = [
        word
        for change in (f"base.model={base}", "base.quantization=nf4", "optim.max_steps=4", "lora.dropout=0")
        for word in ("--set", change)
    ]
    assert train_it(place, "bits", *same) == 0
    losses = [line[2] for line in events(place / "bits", "step", "eval")]
    assert losses[-1] < losses[0]
    shutil.rmtree(place / "bits" / "checkpoints" / "step-000004")
    assert train_it(place, "bits", *same, "--resume") == 0
    assert [line[2] for line in events(place / "bits", "step", "eval")] == pytest.approx(losses, rel=1e-5)
    # Split over two processes, 4-bit weights come together without their scales, which stay beside them.
    launch = [*PAIR[:-2], str(TESTS / "four_bit_training.py")]
    changes = ("memory.shard=true", "base.quant_storage=bfloat16", "batch.accumulation=1")
    pair = child(place, launch, "bits-split", *same, *(word for item in changes for word in ("--set", item)))
    assert pair.returncode == 0, pair.stderr
    assert [line[2] for line in events(place / "bits-split", "step", "eval")] == pytest.approx(losses, rel=1e-4)


def test_the_launcher_may_ask_for_sharding_too() -> None:
    from accelerate.utils import DistributedType

    settings = TrainSettings()
    for kind in (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU):
        assert _with_sharding(settings, kind.value) == settings
    assert _with_sharding(settings, DistributedType.FSDP.value).memory.shard
    with pytest.raises(DeviceError, match="DEEPSPEED"):
        _with_sharding(settings, DistributedType.DEEPSPEED.value)


def test_what_does_not_work_on_parts_of_a_model_is_told() -> None:
    fitting = ["optim.name=adamw", "base.quant_storage=bfloat16"]
    require_shardable(change_settings(TrainSettings(), fitting), 2, torch.bfloat16)
    for changes, processes, dtype, words in (
        (fitting, 1, torch.bfloat16, "accelerate launch"),
        (fitting, 2, torch.float16, "bfloat16"),
        (["optim.name=adamw_8bit", fitting[1]], 2, torch.bfloat16, "optim.name=adamw"),
        (fitting[:1], 2, torch.bfloat16, "quant_storage=bfloat16"),
    ):
        with pytest.raises(DeviceError, match=words):
            require_shardable(change_settings(TrainSettings(), changes), processes, dtype)


def test_a_damaged_state_is_told(place: Path, whole: Path) -> None:
    copy = place / "damaged"
    shutil.copytree(whole, copy)
    shutil.rmtree(copy / "checkpoints" / "step-000006")
    (copy / "checkpoints" / "step-000004" / "state" / "optimizer-0.pt").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="resume from an earlier checkpoint"):
        train_it(place, "damaged", "--resume")
