"""Element by element: no sums, so every operation rounds once and the order is free."""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, kernel
from minisgd_kernels._math import exp, exp_tail, log, log1p, log1p_tail, log_tail
from minisgd_kernels.reduce import PACKET


@kernel
def relu(x: Array) -> Array:
    """``max(x, 0)``, any shape; NaN stays NaN (TensorFlow's fused relu would make it 0)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    for i in range(flat_x.size):
        flat_out[i] = 0 if flat_x[i] < 0 else flat_x[i]
    restore_denormals(mode)
    return out


@kernel
def relu_vjp(g: Array, out: Array) -> Array:
    """``g`` times the slope, 1 where the output is positive and else 0; NaN in `out` passes `g`.

    A product, not a choice: a negative gradient becomes -0, and NaN stays NaN.
    """
    mode = flush_denormals()
    result = np.empty_like(g)
    flat_g, flat_out, flat = g.reshape(-1), out.reshape(-1), result.reshape(-1)
    zero, one = g.dtype.type(0), g.dtype.type(1)
    for i in range(flat.size):
        flat[i] = flat_g[i] * (zero if flat_out[i] <= 0 else one)
    restore_denormals(mode)
    return result


@kernel
def add(a: Array, b: Array) -> Array:
    """``a + b`` with NumPy's broadcasting."""
    mode = flush_denormals()
    out = a + b
    restore_denormals(mode)
    return out


@kernel
def subtract(a: Array, b: Array) -> Array:
    """``a - b`` with NumPy's broadcasting."""
    mode = flush_denormals()
    out = a - b
    restore_denormals(mode)
    return out


@kernel
def multiply(a: Array, b: Array) -> Array:
    """``a * b`` with NumPy's broadcasting."""
    mode = flush_denormals()
    out = a * b
    restore_denormals(mode)
    return out


@kernel
def divide(a: Array, b: Array) -> Array:
    """``a / b`` with NumPy's broadcasting; x / 0 is infinite or NaN."""
    mode = flush_denormals()
    out = a / b
    restore_denormals(mode)
    return out


@kernel
def exponential(x: Array) -> Array:
    """``exp(x)``, any shape, as Eigen rounds it (its last ``size % 8``: the C library)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    in_packets = flat_x.size // PACKET * PACKET
    for i in range(in_packets):
        flat_out[i] = exp(flat_x[i])
    for i in range(in_packets, flat_x.size):
        flat_out[i] = exp_tail(flat_x[i])
    restore_denormals(mode)
    return out


@kernel
def logarithm(x: Array) -> Array:
    """``log(x)``, any shape, as Eigen rounds it (its last ``size % 8``: the C library)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    in_packets = flat_x.size // PACKET * PACKET
    for i in range(in_packets):
        flat_out[i] = log(flat_x[i])
    for i in range(in_packets, flat_x.size):
        flat_out[i] = log_tail(flat_x[i])
    restore_denormals(mode)
    return out


@kernel
def clip(x: Array, low: Scalar, high: Scalar) -> Array:
    """``min(max(x, low), high)``, any shape; NaN stays NaN."""
    mode = flush_denormals()
    out = np.empty_like(x)
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    for i in range(flat_x.size):
        v = flat_x[i]
        flat_out[i] = low if v < low else high if v > high else v
    restore_denormals(mode)
    return out


@kernel
def clip_vjp(g: Array, x: Array, low: Scalar, high: Scalar) -> Array:
    """``g`` where ``low <= x <= high`` (the bounds included), else 0."""
    mode = flush_denormals()
    out = np.empty_like(x)
    flat_g, flat_x, flat_out = g.reshape(-1), x.reshape(-1), out.reshape(-1)
    for i in range(flat_x.size):
        flat_out[i] = 0 if flat_x[i] < low or flat_x[i] > high else flat_g[i]
    restore_denormals(mode)
    return out


@kernel
def where(condition: Array, a: Array, b: Array) -> Array:
    """`a` where `condition` (bool) holds, else `b`; three arrays of one shape."""
    out = np.empty_like(a)
    flat_c, flat_a, flat_b = condition.reshape(-1), a.reshape(-1), b.reshape(-1)
    flat = out.reshape(-1)
    for i in range(flat.size):
        flat[i] = flat_a[i] if flat_c[i] else flat_b[i]
    return out


@kernel
def logarithm_1p(x: Array) -> Array:
    """``log(1 + x)``, shape (n,), as Eigen rounds it (its last ``size % 8``: once)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    in_packets = x.size // PACKET * PACKET
    for i in range(x.size):
        out[i] = log1p(x[i]) if i < in_packets else log1p_tail(x[i])
    restore_denormals(mode)
    return out


@kernel
def power(x: Array, y: Array) -> Array:
    """``x ** y`` in double precision, rounded once (TensorFlow's is less exact); shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = np.float64(x[i]) ** np.float64(y[i])
    restore_denormals(mode)
    return out


@kernel
def square_root(x: Array) -> Array:
    """``sqrt(x)``, correctly rounded; NaN below 0; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = np.sqrt(x[i])
    restore_denormals(mode)
    return out


@kernel
def square_root_vjp(g: Array, y: Array) -> Array:
    """``(0.5 / y) * g``, what fills no packet ``(0.5 * g) / y``; 0 where g is 0; shape (n,)."""
    mode = flush_denormals()
    out = np.empty_like(g)
    in_packets = g.size // PACKET * PACKET
    half = g.dtype.type(0.5)
    for i in range(g.size):
        if g[i] == 0:
            out[i] = 0
        else:
            out[i] = half / y[i] * g[i] if i < in_packets else half * g[i] / y[i]
    restore_denormals(mode)
    return out
