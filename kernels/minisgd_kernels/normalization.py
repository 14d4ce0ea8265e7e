"""What batch and layer normalization need beside sums and products."""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, kernel
from minisgd_kernels.reduce import PACKET


@kernel
def squared_difference(a: Array, b: Array) -> Array:
    """``(a - b)**2`` with NumPy's broadcasting; two roundings."""
    mode = flush_denormals()
    d = a - b
    out: Array = d * d
    restore_denormals(mode)
    return out


@kernel
def reciprocal_root(x: Array) -> Array:
    """``1 / sqrt(x)``, rounded once; what fills no packet of eight, twice; shape (n,).

    The latter is TensorFlow's. For whole packets TensorFlow improves an estimate that each
    processor makes in its own way: the nearest number is the nearest to all of them.
    """
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    one = x.dtype.type(1)
    for i in range(in_packets):
        out[i] = 1.0 / np.sqrt(np.float64(x[i]))
    for i in range(in_packets, x.size):
        out[i] = one / np.sqrt(x[i])
    restore_denormals(mode)
    return out


@kernel
def reciprocal_root_vjp(g: Array, y: Array) -> Array:
    """``(-0.5 (y y)) (y g)``, what fills no packet ``(-0.5 (g y)) (y y)``; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(g)
    in_packets = g.size // PACKET * PACKET
    half = g.dtype.type(-0.5)
    for i in range(g.size):
        if g[i] == 0:
            out[i] = 0
        elif i < in_packets:
            out[i] = (half * (y[i] * y[i])) * (y[i] * g[i])
        else:
            out[i] = (half * (g[i] * y[i])) * (y[i] * y[i])
    restore_denormals(mode)
    return out


@kernel
def moving_average_inplace(average: Array, value: Array, momentum: Scalar, rest: Scalar) -> Array:
    """``average = average momentum + value rest``, every operation rounded; returns a copy."""
    mode = flush_denormals()
    for i in range(average.size):
        average[i] = average[i] * momentum + value[i] * rest
    out = average.copy()
    restore_denormals(mode)
    return out
