"""The product of few rows and a matrix, the kernel that decoding spends its time in (Triton, NVIDIA cards from Ampere on).

Decoding reads every weight once a token, so the product's speed should be the memory's. Up to ROWS rows share one read of
the weights, and a row's numbers never depend on how many there are: checking a draft gives the same tokens as one token at
a time. Weights are the tensor cores' first operand, rows the second: eight rows cost half of sixteen. Each warp has a
section of the inputs of its own, since a matrix with few outputs would keep too few warps busy otherwise.

With CHAIN, on Hopper, a kernel is launched while the one before it ends and waits for its numbers (programmatic dependent
launch: "CUDA C++ Programming Guide", section of that name).
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["ROWS", "multiply", "unpack", "wait"]

# Rows of one narrow product.
ROWS = 16

# Two weights of each of two words, less 8. Under 0x4300 the bits of n are those of 128 + n in bfloat16, under 0x6400
# those of 1024 + n in float16; a fused multiply-add by one takes off what is too much.
_BFLOAT16 = tl.constexpr("""{
.reg .b32 one, less; mov.b32 one, 0x3F803F80; mov.b32 less, 0xC308C308;
lop3.b32 $0, $2, 0x000F000F, 0x43004300, 0xEA; lop3.b32 $1, $3, 0x000F000F, 0x43004300, 0xEA;
fma.rn.bf16x2 $0, $0, one, less; fma.rn.bf16x2 $1, $1, one, less;
}""")
_FLOAT16 = tl.constexpr("""{
.reg .b32 one, less; mov.b32 one, 0x3C003C00; mov.b32 less, 0xE408E408;
lop3.b32 $0, $2, 0x000F000F, 0x64006400, 0xEA; lop3.b32 $1, $3, 0x000F000F, 0x64006400, 0xEA;
fma.rn.f16x2 $0, $0, one, less; fma.rn.f16x2 $1, $1, one, less;
}""")


@triton.jit
def wait():
    """Let the next kernel begin, and wait for the numbers of the one before."""
    tl.extra.cuda.gdc_launch_dependents()
    tl.extra.cuda.gdc_wait()


@triton.jit
def _two(words, kind: tl.constexpr):
    """Two groups of weights of (..., 32) words, each (..., 32).

    The tensor cores' layout gives a thread neighbouring words, so two of them make two registers of two weights:
    no bits are moved but by one shift. `pack` in `weights` puts the weights where this finds them.
    """
    if kind == tl.bfloat16:
        first, second = tl.inline_asm_elementwise(
            _BFLOAT16, "=r,=r,r,r", [words], dtype=(tl.bfloat16, tl.bfloat16), is_pure=True, pack=2
        )
    else:
        first, second = tl.inline_asm_elementwise(
            _FLOAT16, "=r,=r,r,r", [words], dtype=(tl.float16, tl.float16), is_pure=True, pack=2
        )
    return first, second


@triton.jit
def _scales(pair):
    """The two bfloat16 numbers of each word."""
    return (pair << 16).to(tl.float32, bitcast=True), (pair & -65536).to(tl.float32, bitcast=True)


@triton.jit
def _rows(at, start, real, inputs, DEEP: tl.constexpr, EVEN: tl.constexpr):
    """x's columns [start, start + DEEP) of each section: (sections, DEEP, rows), zeros where there is nothing."""
    column = start[:, None, None] + tl.arange(0, DEEP)[None, :, None]
    mask = real[None, None, :] & (column >= 0)
    if not EVEN:
        mask = mask & (column < inputs)
    return tl.load(at[None, None, :] + column, mask=mask, other=0.0)


@triton.jit
def _load(at, there, EVEN: tl.constexpr):
    """What is at these addresses; zeros where there is nothing, which EVEN rules out."""
    return tl.load(at) if EVEN else tl.load(at, mask=there, other=0)


@triton.jit
def _of_words(
    at_row, weights, scales, real, output, made, outputs, inputs, spans, each, first,
    kind: tl.constexpr, GATED: tl.constexpr, EVEN: tl.constexpr,
    WIDE: tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, TALL: tl.constexpr,
):  # fmt: skip
    """The sums of `multiply` over packed weights, by section: (SPLIT, WIDE, TALL), and those of the gate's other half."""
    total = tl.zeros((SPLIT, WIDE, TALL), tl.float32)
    other = tl.zeros((SPLIT, WIDE, TALL), tl.float32)
    word = tl.arange(0, 32)
    at = weights + output[None, :, None] * (spans * 32) + first[:, None, None] * 32 + word[None, None, :]
    by = scales + first[:, None] * (4 * outputs) + output[None, :]
    for span in tl.range(0, each, num_stages=STAGES):
        there = first + span < spans
        bits = _load(at + span * 32, there[:, None, None], EVEN)
        if GATED:
            more = _load(at + made * (spans * 32) + span * 32, there[:, None, None], EVEN)
        for quarter in tl.static_range(4):
            pair = _load(by + (span * 4 + quarter) * outputs, there[:, None], EVEN)
            start = (first + span) * 256 + quarter * 64
            part = _rows(at_row, start, real, inputs, 32, EVEN)
            later = _rows(at_row, start + 32, real, inputs, 32, EVEN)
            lower, upper = _two(bits >> (4 * quarter), kind)
            low, high = _scales(pair)
            total += tl.dot(lower, part) * low[:, :, None]
            total += tl.dot(upper, later) * high[:, :, None]
            if GATED:
                pair = _load(by + (span * 4 + quarter) * outputs + made, there[:, None], EVEN)
                lower, upper = _two(more >> (4 * quarter), kind)
                low, high = _scales(pair)
                other += tl.dot(lower, part) * low[:, :, None]
                other += tl.dot(upper, later) * high[:, :, None]
    return total, other


