"""Products of bfloat16 pairs for compiled code: attention at half the cost of float32, with float32 sums.

A pair is two neighbouring inputs in one word of 32 bits, the first in its lower half. Where the processor has no
instruction for it (AVX512_BF16), the same pairs are taken apart and multiplied as float32.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from rag_core.engines.vectors import load, operation, splat

__all__ = ["narrow", "pairs_8", "store_pairs", "weave"]

_ROWS = 8
_FLOAT, _WORD, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _WORDS = ir.VectorType(_FLOAT, 16), ir.VectorType(_WORD, 16)
_HALVES = ir.VectorType(ir.IntType(16), 16)
_FUSE = ("contract",)
_HIGH = 0xFFFF0000


def _has_instruction() -> bool:
    return bool(binding.get_host_cpu_features().get("avx512bf16", False))


def _plus_products(builder: ir.IRBuilder, sums: ir.Value, first: ir.Value, second: ir.Value) -> ir.Value:
    """Emit `sums` plus both products of each of 16 pairs."""
    if _has_instruction():
        kind = ir.FunctionType(_FLOATS, [_FLOATS, _WORDS, _WORDS])
        name = "llvm.x86.avx512bf16.dpbf16ps.512"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, [sums, first, second])
    high, sixteen = ir.Constant(_WORDS, [_HIGH] * 16), ir.Constant(_WORDS, [16] * 16)
    low = [builder.bitcast(builder.shl(pair, sixteen), _FLOATS) for pair in (first, second)]
    top = [builder.bitcast(builder.and_(pair, high), _FLOATS) for pair in (first, second)]
    for one, other in (low, top):
        sums = builder.fadd(sums, builder.fmul(one, other, flags=_FUSE), flags=_FUSE)
    return sums


@operation
def pairs_8(typing: Any, data: Any, x: Any, x_stride: Any, out: Any, out_stride: Any, count: Any) -> Any:
    """out[row, 0:32] = a tile of pairs [count, 32] times x[row] (pairs), for 8 rows. Addresses and strides in bytes."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        data, x, x_stride, out, out_stride, count = args
        rows = [builder.add(x, builder.mul(x_stride, ir.Constant(_LONG, row))) for row in range(_ROWS)]
        before = builder.block
        loop, after = builder.append_basic_block("pairs"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(_LONG)
        index.add_incoming(ir.Constant(_LONG, 0), before)
        sums = [builder.phi(_FLOATS) for _ in range(2 * _ROWS)]
        for phi in sums:
            phi.add_incoming(ir.Constant(_FLOATS, [0.0] * 16), before)
        place = builder.add(data, builder.mul(index, ir.Constant(_LONG, 128)))
        both = [load(builder, place, 64 * half, _WORDS) for half in (0, 1)]
        totals = []
        for number, phi in enumerate(sums):
            if number % 2 == 0:
                own = builder.add(rows[number // 2], builder.mul(index, ir.Constant(_LONG, 4)))
                pair = splat(builder, load(builder, own, 0, _WORD), _WORDS)
            totals.append(_plus_products(builder, phi, both[number % 2], pair))
        following = builder.add(index, ir.Constant(_LONG, 1))
        index.add_incoming(following, loop)
        for phi, total in zip(sums, totals, strict=True):
            phi.add_incoming(total, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        for number, total in enumerate(totals):
            row = builder.add(out, builder.mul(out_stride, ir.Constant(_LONG, number // 2)))
            target = builder.add(row, ir.Constant(_LONG, 64 * (number % 2)))
            builder.store(total, builder.inttoptr(target, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@operation
def narrow(typing: Any, x: Any, factor: Any, out: Any, vectors: Any) -> Any:
    """Write 16 times `vectors` numbers of x (float32), each times `factor`, as pairs of neighbours. Addresses in bytes."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, factor, out, vectors = args
        factors = splat(builder, factor, _FLOATS)
        with cgutils.for_range(builder, vectors) as loop:
            place = builder.add(x, builder.mul(loop.index, ir.Constant(_LONG, 64)))
            value = builder.fmul(load(builder, place, 0, _FLOATS), factors)
            store_pairs(builder, value, builder.add(out, builder.mul(loop.index, ir.Constant(_LONG, 32))))
        return context.get_dummy_value()

    return types.void(types.int64, types.float32, types.int64, types.int64), generate


@operation
def weave(typing: Any, first: Any, second: Any, out: Any, vectors: Any) -> Any:
    """Write as pairs what stands in the same places of two rows: 16 times `vectors` numbers (float32) of each."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        first, second, out, vectors = args
        with cgutils.for_range(builder, vectors) as loop:
            step = builder.mul(loop.index, ir.Constant(_LONG, 64))
            low, high = (
                _rounded(builder, load(builder, builder.add(row, step), 0, _FLOATS)) for row in (first, second)
            )
            low = builder.lshr(low, ir.Constant(_WORDS, [16] * 16))
            pairs = builder.or_(low, builder.and_(high, ir.Constant(_WORDS, [_HIGH] * 16)))
            target = builder.inttoptr(builder.add(out, step), _WORDS.as_pointer())
            builder.store(pairs, target, align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


def store_pairs(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    """Emit a store of 16 numbers as 8 pairs of neighbours."""
    high = builder.lshr(_rounded(builder, value), ir.Constant(_WORDS, [16] * 16))
    halves = builder.trunc(high, _HALVES)
    builder.store(halves, builder.inttoptr(address, _HALVES.as_pointer()), align=4)


def _rounded(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Emit the bits of 16 numbers, rounded to the nearest bfloat16 in their upper halves."""
    return builder.add(builder.bitcast(value, _WORDS), ir.Constant(_WORDS, [0x8000] * 16))
