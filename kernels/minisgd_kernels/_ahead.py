"""The next batch is asked for while this one is computed: its samples lie anywhere in memory.

Without it a step waits for its data, line by line: random rows of MNIST arrive at a third of the
pace of neighbouring ones. What is asked for here does not depend on any result and changes none.
"""

from __future__ import annotations

from minisgd_kernels._intrinsics import prefetch
from minisgd_kernels._jit import Array, helper
from minisgd_kernels._tile import ROWS

BYTES, WORDS, FLOATS = 64, 8, 16  # of a cache line
SAMPLES = 32  # of the next batch: more would push this batch's out of the cache
_SHARE = SAMPLES * ROWS // FLOATS  # samples for which one tile asks


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
