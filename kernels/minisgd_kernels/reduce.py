"""Sums, in the order of Eigen's reductions as TensorFlow's CPU build runs them (AVX, no FMA).

A vector is summed in packets of eight lanes:

1. thirty-two elements at a time go to four packets of sums, which are added up, left to right;
2. the whole packets that are left go on top, one after the other;
3. the eight lanes are folded: lane i with i + 4, then i + 2, then i + 1;
4. the last ``size % 8`` elements are summed by themselves and come first: ``rest + folded``;
5. more than 8,192 elements are halved (at a multiple of eight) and each half is summed so.

Source: Eigen, unsupported/Eigen/CXX11/src/Tensor/TensorReduction.h. Above 108,387 elements
TensorFlow splits a full sum among its threads; we don't.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel

PACKET = 8
_LEAF = 1024 * PACKET


@helper
def fold(lanes: Array) -> Scalar:
    """Sum of eight lanes: lane i with i + 4, then i + 2, then i + 1."""
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + (
        (lanes[1] + lanes[5]) + (lanes[3] + lanes[7])
    )


@helper
def _sum_leaf(x: Array, start: int, stop: int, lanes: Array) -> Scalar:
    """Steps 1 to 4 for ``x[start:stop]``; `lanes` is scratch, shape (4, 8)."""
    lanes[:] = 0
    i = start
    while i + 4 * PACKET <= stop:
        for packet in range(4):
            for lane in range(PACKET):
                lanes[packet, lane] += x[i + PACKET * packet + lane]
        i += 4 * PACKET
    total = lanes[0]
    for packet in range(1, 4):
        for lane in range(PACKET):
            total[lane] += lanes[packet, lane]
    while i + PACKET <= stop:
        for lane in range(PACKET):
            total[lane] += x[i + lane]
        i += PACKET
    rest = lanes[1]
    rest[0] = 0
    while i < stop:
        rest[0] += x[i]
        i += 1
    return rest[0] + fold(total)


@helper
def _sum_halves(x: Array, start: int, stop: int, lanes: Array) -> Scalar:
    """Step 5: halve until a part is small enough, and add the parts pairwise on the way back.

    A recursion, ``sum(left) + sum(right)``, with its stack in arrays: Numba can't load recursive
    functions from its cache. ``left[d]`` holds the sum of depth d's left half once it is known.
    """
    stack, left = np.empty((3, 64), np.int64), np.empty(64, x.dtype)
    ends, middles, known = stack[0], stack[1], stack[2]
    depth, ends[0] = 0, stop
    while True:
        while ends[depth] - start > _LEAF:
            middle = start + (ends[depth] - start + 1) // 2
            middles[depth] = (middle + PACKET - 1) // PACKET * PACKET
            known[depth] = 0
            ends[depth + 1] = middles[depth]
            depth += 1
        total = _sum_leaf(x, start, ends[depth], lanes)
        while depth > 0 and known[depth - 1]:
            depth -= 1
            total = left[depth] + total
        if depth == 0:
            return total
        left[depth - 1], known[depth - 1] = total, 1
        start, ends[depth] = middles[depth - 1], ends[depth - 1]


@helper
def sum_vector(x: Array, start: int, stop: int, lanes: Array) -> Scalar:
    """Sum of ``x[start:stop]`` in Eigen's order; `lanes` is scratch, shape (4, 8)."""
    if stop - start <= _LEAF:
        return _sum_leaf(x, start, stop, lanes)
    return _sum_halves(x, start, stop, lanes)


@kernel
def sum_all(x: Array) -> Array:
    """Sum of all elements, any shape -> a 0-d array."""
    mode = flush_denormals()
    out = np.empty((), x.dtype)
    out[()] = sum_vector(x.reshape(-1), 0, x.size, np.empty((4, PACKET), x.dtype))
    restore_denormals(mode)
    return out


@kernel
def sum_last(x: Array) -> Array:
    """Sum over the last axis; shape (N, D) -> (N,)."""
    mode = flush_denormals()
    out = np.empty(x.shape[0], x.dtype)
    flat = x.reshape(-1)
    lanes = np.empty((4, PACKET), x.dtype)
    for i in range(x.shape[0]):
        out[i] = sum_vector(flat, i * x.shape[1], (i + 1) * x.shape[1], lanes)
    restore_denormals(mode)
    return out


@kernel
def sum_first(x: Array) -> Array:
    """Sum over the first axis; shape (N, D) -> (D,).

    From sixteen rows on, columns that fill a packet keep four sums, of the rows 0, 4, 8, ...,
    of 1, 5, 9, ..., and so on. Everything else goes row after row.
    """
    mode = flush_denormals()
    rows, columns = x.shape
    out = np.zeros(columns, x.dtype)
    by_four = columns // PACKET * PACKET if rows >= 16 else 0
    sums = np.zeros((4, by_four), x.dtype)
    in_fours = rows // 4 * 4
    for i in range(in_fours):
        for j in range(by_four):
            sums[i % 4, j] += x[i, j]
    for j in range(by_four):
        out[j] = ((sums[0, j] + sums[1, j]) + sums[2, j]) + sums[3, j]
    for i in range(rows):
        for j in range(by_four if i < in_fours else 0, columns):
            out[j] += x[i, j]
    restore_denormals(mode)
    return out
