"""Counters that threads of compiled code share, and how one thread gives way to another.

After a change here remove the `__pycache__` of this folder: numba looks only at the file that calls.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types

from rag_core.engines.vectors import operation

__all__ = [
    "give_way",
    "peek",
    "take",
]

_LONG = ir.IntType(64)


@operation
def take(typing: Any, address: Any, amount: Any) -> Any:
    """Add to a counter that threads share; return what it was."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], _LONG.as_pointer()), args[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@operation
def peek(typing: Any, address: Any) -> Any:
    """Read a counter that threads share."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], _LONG.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@operation
def give_way(typing: Any) -> Any:
    """Let another thread run on this core."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        if sys.platform != "win32":
            kind = ir.FunctionType(ir.IntType(32), [])
            known = builder.module.globals.get("sched_yield")
            builder.call(known or ir.Function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate
