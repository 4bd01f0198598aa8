"""A change to the sentence encoder, 4 bits a weight, from a file that `train.embedder` wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from rag_core.answers.reader import base_digest, unpacked
from rag_core.errors import ModelLoadError, ModelNotFoundError

if TYPE_CHECKING:
    import torch

__all__ = ["change_key", "read_change"]


def change_key(path: Path) -> str:
    """Return 12 hexadecimal digits of the file: vectors of two keys do not compare. Raises ModelNotFoundError."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ModelNotFoundError(f"There is no change to the embedder at {path} ({error.strerror})") from error


def read_change(path: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Return what is added to each tensor of the encoder in `folder`, float32.

    Raises ModelLoadError where the file is damaged, or was trained from another encoder.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(str(path), framework="pt") as file:
            expected = (file.metadata() or {}).get("base", "")
        changes = unpacked(load_file(str(path)))
        found = base_digest(load_file(folder / "model.safetensors"))
    except Exception as error:  # safetensors raises kinds of its own.
        raise ModelLoadError(f"{path} is no change to an embedder ({type(error).__name__}: {error})") from error
    if not found or found != expected:
        raise ModelLoadError(f"{path} changes another embedder than that in {folder}; name its own, or none")
    return changes
