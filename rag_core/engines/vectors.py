"""Vectors of 16 numbers for compiled code: the instructions that a compiler does not find on its own.

Written as LLVM instructions on vectors of 16, which LLVM fits to the machine at hand (AVX-512, AVX2, NEON). After a
change here remove the `__pycache__` of this folder: numba looks only at the file that calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = [
    "as_float",
    "extreme",
    "extreme_of",
    "greatest",
    "load",
    "operation",
    "splat",
]

_FLOAT, _LONG = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, 16)
_WORDS = ir.VectorType(ir.IntType(32), 16)


def operation(define: Callable[..., Any]) -> Callable[..., Any]:
    """Make `define`, which returns types and what emits the instructions, callable from compiled code."""
    made: Callable[..., Any] = intrinsic(define)
    return made


def splat(builder: ir.IRBuilder, value: ir.Value, kind: ir.VectorType) -> ir.Value:
    """Emit a vector of `kind` with `value` in all of its places."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), lanes)


def load(builder: ir.IRBuilder, address: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
    """Emit a load of `kind` from an address and an offset in bytes; it need not be aligned."""
    place = builder.add(address, ir.Constant(_LONG, offset))
    return builder.load(builder.inttoptr(place, kind.as_pointer()), align=1)


def extreme(builder: ir.IRBuilder, first: ir.Value, second: ir.Value, sign: str) -> ir.Value:
    """Emit the lesser ("<") or greater (">") of two vectors' numbers, place by place."""
    return builder.select(builder.fcmp_ordered(sign, first, second), first, second)


def extreme_of(builder: ir.IRBuilder, vector: ir.Value, sign: str) -> ir.Value:
    """Emit the least ("<") or greatest (">") of a vector's 16 numbers, in all of its places."""
    for distance in (8, 4, 2, 1):
        lanes = ir.Constant(_WORDS, [lane ^ distance for lane in range(16)])
        vector = extreme(builder, vector, builder.shuffle_vector(vector, vector, lanes), sign)
    return vector


@operation
def greatest(typing: Any, address: Any, vectors: Any) -> Any:
    """Return the greatest of 16 times `vectors` (at least 1) float32 numbers: a compiler goes through them one by one."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        address, vectors = args
        before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        index, top = builder.phi(_LONG), builder.phi(_VECTOR)
        found = load(builder, builder.add(address, builder.mul(index, ir.Constant(_LONG, 64))), 0, _VECTOR)
        higher = extreme(builder, found, top, ">")
        following = builder.add(index, ir.Constant(_LONG, 1))
        index.add_incoming(ir.Constant(_LONG, 0), before)
        index.add_incoming(following, loop)
        top.add_incoming(ir.Constant(_VECTOR, [float("-inf")] * 16), before)
        top.add_incoming(higher, loop)
        builder.cbranch(builder.icmp_signed("<", following, vectors), loop, after)
        builder.position_at_end(after)
        return builder.extract_element(extreme_of(builder, higher, ">"), ir.Constant(ir.IntType(32), 0))

    return types.float32(types.int64, types.int64), generate


@operation
def as_float(typing: Any, bits: Any) -> Any:
    """Read the 32 bits of an integer as a float32."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _FLOAT)

    return types.float32(types.int32), generate
