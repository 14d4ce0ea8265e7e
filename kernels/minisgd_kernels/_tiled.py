"""Products of whole float32 matrices, as NumPy keeps them, made of tiles like those of `_tile`.

Nothing is packed or padded, and no tile reads or writes beyond a matrix: of the columns that fill
no wide tile, a narrow one takes what there is, under a mask; in place of rows beyond the last, the
last one is computed again. Each result is one chain of FMAs over k ascending for each block of K;
terms that are zeros for a whole tile are left out where that changes nothing (`_zeros`).
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic

from minisgd_kernels._intrinsics import fma
from minisgd_kernels._jit import Array, helper
from minisgd_kernels._tile import NARROW, ROWS, WIDE
from minisgd_kernels._vectors import (
    LANES,
    MINUS_ZEROS,
    WORD,
    ZEROS,
    first_lanes,
    fma_vectors,
    integer,
    load,
    load_vector,
    over_bits,
    over_range,
    splat,
    store_vector,
)
from minisgd_kernels._zeros import maps_of_columns, maps_of_rows

_LONG = 64  # columns of a tile of one row: enough sums to keep the multiply-adds coming


def _compiled(height: int, width: int, turned: bool, masked: bool, skips: bool) -> Any:
    """A tile as an intrinsic: Numba calls `code` to have it put into a kernel."""
    vectors = range(width // LANES)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        c, a, w = (
            context.make_array(kind)(context, builder, array)
            for kind, array in zip(signature.args[:3], arguments[:3], strict=True)
        )
        add, i, j, start, stop = arguments[3:8]
        rows, columns = cgutils.unpack_tuple(builder, c.shape, 2)
        a_stride = cgutils.unpack_tuple(builder, a.shape, 2)[1]
        last, left = builder.sub(rows, integer(1)), builder.sub(columns, j)
        rows_of_c, masks = [], [None for _ in vectors]
        for r in range(height):
            row = builder.add(i, integer(r))
            rows_of_c.append(builder.select(builder.icmp_signed("<", row, last), row, last))
        if masked:
            masks = [first_lanes(builder, builder.sub(left, integer(v * LANES))) for v in vectors]

        def place(row: Any, v: int) -> Any:
            """Of a vector in `c` or `w`, which have rows of the same length."""
            return builder.add(builder.mul(row, columns), builder.add(j, integer(v * LANES)))

        def step(sums: list[Any], k: Any) -> list[Any]:
            numbers = [load_vector(builder, w.data, place(k, v), masks[v]) for v in vectors]
            out = []
            for r, row in enumerate(rows_of_c):
                line, at = (k, row) if turned else (row, k)
                x = load(builder, a.data, builder.add(builder.mul(line, a_stride), at))
                x = splat(builder, x)
                out += [
                    fma_vectors(builder, x, numbers[v], sums[r * len(vectors) + v]) for v in vectors
                ]
            return out

        sums = [ZEROS] * (height * len(vectors))
        if skips:
            words = context.make_array(signature.args[8])(context, builder, arguments[8])
            word, far = arguments[9:]
            sums = over_bits(builder, step, sums, words.data, word, far, start, stop)
        else:
            sums = over_range(builder, step, sums, start, stop)
        adds = builder.icmp_signed("!=", add, integer(0))
        totals = []
        for n, sum_ in enumerate(sums):
            v = n % len(vectors)
            at = place(rows_of_c[n // len(vectors)], v)
            before = load_vector(builder, c.data, at, masks[v])
            before = builder.select(adds, before, MINUS_ZEROS)
            totals.append((builder.fadd(before, sum_), at, masks[v]))
        for total, at, mask in totals:  # after all loads: several may be the last row
            store_vector(builder, total, c.data, at, mask)
        return context.get_dummy_value()

    def tile(context, c, a, w, add, i, j, start, stop):  # type: ignore[no-untyped-def]
        return types.void(c, a, w, *[types.intp] * 5), code

    def skipping_tile(  # type: ignore[no-untyped-def]
        context, c, a, w, add, i, j, start, stop, words, word, far
    ):
        return types.void(c, a, w, *[types.intp] * 5, words, *[types.intp] * 2), code

    return intrinsic(skipping_tile if skips else tile)


def _interpreted(height: int, width: int, turned: bool, masked: bool, skips: bool) -> Any:
    """The same in plain Python, for ``NUMBA_DISABLE_JIT=1``."""

    def tile(
        c: Array, a: Array, w: Array, add: int, i: int, j: int, start: int, stop: int,
        words: Any = (-1,), word: int = 0, far: int = 0,
    ) -> None:  # fmt: skip
        used = [
            start + n
            for n in range(stop - start)
            if int(words[word + n // WORD * far]) >> n % WORD & 1
        ]
        for row in range(i, min(i + height, c.shape[0])):
            for column in range(j, min(j + width, c.shape[1])):
                total = c.dtype.type(0)
                for k in used:
                    total = fma(a[k, row] if turned else a[row, k], w[k, column], total)
                c[row, column] = c[row, column] + total if add else total

    return tile


def _product(turned: bool) -> Any:
    # A tile is c[i:i + height, j:j + width] = a[:, start:stop] @ w[start:stop], or added to `c`.
    # `skipping` takes only those k whose bit is 1: from words[word] on, at a distance `far`.
    make = _interpreted if numba_config.DISABLE_JIT else _compiled
    tile, row = make(ROWS, WIDE, turned, False, False), make(1, _LONG, turned, False, False)
    rest = make(ROWS, NARROW, turned, True, False)
    skipping = make(ROWS, WIDE, turned, False, True)
    maps_of = maps_of_columns if turned else maps_of_rows

    @helper
    def product(out: Array, a: Array, b: Array, ends: Array) -> None:
        rows, columns = out.shape
        width = _LONG if rows == 1 else WIDE
        maps = maps_of(a, b, ends)
        skip, words = maps.size > 0, maps.reshape(-1)
        next_group, far = (1, maps.shape[1]) if turned else (maps.shape[1], 1)
        j = 0
        while j < columns:
            wide = j + width <= columns
            for i in range(0, rows, ROWS):
                k, word = 0, i // ROWS * next_group
                for block in range(max(1, ends.size)):  # without any k, a block of zeros
                    add, end = min(block, 1), ends[block] if ends.size > 0 else 0
                    if not wide:
                        rest(out, a, b, add, i, j, k, end)
                    elif skip:
                        skipping(out, a, b, add, i, j, k, end, words, word, far)
                        word += (end - k + WORD - 1) // WORD * far
                    elif rows > 1:
                        tile(out, a, b, add, i, j, k, end)
                    else:
                        row(out, a, b, add, i, j, k, end)
                    k = end
            j += width if wide else NARROW

    return product


# ``out = a @ b`` and ``out = a.T @ b``; `ends` are the ends of the blocks of K.
tiled, tiled_tn = _product(turned=False), _product(turned=True)
