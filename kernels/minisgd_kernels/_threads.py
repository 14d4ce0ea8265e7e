"""Barriers for threads that run the same compiled code, each with its own part of the work.

Each thread has a counter, which it raises at a barrier; it goes on once all counters are as high.
The store is a *release* and the load an *acquire*: whoever has seen a thread's counter also sees
what that thread wrote before.

A waiting thread looks again and again, since the others come within a microsecond or so. After
about 50 microseconds it gives up its processor at each look: the others may be waiting for one.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config as numba_config

from minisgd_kernels._intrinsics import compiles_to
from minisgd_kernels._jit import Array, helper
from minisgd_kernels.packing import aligned_zeros

_LINE = 16  # counters are two cache lines apart: processors fetch them in pairs
_PATIENCE = 20_000  # looks before a thread yields: about 50 microseconds


def _store_code(typing_context: Any, counters: Any, i: Any, value: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]])
        builder.store_atomic(arguments[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(counters, types.intp, types.int64), code


def _load_code(typing_context: Any, counters: Any, i: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

    return types.int64(counters, types.intp), code


def _yield_code(typing_context: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        kind = ir.FunctionType(ir.IntType(32), [])
        known = builder.module.globals.get(name)
        builder.call(known or ir.Function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), code


@compiles_to(_store_code)
def _store_release(counters: Array, i: int, value: int) -> None:
    counters[i] = value


@compiles_to(_load_code)
def _load_acquire(counters: Array, i: int) -> int:
    return int(counters[i])


@compiles_to(_yield_code)
def _give_up_processor() -> None:
    time.sleep(0)


_JIT = not numba_config.DISABLE_JIT
_patience = _PATIENCE if _JIT else 0  # interpreted threads take turns anyway


def new_barrier(threads: int) -> Array:
    """Counters of so many threads, at 0."""
    return aligned_zeros(_LINE * threads, np.int64)


@helper
def wait(barrier: Array, thread: int, threads: int, turn: int) -> None:
    """Go on when all threads have come here; `turn` counts the barriers, from 1 on."""
    if threads == 1:
        return
    _store_release(barrier, _LINE * thread, turn)
    for other in range(threads):
        looks = 0
        while _load_acquire(barrier, _LINE * other) < turn:
            looks += 1
            if looks > _patience:
                _give_up_processor()
