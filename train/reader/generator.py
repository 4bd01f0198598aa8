"""The small generator as a reader: its layers see both ways, and a low-rank change to each matrix is what it learns.

A Llama-type model (Touvron et al. 2023, arXiv:2302.13971) whose tokens attend to the whole text (BehnamGhader et al.
2024, arXiv:2404.05961), with adapters as in Hu et al. 2021 (arXiv:2106.09685): a matrix is its base plus `up @ down`.
The sum is what the rows are multiplied with, since it costs little beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from rag_core.arithmetic.plans import ROLES, SHAPES
from rag_core.encoder.bidirectional import HEADS, LAST_NORM, MATRICES, NORMS, generator_digest
from rag_core.engines.llama import LlamaSettings, read_settings
from train.errors import BaseModelError, CheckpointError
from train.reader.packing import packed, read_whole, save_whole

__all__ = ["AdaptedGenerator", "States", "build_generator", "generator_folder", "load_generator", "save_generator"]

_Layer = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class States:
    """What an encoder returns: float32 (rows, tokens, hidden)."""

    last_hidden_state: torch.Tensor


class AdaptedGenerator(torch.nn.Module):
    """A frozen base with what is learnt: `down` (rank, inputs) and `up` (outputs, rank) of each matrix, and the norms."""

    def __init__(self, weights: dict[str, torch.Tensor], settings: LlamaSettings, rank: int) -> None:
        """Take the base's weights; `up` starts at zero, so that at first the model is its base."""
        super().__init__()
        self.settings = settings
        self.register_buffer("words", weights["model.embed_tokens.weight"], persistent=False)
        self._base: list[list[torch.Tensor]] = []
        self.down, self.up, self.norms = torch.nn.ParameterList(), torch.nn.ParameterList(), torch.nn.ParameterList()
        for layer in range(settings.layers):
            base = [weights[f"model.layers.{layer}.{name}.weight"] for name in MATRICES]
            self._base.append(base)
            for matrix in base:
                outputs, inputs = matrix.shape
                self.down.append(torch.randn(rank, inputs) / math.sqrt(inputs))
                self.up.append(torch.zeros(outputs, rank))
            self.norms.extend(weights[f"model.layers.{layer}.{name}.weight"].float() for name in NORMS)
        self.last_norm = torch.nn.Parameter(weights[f"{LAST_NORM}.weight"].float())
        self._layer: Any = self._one_layer

    def to_device(self, device: torch.device) -> AdaptedGenerator:
        """Move all to `device`; on a GPU the base is kept in bfloat16 and the layers are compiled."""
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        self._base = [[matrix.to(device, kind) for matrix in layer] for layer in self._base]
        self.to(device)
        if device.type == "cuda":
            self._layer = torch.compile(self._one_layer, dynamic=True)
        return self

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: object) -> States:
        """Return the states of ids (rows, tokens); tokens whose mask is 0 are seen by none."""
        kind, s = self._base[0][0].dtype, self.settings
        places = torch.arange(input_ids.shape[1], device=input_ids.device).float()
        steps = torch.arange(0, s.head_size, 2, device=input_ids.device).float() / s.head_size
        angles = places[:, None] / s.rope_theta**steps
        turns = (angles.cos().to(kind), angles.sin().to(kind))
        hidden = (attention_mask == 0)[:, None, None, :]
        shape = (*hidden.shape[:2], input_ids.shape[1], input_ids.shape[1])
        mask = torch.zeros(shape, device=input_ids.device, dtype=kind).masked_fill_(hidden, -1e4)
        words: Any = self.words
        x = words[input_ids].float()
        each = len(MATRICES)
        with torch.autocast(input_ids.device.type, enabled=False):
            for number, base in enumerate(self._base):
                own = slice(number * each, (number + 1) * each)
                norms = tuple(self.norms[number * 2 : number * 2 + 2])
                x = self._layer(x, mask, turns, norms, tuple(base), tuple(self.down[own]), tuple(self.up[own]))
            return States(_normalised(x, self.last_norm, s.epsilon))

    def _one_layer(
        self, x: torch.Tensor, mask: torch.Tensor, turns: _Layer, norms: _Layer, base: _Layer, down: _Layer, up: _Layer
    ) -> torch.Tensor:
        s, kind = self.settings, base[0].dtype
        matrices = [matrix + (b @ a).to(kind) for matrix, a, b in zip(base, down, up, strict=True)]
        rows, tokens, _ = x.shape
        h = _normalised(x, norms[0], s.epsilon).to(kind)
        queries, keys, values = (
            functional.linear(h, matrix).view(rows, tokens, -1, s.head_size).transpose(1, 2) for matrix in matrices[:3]
        )
        shared = s.heads // s.key_value_heads
        keys, values = _turned(keys, *turns).repeat_interleave(shared, 1), values.repeat_interleave(shared, 1)
        mixed = functional.scaled_dot_product_attention(_turned(queries, *turns), keys, values, attn_mask=mask)
        x = x + functional.linear(mixed.transpose(1, 2).reshape(rows, tokens, -1), matrices[3]).float()
        h = _normalised(x, norms[1], s.epsilon).to(kind)
        fed = functional.silu(functional.linear(h, matrices[4])) * functional.linear(h, matrices[5])
        return x + functional.linear(fed, matrices[6]).float()


