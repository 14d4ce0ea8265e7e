"""Activation functions of straight pieces (and one parabola)."""

from __future__ import annotations

from typing import Any

import minisgd_kernels as kernels
from minisgd import numerics
from minisgd.ops.choice import clip, greater, greater_equal, less, less_equal, where
from minisgd.ops.convert import as_float, flat
from minisgd.ops.elementwise import absolute, add, divide, multiply, square, subtract
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor


def _relu6_vjp(g: Tensor, out: Tensor, x: Tensor) -> Tensor:
    """``g`` times 1 where the output is between 0 and 6, and at neither; else times 0."""
    between = where(less_equal(out, 0), 0.0, where(greater_equal(out, 6), 0.0, 1.0))
    return multiply(g, between)


_relu6: Primitive = defop(
    "relu6",
    lambda x: flat(lambda v: kernels.clip(v, v.dtype.type(0), v.dtype.type(6)), x),
    _relu6_vjp,
)


def _sixth(x: Tensor) -> Any:
    return 1 / x.dtype.type(6)


_times_sixth: Primitive = defop(  # x * (y / 6); going back, a graph divides the gradient first
    "times_sixth",
    lambda x, y: kernels.multiply(x, kernels.multiply(y, 1 / y.dtype.type(6))),
    lambda g, out, x, y: multiply(g, multiply(y, _sixth(y))),
    lambda g, out, x, y: multiply(x, multiply(g, _sixth(y))),
)


def relu6(x: Any) -> Tensor:
    """``min(max(x, 0), 6)``; the gradient is 0 at both ends."""
    return bind(_relu6, as_float(x))


def hard_sigmoid(x: Any) -> Tensor:
    """``relu6(x + 3) / 6``."""
    sixfold = relu6(add(as_float(x), 3.0))
    # A graph multiplies by the reciprocal.
    return multiply(sixfold, _sixth(sixfold)) if numerics.in_graph() else divide(sixfold, 6.0)


def hard_silu(x: Any) -> Tensor:
    """``x * hard_sigmoid(x)`` (Howard et al., ICCV 2019), also called hard_swish."""
    x = as_float(x)
    if numerics.in_graph():
        return bind(_times_sixth, x, relu6(add(x, 3.0)))
    return multiply(x, hard_sigmoid(x))


hard_swish = hard_silu


def hard_tanh(x: Any) -> Tensor:
    """`x` limited to ``[-1, 1]``."""
    return clip(as_float(x), -1.0, 1.0)


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """`x` where its absolute value is above `threshold`, else 0."""
    x = as_float(x)
    return where(greater(absolute(x), threshold), x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """`x` moved towards 0 by `threshold`, and 0 where it would pass it."""
    x = as_float(x)
    below = where(less(x, -threshold), add(x, threshold), 0.0)
    return where(greater(x, threshold), subtract(x, threshold), below)


def threshold(x: Any, threshold: float, default_value: float) -> Tensor:
    """`x` where it is above `threshold`, else `default_value`."""
    x = as_float(x)
    return where(greater(x, threshold), x, default_value)


def sparse_plus(x: Any) -> Tensor:
    """0 up to -1, `x` from 1 on, and between them ``(x + 1)**2 / 4``."""
    x = as_float(x)
    between = multiply(square(add(x, 1)), 1 / 4)
    return where(less_equal(x, -1), 0.0, where(less(x, 1), between, x))


def sparse_sigmoid(x: Any) -> Tensor:
    """0 up to -1, 1 from 1 on, and between them ``(x + 1) / 2``."""
    x = as_float(x)
    between = multiply(add(x, 1), 0.5)
    return where(less_equal(x, -1), 0.0, where(greater_equal(x, 1), 1.0, between))
