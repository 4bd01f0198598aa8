"""A model split over several cards (FSDP) against whole ones (DDP) and a single card: losses, memory and speed.

`python -m train.proofs.sharding --rows FILE.jsonl [--tokenizer FOLDER] [--weights FOLDER] [--out train/results]` runs
`train.finetune` at Mistral-7B's shape over the same batches each way, in 4 bits stored as bfloat16, and once more from
a checkpoint of the split run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.journal import read_journal
from train.proofs.weights import write_random_weights
from train.terminal import note, run, write

__all__ = ["main"]

_CONFIG = Path(__file__).parent.parent / "configs" / "h200.yaml"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m train.proofs.sharding", description=__doc__)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("/tmp/mistral-7b-random"))  # noqa: S108
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer for the random base")
    parser.add_argument("--runs", type=Path, default=Path("runs/sharding"))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("train/results"))
    options = parser.parse_args(arguments)
    write_random_weights(options.weights)
    if options.tokenizer:
        for path in options.tokenizer.iterdir():
            shutil.copy(path, options.weights / path.name)
    cards = torch.cuda.device_count()
    found: dict[str, Any] = {
        "device": f"{cards} x {torch.cuda.get_device_name(0)}",
        "date": time.strftime("%Y-%m-%d"),
        "ways": {},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, processes, shard in (("one card", 1, False), ("split", cards, True), ("whole on each", cards, False)):
        folder = options.runs / name.replace(" ", "-")
        command = _command(options, folder, processes, cards // processes, shard)
        found["ways"][name] = _measured(command, folder)
        if shard:
            shutil.rmtree(max((folder / "checkpoints").iterdir()))
            found["ways"]["split, resumed"] = _measured([*command, "--resume"], folder)
        write(f"{name}: {json.dumps(found['ways'][name])}\n")
        (options.out / "sharding.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _command(options: argparse.Namespace, folder: Path, processes: int, accumulation: int, shard: bool) -> list[str]:
    changes = {
        "base.model": options.weights,
        "base.quant_storage": "bfloat16",
        "data.train": options.rows,
        "data.eval_rows": 32,
        "lora.dropout": 0,
        "optim.name": "adamw",
        "optim.max_steps": options.steps,
        "batch.tokens": 4096,
        "batch.accumulation": accumulation,
        "memory.compile": "false",
        "memory.shard": str(shard).lower(),
        "run.log_every": 1,
        "run.save_every": options.steps // 2,
        "run.eval_every": options.steps // 2,
        "run.output": folder,
    }
    launcher = ["-m", "accelerate.commands.launch", "--num_processes", str(processes), "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", *(["--multi_gpu"] if processes > 1 else [])]
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, *launcher, "-m", "train.finetune", str(_CONFIG), *words]


def _measured(command: list[str], folder: Path) -> dict[str, Any]:
    note(" ".join(command[-1:] if command[-1] == "--resume" else [folder.name]))
    subprocess.run(command, check=True, stdout=sys.stderr)
    events = read_journal(folder)
    steps = [event for event in events if event["event"] == "step"]
    return {
        "losses": [round(event["loss"], 5) for event in steps],
        "held_out": [round(event["loss"], 5) for event in events if event["event"] == "eval"],
        "peak_gb": round(max(event["memory_bytes"] for event in steps) / 1e9, 2),
        "tokens_per_second": round(statistics.median(event["tokens_per_second"] for event in steps[2:])),
    }


if __name__ == "__main__":
    sys.exit(run(main))
