"""The weights of a Llama-type model on one device: matrices that read the same input merged, four bits if asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from rag_core.engines.cuda.loading import TensorFiles
from rag_core.engines.llama import LlamaSettings

__all__ = ["GROUP", "SPAN", "Layer", "Matrix", "Packed", "Weights", "pack", "read_weights", "unpack"]

# Weights that share a scale, and weights whose eight groups lie in the same words: see `pack`.
GROUP, SPAN = 32, 256
# Parts of a group's largest weight that are tried as the end of its scale: cutting it off can serve the others.
_SHARES = (1.05, 1.0, 0.95, 0.9, 0.85)
_LOWEST, _HIGHEST = -8, 7


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Weights of four bits: a weight is its bits less 8, times its scale.

    `words` int32 (outputs, padded inputs / 8); `scales` int32 (padded inputs / GROUP / 2, outputs), each word the
    bfloat16 scales of two groups, the first in its lower half. Inputs are padded with zeros to a multiple of SPAN.
    """

    words: torch.Tensor
    scales: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """A matrix (outputs, inputs), either whole in `dense` or in four bits."""

    outputs: int
    inputs: int
    dense: torch.Tensor | None = None
    packed: Packed | None = None

    def whole(self, dtype: torch.dtype) -> torch.Tensor:
        """Return all weights in `dtype`."""
        return self.dense if self.dense is not None else unpack(self, dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """`qkv`: rows of queries, keys, values; `gate_up`: rows of the gate, then of what it gates; norms (hidden)."""

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix
    first_norm: torch.Tensor
    second_norm: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """All weights; `embedding` is (vocabulary, hidden), `head` the same tensor where the model ties them."""

    embedding: torch.Tensor
    layers: tuple[Layer, ...]
    last_norm: torch.Tensor
    head: Matrix


def read_weights(
    folder: Path, settings: LlamaSettings, device: torch.device, dtype: torch.dtype, *, four_bit: bool = False
) -> Weights:
    """Read the model of `folder` onto `device`. Embedding, norms and head keep `dtype` where `four_bit`.

    Raises ModelLoadError; torch's own error where the memory of the device ends.
    """
    files, s = TensorFiles(folder), settings
    queries, keys = s.heads * s.head_size, s.key_value_heads * s.head_size

    def new(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    embedding, last_norm = new(s.vocabulary, s.hidden), new(s.hidden)
    head = embedding if s.tied else new(s.vocabulary, s.hidden)
    ends = {"model.embed_tokens.weight": embedding, "model.norm.weight": last_norm}
    waiting = ends if s.tied else {**ends, "lm_head.weight": head}
    layers = []
    for number in range(s.layers):
        qkv, out = new(queries + 2 * keys, s.hidden), new(s.hidden, queries)
        gate_up, down = new(2 * s.feed_forward, s.hidden), new(s.hidden, s.feed_forward)
        first, second = new(s.hidden), new(s.hidden)
        names = {
            "self_attn.q_proj": qkv[:queries],
            "self_attn.k_proj": qkv[queries : queries + keys],
            "self_attn.v_proj": qkv[queries + keys :],
            "self_attn.o_proj": out,
            "mlp.gate_proj": gate_up[: s.feed_forward],
            "mlp.up_proj": gate_up[s.feed_forward :],
            "mlp.down_proj": down,
            "input_layernorm": first,
            "post_attention_layernorm": second,
        }
        waiting |= {f"model.layers.{number}.{name}.weight": target for name, target in names.items()}
        if four_bit:
            # Layer by layer: never more than one of them is there in 16 bits.
            files.fill(waiting)
            waiting = {}
        merged, back, gates, last = (_matrix(tensor, four_bit) for tensor in (qkv, out, gate_up, down))
        layers.append(Layer(merged, back, gates, last, first, second))
    if waiting:
        files.fill(waiting)
    return Weights(embedding, tuple(layers), last_norm, _matrix(head, False))


def _matrix(tensor: torch.Tensor, four_bit: bool) -> Matrix:
    return pack(tensor) if four_bit else Matrix(tensor.shape[0], tensor.shape[1], dense=tensor)


def pack(tensor: torch.Tensor) -> Matrix:
    """Return a matrix in four bits with a scale for every GROUP inputs.

    A SPAN has 32 words. Weight c of its group g lies in word 2 * (c // 2) + g % 2, in nibble g // 2 + 4 * (c % 2), so that
    one shift and one mask give the tensor cores two weights of a group in one register. The weight that is furthest
    from zero gets the lowest of the sixteen levels, which has no opposite; of a few scales a group takes that with the
    smallest square error.
    """
    outputs, inputs = tensor.shape
    padded = -(-inputs // SPAN) * SPAN
    whole = torch.nn.functional.pad(tensor.float(), (0, padded - inputs)).view(outputs, padded // GROUP, GROUP)
    furthest = whole.gather(-1, whole.abs().argmax(-1, keepdim=True))
    best, best_error = torch.zeros_like(furthest), torch.full_like(furthest, torch.inf)
    for share in _SHARES:
        # What is stored is rounded to bfloat16: the bits are chosen for that.
        scale = (furthest * share / _LOWEST).bfloat16().float()
        error = (_levels(whole, scale) * scale - whole).square().sum(-1, keepdim=True)
        best = torch.where(error < best_error, scale, best)
        best_error = torch.minimum(error, best_error)
    # Group g is 2 * quarter + side, its weight c is 2 * pair + half.
    quarters, pairs = SPAN // GROUP // 2, GROUP // 2
    nibbles = (_levels(whole, best).int() - _LOWEST).view(outputs, padded // SPAN, quarters, 2, pairs, 2)
    words = torch.zeros(outputs, padded // SPAN, pairs, 2, dtype=torch.int32, device=tensor.device)
    for quarter in range(quarters):
        for half in range(2):
            words |= nibbles[:, :, quarter, :, :, half].transpose(-1, -2) << (4 * quarter + 16 * half)
    scales = best.bfloat16().view(outputs, -1, 2).transpose(0, 1).contiguous().view(torch.int32)
    return Matrix(outputs, inputs, packed=Packed(words.view(outputs, padded // 8), scales.squeeze(-1)))


def _levels(whole: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (whole / torch.where(scale == 0, 1.0, scale)).round().clamp(_LOWEST, _HIGHEST)


def unpack(matrix: Matrix, dtype: torch.dtype) -> torch.Tensor:
    """Return the whole matrix (outputs, inputs) of what `pack` made."""
    if matrix.packed is None:
        raise ValueError("the matrix is not packed")
    words, rows = matrix.packed.words.view(matrix.outputs, -1, GROUP // 2, 2), matrix.outputs
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=words.device).view(2, -1)
    # (rows, spans, pairs, sides, halves, quarters), then in the order of the inputs.
    nibbles = ((words[..., None, None] >> shifts) & 15).permute(0, 1, 5, 3, 2, 4)
    scales = matrix.packed.scales.unsqueeze(-1).view(torch.bfloat16).transpose(0, 1).reshape(rows, -1, 1)
    whole = (nibbles.reshape(rows, -1, GROUP) + _LOWEST).float() * scales.float()
    return whole.view(rows, -1)[:, : matrix.inputs].to(dtype)
