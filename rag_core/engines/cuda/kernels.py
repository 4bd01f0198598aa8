"""What the forward pass needs beside products, for NVIDIA cards from Ampere on (Tillet et al. 2019, Triton).

What costs beside reading the weights is the number of kernels. Gates and residuals therefore run inside the products (norms
do not: there every program repeats them, and on an H200 the product of queries, keys and values took 25 us where its bytes
take 12), and every kernel begins while the one before it ends where the card can do that (CHAIN, see `products`).
"""

from __future__ import annotations

import triton
import triton.language as tl

from rag_core.engines.cuda.products import wait

__all__ = ["PART", "attend", "gate_wide", "join", "normalise", "rotate"]

# Positions of a chat that one program of `attend` reads.
PART = 128


@triton.jit
def rotate(
    qkv, keys, values, cosine, sine, slots, positions, length,
    HEADS: tl.constexpr, KEPT: tl.constexpr, HEAD: tl.constexpr, SHARE: tl.constexpr, CHAIN: tl.constexpr,
):  # fmt: skip
    """Rotate SHARE heads of a row: queries in place, keys into the cache; values go there as they are."""
    if CHAIN:
        wait()
    row = tl.program_id(0)
    position = tl.load(positions + row)
    if position >= 0:
        slot = tl.load(slots + row)
        half = tl.arange(0, HEAD // 2)[None, :]
        head = tl.program_id(1) * SHARE + tl.arange(0, SHARE)[:, None]
        there = head < HEADS + 2 * KEPT
        at = qkv + row.to(tl.int64) * ((HEADS + 2 * KEPT) * HEAD) + head * HEAD + half
        first = tl.load(at, mask=there, other=0.0)
        second = tl.load(at + HEAD // 2, mask=there, other=0.0)
        kind = first.dtype
        by, across = tl.load(cosine + position * (HEAD // 2) + half), tl.load(sine + position * (HEAD // 2) + half)
        by, across = by.to(tl.float32), across.to(tl.float32)
        # Rounded where `transformers` rounds.
        turned = (first.to(tl.float32) * by).to(kind).to(tl.float32) - (second.to(tl.float32) * across).to(kind).to(
            tl.float32
        )
        later = (second.to(tl.float32) * by).to(kind).to(tl.float32) + (first.to(tl.float32) * across).to(kind).to(
            tl.float32
        )
        turned, later = turned.to(kind), later.to(kind)
        asks = head < HEADS
        tl.store(at, turned, mask=asks)
        tl.store(at + HEAD // 2, later, mask=asks)
        is_key = (head >= HEADS) & (head < HEADS + KEPT)
        to = (slot.to(tl.int64) * KEPT + head - HEADS) * length * HEAD + position * HEAD + half
        tl.store(keys + to, turned, mask=is_key)
        tl.store(keys + to + HEAD // 2, later, mask=is_key)
        is_value = (head >= HEADS + KEPT) & there
        to = (slot.to(tl.int64) * KEPT + head - HEADS - KEPT) * length * HEAD + position * HEAD + half
        tl.store(values + to, first, mask=is_value)
        tl.store(values + to + HEAD // 2, second, mask=is_value)


@triton.jit
def _turned(
    qkv, row, head, whole, cosine, sine, position, real,
    HEADS: tl.constexpr, KEPT: tl.constexpr, HEAD: tl.constexpr,
):  # fmt: skip
    """`whole` (heads, HEAD), the heads of a row of qkv, rotated and rounded as `rotate` does."""
    half: tl.constexpr = HEAD // 2
    width = tl.arange(0, HEAD)
    other = tl.load(
        qkv + row.to(tl.int64) * ((HEADS + 2 * KEPT) * HEAD) + head[:, None] * HEAD + ((width + half) % HEAD)[None, :],
        mask=real[:, None],
        other=0.0,
    )
    at = tl.maximum(tl.max(position, 0), 0) * half + width % half
    by, across = tl.load(cosine + at).to(tl.float32)[None, :], tl.load(sine + at).to(tl.float32)[None, :]
    kind = whole.dtype
    straight = (whole.to(tl.float32) * by).to(kind).to(tl.float32)
    crossed = (other.to(tl.float32) * across).to(kind).to(tl.float32)
    return (straight + tl.where(width[None, :] < half, -crossed, crossed)).to(kind)


@triton.jit(do_not_specialize=["rows", "parts"])
def attend(
    qkv, keys, values, cosine, sine, slots, positions, found, tops, sums, length, factor,
    window, rows, parts,
    HEADS: tl.constexpr, KEPT: tl.constexpr, HEAD: tl.constexpr, TALL: tl.constexpr, PART_: tl.constexpr,
    GROUP: tl.constexpr, FRESH: tl.constexpr, CHAIN: tl.constexpr,
):  # fmt: skip
    """Attention of GROUP rows to PART positions for the heads that share keys: unnormalised sums, tops and totals.

    `found` (rows, heads, parts, head), `tops` and `sums` (rows, heads, parts) are float32; parts behind a row's position
    mean nothing (flash decoding: Dao et al. 2023, crfm.stanford.edu/2023/10/12/flashdecoding.html). Rows of one group
    are of one chat, or idle behind those that are.

    FRESH, where every row is a chat of its own and GROUP 1: does what `rotate` does as well. The program that reads the
    part with the row's own position puts key and value into the cache, and no other needs them.
    """
    if CHAIN:
        wait()
    kept, part = tl.program_id(1), tl.program_id(2)
    sharing: tl.constexpr = HEADS // KEPT
    number = tl.arange(0, TALL)
    row = tl.program_id(0) * GROUP + number // sharing
    real = (number < GROUP * sharing) & (row < rows)
    position = tl.load(positions + row, mask=real, other=-1)
    if part * PART_ <= tl.max(position, 0):
        slot = tl.load(slots + tl.program_id(0) * GROUP)
        width, place = tl.arange(0, HEAD), part * PART_ + tl.arange(0, PART_)
        head = kept * sharing + number % sharing
        asked = tl.load(
            qkv + row[:, None] * ((HEADS + 2 * KEPT) * HEAD) + head[:, None] * HEAD + width[None, :],
            mask=real[:, None],
            other=0.0,
        )
        start = (slot.to(tl.int64) * KEPT + kept) * length * HEAD
        if FRESH:
            own = tl.load(positions + tl.program_id(0))
            if (own >= 0) & (own // PART_ == part):
                key_head = HEADS + kept + tl.zeros((1,), tl.int32)
                at_key = qkv + tl.program_id(0).to(tl.int64) * ((HEADS + 2 * KEPT) * HEAD) + key_head[:, None] * HEAD
                new, yes = tl.load(at_key + width[None, :]), key_head >= 0
                new = _turned(
                    qkv, tl.program_id(0), key_head, new, cosine, sine, key_head * 0 + own, yes, HEADS, KEPT, HEAD
                )
                tl.store(keys + start + own * HEAD + width[None, :], new)
                tl.store(values + start + own * HEAD + width[None, :], tl.load(at_key + KEPT * HEAD + width[None, :]))
                # This program's warps read what one of them has written.
                tl.debug_barrier()
        at = start + place[:, None] * HEAD + width[None, :]
        # An idle row's chat is behind the end of the cache.
        inside = (place < length) & (tl.max(position, 0) >= 0)
        key = tl.load(keys + at, mask=inside[:, None], other=0.0)
        value = tl.load(values + at, mask=inside[:, None], other=0.0)
        if FRESH:
            asked = _turned(qkv, tl.program_id(0), head, asked, cosine, sine, position, real, HEADS, KEPT, HEAD)
        seen = (place[None, :] <= position[:, None]) & (place[None, :] > position[:, None] - window)
        score = tl.where(seen, tl.dot(asked, tl.trans(key)) * factor, -1e30)
        top = tl.max(score, 1)
        weight = tl.where(seen, tl.exp(score - top[:, None]), 0.0)
        out = tl.dot(weight.to(value.dtype), value)
        to = (row * HEADS + head) * parts + part
        tl.store(tops + to, top, mask=real)
        tl.store(sums + to, tl.sum(weight, 1), mask=real)
        tl.store(found + to[:, None] * HEAD + width[None, :], out, mask=real[:, None])


@triton.jit(do_not_specialize=["parts"])
def join(
    found, tops, sums, positions, y, parts,
    HEADS: tl.constexpr, HEAD: tl.constexpr, TOGETHER: tl.constexpr, PART_: tl.constexpr, CHAIN: tl.constexpr,
):  # fmt: skip
    """y (rows, heads * head) = the attention of which `attend` left the parts."""
    if CHAIN:
        wait()
    row, head = tl.program_id(0), tl.program_id(1)
    # A row that only fills up has no parts; it gets zeros.
    used = (tl.load(positions + row) + PART_) // PART_
    part, width = tl.arange(0, TOGETHER), tl.arange(0, HEAD)
    start = (row * HEADS + head) * parts
    top = -1e30
    total = 0.0
    out = tl.zeros((HEAD,), tl.float32)
    for first in range(0, used, TOGETHER):
        inside = first + part < used
        highest = tl.load(tops + start + first + part, mask=inside, other=-1e30)
        new = tl.maximum(top, tl.max(highest, 0))
        weight = tl.where(inside, tl.exp(highest - new), 0.0)
        add = tl.load(sums + start + first + part, mask=inside, other=0.0)
        piece = tl.load(
            found + (start + first + part)[:, None] * HEAD + width[None, :], mask=inside[:, None], other=0.0
        )
        out = out * tl.exp(top - new) + tl.sum(piece * weight[:, None], 0)
        total = total * tl.exp(top - new) + tl.sum(add * weight, 0)
        top = new
    whole = out / tl.maximum(total, 1e-30)
    tl.store(y + (row * HEADS + head) * HEAD + width, whole.to(y.dtype.element_ty))


@triton.jit
def normalise(x, weight, y, inputs, epsilon, WIDTH: tl.constexpr, CHAIN: tl.constexpr):
    """y (rows, inputs) = the root-mean-square norm of x, one row a program; WIDTH is a power of 2 from `inputs` on."""
    if CHAIN:
        wait()
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, WIDTH)
    mask = column < inputs
    whole = tl.load(x + row * inputs + column, mask=mask, other=0.0).to(tl.float32)
    scaled = (whole * tl.rsqrt(tl.sum(whole * whole, 0) / inputs + epsilon)).to(y.dtype.element_ty)
    by = tl.load(weight + column, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + row * inputs + column, (scaled.to(tl.float32) * by).to(y.dtype.element_ty), mask=mask)


@triton.jit
def gate_wide(both, y, half, WIDTH: tl.constexpr, CHAIN: tl.constexpr):
    """y (rows, half) = silu of the first half of each row of `both`, times the second."""
    if CHAIN:
        wait()
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    mask = column < half
    gate = tl.load(both + row * 2 * half + column, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(both + row * 2 * half + half + column, mask=mask, other=0.0).to(tl.float32)
    kind = y.dtype.element_ty
    gate = (gate / (1.0 + tl.exp(-gate))).to(kind).to(tl.float32)
    tl.store(y + row * half + column, (gate * up).to(kind), mask=mask)