@triton.jit
def _of_numbers(
    at_row, weights, real, output, made, inputs, each, first,
    GATED: tl.constexpr, EVEN: tl.constexpr,
    WIDE: tl.constexpr, DEEP: tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, TALL: tl.constexpr,
):  # fmt: skip
    """The same over whole weights."""
    total = tl.zeros((SPLIT, WIDE, TALL), tl.float32)
    other = tl.zeros((SPLIT, WIDE, TALL), tl.float32)
    for step in tl.range(0, each, num_stages=STAGES):
        start = (first + step) * DEEP
        column = start[:, None, None] + tl.arange(0, DEEP)[None, None, :]
        at = weights + output[None, :, None] * inputs + column
        part = _rows(at_row, start, real, inputs, DEEP, EVEN)
        there = (column < inputs) & (output[None, :, None] >= 0)
        total = tl.dot(_load(at, there, EVEN), part, total)
        if GATED:
            other = tl.dot(_load(at + made * inputs, there, EVEN), part, other)
    return total, other


@triton.jit
def _ahead(weights, output, pitch, first, each, SPLIT: tl.constexpr, LINES: tl.constexpr):
    """Fetch into the card's cache the first LINES lines of 128 bytes of each output's sections: they wait for no kernel.

    `pitch` bytes lie between outputs, `each` between sections.
    """
    line = tl.arange(0, LINES) * 128
    at = weights.to(tl.int64) + output[None, :, None].to(tl.int64) * pitch
    at += first[:, None, None].to(tl.int64) * each + line[None, None, :]
    tl.inline_asm_elementwise(
        "{ prefetch.global.L2 [$1]; mov.u32 $0, 0; }", "=r,l", [at], dtype=tl.int32, is_pure=False, pack=1
    )


@triton.jit(do_not_specialize=["rows"])
def multiply(
    x, weights, scales, residual, y, rows, outputs, inputs, spans,
    RESIDUAL: tl.constexpr, GATED: tl.constexpr, PACKED: tl.constexpr, EVEN: tl.constexpr, CHAIN: tl.constexpr,
    WIDE: tl.constexpr, DEEP: tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, TALL: tl.constexpr,
    LINES: tl.constexpr,
):  # fmt: skip
    """y (rows, outputs) = x times weights (outputs, inputs) + residual; GATED: silu of the upper half times the lower.

    Under GATED, `outputs` counts those of the matrix and y has half of them. PACKED: see `pack` in `weights`. Each of SPLIT
    warps reads `spans / SPLIT` spans of 256 inputs (PACKED) or DEEP of them, STAGES - 1 of which are on their way.
    """
    made = outputs // 2 if GATED else outputs
    place = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    # Programs past the end read the last output again and do not store it.
    output = tl.minimum(place, made - 1)
    each = tl.cdiv(spans, SPLIT)
    first = tl.arange(0, SPLIT) * each
    if CHAIN:
        if LINES > 0:
            pitch, span = (spans * 128, 128) if PACKED else (inputs * 2, DEEP * 2)
            _ahead(weights, output, pitch, first, span, SPLIT, LINES)
            if GATED:
                _ahead(weights, output + made, pitch, first, span, SPLIT, LINES)
        tl.extra.cuda.gdc_wait()
    row = tl.arange(0, TALL)
    real, at_row = row < rows, x + row * inputs
    if PACKED:
        total, other = _of_words(
            at_row, weights, scales, real, output, made, outputs, inputs, spans, each, first,
            x.dtype.element_ty, GATED, EVEN, WIDE, SPLIT, STAGES, TALL,
        )  # fmt: skip
    else:
        total, other = _of_numbers(
            at_row, weights, real, output, made, inputs, each, first, GATED, EVEN, WIDE, DEEP, SPLIT, STAGES, TALL
        )
    if CHAIN:
        # Sooner, the next kernel's programs would take place from those of this one: measured, and slower.
        tl.extra.cuda.gdc_launch_dependents()
    out = tl.sum(total, 0)
    result: tl.constexpr = y.dtype.element_ty
    if GATED:
        gate = out.to(result).to(tl.float32)
        gate = (gate / (1.0 + tl.exp(-gate))).to(result).to(tl.float32)
        out = gate * tl.sum(other, 0).to(result).to(tl.float32)
    to = row[None, :] * made + place[:, None]
    mask = real[None, :] & (place[:, None] < made)
    if RESIDUAL:
        out = out.to(result).to(tl.float32) + tl.load(residual + to, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + to, out.to(result), mask=mask)


@triton.jit
def unpack(words, scales, y, outputs, inputs, spans, WIDE: tl.constexpr, CHAIN: tl.constexpr):
    """y (outputs, inputs) = the whole weights of a four-bit matrix, WIDE rows and one span a program."""
    if CHAIN:
        wait()
    output, span = tl.program_id(0) * WIDE + tl.arange(0, WIDE), tl.program_id(1)
    there = output < outputs
    place = tl.arange(0, 32)
    at = words + output[:, None].to(tl.int64) * (spans * 32) + span * 32 + (place // 2 * 2)[None, :]
    for group in tl.static_range(8):
        bits = tl.load(at + group % 2, mask=there[:, None], other=0)
        pair = tl.load(scales + (span * 4 + group // 2) * outputs + output, mask=there, other=0)
        low, high = _scales(pair)
        by = high if group % 2 else low
        number = ((bits >> (4 * (group // 2) + 16 * (place % 2)[None, :])) & 15) - 8
        column = span * 256 + group * 32 + place
        tl.store(
            y + output[:, None].to(tl.int64) * inputs + column[None, :],
            (number.to(tl.float32) * by[:, None]).to(y.dtype.element_ty),
            mask=there[:, None] & (column[None, :] < inputs),
        )
