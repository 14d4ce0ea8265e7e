"""exp, log and what is made of them, sin and cos, rounded as TensorFlow's CPU build rounds them.

TensorFlow uses three sources, and each rounds in its own way, so each is written out here instead
of being called: Eigen's vectorised polynomials (whole groups of eight elements), the C library
(glibc 2.28 and newer: what is left over, and random normals), oneDNN's (softmax, and activations
behind a dense layer: `_onednn`). Being our own code, they round alike on every system.

In float64 no bits are promised: `math` serves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from minisgd_kernels._intrinsics import bits_of, bits_of_double, double_of, float_of, floor, fma
from minisgd_kernels._jit import helper, stands_for

_f32 = np.float32


def from_hex(*numbers: str) -> Any:
    """Float64 array of numbers written in C's hexadecimal form, which is exact."""
    return np.array([float.fromhex(n) for n in numbers])


# --- Eigen's exp and log: no FMA, every operation rounds (Eigen, GenericPacketMathFunctions.h) ---
_EXP_HI, _EXP_LO = _f32(88.723), _f32(-104.0)
_LOG2E, _HALF, _ONE, _ZERO = _f32(1.44269504088896341), _f32(0.5), _f32(1), _f32(0)
_LN2_HI, _LN2_LO = _f32(-0.693359375), _f32(2.12194440e-4)
_E2, _E3 = _f32(0.49999988079071044921875), _f32(0.16666518151760101318359375)
_E4, _E5 = _f32(4.166965186595916748046875e-2), _f32(8.36894474923610687255859375e-3)
_E6 = _f32(1.37449637986719608306884765625e-3)
_ROUND = _f32(12582912.0)  # 1.5 * 2^23: adding it leaves an integer in the low bits
_ROUND_BITS = np.int32(0x4B400000)
_BIAS, _MANTISSA = np.int32(127), np.int32(23)


@helper
def _times_power_of_two(y: Any, m: Any) -> Any:
    """``y * 2**m`` for an integer-valued float32 `m`; exact unless the result is denormal."""
    n = bits_of(m + _ROUND) - _ROUND_BITS
    first = np.int32(max(n, np.int32(-100)))  # two steps, since 2**n alone may be out of range
    second = np.int32(n - first)
    y = y * float_of(np.int32((first + _BIAS) << _MANTISSA))
    return y * float_of(np.int32((second + _BIAS) << _MANTISSA))


@helper
def _eigen_exp(x0: Any) -> Any:
    """Eigen's ``pexp`` for float32; NaN goes through."""
    x = _EXP_HI if x0 > _EXP_HI else x0
    if x < _EXP_LO:
        return _ZERO
    if x != x:
        return x0
    m = floor(x * _LOG2E + _HALF)
    r = m * _LN2_HI + x
    r = m * _LN2_LO + r
    r2 = r * r
    even = r2 * _E6 + _E4
    odd = r2 * _E5 + _E3
    even = r2 * even + _E2
    y = r * odd + even
    y = r2 * y + (r + _ONE)
    y = _times_power_of_two(y, m)
    return x0 if x0 > y else y  # at the upper end: infinity stays infinity


_LOG_P0, _LOG_P1 = _f32(1.0000000190281136), _f32(1.0000000190281063)
_LOG_P2 = _f32(0.18256296349849254)
_LOG_Q0, _LOG_Q1 = _f32(1.0000000190281136), _f32(1.4999999999999927)
_LOG_Q2, _LOG_Q3 = _f32(0.59923249590823520), _f32(0.049616247954120038)
_SQRT_HALF, _LN2 = _f32(0.707106781186547524), _f32(0.6931471805599453)
_SMALLEST = _f32(1.17549435e-38)
_INFINITY, _NAN = _f32(np.inf), _f32(np.nan)


