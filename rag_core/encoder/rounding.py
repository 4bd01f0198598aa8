"""Matrices rounded to bytes, in the order in which the products of bytes read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rag_core.encoder.shapes import GROUP, TILE

__all__ = ["Rounded", "in_bytes", "rounded", "stacked"]

# Weights int8 [output / 32, input / 4, 32, 4] and their factors float32 (see `rag_core.encoder.dots.tile`).
Rounded = tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]


def rounded(matrix: npt.NDArray[np.float32]) -> Rounded:
    """Return a matrix (outputs, inputs) in 8 bits; 96 inputs of an output share a scale.

    Raises ValueError where the shape does not divide into groups and tiles.
    """
    outputs, inputs = matrix.shape
    if outputs % TILE or inputs % GROUP:
        raise ValueError(f"A matrix of {outputs} x {inputs} does not divide into groups")
    groups = matrix.reshape(outputs, inputs // GROUP, GROUP)
    numbers, scale = in_bytes(groups)
    tiles = outputs // TILE
    data = numbers.reshape(tiles, TILE, inputs // 4, 4).transpose(0, 2, 1, 3)
    factors = np.stack([scale, scale * numbers.sum(axis=-1, dtype=np.int32)]).astype(np.float32)
    factors = factors.reshape(2, tiles, TILE, inputs // GROUP).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(data), np.ascontiguousarray(factors)


def in_bytes(groups: npt.NDArray[np.float32]) -> Rounded:
    """Return `groups` (..., numbers) in 8 bits, and the scale of each (...), by which its largest number is 127 steps."""
    scales = np.maximum(np.abs(groups).max(axis=-1), np.float32(1e-30)) / np.float32(127)
    return np.rint(groups / scales[..., None]).astype(np.int8), scales


def stacked(layers: list[Rounded]) -> Rounded:
    """Return the matrices of all layers as one array of weights and one of factors, layers first."""
    weights, factors = zip(*layers, strict=True)
    return np.stack(weights), np.stack(factors)
