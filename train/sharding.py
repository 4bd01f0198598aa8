"""Weights, gradients and optimizer split over several cards, so that each holds a part of the model alone.

Fully sharded data parallelism in PyTorch's second form (`torch.distributed.fsdp.fully_shard`; the idea is ZeRO's third
stage, Rajbhandari et al. 2020, arXiv:1910.02054): each decoder layer is put together on every card just before it
computes, and taken apart after. A checkpoint is the same whole one that a run on one card writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from train.errors import DeviceError
from train.modelling import decoder_layers

if TYPE_CHECKING:
    import torch
    from torch import nn

    from train.settings import TrainSettings

__all__ = ["clip_gradients", "local_state", "put_local_state", "require_shardable", "shard", "whole_weights"]


def require_shardable(settings: TrainSettings, processes: int, dtype: torch.dtype) -> None:
    """Raise DeviceError where the settings ask for something that does not work on parts of a model."""
    import torch

    if processes < 2:
        raise DeviceError(
            "memory.shard splits the model over several processes and there is one; start it with "
            "accelerate launch --num_processes 2 (the number of cards), or --set memory.shard=false"
        )
    if dtype is torch.float16:
        raise DeviceError(
            "memory.shard needs a card with bfloat16; without it each card holds the whole 4-bit model: "
            "--set memory.shard=false"
        )
    if settings.optim.name != "adamw":
        raise DeviceError(
            f"optim.name {settings.optim.name} does not work on parts of a weight; --set optim.name=adamw, whose states "
            "are split over the cards too"
        )
    if settings.base.quantization == "nf4" and settings.base.quant_storage == "uint8":
        raise DeviceError(
            "4-bit weights are moved between cards in the type of the others: --set base.quant_storage=bfloat16"
        )


def shard(model: nn.Module, layers_of: Any, device: torch.device) -> None:
    """Split `model` over all processes, in place; `layers_of` is the causal language model whose layers are the units.

    What stands outside of the layers (embeddings, last norm, head) is one unit more. Optimizers are made afterwards:
    each parameter is then a DTensor that holds this process's part.
    """
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    _keep_quantisation_beside(layers_of)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in decoder_layers(layers_of):
        fully_shard(layer, mesh=mesh)
    root: Any = fully_shard(model, mesh=mesh)
    if device.type == "cpu":
        # Gloo adds and does not average.
        for unit in (root, *decoder_layers(layers_of)):
            unit.set_force_sum_reduction_for_comms(True)


def _keep_quantisation_beside(model: Any) -> None:
    """Leave the scales of 4-bit weights with their layers: a weight that is put together again has lost its own.

    bitsandbytes takes them from there.
    """
    import torch

    for module in model.modules():
        # Only where it is the module's own: adapters show the weight of what they wrap.
        weight: Any = module._parameters.get("weight")
        if type(weight).__name__ == "Params4bit":
            module.quant_state = weight.quant_state
            module.weight = torch.nn.Parameter(weight.data.as_subclass(torch.Tensor), requires_grad=False)


def whole_weights(root: nn.Module, model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the trainable weights of `model`, a part of the split `root`, by name: whole and on the CPU.

    On the first process, that is; elsewhere nothing. All processes must call it.
    """
    import torch.distributed as dist
    from torch.distributed.fsdp import FSDPModule

    first = dist.get_rank() == 0
    for module in root.modules():
        if isinstance(module, FSDPModule):
            # What stands outside of the layers stays together after an evaluation.
            module.reshard()
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part: Any = parameter
            whole = part.full_tensor()
            if first:
                found[name] = whole.detach().cpu()
    return found


def clip_gradients(parameters: Iterable[nn.Parameter], most: float) -> float:
    """Scale all gradients down to the norm `most` over all processes; return the norm they had."""
    import torch

    norm: Any = torch.nn.utils.clip_grad_norm_([item for item in parameters if item.requires_grad], most)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


def local_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimizer's state with this process's part of each tensor, plain."""
    state = optimizer.state_dict()
    parts = {
        number: {key: value.to_local() if hasattr(value, "to_local") else value for key, value in values.items()}
        for number, values in state["state"].items()
    }
    return {**state, "state": parts}


def put_local_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put back what `local_state` returned on a process of the same rank among as many."""
    from torch.distributed.tensor import DTensor

    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    whole: dict[int, dict[str, Any]] = {}
    for number, values in state["state"].items():
        spec: Any = parameters[number]
        part = spec.to_local()
        whole[number] = {
            key: DTensor.from_local(
                value.to(part.device), spec.device_mesh, spec.placements, shape=spec.shape, stride=spec.stride()
            )
            if value.shape == part.shape and value.ndim
            else value
            for key, value in values.items()
        }
    optimizer.load_state_dict({**state, "state": whole})