@helper
def _eigen_log(v: Any) -> Any:
    """Eigen's ``plog`` for float32: a rational approximation on [sqrt(1/2), sqrt(2))."""
    if not v > _ZERO:
        return -_INFINITY if v == _ZERO else _NAN
    if v < _SMALLEST:
        return -_INFINITY  # a denormal is zero here
    if v == _INFINITY:
        return v
    bits = bits_of(v)
    e = _f32((bits >> _MANTISSA) & np.int32(255)) - _f32(126)
    x = float_of(np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)))
    if x < _SQRT_HALF:
        e -= _ONE
        x = (x - _ONE) + x
    else:
        x = x - _ONE
    p = x * _LOG_P2 + _LOG_P1
    p = x * p + _LOG_P0
    p = x * p
    q = x * _LOG_Q3 + _LOG_Q2
    q = x * q + _LOG_Q1
    q = x * q + _LOG_Q0
    return e * _LN2 + p / q


@helper
def _eigen_log1p(x: Any) -> Any:
    """Eigen's ``plog1p``: Kahan's correction of ``log(1 + x)`` for the rounding of ``1 + x``."""
    u = x + _ONE
    log_u = _eigen_log(u)
    if u == _ONE or u == log_u:  # x vanishes beside 1, or is infinite
        return x
    return x * (log_u / (u - _ONE))


# --- Eigen's tanh: a quotient of polynomials, for whole packets and for what is left over ---
_TANH_END = _f32(7.90738964080810547)  # beyond it tanh rounds to 1
_T1, _T3 = _f32(1.340216100e-1), _f32(3.520756727e-3)
_T5, _T7 = _f32(2.102733560e-5), _f32(1.394553628e-8)
_U2, _U4 = _f32(4.673548340e-1), _f32(2.597254514e-2)
_U6, _U8 = _f32(3.326951409e-4), _f32(8.015776984e-7)


@helper
def _eigen_tanh(v: Any) -> Any:
    """Eigen's ``ptanh`` for float32; NaN goes through."""
    if v != v:
        return v
    x = max(min(v, _TANH_END), -_TANH_END)
    x2 = x * x
    p = ((_T7 * x2 + _T5) * x2 + _T3) * x2 + _T1
    q = (((_U8 * x2 + _U6) * x2 + _U4) * x2 + _U2) * x2 + _ONE
    return (x2 * x * p + x) / q


# --- Eigen's logistic function: e / (1 + e) with e = exp(x / 2) squared ---
_SIGMOID_END = _f32(16.6355324)  # beyond it the result rounds to 1
_G0, _G2 = _f32(0.49999141693115234375), _f32(4.1898667812347412109375e-2)
_G1, _G3 = _f32(0.16666877269744873046875), _f32(8.33471305668354034423828125e-3)


@helper
def _eigen_sigmoid(v: Any) -> Any:
    """Eigen's logistic function for whole packets of float32; NaN goes through."""
    if v < _EXP_LO:
        return _ZERO
    if v != v:
        return v
    x = min(v, _SIGMOID_END) * _HALF
    m = floor(x * _LOG2E + _HALF)
    r = m * _LN2_LO + (m * _LN2_HI + x)
    r2 = r * r
    even = r2 * _G2 + _G0
    odd = r2 * _G3 + _G1
    e = r2 * (r * odd + even) + (r + _ONE)
    e = _times_power_of_two(e, m)
    e = e * e
    return e / (_ONE + e)


# --- glibc's expf: double precision inside, one rounding at the end (sysdeps/ieee754/flt-32) ---
# The constants of this and of the next section are those of Arm's Optimized Routines.
def _exp2_table() -> Any:
    """Bits of 2^(i/32) with i/32 taken off the exponent, i = 0 ... 31; correctly rounded."""
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 40
        powers = [float(Decimal(2) ** (Decimal(i) / 32)) for i in range(32)]
    return np.array(powers).view(np.int64) - (np.arange(32, dtype=np.int64) << 47)


EXP2_BITS = _exp2_table()
_EXPF_C0 = float.fromhex("0x1.c6af84b912394p-5") / 32**3
_EXPF_C1 = float.fromhex("0x1.ebfce50fac4f3p-3") / 32**2
_EXPF_C2 = float.fromhex("0x1.62e42ff0c52d6p-1") / 32
_EXPF_SCALE = float.fromhex("0x1.71547652b82fep+0") * 32
_SHIFT = float.fromhex("0x1.8p+52")
_EXPF_OVER, _EXPF_UNDER = _f32(88.72284), _f32(-103.97208)


