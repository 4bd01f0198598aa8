"""Merge and gate at Mistral-7B's shape: time, peak memory, and how equal merged and unmerged model are.

`python -m train.proofs.merging --tokenizer FOLDER --rows FILE.jsonl [--weights FOLDER] [--out train/results]` writes
random base weights, a random adapter and a head moved a little, merges them shard by shard on the CPU in a process of
its own (whose peak memory is recorded), and lets the gate of `train.merge` compare them on the rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.proofs.weights import write_random_weights
from train.settings import TrainSettings, dump_settings, settings_from
from train.terminal import note, run, write

__all__ = ["main", "write_random_run"]


def write_random_run(folder: Path, base: Path, rows: Path) -> Path:
    """Write a run with one checkpoint of the recipe's shape: random factors, and a head off by a tenth of its spread."""
    import torch

    from train.base import load_base
    from train.checkpoint import base_facts, publish, write_checkpoint
    from train.heads import head_of
    from train.modelling import add_adapters

    content: dict[str, Any] = {
        "base": {"model": str(base), "quantization": "nf4"},
        "data": {"train": str(rows), "eval_rows": 200},
        "run": {"output": str(folder)},
    }
    settings: TrainSettings = settings_from(content, "proof")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = add_adapters(load_base(base, torch.bfloat16, device), settings)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
        head = head_of(model).weight
        head.add_(0.1 * head.std() * torch.randn_like(head))
    folder.mkdir(parents=True, exist_ok=True)
    work = write_checkpoint(folder, 1, model, settings, base_facts(settings, base), {})
    (folder / "settings.yaml").write_text(dump_settings(settings), encoding="utf-8")
    publish(work, 1)
    return folder


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.proofs.merging", description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path("/tmp/mistral-7b-random"))  # noqa: S108
    parser.add_argument("--run", type=Path, default=Path("/tmp/mistral-7b-random-run"))  # noqa: S108
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer for the random base")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--positions", type=int, default=4096)
    parser.add_argument("--out", type=Path, default=Path("train/results"))
    parser.add_argument("--only-merge", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only_merge:
        return _only_merge(options.run, options.weights)
    write_random_weights(options.weights)
    if options.tokenizer:
        for path in options.tokenizer.iterdir():
            shutil.copy(path, options.weights / path.name)
    note("writing a random checkpoint")
    write_random_run(options.run, options.weights, options.rows)
    found = {"device": _device(), "date": time.strftime("%Y-%m-%d"), **_measured_merge(options), **_gate(options)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "merging.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write(json.dumps(found, indent=1) + "\n")
    return 0


def _only_merge(run_folder: Path, base: Path) -> int:
    """Merge in this process alone and print what it took."""
    from train.checkpoint import list_checkpoints
    from train.merging import Merger

    started = time.perf_counter()
    output = run_folder / "only-weights"
    output.mkdir(exist_ok=True)
    Merger(base, list_checkpoints(run_folder)[-1]).write(output, "bfloat16", 2_000_000_000, note)
    seconds = time.perf_counter() - started
    shutil.rmtree(output)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    write(json.dumps({"merge_seconds": round(seconds, 1), "merge_peak_gb": round(peak / 1e9, 2)}))
    return 0


def _measured_merge(options: argparse.Namespace) -> dict[str, float]:
    places = ["--weights", str(options.weights), "--run", str(options.run), "--rows", str(options.rows)]
    command = [sys.executable, "-m", "train.proofs.merging", "--only-merge", *places]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _gate(options: argparse.Namespace) -> dict[str, Any]:
    from train.merged import MergeRequest, merge_run

    started = time.perf_counter()
    request = MergeRequest(str(options.run), positions=options.positions)
    first = merge_run(request)
    seconds = time.perf_counter() - started
    again = time.perf_counter()
    twice = merge_run(request)
    return {
        "merge_and_gate_seconds": round(seconds, 1),
        "second_time_seconds": round(time.perf_counter() - again, 1),
        "second_time_made_anew": twice.fresh,
        "gate": first.gate,
    }


def _device() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(run(main))
