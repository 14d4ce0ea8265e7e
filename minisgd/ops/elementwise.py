"""Arithmetic and elementary functions, element by element, with NumPy's broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.ops.choice import greater, to_one_shape, where
from minisgd.ops.convert import as_float, as_pair, convert_to_tensor, flat
from minisgd.ops.reduce import sum_to
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor

_add: Primitive = defop(
    "add",
    lambda a, b: kernels.add(a, b),
    lambda g, out, a, b: sum_to(g, a.shape),
    lambda g, out, a, b: sum_to(g, b.shape, rows_in_order=True),  # b may be a bias
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


_square = defop("square", lambda x: kernels.multiply(x, x), lambda g, out, x: multiply(g, x * 2))


_exp = defop("exp", lambda x: flat(kernels.exponential, x), lambda g, out, x: multiply(g, out))


# The slope of a logarithm. TensorFlow's is an estimate by the processor and one Newton step, which
# each maker rounds in its own way; but for the last ``size % 8`` elements, which are divided.
_reciprocal: Primitive = defop(
    "reciprocal",
    lambda x: kernels.divide(np.ones((), x.dtype), x),
    lambda g, out, x: negative(multiply(g, multiply(out, out))),
)


_log: Primitive = defop(
    "log",
    lambda x: flat(kernels.logarithm, x),
    lambda g, out, x: multiply(g, bind(_reciprocal, x)),
)


_log1p: Primitive = defop(
    "log1p",
    lambda x: flat(kernels.logarithm_1p, x),
    lambda g, out, x: multiply(g, bind(_reciprocal, add(x, 1))),
)


_sqrt: Primitive = defop(
    "sqrt", lambda x: flat(kernels.square_root, x), lambda g, out, x: bind(_sqrt_vjp, g, out)
)


_sqrt_vjp: Primitive = defop(  # 0.5 * g / y
    "sqrt_vjp",
    lambda g, y: flat(kernels.square_root_vjp, g, y),
    lambda h, out, g, y: bind(_sqrt_vjp, h, y),
    lambda h, out, g, y: negative(multiply(divide(h, y), out)),
)


_power: Primitive = defop(
    "power",
    lambda x, y: flat(kernels.power, x, y) if x.dtype.kind == "f" else np.power(x, y),
    lambda g, out, x, y: multiply(multiply(g, y), power(x, subtract(y, 1))),
    lambda g, out, x, y: multiply(multiply(g, out), _log_or_0(x)),
)


_absolute: Primitive = defop(
    "absolute", lambda x: np.abs(x), lambda g, out, x: multiply(g, sign(x))
)


_sign: Primitive = defop(
    "sign",
    lambda x: np.sign(x),
    lambda g, out, x: Tensor(np.zeros_like(x._array)),  # flat on both sides of its step
)


def _log_or_0(x: Tensor) -> Tensor:
    """Logarithm where there is one, else 0: ``0 ** y`` is 0 for all y > 0."""
    positive = greater(x, 0)
    return where(positive, log(where(positive, x, 1)), 0)


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
    return bind(_square, convert_to_tensor(x))


def exp(x: Any) -> Tensor:
    """E to the power of `x`; in float32 with Eigen's rounding."""
    return bind(_exp, as_float(x))


def log(x: Any) -> Tensor:
    """Natural logarithm; in float32 with Eigen's rounding. -inf at 0, NaN below."""
    return bind(_log, as_float(x))


def log1p(x: Any) -> Tensor:
    """``log(1 + x)``, exact also for small `x`; in float32 with Eigen's rounding."""
    return bind(_log1p, as_float(x))


def sqrt(x: Any) -> Tensor:
    """Square root; NaN below 0, and at 0 an infinite slope."""
    return bind(_sqrt, as_float(x))


def power(x1: Any, x2: Any) -> Tensor:
    """``x1 ** x2``, with broadcasting; NaN for a negative base and a fractional exponent.

    The gradient for an exponent is 0 where its base is not positive, as in TensorFlow.
    """
    return bind(_power, *to_one_shape(*as_pair(x1, x2)))


def absolute(x: Any) -> Tensor:
    """``|x|``; its slope at 0 is 0."""
    return bind(_absolute, convert_to_tensor(x))


abs = absolute  # noqa: A001  # keras.ops has both names


def sign(x: Any) -> Tensor:
    """-1, 0 or 1; its gradient is 0 everywhere."""
    return bind(_sign, convert_to_tensor(x))
