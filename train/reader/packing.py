"""What training changed, in 4 bits a weight: blocks of 64 inputs share a scale, chosen for the least error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag_core.encoder.changes import BLOCK, base_digest, trained_from, unpacked
from train.errors import BaseModelError, CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = ["packed", "read_change", "read_whole", "save_reader", "save_whole"]

# Largest number of a block over its scale; small ones clip the outliers, large ones round coarsely.
_RANGES = (6.0, 6.5, 7.0, 7.5, 8.0)


def packed(change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return numbers, uint8 (outputs, inputs / 2), two a byte, and scales, float16 (outputs, inputs / 64)."""
    import torch

    blocks = change.float().reshape(len(change), -1, BLOCK)
    best: torch.Tensor | None = None
    for span in _RANGES:
        scale = (blocks.abs().amax(dim=2, keepdim=True) / span).half().float().clamp_min(2.0**-24)
        rounded = (blocks / scale).round().clamp(-8, 7)
        error = ((rounded * scale - blocks) ** 2).sum(dim=2, keepdim=True)
        if best is None:
            best, scales, numbers = error, scale, rounded
        else:
            better = error < best
            best = torch.where(better, error, best)
            scales, numbers = torch.where(better, scale, scales), torch.where(better, rounded, numbers)
    whole = (numbers + 8).to(torch.uint8).reshape(len(change), -1)
    return (whole[:, 0::2] | (whole[:, 1::2] << 4)).contiguous(), scales.squeeze(2).half().contiguous()


def save_reader(trained: dict[str, torch.Tensor], base: dict[str, torch.Tensor], path: Path) -> None:
    """Write the difference of `trained` from `base` and the head (`head.weight`, `head.bias`) for `rag_core.answers.reader`.

    Names are those of the base; tensors that did not change are left out.
    """
    stored = {}
    for name, tensor in trained.items():
        if name.startswith("head."):
            stored[name] = tensor.float().contiguous()
            continue
        change = tensor.float() - base[name].float()
        if not bool(change.any()):
            continue
        if change.ndim == 2 and change.shape[1] % BLOCK == 0:
            stored[f"{name}.numbers"], stored[f"{name}.scales"] = packed(change)
        else:
            stored[name] = change.half().contiguous()
    save_whole(stored, path, base_digest(base))


def save_whole(stored: dict[str, torch.Tensor], path: Path, base: str) -> None:
    """Write a change with the digest of its `base`; a run that is cut short meanwhile leaves the file that was there."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}")
    save_file(stored, str(work), metadata={"format": "pt", "base": base})
    work.replace(path)


def read_whole(path: Path, base: str) -> dict[str, torch.Tensor]:
    """Return the tensors that `save_whole` wrote, float32. Raises CheckpointError, and BaseModelError for another base."""
    found, stored = read_change(path)
    if found != base:
        raise BaseModelError(f"{path} was trained from another model; start from a file that was trained from this one")
    return stored


def read_change(path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Return the digest of the base and the tensors that `save_whole` wrote, float32. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return trained_from(path), unpacked(load_file(str(path)))
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(
            f"{path} is no trained reader ({error}); name a file that train.reader.train wrote"
        ) from error
