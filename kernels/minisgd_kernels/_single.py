"""What few samples need that the tiles of `_tile` would be wasted on, in vector registers.

* `dots`, `dots_by_halves`: one row of a product, each element summed in eight or sixteen lanes
  over k (`linear._dots`, `linear._sixteen_lanes`). All lanes of a few columns are in registers, so
  nothing is cleared, stored or folded in memory.
* `rank_one_...`: the gradient of weights is an outer product of the sample and a row, each element
  used once. Rows of the weights whose pixel is 0 are left out one by one, not by fours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import config as numba_config
from numba.extending import intrinsic

from minisgd_kernels import linear
from minisgd_kernels._jit import Array
from minisgd_kernels._tile import NARROW, WIDE
from minisgd_kernels._vectors import (
    LANES,
    WORD,
    ZEROS,
    data_of,
    fma_vectors,
    integer,
    load,
    load_vector,
    over_bits,
    over_range,
    splat,
    store_vector,
)

_DOT_LANES, _MORE_LANES = 8, 16


# --- the products of one row ---
def _folded(builder: Any, lanes: list[Any]) -> Any:
    """Sum of eight lanes, in oneDNN's order."""
    add = builder.fadd
    low = add(add(lanes[0], lanes[1]), add(lanes[4], lanes[5]))
    return add(low, add(add(lanes[2], lanes[3]), add(lanes[6], lanes[7])))


def _with_term(builder: Any, k: Any, column: int, before: Any, operands: tuple[Any, ...]) -> Any:
    """``before + x[x_at + k] * w[w_at + k * stride + column:]``, fused."""
    x, x_at, w, w_at, stride = operands
    number = splat(builder, load(builder, x, builder.add(x_at, k)))
    row = builder.add(builder.add(w_at, builder.mul(k, stride)), integer(column))
    return fma_vectors(builder, number, load_vector(builder, w, row), before)


def _dots_code(
    typing_context: Any, out: Any, at: Any, x: Any, x_at: Any, k_end: Any, w: Any, w_at: Any,
    stride: Any,
) -> Any:  # fmt: skip
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, at, x, x_at, k_end, w, w_at, stride = arguments
        out, x, w = (data_of(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 5))

        def product(k: Any, column: int, before: Any) -> Any:
            return _with_term(builder, k, column, before, (x, x_at, w, w_at, stride))

        for column in range(0, NARROW, LANES):

            def eight(lanes: list[Any], group: Any, column: int = column) -> list[Any]:
                k = builder.mul(group, integer(_DOT_LANES))
                places = [builder.add(k, integer(lane)) for lane in range(_DOT_LANES)]
                return [product(*a) for a in zip(places, [column] * 8, lanes, strict=True)]

            pairs = builder.lshr(k_end, integer(4))
            lanes = [ZEROS] * _DOT_LANES
            lanes = over_range(builder, eight, lanes, integer(0), builder.shl(pairs, integer(1)))
            some = builder.icmp_signed(">", pairs, integer(0))
            total = builder.select(some, builder.fadd(ZEROS, _folded(builder, lanes)), ZEROS)
            for shift in (3, 2, 1, 0):  # what is left: eight elements, four, two and one

                def piece(
                    totals: list[Any], n: Any, column: int = column, shift: int = shift
                ) -> list[Any]:
                    above = integer(shift + 1)
                    k = builder.shl(builder.lshr(k_end, above), above)
                    lanes = [
                        product(builder.add(k, integer(lane)), column, ZEROS)
                        for lane in range(1 << shift)
                    ]
                    lanes += [ZEROS] * (_DOT_LANES - len(lanes))
                    return [builder.fadd(totals[0], _folded(builder, lanes))]

                times = builder.and_(builder.lshr(k_end, integer(shift)), integer(1))
                (total,) = over_range(builder, piece, [total], integer(0), times)
            store_vector(builder, total, out, builder.add(at, integer(column)))
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, n, w, n, n), code


def _matrices(x: Array, x_at: int, k_end: int, w: Array, w_at: int, stride: int) -> Any:
    """The row and the sixteen columns that are multiplied."""
    rows = [w.reshape(-1)[w_at + k * stride :][:NARROW] for k in range(k_end)]
    return x.reshape(1, -1)[:, x_at : x_at + k_end], np.array(rows).reshape(k_end, NARROW)


def _dots_interpreted(out: Array, at: int, *operands: Any) -> None:
    out.reshape(-1)[at : at + NARROW] = linear._dots(*_matrices(*operands))[0]


