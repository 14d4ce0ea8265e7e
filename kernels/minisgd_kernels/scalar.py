"""Functions of float32 numbers as the C library has them: learning-rate schedules need them.

TensorFlow evaluates a schedule on tensors of one element, for which its vectorised code is not
used: ``tf.pow``, ``tf.cos`` and ``tf.math.log`` are glibc's ``powf``, ``cosf`` and ``logf``.
Whoever has many steps passes a vector; each element is computed alone all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd_kernels._intrinsics import (
    bits_of_double,
    double_of,
    flush_denormals,
    fma,
    restore_denormals,
)
from minisgd_kernels._jit import Array, helper, kernel
from minisgd_kernels._math import EXP2_BITS, from_hex, libm_log, libm_sin_cos, split_for_log

_f32 = np.float32
_ZERO, _ONE, _NAN, _INFINITY = _f32(0), _f32(1), _f32(np.nan), _f32(np.inf)
_SMALLEST = _f32(1.17549435e-38)

# --- glibc's powf: 2^(y log2 x) in double precision, one rounding at the end (flt-32/e_powf.c) ---
_LOG2_TABLE = from_hex(  # log2(c), for `split_for_log`
    "-0x1.efec65b963019p-2",
    "-0x1.b0b6832d4fca4p-2",
    "-0x1.7418b0a1fb77bp-2",
    "-0x1.39de91a6dcf7bp-2",
    "-0x1.01d9bf3f2b631p-2",
    "-0x1.97c1d1b3b7afp-3",
    "-0x1.2f9e393af3c9fp-3",
    "-0x1.960cbbf788d5cp-4",
    "-0x1.a6f9db6475fcep-5",
    "0x0p+0",
    "0x1.338ca9f24f53dp-4",
    "0x1.476a9543891bap-3",
    "0x1.e840b4ac4e4d2p-3",
    "0x1.40645f0c6651cp-2",
    "0x1.88e9c2c1b9ff8p-2",
    "0x1.ce0a44eb17bccp-2",
)
_A0 = float.fromhex("0x1.27616c9496e0bp-2")
_A1 = float.fromhex("-0x1.71969a075c67ap-2")
_A2 = float.fromhex("0x1.ec70a6ca7baddp-2")
_A3 = float.fromhex("-0x1.7154748bef6c8p-1")
_A4 = float.fromhex("0x1.71547652ab82bp0")


@helper
def _log2(x: Any) -> Any:
    """log2 of a positive normal float32, in double precision."""
    i, k, r = split_for_log(x)
    y0 = _LOG2_TABLE[i] + k
    r2 = r * r
    high, middle, low = fma(_A0, r, _A1), fma(_A2, r, _A3), fma(_A4, r, y0)
    return fma(high, r2 * r2, fma(middle, r2, low))


_C0 = float.fromhex("0x1.c6af84b912394p-5")
_C1 = float.fromhex("0x1.ebfce50fac4f3p-3")
_C2 = float.fromhex("0x1.62e42ff0c52d6p-1")
_SHIFT = float.fromhex("0x1.8p+47")  # 1.5 * 2^52 / 32: adding it rounds to a multiple of 1/32


@helper
def _exp2(x: Any) -> Any:
    """2^x of a float64 with ``-150 < x < 128``, rounded to float32."""
    shifted = x + _SHIFT
    k = bits_of_double(shifted)
    r = x - (shifted - _SHIFT)
    scale = double_of(EXP2_BITS[k & np.int64(31)] + (k << np.int64(47)))
    return _f32(fma(fma(_C0, r, _C1), r * r, fma(_C2, r, 1.0)) * scale)


@helper
def _libm_pow(x: Any, y: Any) -> Any:
    """The C library's ``powf`` for ``x >= 0``; NaN for a negative base."""
    if y == _ZERO or x == _ONE:
        return _ONE
    if not x >= _ZERO or y != y:
        return _NAN
    if x < _SMALLEST or x == _INFINITY:
        return _ZERO if (x < _ONE) == (y > _ZERO) else _INFINITY
    exponent = np.float64(y) * _log2(x)
    if exponent >= 128.0:
        return _INFINITY
    return _ZERO if exponent <= -150.0 else _exp2(exponent)


@kernel
def scalar_power(x: Array, y: Array) -> Array:
    """``x**y`` element by element, ``x >= 0``; NaN for a negative base."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = _libm_pow(x[i], y[i])
    restore_denormals(mode)
    return out


@kernel
def scalar_logarithm(x: Array) -> Array:
    """``log(x)`` element by element."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = libm_log(x[i])
    restore_denormals(mode)
    return out


@kernel
def scalar_cosine(x: Array) -> Array:
    """``cos(x)`` element by element, ``abs(x) < 120``."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = libm_sin_cos(abs(x[i]))[1]
    restore_denormals(mode)
    return out
