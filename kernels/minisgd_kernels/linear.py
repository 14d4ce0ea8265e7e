"""Matrix products in oneDNN's order of rounding, which TensorFlow calls for them.

Nearly always an output element is a chain of fused multiply-adds, ``s = fma(a[i, k], b[k, j], s)``
for ``k`` ascending from ``s = 0``, one chain for each block of K; the sums of the blocks are added
from left to right (`_order.k_ends` cuts the blocks). Two small shapes take another way: a result
with one column, or one row of a product with a transposed matrix, is a dot product in eight lanes;
the gradient of 2 to 15 rows of inputs is summed in sixteen.

Which element is computed when is free. Float32 goes through the tiles of `_tiled`; other numbers
through loops, in which four rows and four ``k`` at a time keep sixteen multiply-adds in flight for
every eight loads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from minisgd_kernels._intrinsics import flush_denormals, fma, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel, stands_for
from minisgd_kernels._order import first_rows, k_ends
from minisgd_kernels._tiled import tiled, tiled_tn
from minisgd_kernels.reduce import PACKET

_FEW_ROWS = 16  # below it the gradient of the inputs is summed in sixteen lanes


@helper
def _add_products_4(
    a: Array, b: Array, i: Scalar, k_start: Scalar, k_end: Scalar, sums: Array
) -> None:
    """Four rows: ``sums[r, j]`` takes in ``a[i + r, k] * b[k, j]`` for k ascending."""
    k = k_start
    while k + 4 <= k_end:
        a00, a01, a02, a03 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
        a10, a11, a12, a13 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
        a20, a21, a22, a23 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
        a30, a31, a32, a33 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
        for j in range(b.shape[1]):
            b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
            sums[0, j] = fma(a03, b3, fma(a02, b2, fma(a01, b1, fma(a00, b0, sums[0, j]))))
            sums[1, j] = fma(a13, b3, fma(a12, b2, fma(a11, b1, fma(a10, b0, sums[1, j]))))
            sums[2, j] = fma(a23, b3, fma(a22, b2, fma(a21, b1, fma(a20, b0, sums[2, j]))))
            sums[3, j] = fma(a33, b3, fma(a32, b2, fma(a31, b1, fma(a30, b0, sums[3, j]))))
        k += 4
    while k < k_end:
        a0, a1, a2, a3 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
        for j in range(b.shape[1]):
            sums[0, j] = fma(a0, b[k, j], sums[0, j])
            sums[1, j] = fma(a1, b[k, j], sums[1, j])
            sums[2, j] = fma(a2, b[k, j], sums[2, j])
            sums[3, j] = fma(a3, b[k, j], sums[3, j])
        k += 1


@helper
def _add_products_1(
    a: Array, b: Array, i: Scalar, k_start: Scalar, k_end: Scalar, sums: Array
) -> None:
    """One row, for the rows that four don't divide: the same chains as `_add_products_4`."""
    for k in range(k_start, k_end):
        a0 = a[i, k]
        for j in range(b.shape[1]):
            sums[0, j] = fma(a0, b[k, j], sums[0, j])


@helper
def _chains(out: Array, a: Array, b: Array, ends: Array) -> None:
    """``out = a @ b``, a chain a block of K: `a` (M, K) with any strides, `b` (K, N) contiguous."""
    rows, columns = out.shape
    sums = np.empty((4, columns), a.dtype)
    # From -0, to which adding changes nothing: a first block's -0 (a flushed denormal) stays.
    out[:] = -a.dtype.type(0) if ends.size > 0 else a.dtype.type(0)
    # Not a literal 0, for which Numba would compile the helpers once more.
    first: Scalar = np.intp(0)
    i = first
    while i < rows:
        tile = 4 if i + 4 <= rows else 1
        k = first
        for block in range(ends.size):
            sums[:tile] = 0
            if tile == 4:
                _add_products_4(a, b, i, k, ends[block], sums)
            else:
                _add_products_1(a, b, i, k, ends[block], sums)
            for r in range(tile):
                for j in range(columns):
                    out[i + r, j] += sums[r, j]
            k = ends[block]
        i += tile


@helper
def _loops_tn(out: Array, a: Array, b: Array, ends: Array) -> None:
    _chains(out, a.T[::1], b, ends)


def _has_tiles(*matrices: Any) -> bool:
    return all(m.dtype == types.float32 and m.layout == "C" for m in matrices)


@stands_for(lambda out, a, b, ends: tiled if _has_tiles(out, a, b) else _chains)
def _in_blocks(out: Array, a: Array, b: Array, ends: Array) -> None:
    """``out = a @ b``, one chain a block of K."""
    (tiled if a.dtype == np.float32 else _chains)(out, a, b, ends)


@stands_for(lambda out, a, b, ends: tiled_tn if _has_tiles(out, a, b) else _loops_tn)
def _in_blocks_tn(out: Array, a: Array, b: Array, ends: Array) -> None:
    """``out = a.T @ b``, one chain a block of K."""
    (tiled_tn if a.dtype == np.float32 else _loops_tn)(out, a, b, ends)


