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

from minisgd_kernels._intrinsics import fma
from minisgd_kernels._jit import Array
from minisgd_kernels._tile import NARROW, WIDE
from minisgd_kernels._vectors import (
    LANES,
    WORD,
    ZEROS,
    fma_vectors,
    integer,
    load,
    load_vector,
    over_bits,
    over_range,
    splat,
    vector_at,
)

_DOT_LANES, _MORE_LANES = 8, 16


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


# --- the products of one row ---
def _folded(builder: Any, lanes: list[Any]) -> Any:
    """Sum of eight lanes, in oneDNN's order."""
    add = builder.fadd
    low = add(add(lanes[0], lanes[1]), add(lanes[4], lanes[5]))
    return add(low, add(add(lanes[2], lanes[3]), add(lanes[6], lanes[7])))


def _dots_code(
    typing_context: Any, out: Any, at: Any, x: Any, x_at: Any, k_end: Any, w: Any, w_at: Any,
    stride: Any,
) -> Any:  # fmt: skip
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, at, x, x_at, k_end, w, w_at, stride = arguments
        out, x, w = (_data(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 5))

        def product(k: Any, column: int, before: Any) -> Any:
            number = splat(builder, load(builder, x, builder.add(x_at, k)))
            row = builder.add(builder.add(w_at, builder.mul(k, stride)), integer(column))
            return fma_vectors(builder, number, load_vector(builder, w, row), before)

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
            place = vector_at(builder, out, builder.add(at, integer(column)))
            builder.store(total, place).align = 4
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, n, w, n, n), code


def _dots_interpreted(
    out: Array, at: int, x: Array, x_at: int, k_end: int, w: Array, w_at: int, stride: int
) -> None:
    x, w, sums = x.reshape(-1), w.reshape(-1), np.zeros(NARROW, w.dtype)
    k, piece = 0, 2 * _DOT_LANES
    while piece > 0:
        stop = k + (k_end - k) // piece * piece
        if stop > k:
            lanes = np.zeros((_DOT_LANES, NARROW), w.dtype)
            for q in range(k, stop):
                lane = lanes[(q - k) % _DOT_LANES]
                for j in range(NARROW):
                    lane[j] = fma(x[x_at + q], w[w_at + q * stride + j], lane[j])
            low = (lanes[0] + lanes[1]) + (lanes[4] + lanes[5])
            sums += low + ((lanes[2] + lanes[3]) + (lanes[6] + lanes[7]))
            k = stop
        piece //= 2
    out.reshape(-1)[at : at + NARROW] = sums


def _halved(lanes: list[Any], add: Any) -> Any:
    """Sum of the lanes, the upper half added to the lower again and again."""
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [add(low, high) for low, high in zip(lanes[:half], lanes[half:], strict=True)]
    return lanes[0]


def _dots_by_halves_code(
    typing_context: Any, out: Any, at: Any, x: Any, x_at: Any, k_end: Any, w: Any, w_at: Any,
    stride: Any,
) -> Any:  # fmt: skip
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, at, x, x_at, k_end, w, w_at, stride = arguments
        out, x, w = (_data(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 5))
        last = builder.sub(k_end, integer(1))
        for column in range(0, NARROW, LANES):

            def sixteen(lanes: list[Any], group: Any, column: int = column) -> list[Any]:
                sums = []
                for lane, before in enumerate(lanes):
                    k = builder.add(builder.mul(group, integer(_MORE_LANES)), integer(lane))
                    inside = builder.icmp_signed("<", k, k_end)
                    k = builder.select(inside, k, last)
                    number = splat(builder, load(builder, x, builder.add(x_at, k)))
                    row = builder.add(builder.add(w_at, builder.mul(k, stride)), integer(column))
                    after = fma_vectors(builder, number, load_vector(builder, w, row), before)
                    sums.append(builder.select(inside, after, before))
                return sums

            groups = builder.lshr(builder.add(k_end, integer(_MORE_LANES - 1)), integer(4))
            lanes = over_range(builder, sixteen, [ZEROS] * _MORE_LANES, integer(0), groups)
            place = vector_at(builder, out, builder.add(at, integer(column)))
            builder.store(_halved(lanes, builder.fadd), place).align = 4
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, n, w, n, n), code


def _dots_by_halves_interpreted(
    out: Array, at: int, x: Array, x_at: int, k_end: int, w: Array, w_at: int, stride: int
) -> None:
    x, w = x.reshape(-1), w.reshape(-1)
    lanes = np.zeros((_MORE_LANES, NARROW), w.dtype)
    for k in range(k_end):
        lane = lanes[k % _MORE_LANES]
        for j in range(NARROW):
            lane[j] = fma(x[x_at + k], w[w_at + k * stride + j], lane[j])
    out.reshape(-1)[at : at + NARROW] = _halved(list(lanes), np.add)


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
                _data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 5, 7)
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
                    builder.store(after, vector_at(builder, w, place)).align = 4
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
