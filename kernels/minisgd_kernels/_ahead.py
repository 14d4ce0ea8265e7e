"""The next batch is asked for while this one is computed: its samples lie anywhere in memory.

Without it a step waits for its data, line by line: random rows of MNIST arrive at a third of the
pace of neighbouring ones. What is asked for here does not depend on any result and changes none.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from minisgd_kernels._intrinsics import call_llvm, compiles_to
from minisgd_kernels._jit import Array, helper
from minisgd_kernels._tile import ROWS
from minisgd_kernels._vectors import I32, data_of

BYTES, WORDS, FLOATS = 64, 8, 16  # of a cache line
SAMPLES = 32  # of the next batch: more would push this batch's out of the cache
_SHARE = SAMPLES * ROWS // FLOATS  # samples for which one tile asks


def _prefetch_code(typing_context: Any, x: Any, at: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = data_of(context, builder, signature.args[0], arguments[0])
        byte = ir.IntType(8).as_pointer()
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        how = [ir.Constant(I32, n) for n in (0, 2, 1)]  # to read, the second cache, that of data
        call_llvm(builder, "llvm.prefetch.p0i8", ir.VoidType(), place, *how)
        return context.get_dummy_value()

    return types.void(x, types.intp), code


@compiles_to(_prefetch_code)
def prefetch(x: Any, at: int) -> None:
    """Have ``x[at]``, `x` of one axis, fetched to the second cache; nobody waits for it.

    Not to the first one: requests for that occupy the few places that all loads share. Where too
    many requests are under way, the processor forgets further ones.
    """


@helper
def ask_for_row(flat: Array, row: int, size: int, per_line: int) -> None:
    """Have a row of a matrix fetched."""
    at, last = row * size, row * size + size - 1
    while at < last:
        prefetch(flat, at)
        at += per_line
    prefetch(flat, last)


@helper
def ask_for_columns(
    flat: Array, inputs: int, rows: Array, first: int, last: int, column: int
) -> None:
    """Have a line of some of the samples fetched; all lines of all, when each tile has asked.

    All at once would be forgotten: a tile asks for what comes while it is computed.
    """
    start = first + column % FLOATS // ROWS * _SHARE
    for sample in range(start, min(start + _SHARE, last)):
        prefetch(flat, rows[sample] * inputs + column // FLOATS * FLOATS)
