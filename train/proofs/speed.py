"""Speed and memory of training at Mistral-7B's shape: the plain recipe, ours, and each technique by itself.

`python -m train.proofs.speed [--weights FOLDER] [--out train/results] [--only NAME ...]` runs each variant on the same
rows of 1,024 tokens, all of them learnt, and prints tokens a second (median step), peak memory and the losses. The
plain recipe is what PEFT's and bitsandbytes' documentation show: the whole logits, a 32-bit paged AdamW, the head in
float32, every layer computed again.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.proofs.weights import write_random_weights
from train.settings import TrainSettings, settings_from
from train.terminal import run, write

if TYPE_CHECKING:
    import torch

__all__ = ["VARIANTS", "Measured", "Variant", "main"]

LENGTH = 1024
_VOCABULARY = 32_000


@dataclass(frozen=True)
class Variant:
    """One way to train: rows of LENGTH tokens a step, and what differs from the settings' defaults."""

    name: str
    rows: int
    plain: bool = False
    dtype: str = "bfloat16"
    changes: dict[str, dict[str, Any]] | None = None


@dataclass(frozen=True)
class Measured:
    """Tokens a second of the median step, peak memory in 10^9 bytes, seconds until the second step, and each loss."""

    tokens_per_second: float
    peak_gb: float
    start_seconds: float
    losses: list[float]


_EIGHT_BIT = {"optim": {"name": "adamw_8bit"}}


def _ours(**memory: Any) -> dict[str, dict[str, Any]]:
    return {**_EIGHT_BIT, "memory": {"loss_chunk_tokens": 2048, **memory}}


