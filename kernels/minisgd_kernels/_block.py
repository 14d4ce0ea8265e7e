"""The transposition of a block of 16 x 16 numbers, within vector registers.

Read down its columns, a matrix costs an instruction or more for each number. Here sixteen rows are
loaded, shuffled, and stored as columns: with registers of sixteen floats that is 96 instructions
for 256 numbers.

Two rows are *interleaved* if their elements take turns: a0 b0 a1 b1 ..., which fills two rows. Let
row i be interleaved with row i + n / 2, for the first half of n rows, and let the results take
their places in order. With rows and columns counted in bits (n = 16: four bits each), the element
in row b iii, column cccc comes to row iii c, column ccc b: the eight bits have turned by one. Four
times that, and rows have become columns.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import config as numba_config
from numba.extending import intrinsic

from minisgd_kernels._jit import Array
from minisgd_kernels._tile import NARROW
from minisgd_kernels._vectors import I32, LANES, data_of, integer, load_vector, store_vector

BLOCK = NARROW


def _interleaved(builder: Any, a: Any, b: Any) -> list[Any]:
    """Both halves of a0 b0 a1 b1 ..."""
    order = [lane + from_b for lane in range(LANES) for from_b in (0, LANES)]
    kind = ir.VectorType(I32, LANES)
    halves = (ir.Constant(kind, order[:LANES]), ir.Constant(kind, order[LANES:]))
    return [builder.shuffle_vector(a, b, half) for half in halves]


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Columns of a square of registers."""
    half = len(rows) // 2
    for _ in range(len(rows).bit_length() - 1):
        pairs = zip(rows[:half], rows[half:], strict=True)
        rows = [row for a, b in pairs for row in _interleaved(builder, a, b)]
    return rows


def _turn_code(
    typing_context: Any, source: Any, at: Any, stride: Any, target: Any, to: Any, step: Any,
    last: Any,
) -> Any:  # fmt: skip
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, at, stride, target, to, step, last = arguments
        kinds = signature.args
        source = data_of(context, builder, kinds[0], source)
        target = data_of(context, builder, kinds[3], target)
        corners = range(0, BLOCK, LANES)
        columns = []  # each with the number of its row in the target, and the place in that row
        for corner in corners:
            for row in corners:
                places = [builder.mul(stride, integer(row + r)) for r in range(LANES)]
                places = [builder.add(builder.add(at, place), integer(corner)) for place in places]
                square = [load_vector(builder, source, place) for place in places]
                columns += [(corner + c, row, v) for c, v in enumerate(_turned(builder, square))]
        # Rows beyond the last one are stored in its place, and it comes after them.
        for c, row, vector in reversed(columns):
            inside = builder.icmp_signed("<", integer(c), last)
            place = builder.mul(step, builder.select(inside, integer(c), last))
            place = builder.add(builder.add(to, place), integer(row))
            store_vector(builder, vector, target, place)
        return context.get_dummy_value()

    n = types.intp
    return types.void(source, n, n, target, n, n, n), code


def _turn_interpreted(
    source: Array, at: int, stride: int, target: Array, to: int, step: int, last: int
) -> None:
    for c in range(min(last + 1, BLOCK)):
        for r in range(BLOCK):
            target.reshape(-1)[to + c * step + r] = source.reshape(-1)[at + r * stride + c]


# target[to + c * step + r] = source[at + r * stride + c] for 16 r, and for c up to `last`. Both are
# read as flat arrays.
turn_block = _turn_interpreted if numba_config.DISABLE_JIT else intrinsic(_turn_code)