def _halved(builder: Any, lanes: list[Any]) -> Any:
    """Sum of the lanes, the upper half added to the lower again and again."""
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [builder.fadd(*pair) for pair in zip(lanes[:half], lanes[half:], strict=True)]
    return lanes[0]


def _dots_by_halves_code(
    typing_context: Any, out: Any, at: Any, x: Any, x_at: Any, k_end: Any, w: Any, w_at: Any,
    stride: Any,
) -> Any:  # fmt: skip
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, at, x, x_at, k_end, w, w_at, stride = arguments
        out, x, w = (data_of(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 5))
        last = builder.sub(k_end, integer(1))
        for column in range(0, NARROW, LANES):

            def sixteen(lanes: list[Any], group: Any, column: int = column) -> list[Any]:
                sums = []
                for lane, before in enumerate(lanes):
                    k = builder.add(builder.mul(group, integer(_MORE_LANES)), integer(lane))
                    inside = builder.icmp_signed("<", k, k_end)
                    k = builder.select(inside, k, last)
                    after = _with_term(builder, k, column, before, (x, x_at, w, w_at, stride))
                    sums.append(builder.select(inside, after, before))
                return sums

            groups = builder.lshr(builder.add(k_end, integer(_MORE_LANES - 1)), integer(4))
            lanes = over_range(builder, sixteen, [ZEROS] * _MORE_LANES, integer(0), groups)
            store_vector(builder, _halved(builder, lanes), out, builder.add(at, integer(column)))
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, n, w, n, n), code


def _dots_by_halves_interpreted(out: Array, at: int, *operands: Any) -> None:
    out.reshape(-1)[at : at + NARROW] = linear._sixteen_lanes(*_matrices(*operands))[0]


# --- the update of weights by one sample ---
def _rank_one(width: int, bits: bool) -> Any:
    vectors = range(0, width, LANES)

    def rank_one_code(
        typing_context: Any, w: Any, w_at: Any, stride: Any, x: Any, x_at: Any, words: Any,
        size: Any, g: Any, g_at: Any, lr: Any,
    ) -> Any:  # fmt: skip
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _, w_at, stride, _, x_at, _, size, _, g_at, lr = arguments
            w, x, words, g = (
                data_of(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 5, 7)
            )
            row = [load_vector(builder, g, builder.add(g_at, integer(v))) for v in vectors]
            rate = splat(builder, lr)

            def step(nothing: list[Any], k: Any) -> list[Any]:
                number = splat(builder, load(builder, x, builder.add(x_at, k)))
                at = builder.add(w_at, builder.mul(k, stride))
                for v, column in enumerate(vectors):
                    place = builder.add(at, integer(column))
                    gradient = fma_vectors(builder, number, row[v], ZEROS)  # a sum from 0 on: no -0
                    before = load_vector(builder, w, place)
                    after = builder.fsub(before, builder.fmul(gradient, rate))
                    store_vector(builder, after, w, place)
                return nothing

            if bits:
                over_bits(builder, step, [], words, integer(0), integer(1), integer(0), size)
            else:
                over_range(builder, step, [], integer(0), size)
            return context.get_dummy_value()

        n = types.intp
        return types.void(w, n, n, x, n, words, n, g, n, types.float32), code

    def rank_one(
        w: Array, w_at: int, stride: int, x: Array, x_at: int, words: Array, size: int, g: Array,
        g_at: int, lr: Any,
    ) -> None:  # fmt: skip
        row = g.reshape(-1)[g_at : g_at + width]
        for k in range(size):
            if not bits or int(words[k // WORD]) >> (k % WORD) & 1:
                at = w_at + k * stride
                w[at : at + width] -= (x.reshape(-1)[x_at + k] * row + np.float32(0)) * lr

    return rank_one if numba_config.DISABLE_JIT else intrinsic(rank_one_code)


# Arrays are read as flat ones. out[at + j] = sum over k of x[x_at + k] * w[w_at + k * stride + j],
# for 16 j.
dots = _dots_interpreted if numba_config.DISABLE_JIT else intrinsic(_dots_code)
dots_by_halves = (
    _dots_by_halves_interpreted if numba_config.DISABLE_JIT else intrinsic(_dots_by_halves_code)
)
# w[w_at + k * stride + j] -= (x[x_at + k] * g[g_at + j]) * lr, for 64 or 16 j, and for all k below
# `size`, or the ones of a bit map, whose bit 0 stands for k = 0.
rank_one_wide, rank_one_narrow = _rank_one(WIDE, False), _rank_one(NARROW, False)
rank_one_wide_skipping = _rank_one(WIDE, True)
rank_one_narrow_skipping = _rank_one(NARROW, True)
