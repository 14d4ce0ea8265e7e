"""The error function, exp(x) - 1 and the activation functions made of exp; flat arrays.

TensorFlow's bits, as in `activation`: Eigen's vector code for whole packets of eight elements, for
the last ``size % 8`` its scalar code. One thing is not followed. Beyond 1 Eigen's erfc multiplies
by a reciprocal that the processor estimates, each maker's differently; here it is a division.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minisgd_kernels import _onednn
from minisgd_kernels._intrinsics import flush_denormals, fma, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel
from minisgd_kernels._math import by_precision, exp, exp_tail, log, sigmoid, sigmoid_tail, tanh
from minisgd_kernels.reduce import PACKET

_f32 = np.float32
_fused_sigmoid = _onednn.sigmoid
_ZERO, _ONE, _TWO, _SIXTEEN = _f32(0), _f32(1), _f32(2), _f32(16)

# --- erf and erfc (Eigen, SpecialFunctionsImpl.h): no FMA, the highest power first ---
_P = np.array([2.1237322e-06, 0.00028619796, 0.0036580483, 0.05243302, 0.18741608, 1.1283791], _f32)
_Q = np.array([3.8918573e-05, 0.001143296, 0.014752088, 0.112945676, 0.4994258, 1.0], _f32)
_S = np.array([0.0005618023, -0.0049138167, 0.026707515, -0.11280011, 0.37612295, -1.1283791], _f32)
_G = np.array([0.102081165, 0.42920667, 0.3237908, 0.053971976], _f32)
_D = np.array([0.017251678, 0.39137164, 1.0, 0.6217324, 0.09566286], _f32)
_ERFC_END = _f32(11)


@helper
def _horner(x: Any, coefficients: Any) -> Any:
    """Polynomial in `x`, every operation rounded."""
    y = coefficients[0]
    for i in range(1, coefficients.size):
        y = y * x + coefficients[i]
    return y


@helper
def _eigen_erf(x: Any) -> Any:
    """Quotient of polynomials in the square, limited to [-1, 1]; NaN goes through."""
    x2 = min(_SIXTEEN, x * x)
    r = x * _horner(x2, _P) / _horner(x2, _Q)
    return _ONE if r > _ONE else -_ONE if r < -_ONE else r


@helper
def _eigen_erfc(v: Any) -> Any:
    """``1 + x S(x**2)`` up to 1, beyond it ``exp(-x**2) / x`` times a quotient in ``1 / x**2``."""
    if v != v:
        return v
    x = min(max(v, -_ERFC_END), _ERFC_END)
    x2 = x * x
    if not x2 > _ONE:
        return x * _horner(x2, _S) + _ONE
    low = fma(x, x, -x2)  # what the square has lost to rounding
    e = exp(-x2)
    e = e - e * low
    u = _ONE / x2
    r = _horner(u, _G) / (x * _horner(u, _D))
    return e * r + (_TWO if x < _ZERO else _ZERO)


@helper
def _kahan_expm1(x: Any) -> Any:
    """Eigen's ``pexpm1``: Kahan's correction of ``exp(x) - 1`` for the rounding of ``exp(x)``."""
    u = exp(x)
    if u == _ONE:
        return x
    less = u - _ONE
    if less == -_ONE:
        return -_ONE
    log_u = log(u)
    return u if u == log_u else less * (x / log_u)


@helper
def _expm1_tail(x: Any) -> Any:
    """``exp(x) - 1`` rounded once; the C library's own is at most one unit off."""
    return _f32(np.expm1(np.float64(x)))


@helper
def _double_erf(x: Any) -> Any:
    return math.erf(x)


@helper
def _double_erfc(x: Any) -> Any:
    return math.erfc(x)


@helper
def _double_expm1(x: Any) -> Any:
    return np.expm1(x)


_erf = by_precision(_eigen_erf, _double_erf)
_erfc = by_precision(_eigen_erfc, _double_erfc)
_expm1 = by_precision(_kahan_expm1, _double_expm1)
_expm1_last = by_precision(_expm1_tail, _double_expm1)


