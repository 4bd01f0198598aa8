"""The forward pass's kernels for NVIDIA cards from Ampere on (Tillet et al. 2019, Triton), recorded in CUDA graphs.

Decoding reads every weight once a token, so its speed is that of the memory, and what costs beside is the number of
kernels. Gates and residuals therefore run inside the products (norms do not: there every program repeats them, and on an
H200 the product of queries, keys and values took 25 us where its bytes take 12). Up to ROWS rows share one read of the
weights, and a row's numbers never depend on how many there are: checking a draft gives the same tokens as one token at a time.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["PART", "ROWS", "attend", "gate_wide", "join", "multiply", "normalise", "rotate", "unpack"]

# Rows of one narrow product: the least that the tensor cores multiply.
ROWS = 16
# Positions of a chat that one program of `attend` reads.
PART = 128


@triton.jit
def _inputs(x, start, rows, inputs, WIDTH: tl.constexpr, TALL: tl.constexpr, EVEN: tl.constexpr):
    """WIDTH columns of x from `start` on: (TALL, WIDTH), zeros behind the last row and the last column."""
    row, column = tl.arange(0, TALL), start + tl.arange(0, WIDTH)
    mask = row[:, None] < rows
    if not EVEN:
        mask = mask & (column[None, :] < inputs)
    return tl.load(x + row[:, None] * inputs + column[None, :], mask=mask, other=0.0)


@triton.jit
def _whole(bits, group, like):
    """Nibble `group` of each word, less 8, in the type of `like`.

    The bits of 128 + n in bfloat16 and of 1024 + n in float16 are those of n under a fixed exponent: no conversion.
    """
    nibble = (bits >> (4 * group)) & 15
    if like.dtype == tl.bfloat16:
        whole = (nibble | 0x4300).to(tl.int16).to(tl.bfloat16, bitcast=True) - 136.0
    else:
        whole = (nibble | 0x6400).to(tl.int16).to(tl.float16, bitcast=True) - 1032.0
    return whole


@triton.jit
def _scale(pair, upper):
    """One of two float16 numbers in each word."""
    return ((pair >> (16 * upper)) & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit(do_not_specialize=["rows"])
def multiply(
    x, weights, scales, residual, y, rows, outputs, inputs, spans,
    RESIDUAL: tl.constexpr, GATED: tl.constexpr, PACKED: tl.constexpr, EVEN: tl.constexpr,
    WIDE: tl.constexpr, DEEP: tl.constexpr, STAGES: tl.constexpr, TALL: tl.constexpr,
):  # fmt: skip
    """y (rows, outputs) = x times weights (outputs, inputs) + residual; GATED: silu of the upper half times the lower.

    Under GATED, `outputs` counts those of the matrix and y has half of them. PACKED: see `pack` in `weights`.
    """
    row = tl.arange(0, TALL)
    made = outputs // 2 if GATED else outputs
    place = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    # Programs past the end read the last output again and do not store it.
    output = tl.minimum(place, made - 1)
    total = tl.zeros((TALL, WIDE), tl.float32)
    other = tl.zeros((TALL, WIDE), tl.float32)
    if PACKED:
        word = tl.arange(0, 32)
        at = weights + output[:, None] * (spans * 32) + word[None, :]
        for span in tl.range(0, spans, num_stages=STAGES):
            bits = tl.load(at + span * 32)
            if GATED:
                more = tl.load(at + made * (spans * 32) + span * 32)
            for pair in tl.static_range(4):
                by = tl.load(scales + (span * 4 + pair) * outputs + output)
                if GATED:
                    across = tl.load(scales + (span * 4 + pair) * outputs + output + made)
                for upper in tl.static_range(2):
                    part = _inputs(x, span * 256 + (2 * pair + upper) * 32, rows, inputs, 32, TALL, EVEN)
                    total += tl.dot(part, tl.trans(_whole(bits, 2 * pair + upper, part))) * _scale(by, upper)[None, :]
                    if GATED:
                        other += (
                            tl.dot(part, tl.trans(_whole(more, 2 * pair + upper, part)))
                            * _scale(across, upper)[None, :]
                        )
    else:
        column = tl.arange(0, DEEP)
        for start in tl.range(0, inputs, DEEP, num_stages=STAGES):
            part = _inputs(x, start, rows, inputs, DEEP, TALL, True)
            at = weights + output[:, None] * inputs + start + column[None, :]
            total = tl.dot(part, tl.trans(tl.load(at)), total)
            if GATED:
                other = tl.dot(part, tl.trans(tl.load(at + made * inputs)), other)
    kind = y.dtype.element_ty
    if GATED:
        gate = total.to(kind).to(tl.float32)
        gate = (gate / (1.0 + tl.exp(-gate))).to(kind).to(tl.float32)
        total = gate * other.to(kind).to(tl.float32)
    to = row[:, None] * made + place[None, :]
    mask = (row[:, None] < rows) & (place[None, :] < made)
    if RESIDUAL:
        total = total.to(kind).to(tl.float32) + tl.load(residual + to, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + to, total.to(kind), mask=mask)


@triton.jit
def rotate(
    qkv, keys, values, cosine, sine, slots, positions, length,
    HEADS: tl.constexpr, KEPT: tl.constexpr, HEAD: tl.constexpr, SHARE: tl.constexpr,
):  # fmt: skip
    """Rotate SHARE heads of a row: queries in place, keys into the cache; values go there as they are."""
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


@triton.jit(do_not_specialize=["parts"])
def attend(
    qkv, keys, values, slots, positions, found, tops, sums, length, factor,
    window, parts,
    HEADS: tl.constexpr, KEPT: tl.constexpr, HEAD: tl.constexpr, TALL: tl.constexpr, PART_: tl.constexpr,
):  # fmt: skip
    """Attention of one row to PART positions for the heads that share keys: unnormalised sums, tops and totals.

    `found` (rows, heads, parts, head), `tops` and `sums` (rows, heads, parts) are float32; parts behind the row's
    position are not written (flash decoding: Dao et al. 2023, crfm.stanford.edu/2023/10/12/flashdecoding.html).
    """
    row, kept, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    position = tl.load(positions + row)
    if part * PART_ <= position:
        sharing: tl.constexpr = HEADS // KEPT
        slot = tl.load(slots + row)
        number, width, place = tl.arange(0, TALL), tl.arange(0, HEAD), part * PART_ + tl.arange(0, PART_)
        head = kept * sharing + number
        real = number < sharing
        asked = tl.load(
            qkv + row * ((HEADS + 2 * KEPT) * HEAD) + head[:, None] * HEAD + width[None, :],
            mask=real[:, None],
            other=0.0,
        )
        at = (slot.to(tl.int64) * KEPT + kept) * length * HEAD + place[:, None] * HEAD + width[None, :]
        inside = place < length
        key = tl.load(keys + at, mask=inside[:, None], other=0.0)
        value = tl.load(values + at, mask=inside[:, None], other=0.0)
        seen = (place <= position) & (place > position - window)
        score = tl.where(seen[None, :], tl.dot(asked, tl.trans(key)) * factor, -1e30)
        top = tl.max(score, 1)
        weight = tl.where(seen[None, :], tl.exp(score - top[:, None]), 0.0)
        out = tl.dot(weight.to(value.dtype), value)
        to = (row * HEADS + head) * parts + part
        tl.store(tops + to, top, mask=real)
        tl.store(sums + to, tl.sum(weight, 1), mask=real)
        tl.store(found + to[:, None] * HEAD + width[None, :], out, mask=real[:, None])


@triton.jit(do_not_specialize=["parts"])
def join(
    found, tops, sums, positions, y, parts,
    HEADS: tl.constexpr, HEAD: tl.constexpr, TOGETHER: tl.constexpr, PART_: tl.constexpr,
):  # fmt: skip
    """y (rows, heads * head) = the attention of which `attend` left the parts."""
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
def normalise(x, weight, y, inputs, epsilon, WIDTH: tl.constexpr):
    """y (rows, inputs) = the root-mean-square norm of x, one row a program; WIDTH is a power of 2 from `inputs` on."""
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, WIDTH)
    mask = column < inputs
    whole = tl.load(x + row * inputs + column, mask=mask, other=0.0).to(tl.float32)
    scaled = (whole * tl.rsqrt(tl.sum(whole * whole, 0) / inputs + epsilon)).to(y.dtype.element_ty)
    by = tl.load(weight + column, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + row * inputs + column, (scaled.to(tl.float32) * by).to(y.dtype.element_ty), mask=mask)


@triton.jit
def gate_wide(both, y, half, WIDTH: tl.constexpr):
    """y (rows, half) = silu of the first half of each row of `both`, times the second."""
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    mask = column < half
    gate = tl.load(both + row * 2 * half + column, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(both + row * 2 * half + half + column, mask=mask, other=0.0).to(tl.float32)
    kind = y.dtype.element_ty
    gate = (gate / (1.0 + tl.exp(-gate))).to(kind).to(tl.float32)
    tl.store(y + row * half + column, (gate * up).to(kind), mask=mask)


@triton.jit
def unpack(words, scales, y, outputs, inputs, spans, WIDE: tl.constexpr):
    """y (outputs, inputs) = the whole weights of a four-bit matrix, WIDE rows and one span a program."""
    output, span = tl.program_id(0) * WIDE + tl.arange(0, WIDE), tl.program_id(1)
    there = output < outputs
    word = tl.arange(0, 32)
    bits = tl.load(
        words + output[:, None].to(tl.int64) * (spans * 32) + span * 32 + word[None, :], mask=there[:, None], other=0
    )
    for pair in tl.static_range(4):
        by = tl.load(scales + (span * 4 + pair) * outputs + output, mask=there, other=0)
        for upper in tl.static_range(2):
            group = 2 * pair + upper
            whole = (((bits >> (4 * group)) & 15) - 8).to(tl.float32) * _scale(by, upper)[:, None]
            column = span * 256 + group * 32 + word
            tl.store(
                y + output[:, None].to(tl.int64) * inputs + column[None, :],
                whole.to(y.dtype.element_ty),
                mask=there[:, None] & (column[None, :] < inputs),
            )
