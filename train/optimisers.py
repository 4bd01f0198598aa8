"""The optimizer that the settings name, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from train.errors import DeviceError
from train.settings import OptimSettings

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["create_optimizer", "learning_rate", "set_learning_rate"]

# Names in bitsandbytes. States in 8 bits: Dettmers et al. 2022, arXiv:2110.02861; paged ones move to the host's memory
# where the card runs short (QLoRA, arXiv:2305.14314).
_BITSANDBYTES = {
    "adamw_8bit": "AdamW8bit",
    "paged_adamw_32bit": "PagedAdamW32bit",
    "paged_adamw_8bit": "PagedAdamW8bit",
}


def create_optimizer(model: nn.Module, settings: OptimSettings, device: torch.device) -> torch.optim.Optimizer:
    """Return the optimizer over what is trainable; only matrices are decayed. Raises DeviceError."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [item for item in trainable if item.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [item for item in trainable if item.ndim < 2], "weight_decay": 0.0},
    ]
    kept = [group for group in groups if group["params"]]
    if settings.name == "adamw":
        from torch.optim import AdamW

        return AdamW(kept, lr=settings.learning_rate, fused=device.type == "cuda")
    if device.type != "cuda":
        raise DeviceError(f"optim.name {settings.name} needs a GPU; --set optim.name=adamw")
    try:
        import bitsandbytes
    except ImportError as error:
        raise DeviceError(f"optim.name {settings.name} needs bitsandbytes; pip install bitsandbytes") from error
    create: Any = getattr(bitsandbytes.optim, _BITSANDBYTES[settings.name])
    return create(kept, lr=settings.learning_rate)  # type: ignore[no-any-return]


def learning_rate(step: int, total: int, settings: OptimSettings) -> float:
    """Return the rate of step `step`, counted from 0: a straight rise, then the schedule down to 0 after the last."""
    warmup = math.ceil(settings.warmup_fraction * total)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return settings.learning_rate
    share = (step - warmup) / max(1, total - warmup)
    if settings.schedule == "linear":
        return settings.learning_rate * (1 - share)
    # Cosine without restarts (Loshchilov & Hutter 2017, arXiv:1608.03983).
    return settings.learning_rate * (1 + math.cos(math.pi * share)) / 2


def set_learning_rate(groups: Iterable[dict[str, Any]], rate: float) -> None:
    """Set the rate of all parameter groups."""
    for group in groups:
        group["lr"] = rate