@helper
def libm_exp(x: Any) -> Any:
    """The C library's ``expf``: 2^(k/32) from a table times a cubic, in double precision."""
    if x > _EXPF_OVER:
        return _INFINITY
    if x < _EXPF_UNDER:
        return _ZERO
    if x != x:
        return x
    wide = np.float64(x)
    shifted = fma(_EXPF_SCALE, wide, _SHIFT)  # fused, as glibc's build for FMA processors does
    k = bits_of_double(shifted)
    r = fma(_EXPF_SCALE, wide, -(shifted - _SHIFT))
    scale = double_of(EXP2_BITS[k & np.int64(31)] + (k << np.int64(47)))
    y = fma(fma(_EXPF_C0, r, _EXPF_C1), r * r, fma(_EXPF_C2, r, 1.0))
    return _f32(y * scale)


@helper
def _libm_sigmoid(v: Any) -> Any:
    """Eigen's logistic function for what fills no packet: with the C library's exp."""
    e = libm_exp(_SIGMOID_END if v > _SIGMOID_END else v)
    return e / (_ONE + e)


# --- glibc's logf, sinf and cosf, for the random normals ---
# A number c near the middle of each sixteenth of [0.7, 1.4): 1/c, then log(c).
_INVERSE = from_hex(
    "0x1.661ec79f8f3bep+0",
    "0x1.571ed4aaf883dp+0",
    "0x1.49539f0f010bp+0",
    "0x1.3c995b0b80385p+0",
    "0x1.30d190c8864a5p+0",
    "0x1.25e227b0b8eap+0",
    "0x1.1bb4a4a1a343fp+0",
    "0x1.12358f08ae5bap+0",
    "0x1.0953f419900a7p+0",
    "0x1p+0",
    "0x1.e608cfd9a47acp-1",
    "0x1.ca4b31f026aap-1",
    "0x1.b2036576afce6p-1",
    "0x1.9c2d163a1aa2dp-1",
    "0x1.886e6037841edp-1",
    "0x1.767dcf5534862p-1",
)
_LOGF_TABLE = from_hex(
    "-0x1.57bf7808caadep-2",
    "-0x1.2bef0a7c06ddbp-2",
    "-0x1.01eae7f513a67p-2",
    "-0x1.b31d8a68224e9p-3",
    "-0x1.6574f0ac07758p-3",
    "-0x1.1aa2bc79c81p-3",
    "-0x1.a4e76ce8c0e5ep-4",
    "-0x1.1973c5a611cccp-4",
    "-0x1.252f438e10c1ep-5",
    "0x0p+0",
    "0x1.aa5aa5df25984p-5",
    "0x1.c5e53aa362eb4p-4",
    "0x1.526e57720db08p-3",
    "0x1.bc2860d22477p-3",
    "0x1.1058bc8a07ee1p-2",
    "0x1.4043057b6ee09p-2",
)
_LOGF_A0 = float.fromhex("-0x1.00ea348b88334p-2")
_LOGF_A1 = float.fromhex("0x1.5575b0be00b6ap-2")
_LOGF_A2 = float.fromhex("-0x1.ffffef20a4123p-2")
_LN2_DOUBLE = float.fromhex("0x1.62e42fefa39efp-1")
_OFFSET = np.int32(0x3F330000)  # 0.7


@helper
def split_for_log(x: Any) -> Any:
    """``x = 2**k * c * (1 + r)`` for a positive normal float32; returns c's index, k and r."""
    bits = bits_of(x)
    shifted = np.int32(bits - _OFFSET)
    i = (shifted >> np.int32(19)) & np.int32(15)
    k = shifted >> np.int32(23)
    z = np.float64(float_of(np.int32(bits - (k << np.int32(23)))))
    return i, np.float64(k), fma(z, _INVERSE[i], -1.0)


@helper
def libm_log(x: Any) -> Any:
    """The C library's ``logf``: a table of 16 and a cubic, in double precision."""
    if x == _ONE:
        return _ZERO
    if not _SMALLEST <= x < _INFINITY:  # zero and denormals, negative, infinite, NaN
        return -_INFINITY if _ZERO <= x < _ONE else x if x == _INFINITY else _NAN
    i, k, r = split_for_log(x)
    y0 = fma(k, _LN2_DOUBLE, _LOGF_TABLE[i])
    r2 = r * r
    y = fma(_LOGF_A0, r2, fma(_LOGF_A1, r, _LOGF_A2))
    return _f32(fma(y, r2, y0 + r))


@helper
def _libm_log1p(x: Any) -> Any:
    """``log1p`` rounded once; the C library's own is at most one unit in the last place off."""
    return _f32(np.log1p(np.float64(x)))


_C1 = float.fromhex("-0x1.ffffffd0c621cp-2")
_C2 = float.fromhex("0x1.55553e1068f19p-5")
_C3 = float.fromhex("-0x1.6c087e89a359dp-10")
_C4 = float.fromhex("0x1.99343027bf8c3p-16")
_S1 = float.fromhex("-0x1.555545995a603p-3")
_S2 = float.fromhex("0x1.1107605230bc4p-7")
_S3 = float.fromhex("-0x1.994eb3774cf24p-13")
_TWO_OVER_PI = float.fromhex("0x1.45F306DC9C883p+23")  # times 2^24
_HALF_PI = float.fromhex("0x1.921FB54442D18p0")


@helper
def _sine_series(r: Any, r2: Any) -> Any:
    r3 = r * r2
    return _f32(fma(r3 * r2, fma(r2, _S3, _S2), fma(r3, _S1, r)))


@helper
def _cosine_series(r2: Any) -> Any:
    r4 = r2 * r2
    return fma(r4 * r2, fma(r2, _C4, _C3), fma(r4, _C2, fma(r2, _C1, 1.0)))


@helper
def libm_sin_cos(x: Any) -> Any:
    """The C library's ``(sinf(x), cosf(x))`` for ``0 <= x < 120``."""
    angle = np.float64(x)
    # The quadrant: round(x / (pi / 2)), and what remains of the angle.
    n = (np.int64(angle * _TWO_OVER_PI) + np.int64(0x800000)) >> np.int64(24)
    if x < _f32(0.78539816339):  # pi / 4: no reduction
        n = np.int64(0)
    r = fma(-np.float64(n), _HALF_PI, angle)
    r2 = r * r
    sine, cosine = _sine_series(r, r2), _f32(_cosine_series(r2))
    quadrant = n & np.int64(3)
    if quadrant == 0:
        return sine, cosine
    if quadrant == 1:
        return cosine, -sine
    if quadrant == 2:
        return -sine, -cosine
    return -cosine, sine


def by_precision(single: Any, double: Any) -> Any:
    """A function that is `single` for float32 and `double` for float64, chosen by the compiler."""

    @stands_for(lambda x: single if x == types.float32 else double)
    def choose(x):  # type: ignore[no-untyped-def]
        return single(x) if isinstance(x, np.float32) else double(x)

    return choose


@helper
def double_exp(x: Any) -> Any:
    return math.exp(x)


@helper
def _double_log(x: Any) -> Any:
    if x == 0.0:
        return -np.inf
    return math.log(x) if x > 0.0 else np.nan


@helper
def _double_log1p(x: Any) -> Any:
    return np.log1p(x)


@helper
def double_tanh(x: Any) -> Any:
    return math.tanh(x)


@helper
def double_sigmoid(x: Any) -> Any:
    e = math.exp(-abs(x))  # never overflows
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@helper
def double_elu(x: Any) -> Any:
    return x if x > 0.0 else math.exp(x) - 1.0


exp = by_precision(_eigen_exp, double_exp)
log = by_precision(_eigen_log, _double_log)
exp_tail = by_precision(libm_exp, double_exp)
log_tail = by_precision(libm_log, _double_log)
log1p = by_precision(_eigen_log1p, _double_log1p)
log1p_tail = by_precision(_libm_log1p, _double_log1p)
tanh = by_precision(_eigen_tanh, double_tanh)
sigmoid = by_precision(_eigen_sigmoid, double_sigmoid)
sigmoid_tail = by_precision(_libm_sigmoid, double_sigmoid)