def _normalised(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + epsilon) * weight


def _turned(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    low, high = x.chunk(2, dim=-1)
    return torch.cat((low * cosines - high * sines, high * cosines + low * sines), dim=-1)


def generator_folder() -> Path:
    """Return the folder of the embedded generator, converted on first use. Raises ModelError."""
    from rag_core.config import RagConfig
    from rag_core.engines.local import model_folder
    from rag_core.models import small_generator

    return model_folder(small_generator(), RagConfig().cache_directory)


def build_generator(folder: Path, device: torch.device, rank: int) -> torch.nn.ModuleDict:
    """Return the generator in `folder` with adapters, and a head, as one module. Raises BaseModelError."""
    from safetensors.torch import load_file

    settings = read_settings(folder)
    if settings is None:
        raise BaseModelError(
            f"{folder} holds no plain Llama-type model; name a folder with config.json and safetensors"
        )
    weights = load_file(folder / "model.safetensors")
    heads = {"head": torch.nn.Linear(settings.hidden, 2), "shapes": torch.nn.Linear(settings.hidden, len(SHAPES))}
    heads["roles"] = torch.nn.Linear(settings.hidden, len(ROLES))
    for head in heads.values():
        torch.nn.init.normal_(head.weight, std=0.02)
        torch.nn.init.zeros_(head.bias)
    encoder = AdaptedGenerator(weights, settings, rank).to_device(device)
    return torch.nn.ModuleDict({"encoder": encoder, **{name: head.to(device) for name, head in heads.items()}})


def load_generator(network: Any, folder: Path, path: Path) -> None:
    """Set what is learnt to what `save_generator` wrote in `path`. Raises CheckpointError or BaseModelError."""
    stored = read_whole(path, generator_digest(folder))
    encoder: AdaptedGenerator = network["encoder"]
    matrices, norms = _names(encoder.settings.layers)
    places = {f"{name}.down": down for name, down in zip(matrices, encoder.down, strict=True)}
    places |= {f"{name}.up": up.T for name, up in zip(matrices, encoder.up, strict=True)}
    places |= dict(zip(norms, [*encoder.norms, encoder.last_norm], strict=True))
    places |= dict(_heads(network))
    with torch.no_grad():
        for name, place in places.items():
            if name not in stored or stored[name].shape != place.shape:
                raise CheckpointError(f"{path} holds other adapters ({name}); start from a file of the same rank")
            place.copy_(stored[name])


def _heads(network: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield weight and bias of each head, by the name that it is kept under."""
    for head in HEADS:
        for name, parameter in network[head].named_parameters():
            yield f"{head}.{name}", parameter


def _names(layers: int) -> tuple[list[str], list[str]]:
    """Return the names of the matrices that have adapters, and of the norms."""
    return (
        [f"model.layers.{layer}.{name}" for layer in range(layers) for name in MATRICES],
        [*(f"model.layers.{layer}.{name}" for layer in range(layers) for name in NORMS), LAST_NORM],
    )


def save_generator(network: Any, folder: Path, path: Path) -> None:
    """Write what was learnt for `rag_core.encoder.bidirectional`: adapters in 4 bits a number, norms, and the head."""
    encoder: AdaptedGenerator = network["encoder"]
    stored: dict[str, torch.Tensor] = {}

    def keep(name: str, tensor: torch.Tensor) -> None:
        numbers, scales = packed(tensor.detach().float().cpu().contiguous())
        stored[f"{name}.numbers"], stored[f"{name}.scales"] = numbers, scales

    matrices, norms = _names(encoder.settings.layers)
    for name, down, up in zip(matrices, encoder.down, encoder.up, strict=True):
        keep(f"{name}.down", down)
        keep(f"{name}.up", up.T)
    for name, norm in zip(norms, [*encoder.norms, encoder.last_norm], strict=True):
        stored[name] = norm.detach().float().cpu().contiguous()
    stored |= {name: parameter.detach().float().cpu() for name, parameter in _heads(network)}
    save_whole(stored, path, generator_digest(folder))
