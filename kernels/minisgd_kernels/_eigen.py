"""How Eigen cuts a product into pieces when TensorFlow runs without oneDNN's graph operations.

Each piece goes to oneDNN's single-precision product (`_sgemm`), on one thread; the sums of the
pieces along K are added from left to right. Where the cuts lie follows from the number of threads
and from the sizes of the caches (L1 32 KiB and L2 1 MiB for each core, L3 32 MiB), through a model
of costs. A product with a single row or column is Eigen's own, and knows no FMA.

Source of the model: Eigen, GeneralBlockPanelKernel.h and unsupported/Eigen/CXX11
(TensorContraction, TensorCostModel); TensorFlow, tsl/framework/contraction. Confirmed by
experiment. In the names, n counts rows of the output and m columns.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._jit import Array, helper
from minisgd_kernels._sgemm import L2_BYTES, sgemm_avx2, sgemm_avx512

_L1_BYTES, _L3_BYTES = 32 << 10, 32 << 20


@helper
def _up(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -(-a // b)


@helper
def _even_cut(size: int, most: int, step: int) -> int:
    """The longest block of at most `most` (a multiple of step) that cuts `size` evenly."""
    if size % most == 0:
        return most
    return most - step * ((most - size % most) // (step * (size // most + 1)))


@helper
def _cache_blocks(k: int, m: int, n: int, threads: int) -> tuple[int, int, int]:
    """Eigen's block sizes for K, m and n, from the cache sizes; registers hold 16 x 4."""
    fits = (_L1_BYTES - 256) // 80
    if threads > 1:
        if min(fits, 320) < k:
            k = min(fits, 320) & ~7
        most, share = (L2_BYTES - _L1_BYTES) // (16 * k), _up(n, threads)
        n = most & ~3 if most <= share else min(n, _up(share, 4) * 4)
        most, share = (_L3_BYTES - L2_BYTES) // (4 * k * threads), _up(m, threads)
        m = most - most % 16 if 16 <= most < share else min(m, _up(share, 16) * 16)
        return k, m, n
    if max(k, max(m, n)) < 48:
        return k, m, n
    fits, whole, budget = fits & ~7, k, 1572864
    if k > fits:
        k = fits if k % fits == 0 else fits - 8 * ((fits - 1 - k % fits) // (8 * (k // fits + 1)))
    left = _L1_BYTES - 256 - 4 * m * k
    most = left // (4 * k) if left >= 16 * k else 3 * budget // (16 * fits)
    most = min(budget // (8 * k), most) & ~3
    if n > most:
        n = _even_cut(n, most, 4)
    elif whole == k:
        most = m
        if 4 * k * n <= 1024:
            budget = _L1_BYTES
        elif 4 * k * n <= 32768:
            budget, most = L2_BYTES, min(576, m)
        most = min(budget // (12 * k), most)
        if most > 16:
            most -= most % 16
        if most > 0:
            m = _even_cut(m, most, 16)
    return k, m, n


@helper
def _blocks(k: int, m: int, n: int, threads: int, by_column: bool) -> tuple[int, int, int]:
    """TensorFlow's refinement of them for oneDNN."""
    if by_column:
        kc, mc, nc = _cache_blocks(k, m, n, threads)
    else:
        kc, nc, mc = _cache_blocks(k, n, m, threads)
    kc = _up(k // max(1, _up(k, kc)), 8) * 8
    return min(k, kc), min(m, _up(int(mc * 1.5), 48) * 48), min(n, _up(nc, 24) * 24)


@helper
def _shares_columns(m: int, n: int, t: int) -> bool:
    """Whether threads share the columns of the output, or its rows."""
    if m // t >= 4 and (
        n // t < 4 or (n // t < 16 and n % (4 * t) != 0 and (m % (4 * t) == 0 or m // n >= 6))
    ):
        return False
    return not (n // t < 64 and m > n * 32)


@helper
def _cycles(m: int, n: int, k: int) -> float:
    """Per multiply-add, times eight; m columns against 16 registers, n rows against 4."""
    return 4.0 if k == 1 else 2.0 if m < 4 or n < 16 else 1.0


@helper
def _plan(m: int, n: int, k: int, threads: int) -> tuple[int, int]:
    """Threads that share the output, and threads that share K: a 0 for the way not taken."""
    load = 11 / 64
    by_column = _shares_columns(m, n, 2)
    kc, mc, nc = _blocks(k, m, n, 2, by_column)
    cost = kc * _cycles(mc, nc, kc) / 8 + 4 * load + 4 * load * kc / (m if by_column else n)
    t = min(threads, max(1, int((cost * m * n - 100000) / 100000 + 0.9)))
    total = k * (_cycles(n, m, k) * m * n / 8 + 4 * load * n)
    best, tk = total, 1
    for candidate in range(2, threads + 1, 2):
        c = total / candidate + 100000 + candidate * (m * n * (3 * load + 1 / 8) + 3000)
        if c < best:
            best, tk = c, candidate
    if tk >= 2 and tk >= t and 4 * m * n <= _L3_BYTES // tk and k // tk >= 8:
        if max(m, n) // t < 4 or (k // tk > 32 and (min(m, n) < 8 or tk > t)):
            return 0, tk
    return t, 0


@helper
def _pieces(
    a: Array, b: Array, k0: int, k1: int, kc: int, mc: int, nc: int, out: Array, avx512: bool
) -> None:
    """Add the pieces between `k0` and `k1` to `out`."""
    for k in range(k0, k1, kc):
        for i in range(0, out.shape[0], nc):
            for j in range(0, out.shape[1], mc):
                i2, j2 = min(i + nc, out.shape[0]), min(j + mc, out.shape[1])
                k2 = min(k + kc, k1)
                if avx512:
                    sgemm_avx512(a, b, i, i2, j, j2, k, k2, out)
                else:
                    sgemm_avx2(a, b, i, i2, j, j2, k, k2, out, False, False, 1)


@helper
def _along_output(a: Array, b: Array, out: Array, stride: int) -> None:
    """Vector times matrix, its rows along the output: each 16 k (all below 128) summed from 0.

    With rows of 8,000 elements and more each 4 k; a stride of 0 stands for one sum.
    """
    k_end = a.shape[1]
    block = k_end if k_end < 128 or stride == 0 else 16 if stride < 8000 else 4
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(0, k_end, block):
                s = a.dtype.type(0)
                for q in range(k, min(k + block, k_end)):
                    s += a[i, q] * b[q, j]
                out[i, j] += s


@helper
def _along_k(a: Array, b: Array, out: Array) -> None:
    """Vector times matrix, its rows along K: eight lanes, folded, then the rest one by one.

    The last of an odd number of results takes four of the rest together, unless the product is
    small.
    """
    lane = np.empty(8, a.dtype)
    k_end, count = a.shape[1], out.size
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            lane[:] = 0
            for k in range(k_end // 8 * 8):
                lane[k % 8] += a[i, k] * b[k, j]
            even = (lane[0] + lane[4]) + (lane[2] + lane[6])
            s = even + ((lane[1] + lane[5]) + (lane[3] + lane[7]))
            k = k_end // 8 * 8
            last = count % 2 == 1 and i + j == count - 1
            if last and k_end - k >= 4 and k_end + count >= 19:
                for q in range(4):
                    lane[q] = a[i, k + q] * b[k + q, j]
                s += (lane[0] + lane[2]) + (lane[1] + lane[3])
                k += 4
            for q in range(k, k_end):
                s += a[i, q] * b[q, j]
            out[i, j] = s


@helper
def eigen_product(
    a: Array,
    b: Array,
    out: Array,
    a_turned: bool,
    b_turned: bool,
    with_bias: bool,
    avx512: bool,
    threads: int,
) -> None:
    """Add ``a @ b`` to `out`, which is zero; `a` (n, K), `b` (K, m) as they are read here.

    `a_turned`, `b_turned`: whether TensorFlow's operand was stored transposed; `with_bias`: whether
    a bias belongs to the same operation; `avx512`: whose kernel sums the pieces.
    """
    n, k, m = a.shape[0], a.shape[1], b.shape[1]
    if not with_bias and n == 1 and b_turned:
        _along_k(a, b, out)
    elif not with_bias and m == 1 and (n == 1 or (not a_turned and k + n < 19)):
        _along_output(a, b, out, 0)
    elif not with_bias and m == 1 and not a_turned:
        _along_k(a, b, out)
    elif not with_bias and m == 1:
        _along_output(a, b, out, n)
    elif n == 1:
        _along_output(a, b, out, m)
    else:
        t, tk = _plan(m, n, k, threads)
        if tk:
            share = min(k, max(96, _up(_up(k, tk), 8) * 8))
            for k0 in range(0, k, share):
                k1 = min(k, k0 + share)
                kc, mc, nc = _blocks(k1 - k0, m, n, tk, True)
                part = np.zeros_like(out)
                _pieces(a, b, k0, k1, kc, mc, nc, part, avx512)
                out += part
        else:
            kc, mc, nc = _blocks(k, m, n, t, t == 1 or _shares_columns(m, n, t))
            _pieces(a, b, 0, k, kc, mc, nc, out, avx512)
