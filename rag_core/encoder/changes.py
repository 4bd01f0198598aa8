"""Changes to the sentence encoder, 4 bits a weight: the one it searches with, and the form that the reader's shares.

`rag_core/data/embedder.safetensors` is what `train.embedder` learned on questions and passages of our own. It is added
to the embedded MiniLM unless `EmbeddingConfig.change` says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag_core.config import EmbeddingConfig
from rag_core.errors import ModelLoadError, ModelNotFoundError
from rag_core.models import ModelSource

if TYPE_CHECKING:
    import torch

__all__ = [
    "BLOCK",
    "EMBEDDER_FILE",
    "base_digest",
    "change_file",
    "change_key",
    "fitting_change",
    "read_change",
    "stored_digest",
    "trained_from",
    "unpacked",
]

EMBEDDER_FILE = Path(__file__).parents[1] / "data" / "embedder.safetensors"
# Inputs that share a scale in a packed change.
BLOCK = 64
_BYTES = np.arange(256)
_BASE_TENSOR = "encoder.layer.0.attention.self.query.weight"
_BASE_NAMES = (_BASE_TENSOR, f"bert.{_BASE_TENSOR}")


def change_file(config: EmbeddingConfig, source: ModelSource) -> Path | None:
    """Return the file of the change that `config` wants added to the model of `source`, None for the model as it is."""
    if config.change == "auto":
        return EMBEDDER_FILE if source.kind == "package" else None
    return Path(config.change).expanduser() if config.change not in ("", "none") else None


def change_key(path: Path) -> str:
    """Return 12 hexadecimal digits of the file: vectors of two keys do not compare. Raises ModelNotFoundError."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ModelNotFoundError(
            f"There is no change to the embedder at {path} ({error.strerror}); set RAG_EMBEDDER_CHANGE to a file or none"
        ) from error


def read_change(path: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Return what is added to each tensor of the encoder in `folder`, float32.

    Raises ModelLoadError where the file is damaged, or was trained from another encoder.
    """
    try:
        changes = fitting_change(path, folder)
    except Exception as error:  # safetensors raises kinds of its own.
        raise ModelLoadError(
            f"{path} is no change to an embedder ({type(error).__name__}: {error}); set RAG_EMBEDDER_CHANGE=none"
        ) from error
    if changes is None:
        raise ModelLoadError(
            f"{path} changes another embedder than that in {folder}; set RAG_EMBEDDER_CHANGE to its own, or to none"
        )
    return changes


def fitting_change(path: Path, folder: Path) -> dict[str, torch.Tensor] | None:
    """Return the change in a file, None where it is of another encoder than that in `folder`. Raises safetensors' errors."""
    from safetensors.torch import load_file

    found = stored_digest(folder)
    return unpacked(load_file(str(path))) if found and found == trained_from(path) else None


def trained_from(path: Path) -> str:
    """Return the digest of the base that the change in a file was trained from. Raises OSError or safetensors' errors."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        return str((file.metadata() or {}).get("base", ""))


def stored_digest(folder: Path) -> str:
    """Return `base_digest` of the encoder in `folder`, reading no more than it needs. Raises safetensors' errors."""
    from safetensors import safe_open

    with safe_open(str(folder / "model.safetensors"), framework="pt") as file:
        names = set(file.keys())
        return base_digest({name: file.get_tensor(name) for name in _BASE_NAMES if name in names})


def base_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Return 16 hexadecimal digits that tell the base of a change: of one of its matrices, as float32."""
    tensor = next((weights[name] for name in _BASE_NAMES if name in weights), None)
    if tensor is None:
        return ""
    return hashlib.sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()[:16]


def unpacked(stored: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the change to each tensor, float32: what is packed is two numbers a byte, less 8, times a scale a block."""
    import torch

    # Both numbers of each byte as eight bytes that are copied at once: arithmetic on bytes takes ten times as long.
    pairs = (np.stack((_BYTES & 15, _BYTES >> 4), 1).astype(np.float32) - 8).view(np.uint64).ravel()
    changes = {}
    for name, tensor in stored.items():
        if name.endswith(".numbers"):
            scales = stored[f"{name.removesuffix('.numbers')}.scales"].float().numpy()
            numbers = pairs.take(tensor.numpy()).view(np.float32).reshape(len(tensor), -1, BLOCK)
            numbers *= scales[..., None]
            changes[name.removesuffix(".numbers")] = torch.from_numpy(numbers.reshape(len(tensor), -1))
        elif not name.endswith(".scales"):
            changes[name] = tensor.float()
    return changes
