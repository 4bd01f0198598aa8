"""The output head beside the adapters: untied from the embeddings, saved beside the adapter, read back with checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.errors import BaseModelError, CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = ["HEAD_FILE", "HEAD_KEY", "LEGACY_HEAD_FILE", "head_of", "load_head", "save_head", "untie"]

HEAD_FILE = "head.safetensors"
HEAD_KEY = "lm_head.weight"
# What the first notebook wrote: a pickled tensor, or a state dict of the head alone.
LEGACY_HEAD_FILE = "mistral_head.pt"


def head_of(model: Any) -> torch.nn.Linear:
    """Return the output head of a causal language model, plain or inside PEFT. Raises BaseModelError."""
    import torch

    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise BaseModelError(f"{type(model).__name__} has no linear output head that could be trained")
    return head


def untie(model: Any) -> bool:
    """Give the head a weight of its own where it shares the embeddings'; return whether it did.

    The config says so afterwards, so that loading what is saved does not tie them again.
    """
    import torch

    head, embedding = head_of(model), model.get_input_embeddings()
    model.config.tie_word_embeddings = False
    model.config.get_text_config().tie_word_embeddings = False
    # What transformers consults when it ties weights after loading or saves shared ones once.
    for owner in filter(None, (model, getattr(model, "base_model", None))):
        if getattr(owner, "_tied_weights_keys", None):
            owner._tied_weights_keys = None
        if getattr(owner, "all_tied_weights_keys", None):
            owner.all_tied_weights_keys = {}
    if head.weight is not embedding.weight:
        return False
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    return True


def save_head(folder: Path, weight: torch.Tensor) -> None:
    """Write the head (vocabulary, hidden) into the folder of a checkpoint, in the type it was trained in."""
    from safetensors.torch import save_file

    save_file({HEAD_KEY: weight.detach().cpu().contiguous()}, str(folder / HEAD_FILE), metadata={"format": "pt"})


def load_head(folder: Path, shape: tuple[int, ...]) -> torch.Tensor | None:
    """Return the head of a checkpoint (vocabulary, hidden) on the CPU, or None where only adapters were trained.

    An older pickled head is read without running what a pickle may hold. Raises CheckpointError where the file is
    damaged, or its shape or type is not that of the base's head.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path, legacy = folder / HEAD_FILE, folder / LEGACY_HEAD_FILE
    try:
        if path.is_file():
            found: Any = load_file(str(path))
        elif legacy.is_file():
            path = legacy
            found = torch.load(str(path), map_location="cpu", weights_only=True)
        else:
            return None
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} is damaged; take it from the Hub again, or another checkpoint") from error
    except Exception as error:  # torch raises pickle's own error for content that weights_only refuses.
        raise CheckpointError(
            f"{path} holds more than tensors and is not read; save the head as safetensors"
        ) from error
    weight = _only_tensor(found, path)
    if tuple(weight.shape) != shape or not weight.dtype.is_floating_point:
        raise CheckpointError(
            f"{path} holds {weight.dtype} of {tuple(weight.shape)}; the base's head is a floating-point {shape}: "
            "another base, or another tokenizer"
        )
    if not bool(torch.isfinite(weight).all()):
        raise CheckpointError(f"{path} holds values that are not finite; take an earlier checkpoint")
    return weight


def _only_tensor(found: Any, path: Path) -> torch.Tensor:
    import torch

    if isinstance(found, dict):
        named = {
            key: value for key, value in found.items() if key.rpartition("lm_head.")[2] == "weight" or key == "weight"
        }
        found = next(iter(named.values()), None) if len(named) == 1 else None
    if not isinstance(found, torch.Tensor):
        raise CheckpointError(f"{path} holds no head; a tensor, or {HEAD_KEY} in a dictionary, is needed")
    return found.detach()
