"""Products of bytes for compiled code: AVX-512's sums of four products (VNNI), with a scale for each 96 inputs.

A product of eight-bit numbers costs a quarter of a float32 one and half of a bfloat16 one. Both sides are rounded in
groups of 96 inputs, each with its own scale, so that one large number spoils 95 neighbours at most and not the row.
Vectors of MiniLM then have a cosine of 0.9996 with those of float32; with groups of 64 it is 0.9997, of 128 0.9995, with
one scale a row 0.9990. Activations are unsigned with an offset, weights signed: what the instruction multiplies.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from rag_core.encoder.shapes import GROUP
from rag_core.engines.vectors import extreme, extreme_of, load, operation, splat

__all__ = ["ROWS", "quantise", "tile"]

# Rows of activations that one call of `tile` multiplies: 12 sums of integers, 12 of floats and the weights are what 32
# registers hold.
ROWS = 6

_FLOAT, _BYTE, _WORD, _LONG = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_FLOATS, _WORDS, _BYTES = ir.VectorType(_FLOAT, 16), ir.VectorType(_WORD, 16), ir.VectorType(_BYTE, 16)
_STEP = 4
_FUSE = ("contract",)


def _long(value: int) -> ir.Constant:
    return ir.Constant(_LONG, value)


def _all(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * 16)


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, offset: int) -> None:
    place = builder.inttoptr(builder.add(address, _long(offset)), value.type.as_pointer())
    builder.store(value, place, align=1)


def _four_products(builder: ir.IRBuilder, sums: ir.Value, unsigned: ir.Value, signed: ir.Value) -> ir.Value:
    """Emit `sums` (16 of 32 bits) plus four products of bytes each."""
    kind = ir.FunctionType(_WORDS, [_WORDS, _WORDS, _WORDS])
    name = "llvm.x86.avx512.vpdpbusd.512"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, [sums, unsigned, signed])


def _group_products(builder: ir.IRBuilder, rows: list[ir.Value], weights: ir.Value) -> list[ir.Value]:
    """Emit the products of one group: 32 outputs of each row, as two vectors of 32-bit sums a row."""
    before = builder.block
    loop, after = builder.append_basic_block("products"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(_LONG)
    index.add_incoming(_long(0), before)
    sums = [builder.phi(_WORDS) for _ in range(2 * len(rows))]
    for phi in sums:
        phi.add_incoming(ir.Constant(_WORDS, [0] * 16), before)
    totals: list[ir.Value] = list(sums)
    place = builder.add(weights, builder.mul(index, _long(128)))
    at = [builder.add(row, builder.mul(index, _long(4))) for row in rows]
    for step in range(_STEP):
        both = [load(builder, place, 128 * step + 64 * half, _WORDS) for half in (0, 1)]
        for number, row in enumerate(at):
            four = splat(builder, load(builder, row, 4 * step, _WORD), _WORDS)
            for half in (0, 1):
                own = 2 * number + half
                totals[own] = _four_products(builder, totals[own], four, both[half])
    following = builder.add(index, _long(_STEP))
    index.add_incoming(following, loop)
    for phi, total in zip(sums, totals, strict=True):
        phi.add_incoming(total, loop)
    builder.cbranch(builder.icmp_signed("<", following, _long(GROUP // 4)), loop, after)
    builder.position_at_end(after)
    return totals


def _scaled(
    builder: ir.IRBuilder,
    sums: list[ir.Value],
    products: list[ir.Value],
    places: list[ir.Value],
    scale: list[ir.Value],
    sums_of: list[ir.Value],
) -> list[ir.Value]:
    """Emit `sums` plus a group's `products`, two vectors a row: by the weights' scales and those at each row's place."""
    totals = []
    for number, before in enumerate(sums):
        row, half = number // 2, number % 2
        by = splat(builder, load(builder, places[row], 0, _FLOAT), _FLOATS)
        less = splat(builder, load(builder, places[row], 4, _FLOAT), _FLOATS)
        value = builder.fmul(builder.sitofp(products[number], _FLOATS), scale[half])
        total = builder.fadd(before, builder.fmul(value, by, flags=_FUSE), flags=_FUSE)
        totals.append(builder.fsub(total, builder.fmul(sums_of[half], less, flags=_FUSE), flags=_FUSE))
    return totals


