"""Matrix products in the orders that TensorFlow has under other settings than the reference's."""

from __future__ import annotations

import numpy as np

from minisgd_kernels._eigen import eigen_product
from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, kernel
from minisgd_kernels._sgemm import sgemm_avx2


@kernel
def product(
    a: Array, b: Array, a_turned: bool, b_turned: bool, with_bias: bool, eigen: bool, avx512: bool,
    threads: int,
) -> Array:  # fmt: skip
    """``a @ b`` (M, N), each operand transposed first if it is `..._turned`.

    With `eigen`, Eigen cuts the product into pieces; without it oneDNN has the whole. `avx512` says
    whose kernel sums a piece, AVX-512's or AVX2's. `threads` is TensorFlow's number of threads,
    whose cuts are followed. `with_bias`: whether a bias is added in the same operation.
    """
    mode = flush_denormals()
    left = np.ascontiguousarray(a.T) if a_turned else a
    right = np.ascontiguousarray(b.T) if b_turned else b
    out = np.zeros((left.shape[0], right.shape[1]), a.dtype)
    if eigen:
        eigen_product(left, right, out, a_turned, b_turned, with_bias, avx512, threads)
    else:
        rows, columns, k = out.shape[0], out.shape[1], left.shape[1]
        sgemm_avx2(left, right, 0, rows, 0, columns, 0, k, out, a_turned, b_turned, threads)
    restore_denormals(mode)
    return out
