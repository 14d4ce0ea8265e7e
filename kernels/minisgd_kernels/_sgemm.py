"""oneDNN's single-precision product on a processor with AVX2, and the pieces that Eigen gives it.

Every function adds its part of ``a @ b`` to ``out[i0:i1, j0:j1]``, for k from `k0` to `k1`; `a`
(N, K) and `b` (K, M) are stored as they are read here. How an element is summed depends on its
place: rows go in groups of six, columns in strips of sixteen, and what is left over takes other
ways (docs/reference/rounding-order-avx2.md has the rules, and what they were compared with).

Source of the conditions: oneDNN, cpu/gemm/gemm_driver.cpp and cpu/x64/gemm; found and confirmed by
experiment. The cache is the reference machine's.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import fma
from minisgd_kernels._jit import Array, Scalar, helper
from minisgd_kernels._order import K_BLOCK, block_end

L2_BYTES = 1 << 20
_STRIDED_BLOCK = 512  # elements of a vector that is copied before it is used


@helper
def _chain(
    a: Array, b: Array, i0: int, i1: int, j0: int, j1: int, k0: int, k1: int, out: Array
) -> None:
    """One chain of FMA from 0."""
    s = np.empty(j1 - j0, a.dtype)
    for i in range(i0, i1):
        s[:] = 0
        for k in range(k0, k1):
            for j in range(j0, j1):
                s[j - j0] = fma(a[i, k], b[k, j], s[j - j0])
        for j in range(j0, j1):
            out[i, j] += s[j - j0]


@helper
def _two_chains(
    a: Array,
    b: Array,
    i0: int,
    i1: int,
    j0: int,
    j1: int,
    k0: int,
    k1: int,
    out: Array,
    fused: bool,
) -> None:
    """Two sums, over even and odd k; then even + odd, with an odd last k on top. FMA if `fused`."""
    s = np.empty((2, j1 - j0), a.dtype)
    pairs = (k1 - k0) & ~1
    for i in range(i0, i1):
        s[:] = 0
        for k in range(k0, k1):
            if k == k0 + pairs:
                for j in range(j1 - j0):
                    s[0, j] += s[1, j]
                    s[1, j] = 0
            p = (k - k0) & 1
            for j in range(j0, j1):
                if fused:
                    s[p, j - j0] = fma(a[i, k], b[k, j], s[p, j - j0])
                else:
                    s[p, j - j0] += a[i, k] * b[k, j]
        for j in range(j0, j1):
            out[i, j] += s[0, j - j0] + s[1, j - j0]


@helper
def _along_output(
    a: Array,
    b: Array,
    i0: int,
    i1: int,
    j0: int,
    j1: int,
    k0: int,
    k1: int,
    out: Array,
    threads: int,
) -> None:
    """A vector times a matrix whose rows lie along the output: a chain that goes on from `out`.

    Two threads take a half of K each if the matrix outgrows the cache.
    """
    matrix = (k1 - k0) * (i1 - i0) * (j1 - j0)
    middle = k1
    if threads > 1 and 4 * matrix > L2_BYTES and max(i1 - i0, j1 - j0) <= 1000 and k1 - k0 >= 256:
        middle = k0 + (k1 - k0 + 1) // 2
    for i in range(i0, i1):
        for j in range(j0, j1):
            s, t = out[i, j], a.dtype.type(0)
            for k in range(k0, middle):
                s = fma(a[i, k], b[k, j], s)
            for k in range(middle, k1):
                t = fma(a[i, k], b[k, j], t)
            out[i, j] = s + t if middle < k1 else s


@helper
def _along_k(
    a: Array,
    b: Array,
    i0: int,
    i1: int,
    j0: int,
    j1: int,
    k0: int,
    k1: int,
    out: Array,
    strided: bool,
) -> None:
    """A vector times a matrix whose rows lie along K: dot products in eight lanes.

    Whole sixteens first; then pieces of 8, 4, 2 and 1, each folded and added by itself. A strided
    vector is cut into blocks.
    """
    lane = np.empty(8, a.dtype)
    cut = _STRIDED_BLOCK if strided else k1 - k0
    for i in range(i0, i1):
        for j in range(j0, j1):
            for start in range(k0, k1, cut):
                k, end = start, min(start + cut, k1)
                for width in (16, 8, 4, 2, 1):
                    steps = (end - k) // width
                    if steps == 0:
                        continue
                    lane[:] = 0
                    for _ in range(steps * width):
                        place = (k - start) % min(width, 8)
                        lane[place] = fma(a[i, k], b[k, j], lane[place])
                        k += 1
                    low = (lane[0] + lane[1]) + (lane[4] + lane[5])
                    out[i, j] += low + ((lane[2] + lane[3]) + (lane[6] + lane[7]))


@helper
def _groups_of_six(
    a: Array,
    b: Array,
    i0: int,
    i1: int,
    j0: int,
    j1: int,
    k0: int,
    k1: int,
    out: Array,
    a_turned: bool,
    b_turned: bool,
) -> None:
    """The kernel that packs nothing: blocks of K and of rows, groups of six, strips of sixteen."""
    k_block, row_block = 96 if a_turned else 256, 96 if b_turned else 48
    k = k0
    while k < k1:
        k2 = block_end(k, k1, k_block)
        i = i0
        while i < i1:
            i2 = _rows_end(i, i1, row_block)
            for r in range(i, i2, 6):
                r2 = min(r + 6, i2)
                # the last one to eight columns are a strip of eight, nine to fifteen one of sixteen
                wide = j1 - (j1 - j0) % 16 if (j1 - j0) % 16 <= 8 else j1
                if r2 - r >= 4:
                    _chain(a, b, r, r2, j0, wide, k, k2, out)
                    _two_chains(a, b, r, r2, wide, j1, k, k2, out, True)
                else:
                    _two_chains(a, b, r, r2, j0, j1, k, k2, out, r2 - r == 3)
            i = i2
        k = k2


@helper
def _packs_nothing(n: int, m: int, k: int, a_turned: bool, threads: int) -> bool:
    """Whether oneDNN reads (n, k) @ (k, m) where it lies, as it does with small products."""
    if 1.0 / m + 1.0 / n >= 0.0038:
        return True
    if k >= threads * 378 and (max(m, n) <= 378 or m >= threads * 378):
        return False
    if max(m, n) <= 128:
        return True
    if a_turned:
        return n <= threads or k <= threads
    return n <= threads * 16 or k <= threads * 2 or m <= 64


@helper
def _threads(n: int, m: int, k: int, threads: int) -> int:
    """How many threads take part."""
    size = 4 * (m * n + m * k + n * k)
    if threads == 1 or size < 1.01 * L2_BYTES:
        return 1
    if n > 50 and m <= 3:
        return threads
    if m > 10 * n and n < threads and m // threads < 24:
        threads = max(m // 24, 1)
    return min(threads, -(-size // L2_BYTES))


@helper
def _rows_end(i: Scalar, i_end: Scalar, block: int) -> Scalar:
    """End of the block of rows that starts at `i`: what is left is halved above one and a half."""
    rest = i_end - i
    if rest >= 2 * block:
        return i + block
    return i + (rest + 1) // 2 if rest > block + block // 2 else i_end


@helper
def _shares(n: int, m: int, threads: int) -> tuple[int, int]:
    """Rows and columns of one thread's share of the output."""
    by_column, by_row = -(-m // 64), -(-n // 48)
    if by_column == 1:
        by_row = threads
    if by_row == 1:
        by_column = threads
    while by_column * by_row > threads:
        if by_column > by_row:
            by_column -= 1
        else:
            by_row -= 1
    while by_column * by_row < threads:
        if by_column < by_row:
            by_column += 1
        else:
            by_row += 1
    columns = -(-m // by_column)
    return -(-n // by_row), (columns + 15) // 16 * 16


@helper
def vector_product(
    a: Array,
    b: Array,
    i0: int,
    i1: int,
    j0: int,
    j1: int,
    k0: int,
    k1: int,
    out: Array,
    a_turned: bool,
    b_turned: bool,
    threads: int,
) -> None:
    """A product with one row or one column, which oneDNN hands to a kernel of its own."""
    one_row = i1 - i0 == 1
    if b_turned if one_row else not a_turned:
        _along_k(a, b, i0, i1, j0, j1, k0, k1, out, a_turned if one_row else b_turned)
    else:
        _along_output(a, b, i0, i1, j0, j1, k0, k1, out, threads)


@helper
def sgemm_avx512(
    a: Array, b: Array, i0: int, i1: int, j0: int, j1: int, k0: int, k1: int, out: Array
) -> None:
    """A small piece on AVX-512, neither matrix stored transposed: a chain for each block of K."""
    if i1 - i0 == 1 or j1 - j0 == 1:
        vector_product(a, b, i0, i1, j0, j1, k0, k1, out, False, False, 1)
        return
    k = k0
    while k < k1:
        k2 = block_end(k, k1, K_BLOCK)
        _chain(a, b, i0, i1, j0, j1, k, k2, out)
        k = k2


@helper
def sgemm_avx2(
    a: Array,
    b: Array,
    i0: int,
    i1: int,
    j0: int,
    j1: int,
    k0: int,
    k1: int,
    out: Array,
    a_turned: bool,
    b_turned: bool,
    threads: int,
) -> None:
    """On AVX2; `a_turned`, `b_turned`: whether TensorFlow's operand was stored transposed."""
    n, m, length = i1 - i0, j1 - j0, k1 - k0
    if n == 1 or m == 1:
        vector_product(a, b, i0, i1, j0, j1, k0, k1, out, a_turned, b_turned, threads)
        return
    t = _threads(n, m, length, threads)
    if _packs_nothing(n, m, length, a_turned, t):
        rows, columns = _shares(n, m, t) if t > 1 else (n, m)
        for i in range(i0, i1, rows):
            for j in range(j0, j1, columns):
                i2, j2 = min(i + rows, i1), min(j + columns, j1)
                _groups_of_six(a, b, i, i2, j, j2, k0, k1, out, a_turned, b_turned)
        return
    # Packed: blocks of 192 and a rest, without halving.
    k_block = length if length <= 256 else (length + 1) // 2 if length < 384 else 192
    for k in range(k0, k1, k_block):
        _chain(a, b, i0, i1, j0, j1, k, min(k + k_block, k1), out)
