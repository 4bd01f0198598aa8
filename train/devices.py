"""Where the gate computes, and in which type it holds the weights there."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from train.errors import DeviceError

if TYPE_CHECKING:
    import torch

__all__ = ["device_of", "device_with_room", "gate_dtype", "release"]

# Most memory that the gate takes on a CPU of its own accord, as the merge promises.
CPU_BYTES = 20_000_000_000


def device_of(name: str) -> torch.device:
    """Return the device of that name (`auto`: the GPU where there is one). Raises DeviceError."""
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name} is none; take auto, cpu or cuda") from error
    if device.type == "cuda" and not has_gpu:
        raise DeviceError("--device cuda: torch sees no GPU here; --device cpu takes longer and needs none")
    return device


def device_with_room(name: str, weights: int) -> torch.device:
    """Return `device_of(name)`, but of its own accord no GPU on which so many weights in 16 bits have no room."""
    import torch

    device = device_of(name)
    if name == "auto" and device.type == "cuda" and torch.cuda.mem_get_info(device)[0] < weights * 2 * 1.2:
        return torch.device("cpu")
    return device


def gate_dtype(weights: int, output: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the type to hold weights in: float32 where a model of so many fits, else 16 bits.

    Whichever it is, the model computes in float32: the figures show the rounding of the merged weights alone.
    """
    import psutil
    import torch

    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else min(psutil.virtual_memory().available, CPU_BYTES)
    # A third more than the weights: activations, logits and what the allocator keeps.
    if weights * 4 * 4 / 3 < free:
        return torch.float32
    return output if output.itemsize == 2 else torch.bfloat16


def release(device: torch.device) -> None:
    """Give the memory of a model that nobody names any more back before the next one comes."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
