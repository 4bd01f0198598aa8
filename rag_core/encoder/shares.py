"""How much each token heeds each other one: the softmax of a row of scores, written as the pairs that are multiplied.

Powers of two instead of exponentials: the caller multiplies the scores by log2(e). What is written is not divided by its
sum, since it costs less to divide the few sums of products that are made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from rag_core.encoder.pairs import store_pairs
from rag_core.engines.vectors import extreme, extreme_of, load, operation

__all__ = ["weigh"]

_FLOAT, _WORD, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _WORDS = ir.VectorType(_FLOAT, 16), ir.VectorType(_WORD, 16)
_FUSE = ("contract",)
# 2**x on [-1/2, 1/2], fitted to the least relative error: 7.5e-5 at most, a fiftieth of what rounding to pairs costs.
_POLYNOMIAL = (0.055171667, 0.24261112, 0.69326099, 0.99992807)
_LOWEST = -126.0


def _all(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * 16)


def _power(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Emit 2**x of 16 numbers from -126 to 0."""
    # Not by adding and taking off a large number: the caller's fast arithmetic would undo that.
    whole = builder.fptosi(builder.fsub(x, _all(0.5)), _WORDS)
    part = builder.fsub(x, builder.sitofp(whole, _FLOATS))
    value: ir.Value = _all(_POLYNOMIAL[0])
    for coefficient in _POLYNOMIAL[1:]:
        value = builder.fadd(builder.fmul(value, part, flags=_FUSE), _all(coefficient), flags=_FUSE)
    exponent = builder.shl(whole, ir.Constant(_WORDS, [23] * 16))
    return builder.bitcast(builder.add(builder.bitcast(value, _WORDS), exponent), _FLOATS)


def _through(
    builder: ir.IRBuilder, vectors: ir.Value, start: ir.Value, step: Callable[[ir.Value, ir.Value], ir.Value]
) -> ir.Value:
    """Emit `step(index, value)` for each index below `vectors`, from the value `start` on; return the last value."""
    before = builder.block
    head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    index, value = builder.phi(_LONG), builder.phi(start.type)
    index.add_incoming(ir.Constant(_LONG, 0), before)
    value.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", index, vectors), body, after)
    builder.position_at_end(body)
    following = step(index, value)
    index.add_incoming(builder.add(index, ir.Constant(_LONG, 1)), builder.block)
    value.add_incoming(following, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return value


@operation
def weigh(typing: Any, scores: Any, count: Any, out: Any) -> Any:
    """Write 2**(score - greatest) of `count` scores (float32) as pairs, zeros up to a multiple of 16; return their sum.

    `scores` and `out` are addresses; 16 scores behind the last are read, and 16 numbers written, where `count` divides.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        scores, count, out = args
        whole = builder.lshr(count, ir.Constant(_LONG, 4))
        rest = builder.trunc(builder.and_(count, ir.Constant(_LONG, 15)), _WORD)
        lanes = ir.Constant(_WORDS, list(range(16)))
        one = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), rest, ir.Constant(_WORD, 0))
        rests = builder.shuffle_vector(one, ir.Constant(_WORDS, ir.Undefined), ir.Constant(_WORDS, [0] * 16))
        held = builder.icmp_signed("<", lanes, rests)

        def at(index: ir.Value) -> ir.Value:
            return load(builder, builder.add(scores, builder.mul(index, ir.Constant(_LONG, 64))), 0, _FLOATS)

        none = _all(float("-inf"))
        tail = builder.select(held, at(whole), none)
        top = _through(builder, whole, tail, lambda index, top: extreme(builder, at(index), top, ">"))
        top = extreme_of(builder, top, ">")

        def weighed(index: ir.Value, score: ir.Value, kept: ir.Value | None) -> ir.Value:
            value = _power(builder, extreme(builder, builder.fsub(score, top), _all(_LOWEST), ">"))
            if kept is not None:
                value = builder.select(kept, value, _all(0.0))
            store_pairs(builder, value, builder.add(out, builder.mul(index, ir.Constant(_LONG, 32))))
            return value

        total = _through(
            builder, whole, _all(0.0), lambda index, total: builder.fadd(total, weighed(index, at(index), None))
        )
        total = builder.fadd(total, weighed(whole, tail, held))
        for distance in (8, 4, 2, 1):
            mask = ir.Constant(_WORDS, [lane ^ distance for lane in range(16)])
            total = builder.fadd(total, builder.shuffle_vector(total, total, mask))
        return builder.extract_element(total, ir.Constant(_WORD, 0))

    return types.float32(types.int64, types.int64, types.int64), generate
