"""Activation functions and the slopes that have a rounding of their own; flat arrays.

As everywhere, TensorFlow's bits: whole packets of eight elements are Eigen's vector code, the last
``size % 8`` elements its scalar code, which calls the C library or multiplies in another order.

Right behind a dense layer, in a graph, the functions are oneDNN's: the kernels named ``fused_...``.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels import _math, _onednn
from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, kernel
from minisgd_kernels._math import exp, exp_tail, log1p, log1p_tail, sigmoid_tail
from minisgd_kernels.reduce import PACKET

_tanh, _sigmoid = _math.tanh, _math.sigmoid
_fused_tanh, _fused_sigmoid, _fused_elu = _onednn.tanh, _onednn.sigmoid, _onednn.elu


@kernel
def tanh(x: Array) -> Array:
    """Hyperbolic tangent; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = _tanh(x[i])
    restore_denormals(mode)
    return out


@kernel
def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` as ``e / (1 + e)``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    for i in range(in_packets):
        out[i] = _sigmoid(x[i])
    for i in range(in_packets, x.size):
        out[i] = sigmoid_tail(x[i])
    restore_denormals(mode)
    return out


@kernel
def sigmoid_vjp(g: Array, y: Array) -> Array:
    """``g * (y * (1 - y))``, and ``(g * y) * (1 - y)`` for what fills no packet; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(g)
    in_packets = g.size // PACKET * PACKET
    one = g.dtype.type(1)  # a literal 1 is an integer, which would make doubles of floats
    for i in range(in_packets):
        out[i] = g[i] * (y[i] * (one - y[i]))
    for i in range(in_packets, g.size):
        out[i] = (g[i] * y[i]) * (one - y[i])
    restore_denormals(mode)
    return out


@kernel
def elu(x: Array) -> Array:
    """``exp(x) - 1`` below 0, else `x`; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    one = x.dtype.type(1)
    for i in range(x.size):
        if x[i] < 0:
            out[i] = (exp(x[i]) if i < in_packets else exp_tail(x[i])) - one
        else:
            out[i] = x[i]
    restore_denormals(mode)
    return out


@kernel
def elu_vjp(g: Array, y: Array) -> Array:
    """``(y + 1) * g`` where the output is negative, else `g`; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(g)
    one = g.dtype.type(1)
    for i in range(g.size):
        out[i] = (y[i] + one) * g[i] if y[i] < 0 else g[i]
    restore_denormals(mode)
    return out


@kernel
def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``; shape (n,).

    Where 1 or exp(x) would vanish beside the other it is `x` or ``exp(x)`` itself: beyond
    ``-log(eps) - 2`` on either side.
    """
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    end = -np.log(x.dtype.type(np.finfo(x.dtype).eps)) - x.dtype.type(2)
    for i in range(x.size):
        e = exp(x[i]) if i < in_packets else exp_tail(x[i])
        if x[i] > end:
            out[i] = x[i]
        elif x[i] < -end:
            out[i] = e
        else:
            out[i] = log1p(e) if i < in_packets else log1p_tail(e)
    restore_denormals(mode)
    return out


# --- behind a dense layer, in a graph ---
@kernel
def fused_tanh(x: Array) -> Array:
    """Hyperbolic tangent, oneDNN's; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = _fused_tanh(x[i])
    restore_denormals(mode)
    return out


@kernel
def fused_sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, oneDNN's; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = _fused_sigmoid(x[i])
    restore_denormals(mode)
    return out


@kernel
def fused_elu(x: Array) -> Array:
    """``exp(x) - 1`` below 0, else `x`, oneDNN's; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = _fused_elu(x[i])
    restore_denormals(mode)
    return out
