"""The proof of one merge: its weights, its predictions on held-out rows, and how far the 4-bit model is from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.equivalence import Figures
from train.errors import DataError, TrainError

if TYPE_CHECKING:
    import torch

    from train.card import GateResult
    from train.checkpoint import Checkpoint
    from train.encoding import Encoder, Example
    from train.merged import MergeRequest
    from train.merging import Merger

__all__ = ["held_out_examples", "prove"]


def held_out_examples(request: MergeRequest, checkpoint: Checkpoint, encoder: Encoder) -> tuple[Example, ...]:
    """Return the examples that the gate compares on."""
    from train.equivalence import chosen_examples
    from train.rows import load_split, read_rows

    data = checkpoint.settings.data
    try:
        rows = read_rows(request.text) if request.text else load_split(data).eval
    except DataError as error:
        raise DataError(f"{error}; the gate needs held-out rows: name a file of them with --text") from error
    usable = (row for row in rows if row.question and row.answer)
    return chosen_examples((encoder.encode(row, data.max_tokens) for row in usable), request.positions)


def prove(
    request: MergeRequest,
    base: Path,
    merger: Merger,
    examples: tuple[Example, ...],
    work: Path,
    on_progress: Callable[[str], None],
) -> GateResult:
    """Prove the merged model in `work` equal to what was trained: the gate. Raises EquivalenceError, DeviceError."""
    import torch

    from train.card import GateResult
    from train.devices import device_with_room, gate_dtype, release
    from train.equivalence import compare, load_strictly, reference
    from train.rounding import prove_weights

    output: torch.dtype = getattr(torch, request.dtype)
    worst = prove_weights(work, merger, output, on_progress)
    weights = sum(part.size for part in merger.parts)
    device = device_with_room(request.device, weights)
    automatic = request.gate_dtype == "auto"
    dtype = gate_dtype(weights, output, device) if automatic else getattr(torch, request.gate_dtype)
    on_progress(f"proving: what the trained model predicts, held in {dtype} on {device}")
    found, trained = reference(base, merger.checkpoint, examples, dtype, device)
    on_progress("proving: what the merged model predicts")
    model = load_strictly(work, dtype, device, untied=not merger.tied)
    merged = compare(model, found, device, replace=True)
    del model
    release(device)
    on_progress(f"merged against trained: {merged.line()}")
    merged.require(request.limits)
    if merged.mean_kl > trained.mean_kl / 10:
        on_progress(
            f"Training moved the base by a mean KL of {trained.mean_kl:.3g}, and rounding to {request.dtype} costs "
            f"{merged.mean_kl:.3g} of it; train for longer, or merge with --dtype float32"
        )
    quantized = _drift(request, base, merger.checkpoint, found, device, on_progress)
    return GateResult(merged, trained, quantized, worst, str(dtype).removeprefix("torch."), request.limits)


def _drift(
    request: MergeRequest,
    base: Path,
    checkpoint: Checkpoint,
    found: Any,
    device: torch.device,
    on_progress: Callable[[str], None],
) -> Figures | None:
    """Return how far the 4-bit model is from the merged one, None where it was not trained in 4 bits or cannot run."""
    from train.equivalence import drift

    if not request.drift or checkpoint.settings.base.quantization != "nf4":
        return None
    on_progress("measuring: what the 4-bit model predicts")
    try:
        return drift(base, checkpoint, found, device)
    except TrainError as error:
        on_progress(f"The 4-bit model was not measured: {error}")
        return None
