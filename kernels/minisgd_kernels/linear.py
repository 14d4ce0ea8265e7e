"""Matrix products: every output element is one chain of fused multiply-adds, K cut into blocks.

The order of rounding is oneDNN's, which TensorFlow calls for float32 products: within a block of K
each element is ``s = fma(a[i, k], b[k, j], s)`` for ``k`` ascending from ``s = 0``; the sums of the
blocks are added from left to right. Which element is computed when is free, so the loops below are
arranged for the processor: four rows and four ``k`` at a time keep sixteen multiply-adds in flight
for every eight loads.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, fma, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel


@helper
def block_end(k: Scalar, k_end: Scalar, k_block: int) -> Scalar:
    """End of the block of K that starts at `k`: full blocks, but the last two share what is left.

    With ``k_block=384`` (oneDNN on AVX-512) K = 784 is cut into 384 + 200 + 200.
    """
    rest = k_end - k
    if rest >= 2 * k_block:
        return k + k_block
    if rest > k_block:
        return k + (rest + 1) // 2
    return k_end


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
def _product(a: Array, b: Array, k_block: int) -> Array:
    """``a @ b``: `a` (M, K) with any strides, `b` (K, N) with contiguous rows; returns (M, N).

    The kernels below pass ``a[::1]``, whose type says "any strides", so that one compiled product
    serves all of them.
    """
    rows, k_end, columns = a.shape[0], a.shape[1], b.shape[1]
    out = np.zeros((rows, columns), a.dtype)
    sums = np.empty((4, columns), a.dtype)
    # Not a literal 0, for which Numba would compile the helpers once more.
    first: Scalar = np.intp(0)
    i = first
    while i < rows:
        tile = 4 if i + 4 <= rows else 1
        k = first
        while k < k_end:
            k_next = block_end(k, k_end, k_block)
            sums[:tile] = 0
            if tile == 4:
                _add_products_4(a, b, i, k, k_next, sums)
            else:
                _add_products_1(a, b, i, k, k_next, sums)
            for r in range(tile):
                for j in range(columns):
                    out[i + r, j] += sums[r, j]
            k = k_next
        i += tile
    return out


@kernel
def matmul(a: Array, b: Array, k_block: int) -> Array:
    """``a @ b``; shapes (M, K), (K, N) -> (M, N)."""
    mode = flush_denormals()
    out = _product(a[::1], b, k_block)
    restore_denormals(mode)
    return out


@kernel
def matmul_tn(a: Array, b: Array, k_block: int) -> Array:
    """``a.T @ b``; shapes (K, M), (K, N) -> (M, N). The gradient of a dense layer's kernel."""
    mode = flush_denormals()
    out = _product(a.T[::1], b, k_block)
    restore_denormals(mode)
    return out


@kernel
def matmul_nt(a: Array, b: Array, k_block: int) -> Array:
    """``a @ b.T``; shapes (M, K), (N, K) -> (M, N). The gradient of a dense layer's input."""
    mode = flush_denormals()
    out = _product(a[::1], np.ascontiguousarray(b.T), k_block)
    restore_denormals(mode)
    return out


@kernel
def dense(x: Array, w: Array, b: Array, k_block: int) -> Array:
    """``x @ w + b``, the bias added in one rounding after the product.

    Shapes (N, D_in), (D_in, units), (units,) -> (N, units).
    """
    mode = flush_denormals()
    out = _product(x[::1], w, k_block)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += b[j]
    restore_denormals(mode)
    return out


@kernel
def sum_rows(g: Array) -> Array:
    """Sum over the first axis, row after row; shape (N, D) -> (D,). The gradient of a bias.

    Row 0 is the start value, as in TensorFlow's BiasAddGrad.
    """
    mode = flush_denormals()
    out = np.zeros(g.shape[1], g.dtype)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            out[j] += g[i, j]
    restore_denormals(mode)
    return out
