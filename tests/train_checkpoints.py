"""Checkpoints without training, for the tests of merging: random adapters and a head moved a little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from train_models import tiny_rows

from train.base import base_folder, load_base
from train.checkpoint import base_facts, publish, write_checkpoint
from train.heads import head_of
from train.modelling import add_adapters
from train.settings import TrainSettings, dump_settings, settings_from

__all__ = ["make_run", "write_rows"]


def write_rows(path: Path, count: int = 12) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in tiny_rows(count)), encoding="utf-8")
    return path


def make_run(
    run: Path,
    base: str,
    *,
    head: bool = True,
    step: int = 20,
    strength: float = 0.05,
    quantization: str = "none",
    head_shift: float = 0.1,
) -> Path:
    """Write a run with one checkpoint over `base` (a folder or `embedded`) and return its folder.

    `strength` scales the random B factors, `head_shift` the move of the head in its own spreads. The same each time.
    """
    import torch

    run.mkdir(parents=True, exist_ok=True)
    rows = write_rows(run / "rows.jsonl")
    content: dict[str, Any] = {
        "base": {"model": base, "quantization": quantization},
        "data": {"train": str(rows), "eval_rows": 2, "max_tokens": 256},
        "lora": {"rank": 8, "alpha": 16},
        "head": {"train": head},
        "run": {"output": str(run)},
    }
    settings: TrainSettings = settings_from(content, "test")
    folder = base_folder(settings.base)
    model = add_adapters(load_base(folder, torch.float32, torch.device("cpu")), settings)
    draw = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(strength * torch.randn(weight.shape, generator=draw))
        if head:
            weight = head_of(model).weight
            weight.add_(head_shift * weight.std() * torch.randn(weight.shape, generator=draw))
    work = write_checkpoint(run, step, model, settings, base_facts(settings, folder), {"loss": 2.0 + 1 / step})
    (run / "settings.yaml").write_text(dump_settings(settings), encoding="utf-8")
    publish(work, step)
    return run
