"""Merge a checkpoint into its base, prove the result equal to what was trained, and push it: `python -m train.merge`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from train.equivalence import Figures, Limits
from train.merged import POSITIONS, Merged, MergeRequest, merge_run
from train.merging import DTYPES
from train.terminal import command_parser, run, write

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "merge",
        "Merge the adapter and the head of a checkpoint into its base, prove the result equal, and push it.",
        """
        python -m train.merge runs/mistral-7b-finance
        python -m train.merge runs/mistral-7b-finance --checkpoint 400 --output merged/finance
        python -m train.merge runs/mistral-7b-finance --push owner/finance-mistral-7b   # needs HF_TOKEN
        python -m train.merge owner/finance-checkpoints@step-000400 --base models/Mistral-7B-Instruct-v0.1
        python -m train.merge runs/smollm2-cpu --text held_out.jsonl --dtype float32
        RAG_MODEL=runs/smollm2-cpu/merged/SmolLM2-135M-Instruct-step-000040 python -m rag_core ask report.pdf "What was revenue?"
        """,
        "The gate compares merged and unmerged model on held-out text. KL is in nats a token.",
    )
    defaults = MergeRequest("")
    parser.add_argument("run", metavar="RUN", help="folder of a run or a checkpoint, or owner/name[@revision]")
    parser.add_argument(
        "--checkpoint", default=defaults.checkpoint, metavar="WHICH", help="best, last or a step (best)"
    )
    parser.add_argument("--base", default="", metavar="FOLDER", help="the base in full precision (the run's own)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the result (RUN/merged/BASE-step-N)")
    parser.add_argument("--dtype", choices=DTYPES, default=defaults.dtype, help="type of the merged weights (bfloat16)")
    parser.add_argument("--push", default="", metavar="REPO", help="owner/name to upload to once the gate has passed")
    parser.add_argument("--public", action="store_true", help="create that repository as a public one")
    gate = parser.add_argument_group("the gate")
    gate.add_argument("--text", default="", metavar="FILE", help="held-out rows, .jsonl or .parquet (the run's own)")
    gate.add_argument("--positions", type=int, default=POSITIONS, metavar="N", help=f"tokens to compare ({POSITIONS})")
    gate.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    gate.add_argument(
        "--gate-dtype",
        choices=("auto", *DTYPES),
        default="auto",
        help="type to hold weights in, all computed in float32 (auto: float32 where it fits, else the output's)",
    )
    gate.add_argument("--no-drift", action="store_true", help="do not measure the 4-bit model against the merged one")
    for item in fields(Limits):
        option = f"--limit-{item.name.replace('_', '-')}"
        gate.add_argument(
            option, type=float, default=item.default, metavar="X", help=f"{_LIMITS[item.name]} ({item.default})"
        )
    return parser


_LIMITS = {
    "mean_kl": "largest mean KL",
    "max_kl": "largest KL of one token",
    "top1": "least share of tokens with the same first choice",
    "loss": "largest difference of the loss",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command; results go to stdout. Raises TrainError."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.positions < 1:
        parser.error("--positions must be at least 1")
    request = MergeRequest(
        run=options.run,
        checkpoint=options.checkpoint,
        base=options.base,
        output=options.output,
        dtype=options.dtype,
        text=options.text,
        positions=options.positions,
        device=options.device,
        gate_dtype=options.gate_dtype,
        drift=not options.no_drift,
        limits=Limits(**{item.name: getattr(options, f"limit_{item.name}") for item in fields(Limits)}),
        push=options.push,
        private=not options.public,
    )
    _report(merge_run(request), request)
    return 0


def _report(merged: Merged, request: MergeRequest) -> None:
    write(f"{merged.folder}\n")
    names = {
        "merged": "merged against trained",
        "trained": "base against trained",
        "quantized": "4 bits against merged",
    }
    for key, name in names.items():
        if merged.gate.get(key):
            write(f"{name}: {Figures.from_dict(merged.gate[key]).line()}\n")
    write(f"weights: within {merged.gate['worst_weight']:.2f} of one rounding\n")
    if request.push:
        state = f"pushed as {merged.pushed}" if merged.pushed else "holds this merge already"
        write(f"{request.push}: {state}\n")


if __name__ == "__main__":
    sys.exit(run(main))
