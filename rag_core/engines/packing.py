"""Matrices in the tiles that the kernels read, from GGUF blocks or from plain tensors, with no weight changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["FORMS", "TILE", "PackedMatrix", "pack_gguf", "pack_tensor"]

# Outputs of a tile, and inputs of a quantised block.
TILE = 32
# The numbers by which the kernels know a form, by the type of its data.
FORMS = {"uint8": 0, "int8": 1, "uint16": 2, "float32": 3}

Array = npt.NDArray[Any]
_EMPTY = np.zeros((1, 1, TILE), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class PackedMatrix:
    """A matrix of (outputs, inputs), outputs padded to whole tiles by zeros.

    `data` is [tile, input, 32]: uint8 with two 4-bit numbers each (so 16 wide), int8, uint16 (bfloat16) or float32.
    `scale` and `offset` are float32 [tile, block of 32 inputs, 32]: a weight is scale * number + offset.
    """

    outputs: int
    inputs: int
    data: Array
    scale: Array
    offset: Array

    @property
    def form(self) -> int:
        """The number by which the kernels know the form of `data`."""
        return FORMS[self.data.dtype.name]

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return int(self.data.shape[0])

    @property
    def entry(self) -> tuple[int, int, int, int]:
        """Form and addresses, for the kernels; the matrix must outlive them."""
        return self.form, self.data.ctypes.data, self.scale.ctypes.data, self.offset.ctypes.data


def pack_tensor(tensor: torch.Tensor) -> PackedMatrix:
    """Pack a (outputs, inputs) tensor: bfloat16 as it is, anything else as float32. Inputs must be a multiple of 32."""
    import torch

    outputs, inputs = tensor.shape
    kept = tensor if tensor.dtype is torch.bfloat16 else tensor.float()
    numbers: Array = (kept.view(torch.int16) if kept.dtype is torch.bfloat16 else kept).numpy()
    if numbers.dtype == np.int16:
        numbers = numbers.view(np.uint16)
    return PackedMatrix(outputs, inputs, _tiled(numbers), _EMPTY, _EMPTY)


def pack_gguf(raw: Array, kind: str, outputs: int, inputs: int) -> PackedMatrix | None:
    """Pack the blocks of a GGUF tensor; None for a kind that is not Q4_0, Q4_1 or Q8_0.

    The layout of the blocks is that of ggml (github.com/ggml-org/ggml, ggml-common.h): a float16 scale, for Q4_1 a
    float16 offset, then 32 numbers; of 4-bit ones the low halves come first.
    """
    sizes = {"Q4_0": 18, "Q4_1": 20, "Q8_0": 34}
    if kind not in sizes:
        return None
    blocks = np.ascontiguousarray(raw).view(np.uint8).reshape(outputs, inputs // TILE, sizes[kind])
    scale = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16).astype(np.float32)[:, :, 0]
    if kind == "Q8_0":
        numbers = np.ascontiguousarray(blocks[:, :, 2:]).view(np.int8).reshape(outputs, inputs)
        return PackedMatrix(outputs, inputs, _tiled(numbers), _tiled(scale), _EMPTY)
    if kind == "Q4_1":
        offset = np.ascontiguousarray(blocks[:, :, 2:4]).view(np.float16).astype(np.float32)[:, :, 0]
    else:
        offset = scale * np.float32(-8.0)
    pairs = blocks[:, :, sizes[kind] - 16 :]
    numbers = np.concatenate((pairs & 15, pairs >> 4), axis=2).reshape(outputs, inputs)
    tiles = _tiled(numbers)
    data = tiles[:, :, :16] | (tiles[:, :, 16:] << 4)
    return PackedMatrix(outputs, inputs, np.ascontiguousarray(data), _tiled(scale), _tiled(offset))


def _tiled(numbers: Array) -> Array:
    """Turn (outputs, inputs) into [tile, input, 32], padding outputs with zeros."""
    outputs, inputs = numbers.shape
    missing = -outputs % TILE
    if missing:
        numbers = np.concatenate((numbers, np.zeros((missing, inputs), dtype=numbers.dtype)))
    return np.ascontiguousarray(numbers.reshape(-1, TILE, inputs).transpose(0, 2, 1))
