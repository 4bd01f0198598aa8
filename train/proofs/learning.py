"""What a small real model learns: SmolLM2-135M on finance rows, before and after, each choice of the recipe by itself.

`python -m train.proofs.learning --train FILE --eval FILE [--base embedded] [--epochs 3] [--out train/results]` trains
one run for each variant below, scores its last checkpoint on the held-out rows (loss in nats, token accuracy, answer
F1, exact and numeric match), merges the recipe's, and scores the merged folder the same way.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from train.settings import TrainSettings, settings_from
from train.terminal import note, run, write

__all__ = ["VARIANTS", "Variant", "main"]

_ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Variant:
    """A run: what differs from the recipe (rank 16, alpha 4, attention alone, head trained, rate 1e-4)."""

    name: str
    changes: dict[str, dict[str, Any]]


RECIPE = "recipe"
UNTRAINED = "untrained"
VARIANTS = (
    Variant(RECIPE, {}),
    Variant("head off", {"head": {"train": False}}),
    Variant("alpha 16", {"lora": {"alpha": 16}}),
    Variant("head off, alpha 16", {"lora": {"alpha": 16}, "head": {"train": False}}),
    Variant("all linear", {"lora": {"targets": _ALL_LINEAR}}),
    Variant("all linear, alpha 16", {"lora": {"targets": _ALL_LINEAR, "alpha": 16}}),
    Variant(
        "all linear, alpha 16, rate 5e-4",
        {"lora": {"targets": _ALL_LINEAR, "alpha": 16}, "optim": {"learning_rate": 5e-4}},
    ),
    Variant("recipe on a 4-bit base", {"base": {"quantization": "nf4"}}),
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.proofs.learning", description=__doc__)
    parser.add_argument("--train", required=True)
    parser.add_argument("--eval", required=True)
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a step")
    parser.add_argument("--generate", type=int, default=200, help="held-out rows to answer in words")
    parser.add_argument("--runs", type=Path, default=Path("runs/learning"))
    parser.add_argument("--out", type=Path, default=Path("train/results"))
    parser.add_argument("--only", nargs="*", help="names of variants, untrained among them")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    table = _Table(options)
    for variant in VARIANTS:
        if options.only and variant.name not in options.only:
            continue
        table.take(variant)
    return 0


class _Table:
    """The rows, written anew after each: what was measured stays whatever comes after."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._rows: list[dict[str, Any]] = []
        # A process that is to measure named variants alone scores the base where it is named too.
        self._base_done = bool(options.only) and UNTRAINED not in options.only

    def take(self, variant: Variant) -> None:
        """Train and score a variant; with the first one the base too, with the recipe its merged folder."""
        from train.checkpoint import list_checkpoints
        from train.finetune import finetune

        settings = self._settings(variant)
        started = time.monotonic()
        finetune(settings)
        seconds = time.monotonic() - started
        checkpoint = list_checkpoints(Path(settings.run.output))[-1]
        if not self._base_done and settings.base.quantization == "none":
            self._base_done = True
            self._score(UNTRAINED, settings, None, 0.0)
        self._score(variant.name, settings, checkpoint, seconds)
        if variant.name.startswith(RECIPE):
            self._merged(variant.name, settings)

    def _merged(self, name: str, settings: TrainSettings) -> None:
        from train.merged import MergeRequest, merge_run

        merged = merge_run(MergeRequest(settings.run.output, "last", positions=8192))
        plain = replace(settings, base=replace(settings.base, model=str(merged.folder), quantization="none"))
        self._score(f"{name}, merged", plain, None, 0.0, merged.gate)

    def _settings(self, variant: Variant) -> TrainSettings:
        options = self._options
        content: dict[str, dict[str, Any]] = {
            "base": {"model": options.base, "quantization": "none"},
            "data": {"train": options.train, "eval": options.eval, "eval_rows": 0, "max_tokens": 1024},
            "optim": {"name": "adamw", "epochs": options.epochs},
            "batch": {"tokens": options.tokens},
            "memory": {"checkpointing": False},
            "run": {
                "output": str(options.runs / variant.name.replace(" ", "-").replace(",", "")),
                "save_every": 0,
                "eval_every": 0,
                "log_every": 50,
            },
        }
        for section, values in variant.changes.items():
            content[section] = {**content.get(section, {}), **values}
        return settings_from(content, variant.name)

    def _score(
        self, name: str, settings: TrainSettings, checkpoint: Any, seconds: float, gate: dict[str, Any] | None = None
    ) -> None:
        import torch

        from train.base import base_folder, base_name
        from train.comparison import Bench, HeldOut
        from train.encoding import Encoder
        from train.rows import load_split

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoder = Encoder(base_folder(settings.base), base_name(settings.base))
        rows = load_split(settings.data).eval
        pairs = [(row, encoder.encode(row, settings.data.max_tokens)) for row in rows]
        kept = [(row, example) for row, example in pairs if example.answer_start < len(example)]
        held = HeldOut(tuple(row for row, _ in kept), tuple(example for _, example in kept), encoder)
        bench = Bench(settings, held, device, self._options.generate, 96)
        result = bench.score(name, checkpoint, lambda *_: None)
        row = {"variant": name, "train_seconds": round(seconds, 1), **result.measures(), "gate": gate}
        self._rows.append(row)
        shown = {key: value for key, value in row.items() if key != "gate"}
        write(json.dumps(shown) + "\n")
        found = {
            "device": _device(),
            "date": time.strftime("%Y-%m-%d"),
            "epochs": self._options.epochs,
            "rows": self._rows,
        }
        path = self._options.out / "learning.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        note(f"{name}: {path}")


def _device() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(run(main))