@operation
def tile(
    typing: Any,
    weights: Any,
    factors: Any,
    x: Any,
    x_stride: Any,
    scales: Any,
    scales_stride: Any,
    bias: Any,
    out: Any,
    out_stride: Any,
    groups: Any,
) -> Any:
    """out[row, 0:32] = bias + a tile of 32 outputs times x[row], for ROWS rows. Addresses and strides in bytes.

    `weights` is int8 [input / 4, 32, 4]; `factors` float32 [group, 2, 32]: the weights' scales, and those times the sum
    of the group's weights. `x` is uint8 [row, input]; `scales` float32 [row, group, 2]: scale, and scale times offset.
    """
    names = (
        "weights", "factors", "x", "x_stride", "scales", "scales_stride", "bias", "out", "out_stride", "groups",
    )  # fmt: skip

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        at = dict(zip(names, args, strict=True))
        x_rows = [builder.add(at["x"], builder.mul(at["x_stride"], _long(row))) for row in range(ROWS)]
        scale_rows = [builder.add(at["scales"], builder.mul(at["scales_stride"], _long(row))) for row in range(ROWS)]
        first = [load(builder, at["bias"], 64 * half, _FLOATS) for half in (0, 1)]
        before = builder.block
        loop, after = builder.append_basic_block("group"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(_LONG)
        index.add_incoming(_long(0), before)
        sums = [builder.phi(_FLOATS) for _ in range(2 * ROWS)]
        for number, phi in enumerate(sums):
            phi.add_incoming(first[number % 2], before)
        inputs = [builder.add(row, builder.mul(index, _long(GROUP))) for row in x_rows]
        own = builder.add(at["weights"], builder.mul(index, _long(32 * GROUP)))
        products = _group_products(builder, inputs, own)
        factor = builder.add(at["factors"], builder.mul(index, _long(256)))
        scale = [load(builder, factor, 64 * half, _FLOATS) for half in (0, 1)]
        sums_of = [load(builder, factor, 128 + 64 * half, _FLOATS) for half in (0, 1)]
        places = [builder.add(row, builder.mul(index, _long(8))) for row in scale_rows]
        totals = _scaled(builder, sums, products, places, scale, sums_of)
        end = builder.block
        following = builder.add(index, _long(1))
        index.add_incoming(following, end)
        for phi, total in zip(sums, totals, strict=True):
            phi.add_incoming(total, end)
        builder.cbranch(builder.icmp_signed("<", following, at["groups"]), loop, after)
        builder.position_at_end(after)
        for number, total in enumerate(totals):
            row = builder.add(at["out"], builder.mul(at["out_stride"], _long(number // 2)))
            _store(builder, total, row, 64 * (number % 2))
        return context.get_dummy_value()

    return types.void(*[types.int64] * len(names)), generate


@operation
def quantise(typing: Any, x: Any, out: Any, scales: Any, groups: Any) -> Any:
    """Round one row to bytes: x about scale * (byte - offset). Addresses: float32 in, uint8 out, scales as in `tile`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, out, scales, groups = args
        zero, most = _all(0.0), _all(255.0)
        with cgutils.for_range(builder, groups) as loop:
            source = builder.add(x, builder.mul(loop.index, _long(4 * GROUP)))
            target = builder.add(out, builder.mul(loop.index, _long(GROUP)))
            values = [load(builder, source, 64 * part, _FLOATS) for part in range(GROUP // 16)]
            # Zero is among them: it stands for itself exactly, and the offset is a byte.
            low, high = zero, zero
            for value in values:
                low, high = extreme(builder, low, value, "<"), extreme(builder, high, value, ">")
            low, high = extreme_of(builder, low, "<"), extreme_of(builder, high, ">")
            span = extreme(builder, builder.fsub(high, low), _all(1e-30), ">")
            scale = builder.fmul(span, _all(1 / 255))
            inverse = builder.fdiv(most, span)
            offset = builder.fptosi(builder.fadd(builder.fmul(builder.fneg(low), inverse), _all(0.5)), _WORDS)
            offset = builder.sitofp(offset, _FLOATS)
            start = builder.fadd(offset, _all(0.5))
            for part, value in enumerate(values):
                number = builder.fadd(builder.fmul(value, inverse, flags=_FUSE), start, flags=_FUSE)
                number = builder.fptosi(extreme(builder, extreme(builder, number, most, "<"), zero, ">"), _WORDS)
                _store(builder, builder.trunc(number, _BYTES), target, 16 * part)
            place = builder.add(scales, builder.mul(loop.index, _long(8)))
            lane = ir.Constant(_WORD, 0)
            _store(builder, builder.extract_element(scale, lane), place, 0)
            _store(builder, builder.extract_element(builder.fmul(scale, offset), lane), place, 4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate
