"""exp, tanh, sigmoid and elu as oneDNN rounds them: in its softmax, and behind a dense layer.

In the graph that `fit`, `evaluate` and `predict` run, TensorFlow hands product, bias and activation
to oneDNN in one piece, and oneDNN has functions of its own: Horner's rule, every step an FMA. They
don't look at an element's place, so nothing is left over for the C library. The coefficients are
numbers that oneDNN 3.7.3 holds (cpu/x64/injectors/jit_uni_eltwise_injector.cpp), as bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd_kernels._intrinsics import bits_of, float_of, floor, fma
from minisgd_kernels._jit import helper
from minisgd_kernels._math import (
    by_precision,
    double_elu,
    double_exp,
    double_sigmoid,
    double_tanh,
)

_f32 = np.float32
_ZERO, _HALF, _ONE, _TWO = _f32(0), _f32(0.5), _f32(1), _f32(2)


def _of_bits(bits: Any) -> Any:
    """Float32 numbers with these bit patterns."""
    return np.array(bits, np.uint32).view(np.float32)


_LO, _HI, _LOG2E, _LN2 = _of_bits([0xC2AEAC50, 0x42B17218, 0x3FB8AA3B, 0x3F317218])
_E5, _E4, _E3, _E2, _E1 = _of_bits([0x3C07CFCE, 0x3D2B9D0D, 0x3E2AAD40, 0x3EFFFEE3, 0x3F7FFFFB])


@helper
def onednn_exp(x: Any) -> Any:
    """``exp(x)``; NaN goes through. Results below 2**-125 are 0: half of them is a denormal."""
    if x != x:
        return x
    if x < _LO:
        return _ZERO
    x = min(x, _HI)
    n = floor(fma(x, _LOG2E, _HALF))
    r = fma(-n, _LN2, x)
    y = fma(fma(fma(fma(fma(_E5, r, _E4), r, _E3), r, _E2), r, _E1), r, _ONE)
    half_power = float_of(np.int32((np.int32(n) + np.int32(126)) << np.int32(23)))
    return (y * half_power) * _TWO


@helper
def _onednn_sigmoid(x: Any) -> Any:
    """``e / (e + 1)`` with ``e = exp(-abs(x))``, for positive `x` 1 minus that."""
    if x != x:
        return x
    e = onednn_exp(-abs(x))
    y = e / (e + _ONE)
    return _ONE - y if x > _ZERO else y


@helper
def _onednn_elu(x: Any) -> Any:
    """``exp(x) - 1`` unless `x` is positive."""
    return x if x > _ZERO else onednn_exp(x) - _ONE


# tanh on each half of a binade from 2**-12 to 2**4, [1, 1.5) 2**k and [1.5, 2) 2**k: a polynomial
# in the distance from its lower end, degrees 0 to 6. The first and the last interval are not used.
_TANH = _of_bits(
    [
        [0x00000000, 0x3F800000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000],
        [0x39BFFFFF, 0x3F800018, 0xBE4E0FF1, 0x45B3AE96, 0xCC981A1B, 0x52F688D5, 0xD8995ED1],
        [0x39FFFFFF, 0x3F7FFFE8, 0x3D25B1B1, 0xC414EB20, 0x4A7EDD3D, 0xD0505C72, 0x558285EA],
        [0x3A3FFFFE, 0x3F7FFFDA, 0x3D6B6DAB, 0xC450E02E, 0x4AB1007C, 0xD08F98E3, 0x55B2CD69],
        [0x3A7FFFFB, 0x3F7FFFDC, 0x3C9FB1D5, 0xC3152B4E, 0x48FEDD9C, 0xCE505CC9, 0x53028625],
        [0x3ABFFFF7, 0x3F7FFFDC, 0xBABFF06F, 0xBEAD2F56, 0x41A557B5, 0xC7162B8A, 0x4BC9991F],
        [0x3AFFFFEB, 0x3F7FFFAC, 0x3C07B3F6, 0xC2162E02, 0x477EE32A, 0xCC5061D6, 0x5082898A],
        [0x3B3FFFDC, 0x3F7FFF70, 0xBB3FC1BC, 0xBEB4BD5A, 0x422557F5, 0xC7162BDF, 0x4B4999B3],
        [0x3B7FFFAB, 0x3F7FFEEC, 0x3A9F5921, 0xC11A59A4, 0x45FF3CE4, 0xCA50B37F, 0x4E02C07C],
        [0x3BBFFF70, 0x3F7FFDC0, 0xBBBF06F2, 0xBED2F507, 0x42A55641, 0xC7162A3A, 0x4AC99764],
        [0x3BFFFEAB, 0x3F7FFBED, 0xBBB0F402, 0xC020D32C, 0x446E0867, 0xC8422086, 0x4B72C822],
        [0x3C3FFDC0, 0x3F7FF704, 0xBC47DB9E, 0x3DD0F506, 0xC33DC19A, 0x471A714E, 0xCA40C0E1],
        [0x3C7FFAAB, 0x3F7FEFF5, 0xBC73D5E7, 0xBF2A75E2, 0x42915214, 0xC5ECE1F1, 0x489413E4],
        [0x3CBFF701, 0x3F7FDBCA, 0xBCA25BDA, 0xBFF950E3, 0x43AF4FAD, 0xC70E3D90, 0x49B12224],
        [0x3CFFEAAD, 0x3F7FBFFF, 0xBCFCA780, 0xBED47334, 0x4110FE88, 0xC3EBA94A, 0x46134C4E],
        [0x3D3FDC08, 0x3F7F7041, 0xBD40E07C, 0xBE809B8C, 0xC1099B75, 0x43E0C424, 0xC60C2D57],
        [0x3D7FAACD, 0x3F7F009B, 0xBD7DAB03, 0xBEB64532, 0x3FC8A8DC, 0xC21F4552, 0x43C83910],
        [0x3DBF7081, 0x3F7DC36C, 0xBDBE4A0F, 0xBE961A5B, 0xBFBEAEF5, 0x42217CC8, 0xC3C872D1],
        [0x3DFEACC9, 0x3F7C0AA8, 0xBDFB14A5, 0xBE9B63AC, 0xBE365AAD, 0x405E7DC4, 0xC186BC9E],
        [0x3E3DC7FD, 0x3F7734B8, 0xBE36CC8D, 0xBEA0D4B2, 0x3F4D9652, 0xC10DD401, 0x42325BC3],
        [0x3E7ACBF5, 0x3F70A4DE, 0xBE6BD102, 0xBE828A77, 0x3DDFA08F, 0x3E96B602, 0xBF2FFA4A],
        [0x3EB77A9F, 0x3F5F1FD8, 0xBE9FE7C5, 0xBE378612, 0x3E34E9B8, 0xBD1A6D2F, 0x3D9A203C],
        [0x3EEC9A9F, 0x3F495493, 0xBEBA0F10, 0xBDC20908, 0x3E2D07A6, 0xBD393883, 0xBC545A43],
        [0x3F22991F, 0x3F18B9EC, 0xBEC206A8, 0x3D2D3957, 0x3DC63567, 0xBD674682, 0xBAE08FEE],
        [0x3F42F7D6, 0x3ED706CB, 0xBEA3C388, 0x3DD46E89, 0x3CDAEB78, 0xBD310016, 0x3C80225D],
        [0x3F67B7CC, 0x3E390B06, 0xBE277D62, 0x3DB3F629, 0xBCD17537, 0xB961E269, 0x3B1FD1DF],
        [0x3F76CA83, 0x3D90B11F, 0xBD8B7960, 0x3D2C5E7B, 0xBC92829C, 0x3BA32495, 0xBA36B9D1],
        [0x3F7EBBE9, 0x3C21A053, 0xBC209F49, 0x3BD20403, 0xBB43AB99, 0x3A7680D5, 0xB91DE544],
        [0x3F7FD40C, 0x3AAF7FDB, 0xBAAD44CA, 0x3A59DFAE, 0xB9B471DD, 0x38B3173C, 0xB71F100F],
        [0x3F7FFF32, 0x37CCC1A3, 0xB7C6EEAC, 0x3770AF45, 0xB6BAAD5A, 0x35A9DEEA, 0xB408E2ED],
        [0x3F7FFFFC, 0x355C6733, 0xB663AA41, 0x372CC014, 0xB78BAFC7, 0x375C3F2A, 0xB685FEC8],
        [0x3F800000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000],
    ]
)
_TANH_LINEAR, _TANH_ONE = _of_bits([0x39DDB3D7, 0x41102CB3])
_FIRST, _HALF_BINADE = np.int32(0x39800000), np.int32(22)


@helper
def _onednn_tanh(v: Any) -> Any:
    """A polynomial of degree 6 from a table; `v` itself up to 0.00042, 1 from 9.0109 on."""
    x = abs(v)
    if x <= _TANH_LINEAR or v != v:
        return v
    y = _ONE
    if x < _TANH_ONE:
        bits = bits_of(x)
        row = _TANH[(bits - _FIRST) >> _HALF_BINADE]
        r = x - float_of(np.int32(bits >> _HALF_BINADE << _HALF_BINADE))
        y = row[6]
        for degree in range(5, -1, -1):
            y = fma(y, r, row[degree])
    return -y if v < _ZERO else y


exp = by_precision(onednn_exp, double_exp)
sigmoid = by_precision(_onednn_sigmoid, double_sigmoid)
elu = by_precision(_onednn_elu, double_elu)
tanh = by_precision(_onednn_tanh, double_tanh)