@kernel
def error_function(x: Array) -> Array:
    """``erf(x)``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = _erf(x[i])
    restore_denormals(mode)
    return out


@kernel
def error_function_complement(x: Array) -> Array:
    """``erfc(x) = 1 - erf(x)``, also where that difference would vanish; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = _erfc(x[i])
    restore_denormals(mode)
    return out


@kernel
def exponential_m1(x: Array) -> Array:
    """``exp(x) - 1``, also where that difference would vanish; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    for i in range(x.size):
        out[i] = _expm1(x[i]) if i < in_packets else _expm1_last(x[i])
    restore_denormals(mode)
    return out


@kernel
def scaled_exponential_m1(x: Array, alpha: Scalar) -> Array:
    """``alpha * (exp(x * (1 / alpha)) - 1)``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    inverse = x.dtype.type(1) / alpha
    for i in range(x.size):
        v = x[i] * inverse
        out[i] = (_expm1(v) if i < in_packets else _expm1_last(v)) * alpha
    restore_denormals(mode)
    return out


@kernel
def gelu(x: Array) -> Array:
    """``(0.5 x) erfc(-x sqrt(0.5))``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    half, root = x.dtype.type(0.5), x.dtype.type(0.7071067811865476)
    for i in range(x.size):
        out[i] = (half * x[i]) * _erfc(-x[i] * root)
    restore_denormals(mode)
    return out


@kernel
def gelu_tanh(x: Array) -> Array:
    """``(0.5 x) (1 + tanh(sqrt(2 / pi) (x + x (0.044715 x²))))``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    number = x.dtype.type
    half, one, cubic, root = number(0.5), number(1), number(0.044715), number(0.7978845608028654)
    for i in range(x.size):
        inner = (x[i] + x[i] * (cubic * (x[i] * x[i]))) * root
        out[i] = (half * x[i]) * (tanh(inner) + one)
    restore_denormals(mode)
    return out


# --- selu: the two numbers for which mean 0 and variance 1 are a fixed point ---
_SCALE, _SCALE_ALPHA = 1.0507009873554804934193349852946, 1.7580993408473768599402175208123


@kernel
def selu(x: Array) -> Array:
    """``scale alpha (exp(x) - 1)`` below 0, else ``scale x``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    one, scale = x.dtype.type(1), x.dtype.type(_SCALE)
    scale_alpha = x.dtype.type(_SCALE_ALPHA)
    for i in range(x.size):
        if x[i] < 0:
            out[i] = scale_alpha * ((exp(x[i]) if i < in_packets else exp_tail(x[i])) - one)
        else:
            out[i] = scale * x[i]
    restore_denormals(mode)
    return out


@kernel
def selu_vjp(g: Array, y: Array) -> Array:
    """``g (y + scale alpha)`` where the output is negative, else ``g scale``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(g)
    scale, scale_alpha = g.dtype.type(_SCALE), g.dtype.type(_SCALE_ALPHA)
    for i in range(g.size):
        out[i] = g[i] * (y[i] + scale_alpha) if y[i] < 0 else g[i] * scale
    restore_denormals(mode)
    return out


@kernel
def silu(x: Array) -> Array:
    """``x`` times its sigmoid; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    for i in range(x.size):
        out[i] = x[i] * (sigmoid(x[i]) if i < in_packets else sigmoid_tail(x[i]))
    restore_denormals(mode)
    return out


@kernel
def fused_silu(x: Array) -> Array:
    """``x`` times its sigmoid, oneDNN's; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = x[i] * _fused_sigmoid(x[i])
    restore_denormals(mode)
    return out


@kernel
def softsign(x: Array) -> Array:
    """``x / (|x| + 1)``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    one = x.dtype.type(1)
    for i in range(x.size):
        out[i] = x[i] / (np.abs(x[i]) + one)
    restore_denormals(mode)
    return out
