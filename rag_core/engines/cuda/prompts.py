"""Attention of a prompt that is read, for NVIDIA cards from Hopper on (FlashAttention-2, Dao 2023, arXiv:2307.08691).

torch brings the second FlashAttention, which does not use what Hopper has for it: copies by descriptor, and products that
run while the processor's other units take exponentials (FlashAttention-3, Shah et al. 2024, arXiv:2407.08608). Triton's
compiler does both.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

__all__ = ["attend_prompt", "tiled"]

# Queries and keys of a tile, warps and stages: the best of those tried on an H200 at 7B.
_TILE = (128, 128, 8, 2)


@triton.jit
def _fold(
    queries, keys, values, kept, first, last, row, total, top, sums, scale,
    MASKED: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr, HEAD: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Add the keys [first, last) to the sums of a tile of queries, of which the first is at position `row`."""
    for start in tl.range(first, last, KEYS, num_stages=STAGES):
        key = keys.load([kept, start, 0]).reshape(KEYS, HEAD)
        score = tl.dot(queries, key.T) * scale
        if MASKED:
            place = start + tl.arange(0, KEYS)
            score = tl.where((row + tl.arange(0, QUERIES))[:, None] >= place[None, :], score, float("-inf"))
        higher = tl.maximum(top, tl.max(score, 1))
        weight = tl.math.exp2(score - higher[:, None])
        less = tl.math.exp2(top - higher)
        sums = sums * less + tl.sum(weight, 1)
        value = values.load([kept, start, 0]).reshape(KEYS, HEAD)
        total = tl.dot(weight.to(value.dtype), value, total * less[:, None])
        top = higher
    return total, top, sums


@triton.jit
def _attend(
    queries, keys, values, found, before, end, scale,
    SHARING: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr, HEAD: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """A tile of queries of one head against all keys up to each; `before` keys stand before the first query."""
    head = tl.program_id(0)
    # The last tiles have the most keys, so they begin first.
    at = (tl.num_programs(1) - 1 - tl.program_id(1)) * QUERIES
    row = before + at
    asked = queries.load([at, head * HEAD])
    top = tl.full((QUERIES,), float("-inf"), tl.float32)
    sums = tl.zeros((QUERIES,), tl.float32)
    total = tl.zeros((QUERIES, HEAD), tl.float32)
    # Up to here every key is before every query.
    free = (row + 1) // KEYS * KEYS
    total, top, sums = _fold(
        asked, keys, values, head // SHARING, 0, free, row, total, top, sums, scale, False, QUERIES, KEYS, HEAD, STAGES
    )
    last = tl.minimum(end, row + QUERIES)
    total, top, sums = _fold(
        asked,
        keys,
        values,
        head // SHARING,
        free,
        last,
        row,
        total,
        top,
        sums,
        scale,
        True,
        QUERIES,
        KEYS,
        HEAD,
        STAGES,
    )
    found.store([at, head * HEAD], (total / sums[:, None]).to(found.dtype))


def tiled(device: torch.device, head_size: int) -> bool:
    """Whether this card and this Triton can do it: a tile fills the shared memory that only the data centre's cards have."""
    if torch.cuda.get_device_capability(device)[0] not in (9, 10) or head_size not in (64, 128):
        return False
    try:
        import triton.tools.tensor_descriptor  # noqa: F401
    except ImportError:
        return False
    return True


def attend_prompt(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, tile: tuple[int, int, int, int] = _TILE
) -> torch.Tensor:
    """As `PlainOps.read_prompt` without a window: T queries (T, heads, head) over keys (kept, end, head), T <= end.

    Returns (T, heads * head). A row of `queries` must be contiguous, as must be a head of `keys` and `values`.
    """
    from triton.tools.tensor_descriptor import TensorDescriptor

    count, heads, size = queries.shape
    end = keys.shape[1]
    tall, wide, warps, stages = tile
    found = torch.empty(count, heads * size, dtype=queries.dtype, device=queries.device)

    def rows(x: torch.Tensor, stride: int) -> Any:
        return TensorDescriptor(x, [count, heads * size], [stride, 1], [tall, size])

    def cache(x: torch.Tensor) -> Any:
        return TensorDescriptor(x, list(x.shape), list(x.stride()), [1, wide, size])

    _attend[(heads, -(-count // tall))](
        rows(queries, queries.stride(0)), cache(keys), cache(values), rows(found, heads * size),
        end - count, end, math.log2(math.e) * size**-0.5,
        SHARING=heads // len(keys), QUERIES=tall, KEYS=wide, HEAD=size, STAGES=stages, num_warps=warps,
    )  # fmt: skip
    return found
