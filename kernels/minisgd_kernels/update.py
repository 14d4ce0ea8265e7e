"""What SGD does to gradients and weights, on flat arrays; every product and sum rounds (no FMA).

The scalars (learning rate, momentum, limits, factors) have the dtype of the weights: a float64
learning rate changes the bits. ``..._inplace`` changes its first arguments; the others return a
new gradient and leave the caller's alone.
"""

from __future__ import annotations

import math

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel
from minisgd_kernels.reduce import PACKET, sum_vector


# --- the three rules ---
@kernel
def sgd_inplace(w: Array, g: Array, lr: Scalar) -> None:
    """``w -= g * lr``."""
    mode = flush_denormals()
    for i in range(w.size):
        w[i] = w[i] - g[i] * lr
    restore_denormals(mode)


@kernel
def momentum_inplace(w: Array, v: Array, g: Array, lr: Scalar, mu: Scalar) -> None:
    """``v = v * mu - g * lr; w += v``: Keras keeps the learning rate inside the velocity."""
    mode = flush_denormals()
    for i in range(w.size):
        velocity = v[i] * mu - g[i] * lr
        v[i] = velocity
        w[i] = w[i] + velocity
    restore_denormals(mode)


@kernel
def nesterov_inplace(w: Array, v: Array, g: Array, lr: Scalar, mu: Scalar) -> None:
    """``v = v * mu - g * lr; w += v * mu - g * lr``: the step looks ahead with the new velocity."""
    mode = flush_denormals()
    for i in range(w.size):
        step = g[i] * lr
        velocity = v[i] * mu - step
        v[i] = velocity
        w[i] = w[i] + (velocity * mu - step)
    restore_denormals(mode)


# --- around the rule: weight decay before it, a moving average after it ---
@kernel
def decay_inplace(w: Array, factor: Scalar) -> None:
    """``w -= w * factor``, with ``factor = weight decay * learning rate``, rounded first."""
    mode = flush_denormals()
    for i in range(w.size):
        w[i] = w[i] - w[i] * factor
    restore_denormals(mode)


@kernel
def average_inplace(average: Array, w: Array, momentum: Scalar) -> None:
    """``average = momentum * average + (1 - momentum) * w``."""
    mode = flush_denormals()
    rest = w.dtype.type(1) - momentum
    for i in range(w.size):
        average[i] = momentum * average[i] + rest * w[i]
    restore_denormals(mode)


@kernel
def copy_inplace(w: Array, value: Scalar) -> None:
    """``w = value``, an array or one number for all."""
    mode = flush_denormals()
    w[:] = value
    restore_denormals(mode)


# --- gradients, before the rule sees them ---
@kernel
def scaled(g: Array, factor: Scalar) -> Array:
    """``g * factor``."""
    mode = flush_denormals()
    out = np.empty_like(g)
    for i in range(g.size):
        out[i] = g[i] * factor
    restore_denormals(mode)
    return out


@kernel
def accumulate_inplace(total: Array, g: Array) -> None:
    """``total += g``."""
    mode = flush_denormals()
    for i in range(g.size):
        total[i] = total[i] + g[i]
    restore_denormals(mode)


@kernel
def clipped_by_value(g: Array, limit: Scalar) -> Array:
    """``min(max(g, -limit), limit)``; NaN stays NaN."""
    mode = flush_denormals()
    out = np.empty_like(g)
    smallest = g.dtype.type(np.finfo(g.dtype).tiny)
    for i in range(g.size):
        # A comparison alone would let a denormal through, and the compiler drops a product with 1.
        x = g[i] * 0 if abs(g[i]) < smallest else g[i]
        out[i] = limit if x > limit else -limit if x < -limit else x
    restore_denormals(mode)
    return out


@helper
def _sum_of_squares(g: Array) -> Scalar:
    """Each square rounds; then summed in Eigen's order."""
    squares = np.empty_like(g)
    for i in range(g.size):
        squares[i] = g[i] * g[i]
    return sum_vector(squares, 0, g.size, np.empty((4, PACKET), g.dtype))


@kernel
def numbers(n: int) -> Array:
    """Room for `n` float32."""
    mode = flush_denormals()
    out = np.zeros(n, np.float32)
    restore_denormals(mode)
    return out


@kernel
def sum_of_squares_inplace(squares: Array, i: int, g: Array) -> None:
    """``squares[i] = sum(g * g)``: each square rounds; the order is that of `sum_all`."""
    mode = flush_denormals()
    squares[i] = _sum_of_squares(g)
    restore_denormals(mode)


@kernel
def clipped_by_norm(g: Array, limit: Scalar) -> Array:
    """``(g * limit) / max(norm, limit)`` with ``norm = sqrt(sum(g * g))``; NaN if the norm is."""
    mode = flush_denormals()
    norm = math.sqrt(_sum_of_squares(g))
    divisor = limit if norm < limit else norm  # a NaN is no less: it goes through
    out = np.empty_like(g)
    for i in range(g.size):
        out[i] = (g[i] * limit) / divisor
    restore_denormals(mode)
    return out


@kernel
def global_norm_factor(squares: Array, limit: Scalar, reciprocal: Scalar) -> Scalar:
    """``limit * min(1 / norm, reciprocal) + (norm - norm)``, ``norm = sqrt(sum(squares))``.

    `squares` holds each gradient's sum of squares, `reciprocal` is ``1 / limit`` rounded once.
    The last term is 0, or NaN if the norm is not finite: then every gradient becomes NaN.
    """
    mode = flush_denormals()
    norm = math.sqrt(sum_vector(squares, 0, squares.size, np.empty((4, PACKET), squares.dtype)))
    inverse = squares.dtype.type(1) / norm
    out = limit * (reciprocal if inverse > reciprocal else inverse) + (norm - norm)
    restore_denormals(mode)
    return out