VARIANTS = (
    Variant("plain, 4 rows", 4, plain=True),
    Variant("plain, 16 rows", 16, plain=True),
    Variant("chunked loss, last product not recomputed", 4, changes={"memory": {"loss_chunk_tokens": 2048}}),
    Variant("and 8-bit AdamW", 4, changes=_ours()),
    Variant("and 16 rows", 16, changes=_ours()),
    Variant("and compiled layers: profile h200", 16, changes=_ours(compile=True)),
    Variant("compiled, 4 rows", 4, changes=_ours(compile=True)),
    Variant("compiled, 8 rows, 4 layers kept", 8, changes=_ours(compile=True, kept_layers=4)),
    Variant("profile for 16 GB, float16", 4, dtype="float16", changes={"memory": {"loss_chunk_tokens": 1024}}),
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.proofs.speed", description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path("/tmp/mistral-7b-random"))  # noqa: S108
    parser.add_argument("--out", type=Path, default=Path("train/results"))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", nargs="*", help="parts of the names of variants")
    parser.add_argument(
        "--curve", type=int, default=0, metavar="STEPS", help="compare the losses of so many steps instead"
    )
    options = parser.parse_args(arguments)
    write_random_weights(options.weights)
    found: dict[str, Any] = {"device": _device(), "date": time.strftime("%Y-%m-%d"), "variants": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    if options.curve:
        return _compare_curves(options.weights, options.curve, options.out, found["device"])
    for variant in VARIANTS:
        if options.only and not any(part in variant.name for part in options.only):
            continue
        try:
            measured = asdict(measure(variant, options.weights, options.steps))
        except Exception as error:  # One variant that does not fit or compile must not hide the others.
            measured = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        found["variants"][variant.name] = {"rows": variant.rows, **measured}
        write(f"{variant.name}: {_line(measured)}\n")
        (options.out / "speed.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def _compare_curves(weights: Path, steps: int, out: Path, device: str) -> int:
    """Train the plain recipe twice with other random numbers, and ours, on the same rows; write the three curves."""
    plain = Variant("plain", 4, plain=True)
    ours = Variant("ours", 4, changes=_ours(compile=True))
    curves = {
        name: measure(variant, weights, steps, seed).losses
        for name, variant, seed in (("plain", plain, 0), ("plain, other seed", plain, 1), ("ours", ours, 0))
    }
    first = curves["plain"]
    gaps = {
        name: statistics.fmean(abs(a - b) for a, b in zip(losses, first, strict=True))
        for name, losses in curves.items()
        if losses is not first
    }
    found = {"device": device, "date": time.strftime("%Y-%m-%d"), "mean_gap_to_plain": gaps, "losses": curves}
    (out / "curves.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write(f"{steps} steps, loss {first[0]:.4f} to {first[-1]:.4f}; mean gap to the plain curve in nats: {gaps}\n")
    return 0


def measure(variant: Variant, weights: Path, steps: int, seed: int = 0) -> Measured:
    """Train `steps` steps and return what they took."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    started = time.perf_counter()
    build = _plain if variant.plain else _our_step
    step = build(variant, weights, seed)
    torch.cuda.reset_peak_memory_stats()
    seconds, losses = [], []
    for number in range(steps):
        ids = _rows(variant.rows, number)
        torch.cuda.synchronize()
        begun = time.perf_counter()
        losses.append(step(ids))
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
        if number == 1:
            start_seconds = time.perf_counter() - started
            # What the first steps take is compilation and the allocator's search; their memory still counts.
    rate = variant.rows * LENGTH / statistics.median(seconds[2:])
    return Measured(round(rate), round(torch.cuda.max_memory_allocated() / 1e9, 2), round(start_seconds, 1), losses)


def _rows(rows: int, number: int) -> torch.Tensor:
    """Return rows of ids with the frequencies of words (Zipf), so that there is something to learn; the same each time."""
    import torch

    generator = torch.Generator().manual_seed(number)
    ranks = torch.arange(1, _VOCABULARY - 2, dtype=torch.float64)
    return (
        (torch.multinomial(1 / ranks, rows * LENGTH, replacement=True, generator=generator) + 3)
        .view(rows, LENGTH)
        .cuda()
    )


def _settings(variant: Variant, seed: int) -> TrainSettings:
    changes = {**(variant.changes or {}), "base": {"dtype": variant.dtype}, "run": {"seed": seed}}
    return settings_from(changes, variant.name)


def _our_step(variant: Variant, weights: Path, seed: int = 0) -> Callable[[torch.Tensor], float]:
    """Return a step as `train.finetune` takes it."""
    import torch

    from train.base import load_base
    from train.modelling import add_adapters
    from train.optimisers import create_optimizer
    from train.stepping import LossModel, prepare_layers

    settings = _settings(variant, seed)
    dtype, device = getattr(torch, variant.dtype), torch.device("cuda", 0)
    model = add_adapters(load_base(weights, dtype, device, quantization="nf4"), settings)
    prepare_layers(model, settings.memory)
    losses = LossModel(model, dtype, settings.memory.loss_chunk_tokens).train()
    optimizer = create_optimizer(losses, settings.optim, device)
    scaler = torch.amp.GradScaler("cuda", enabled=dtype is torch.float16)
    trainable = [parameter for parameter in losses.parameters() if parameter.requires_grad]

    def step(ids: torch.Tensor) -> float:
        rows, length = ids.shape
        positions = torch.arange(rows * length, device=device).view(rows, length)[:, :-1].flatten()
        labels = ids[:, 1:].flatten()
        loss, _ = losses(ids, positions, labels)
        loss = loss / len(labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(trainable, settings.optim.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def _plain(variant: Variant, weights: Path, seed: int = 0) -> Callable[[torch.Tensor], float]:
    """Return a step as the libraries' documentation shows it."""
    import bitsandbytes.optim
    import peft
    import torch

    from train.base import load_base

    documented: Any = peft
    optimizers: Any = bitsandbytes.optim
    model: Any = load_base(weights, torch.bfloat16, torch.device("cuda", 0), quantization="nf4")
    model = documented.prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    lora = documented.LoraConfig(
        r=16, lora_alpha=4, lora_dropout=0.05, bias="none", task_type="CAUSAL_LM", target_modules=targets
    )
    torch.manual_seed(seed)
    model = documented.get_peft_model(model, lora)
    model.get_output_embeddings().weight.requires_grad_(True)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = optimizers.PagedAdamW32bit(trainable, lr=1e-4, weight_decay=0.01)
    model.train()

    def step(ids: torch.Tensor) -> float:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def _line(measured: dict[str, Any]) -> str:
    if "error" in measured:
        return str(measured["error"])
    losses = measured["losses"]
    return (
        f"{measured['tokens_per_second']:,} tokens/s, {measured['peak_gb']} GB at most, second step after "
        f"{measured['start_seconds']} s, loss {losses[0]:.3f} to {losses[-1]:.3f}"
    )


def _device() -> str:
    import torch

    return torch.cuda.get_device_name(0)


if __name__ == "__main__":
    sys.exit(run(main))
