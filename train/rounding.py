"""The proof that reads every weight back: each is what it should be, to within one rounding of its type.

A tensor of the merged folder is the base's, the trained head, or base + alpha / rank x B A. That is computed here from
the checkpoint's own files, without PEFT's merge, so a wrong scale, a lost head or a damaged tensor cannot hide in noise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from train.checkpoint import Checkpoint
from train.errors import EquivalenceError
from train.heads import HEAD_KEY
from train.merging import Merger, adapter_scale
from train.weightfiles import base_tensors, read_tensor

if TYPE_CHECKING:
    import torch

__all__ = ["prove_weights"]


def prove_weights(merged: Path, merger: Merger, dtype: torch.dtype, on_progress: Callable[[str], None]) -> float:
    """Return the largest distance of a merged weight from what it should be, in roundings of `dtype` (at most 1).

    Tensor by tensor. Raises EquivalenceError: a tensor missing, left over or changed, a head that is the base's.
    """
    import torch

    found = base_tensors(merged)
    expected_names = {part.name for part in merger.parts}
    if odd := found.keys() ^ expected_names:
        raise EquivalenceError(f"{merged}: {min(odd)} is {'missing' if min(odd) in expected_names else 'left over'}")
    factors = _factors(merger.checkpoint)
    worst = 0.0
    on_progress("proving: weights")
    for part in merger.parts:
        stored = read_tensor(found[part.name][0], part.name)
        if stored.dtype != dtype or tuple(stored.shape) != part.shape:
            raise EquivalenceError(
                f"{merged}: {part.name} is {stored.dtype} of {tuple(stored.shape)}, not {dtype} of {part.shape}"
            )
        start = read_tensor(part.path, part.source).float()
        if part.name == HEAD_KEY and merger.head is not None:
            if torch.equal(stored, start.to(dtype)):
                raise EquivalenceError(f"{merged}: the head is the base's, not the trained one")
            start = merger.head.float()
        worst = max(worst, _distance(part.name, stored, start, factors.get(part.name), merged))
    return worst


def _distance(
    name: str, stored: torch.Tensor, start: torch.Tensor, factors: tuple[torch.Tensor, ...] | None, merged: Path
) -> float:
    import torch

    if factors is None:
        if not torch.equal(stored, start.to(stored.dtype)):
            raise EquivalenceError(f"{merged}: {name} is not what it was in the base or the checkpoint")
        return 0.0
    up, down, scale = factors
    change = scale * (up @ down)
    expected = start + change
    # Half a unit in the last place, and what summing in another order may leave.
    information = torch.finfo(stored.dtype)
    summing = 4 * torch.finfo(torch.float32).eps * (start.abs() + change.abs() + up.abs() @ down.abs() * scale.abs())
    allowed = information.eps / 2 * expected.abs() + summing + information.tiny * information.eps
    worst = float(((stored.float() - expected).abs() / allowed).max())
    if not worst <= 1.0:
        raise EquivalenceError(
            f"{merged}: {name} is not base + alpha / rank x B A: {worst:.3g} roundings away at its worst"
        )
    return worst


def _factors(checkpoint: Checkpoint) -> dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Return B, A and the scale by the name of the weight that they change, from the checkpoint's own files."""
    import torch
    from peft.utils.save_and_load import load_peft_weights

    scale = adapter_scale(checkpoint)
    stored = load_peft_weights(str(checkpoint.folder), device="cpu")
    prefix, suffix = "base_model.model.", ".lora_A.weight"
    return {
        f"{key[len(prefix) : -len(suffix)]}.weight": (
            stored[key.replace("lora_A", "lora_B")].float(),
            stored[key].float(),
            torch.tensor(scale),
        )
        for key in stored
        if key.endswith(suffix)
    }