@helper
def _dots(a: Array, b: Array) -> Array:
    """``a @ b`` as dot products in eight lanes over k; `a` any strides, `b` (K, N) contiguous.

    First over all whole sixteens of K, then over the 8, 4, 2 and 1 elements that the rest is made
    of: each piece has lanes of its own, which are folded and added to what there is.
    """
    rows, k_end, columns = a.shape[0], a.shape[1], b.shape[1]
    out, lanes = np.empty((rows, columns), a.dtype), np.empty((PACKET, columns), a.dtype)
    out[:] = 0
    for i in range(rows):
        k, piece = 0, 2 * PACKET
        while piece > 0:
            stop = k + (k_end - k) // piece * piece
            if stop > k:
                lanes[:] = 0
                for q in range(k, stop):
                    lane = (q - k) % PACKET
                    for j in range(columns):
                        lanes[lane, j] = fma(a[i, q], b[q, j], lanes[lane, j])
                for j in range(columns):
                    low = (lanes[0, j] + lanes[1, j]) + (lanes[4, j] + lanes[5, j])
                    high = (lanes[2, j] + lanes[3, j]) + (lanes[6, j] + lanes[7, j])
                    out[i, j] += low + high
                k = stop
            piece //= 2
    return out


@helper
def _sixteen_lanes(a: Array, b: Array) -> Array:
    """``a @ b`` in sixteen lanes over k, folded 8-4-2-1; `a` any strides, `b` (K, N) contiguous."""
    rows, k_end, columns = a.shape[0], a.shape[1], b.shape[1]
    out = np.empty((rows, columns), a.dtype)
    lanes = np.empty((2 * PACKET, columns), a.dtype)
    for i in range(rows):
        lanes[:] = 0
        for k in range(k_end):
            lane = k % (2 * PACKET)
            for j in range(columns):
                lanes[lane, j] = fma(a[i, k], b[k, j], lanes[lane, j])
        width = PACKET
        while width > 0:
            for lane in range(width):
                for j in range(columns):
                    lanes[lane, j] += lanes[lane + width, j]
            width //= 2
        for j in range(columns):
            out[i, j] = lanes[0, j]
    return out


@helper
def _product(a: Array, b: Array) -> Array:
    """``a @ b``, neither stored transposed."""
    rows, k, columns = a.shape[0], a.shape[1], b.shape[1]
    if columns == 1 and rows > 1:
        return _dots(a[::1], b)
    out = np.empty((rows, columns), a.dtype)
    _in_blocks(out, a, b, k_ends(rows, columns, k, False, False))
    return out


@kernel
def matmul(a: Array, b: Array) -> Array:
    """``a @ b``; shapes (M, K), (K, N) -> (M, N)."""
    mode = flush_denormals()
    out = _product(a, b)
    restore_denormals(mode)
    return out


@kernel
def matmul_tn(a: Array, b: Array) -> Array:
    """``a.T @ b``; shapes (K, M), (K, N) -> (M, N). The gradient of a dense layer's kernel."""
    mode = flush_denormals()
    rows, columns = a.shape[1], b.shape[1]
    out = np.empty((rows, columns), a.dtype)
    _in_blocks_tn(out, a, b, k_ends(rows, columns, a.shape[0], True, False))
    restore_denormals(mode)
    return out


@kernel
def matmul_nt(a: Array, b: Array) -> Array:
    """``a @ b.T``; shapes (M, K), (N, K) -> (M, N). The gradient of a dense layer's input."""
    mode = flush_denormals()
    rows, columns, turned = a.shape[0], b.shape[0], np.ascontiguousarray(b.T)
    if rows == 1 or columns == 1:
        out = _dots(a[::1], turned)
    elif rows < _FEW_ROWS:
        out = _sixteen_lanes(a[::1], turned)
    else:
        out = np.empty((rows, columns), a.dtype)
        _in_blocks(out, a, turned, k_ends(rows, columns, a.shape[1], False, True))
    restore_denormals(mode)
    return out


@kernel
def dense(x: Array, w: Array, b: Array) -> Array:
    """``x @ w + b``, the bias added in one rounding after the product.

    Shapes (N, D_in), (D_in, units), (units,) -> (N, units).
    """
    mode = flush_denormals()
    out = _product(x, w)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += b[j]
    restore_denormals(mode)
    return out


@helper
def _sum_in_order(g: Array, start: int, stop: int) -> Array:
    """Rows from `start` on. The start value is -0, to which adding changes nothing, not even -0."""
    out = np.empty(g.shape[1], g.dtype)
    out[:] = -g.dtype.type(0)
    for i in range(start, stop):
        for j in range(g.shape[1]):
            out[j] += g[i, j]
    return out


@kernel
def sum_rows(g: Array) -> Array:
    """Sum over the first axis; shape (N, D) -> (D,). The gradient of a bias.

    Row after row, as in TensorFlow's BiasAddGrad; many narrow rows in
    two halves.
    """
    mode = flush_denormals()
    rows, columns = g.shape
    half = first_rows(rows, columns)
    out = _sum_in_order(g, 0, half)
    if half < rows:
        second = _sum_in_order(g, half, rows)
        for j in range(columns):
            out[j] += second[j]
    restore_denormals(mode)
    return out
