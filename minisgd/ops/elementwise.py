"""Element by element, with NumPy's broadcasting, and the mean."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.ops.convert import as_float, as_pair, convert_to_tensor
from minisgd.ops.reduce import broadcast_to, sum, sum_to
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor

_add: Primitive = defop(
    "add",
    lambda a, b: kernels.add(a, b),
    lambda g, out, a, b: sum_to(g, a.shape),
    lambda g, out, a, b: sum_to(g, b.shape),
)


_subtract: Primitive = defop(
    "subtract",
    lambda a, b: kernels.subtract(a, b),
    lambda g, out, a, b: sum_to(g, a.shape),
    lambda g, out, a, b: sum_to(negative(g), b.shape),
)


_multiply: Primitive = defop(
    "multiply",
    lambda a, b: kernels.multiply(a, b),
    lambda g, out, a, b: sum_to(multiply(g, b), a.shape),
    lambda g, out, a, b: sum_to(multiply(g, a), b.shape),
)


_divide: Primitive = defop(
    "divide",
    lambda a, b: kernels.divide(a, b),
    lambda g, out, a, b: sum_to(divide(g, b), a.shape),
    lambda g, out, a, b: sum_to(multiply(g, divide(negative(out), b)), b.shape),
)


_exp: Primitive = defop("exp", lambda x: kernels.exponential(x), lambda g, out, x: multiply(g, out))


_log: Primitive = defop("log", lambda x: kernels.logarithm(x), lambda g, out, x: divide(g, x))


_clip: Primitive = defop(
    "clip",
    lambda x, low, high: kernels.clip(x, low, high),
    lambda g, out, x, low, high: bind(_clip_vjp, g, x, params=(low, high)),
    params=2,
)


_clip_vjp: Primitive = defop(
    "clip_vjp",
    lambda g, x, low, high: kernels.clip_vjp(g, x, low, high),
    lambda h, out, g, x, low, high: bind(_clip_vjp, h, x, params=(low, high)),
    None,  # piecewise linear: the second derivative is 0
    params=2,
)


_where: Primitive = defop(
    "where",
    lambda condition, a, b: kernels.where(condition, a, b),
    None,  # a condition
    lambda g, out, condition, a, b: where(condition, g, 0.0),
    lambda g, out, condition, a, b: where(condition, 0.0, g),
)


_relu: Primitive = defop(
    "relu", lambda x: kernels.relu(x), lambda g, out, x: bind(_relu_vjp, g, out)
)


_relu_vjp: Primitive = defop(
    "relu_vjp",
    lambda g, y: kernels.relu_vjp(g, y),
    lambda h, out, g, y: bind(_relu_vjp, h, y),
    None,  # piecewise linear: the second derivative is 0
)


def add(x1: Any, x2: Any) -> Tensor:
    """``x1 + x2``, with broadcasting."""
    return bind(_add, *as_pair(x1, x2))


def subtract(x1: Any, x2: Any) -> Tensor:
    """``x1 - x2``, with broadcasting."""
    return bind(_subtract, *as_pair(x1, x2))


def multiply(x1: Any, x2: Any) -> Tensor:
    """``x1 * x2``, element by element, with broadcasting."""
    return bind(_multiply, *as_pair(x1, x2))


def divide(x1: Any, x2: Any) -> Tensor:
    """``x1 / x2``, element by element, with broadcasting; x / 0 is infinite or NaN."""
    a, b = as_pair(x1, x2)
    return bind(_divide, as_float(a), as_float(b))


def negative(x: Any) -> Tensor:
    """``-x``."""
    return multiply(x, -1)


def square(x: Any) -> Tensor:
    """``x * x``."""
    return multiply(x, x)


def exp(x: Any) -> Tensor:
    """E to the power of `x`; in float32 with Eigen's rounding."""
    return bind(_exp, as_float(x))


def log(x: Any) -> Tensor:
    """Natural logarithm; in float32 with Eigen's rounding. -inf at 0, NaN below."""
    return bind(_log, as_float(x))


def clip(x: Any, x_min: float, x_max: float) -> Tensor:
    """Values limited to ``[x_min, x_max]``; the gradient passes at the bounds, too."""
    x = convert_to_tensor(x)
    return bind(_clip, x, params=(x.dtype.type(x_min), x.dtype.type(x_max)))


def where(condition: Any, x1: Any, x2: Any) -> Tensor:
    """`x1` where `condition` holds, else `x2`, with broadcasting."""
    a, b = as_pair(x1, x2)
    chosen = convert_to_tensor(condition, np.bool_)
    shape = np.broadcast_shapes(chosen.shape, a.shape, b.shape)
    a, b, chosen = (t if t.shape == shape else broadcast_to(t, shape) for t in (a, b, chosen))
    return bind(_where, chosen, a, b)


def relu(x: Any) -> Tensor:
    """``max(x, 0)``; the gradient at 0 is 0. NaN stays NaN, also inside Keras-like `fit`.

    References
    ----------
    Keras, ``keras.ops.relu``; TensorFlow, core/kernels/relu_op_functor.h (ReluGrad).
    """
    return bind(_relu, convert_to_tensor(x))


def mean(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Sum divided by the number of elements that went into it."""
    x = convert_to_tensor(x)
    total = sum(x, axis, keepdims)
    return divide(total, builtins.max(x.size, 1) // builtins.max(total.size, 1))
