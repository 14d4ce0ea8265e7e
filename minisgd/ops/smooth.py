"""Smooth activation functions beyond those of `activation`, and what they are made of."""

from __future__ import annotations

import math
from typing import Any

import minisgd_kernels as kernels
from minisgd import numerics
from minisgd.ops.activation import SIGMOID, TANH, sigmoid, softplus, tanh
from minisgd.ops.choice import less, maximum, minimum, where
from minisgd.ops.convert import as_float, flat
from minisgd.ops.elementwise import (
    absolute,
    add,
    divide,
    exp,
    multiply,
    negative,
    power,
    sqrt,
    square,
    subtract,
)
from minisgd.ops.indexing import get_item
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor

_ROOT_2_OVER_PI, _ROOT_HALF = 0.7978845608028654, 0.7071067811865476
_CUBIC = 0.044715


def _by_onednn() -> bool:
    """Whether TensorFlow's graph has one operation of oneDNN's for the whole function."""
    return numerics.in_graph() and not numerics.current().eigen


def _bell(g: Tensor, x: Tensor, factor: float) -> Tensor:
    """``g`` times ``factor * exp(-x**2)``."""
    return multiply(multiply(g, factor), exp(negative(square(x))))


_erf: Primitive = defop(
    "erf",
    lambda x: flat(kernels.error_function, x),
    lambda g, out, x: _bell(g, x, 2 / math.sqrt(math.pi)),
)


_erfc: Primitive = defop(
    "erfc",
    lambda x: flat(kernels.error_function_complement, x),
    lambda g, out, x: _bell(g, x, -2 / math.sqrt(math.pi)),
)


_expm1: Primitive = defop(
    "expm1", lambda x: flat(kernels.exponential_m1, x), lambda g, out, x: multiply(g, exp(x))
)


_selu: Primitive = defop(
    "selu", lambda x: flat(kernels.selu, x), lambda g, out, x: bind(_selu_vjp, g, out)
)


_selu_vjp: Primitive = defop(
    "selu_vjp",
    lambda g, y: flat(kernels.selu_vjp, g, y),
    lambda h, out, g, y: bind(_selu_vjp, h, y),
    lambda h, out, g, y: where(less(y, 0), multiply(h, g), 0),
)


def _silu_vjp(g: Tensor, out: Tensor, x: Tensor, fused: bool) -> Tensor:
    """``g * (s * (1 + x * (1 - s)))`` with the sigmoid s, computed anew as TensorFlow does."""
    s = bind(SIGMOID, x, params=(False,))
    return multiply(g, multiply(s, add(1, multiply(x, subtract(1, s)))))


_scaled_expm1: Primitive = defop(  # alpha * (exp(x / alpha) - 1) as a graph has it
    "scaled_expm1",
    lambda x, alpha: flat(lambda v: kernels.scaled_exponential_m1(v, alpha), x),
    lambda g, out, x, alpha: multiply(
        exp(multiply(x, 1 / alpha)), multiply(g, alpha * (1 / alpha))
    ),
    params=1,
)


def _gelu_vjp(g: Tensor, out: Tensor, x: Tensor) -> Tensor:
    """Slope of the probability times `x`, plus the probability; the constants come first."""
    number = x.dtype.type
    u = multiply(negative(x), _ROOT_HALF)
    constant = number(-2 / math.sqrt(math.pi)) * number(_ROOT_HALF)
    slope = multiply(exp(negative(square(u))), multiply(multiply(x, 0.5), multiply(g, constant)))
    return add(negative(slope), multiply(erfc(u), multiply(g, 0.5)))


_gelu: Primitive = defop("gelu", lambda x: flat(kernels.gelu, x), _gelu_vjp)


def _gelu_tanh_vjp(g: Tensor, out: Tensor, x: Tensor) -> Tensor:
    """Three ways to `x`: through the cube, directly, and through the tanh's other term."""
    number = x.dtype.type
    squared = square(x)
    inner = multiply(add(x, multiply(x, multiply(squared, _CUBIC))), _ROOT_2_OVER_PI)
    t = bind(TANH, inner, params=(False,))
    through_tanh = multiply(multiply(multiply(x, 0.5), g), subtract(1, multiply(t, t)))
    through_tanh = multiply(through_tanh, _ROOT_2_OVER_PI)
    cube = multiply(through_tanh, multiply(squared, number(_CUBIC) * number(3)))
    return add(add(cube, multiply(add(t, 1), multiply(g, 0.5))), through_tanh)


_gelu_tanh: Primitive = defop("gelu_tanh", lambda x: flat(kernels.gelu_tanh, x), _gelu_tanh_vjp)


_silu: Primitive = defop(
    "silu",
    lambda x, fused: flat(kernels.fused_silu if fused else kernels.silu, x),
    _silu_vjp,
    params=1,
)


_softsign: Primitive = defop(
    "softsign",
    lambda x: flat(kernels.softsign, x),
    lambda g, out, x: divide(g, square(add(1, absolute(x)))),
)


def erf(x: Any) -> Tensor:
    """The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to `x`."""
    return bind(_erf, as_float(x))


def erfc(x: Any) -> Tensor:
    """``1 - erf(x)``."""
    return bind(_erfc, as_float(x))


def expm1(x: Any) -> Tensor:
    """``exp(x) - 1``, exact for small `x`, too."""
    return bind(_expm1, as_float(x))


def selu(x: Any) -> Tensor:
    """``1.0507 * x`` above 0, else ``1.7581 * (exp(x) - 1)``.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, NeurIPS 2017; TensorFlow,
    core/kernels/relu_op_functor.h (Selu).
    """
    return bind(_selu, as_float(x))


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """``max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)`` (Barron, 2017)."""
    x = as_float(x)
    low = minimum(x, 0.0)
    if numerics.in_graph():
        below = bind(_scaled_expm1, low, params=(x.dtype.type(alpha),))
    else:
        below = multiply(expm1(divide(low, alpha)), alpha)
    return add(maximum(x, 0.0), below)


def gelu(x: Any, approximate: bool = True) -> Tensor:
    """`x` times the probability that a standard normal variable is at most `x`.

    ``0.5 x erfc(-x / sqrt(2))``, or approximately
    ``0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3)))``.

    References
    ----------
    Hendrycks and Gimpel, 2016; TensorFlow, python/ops/nn_ops.py (gelu).
    """
    x = as_float(x)
    if numerics.in_graph():  # which multiplies constants first, and takes x**3 for two products
        return bind(_gelu_tanh if approximate else _gelu, x)
    if not approximate:
        return multiply(multiply(x, 0.5), erfc(multiply(negative(x), _ROOT_HALF)))
    inner = multiply(add(x, multiply(power(x, 3), _CUBIC)), _ROOT_2_OVER_PI)
    return multiply(multiply(x, 0.5), add(tanh(inner), 1.0))


def silu(x: Any) -> Tensor:
    """``x * sigmoid(x)``, also called swish.

    References
    ----------
    Ramachandran, Zoph and Le, 2017; TensorFlow, python/ops/nn_impl.py (swish).
    """
    return bind(_silu, as_float(x), params=(_by_onednn(),))


swish = silu


def softsign(x: Any) -> Tensor:
    """``x / (|x| + 1)``."""
    return bind(_softsign, as_float(x))


def log_sigmoid(x: Any) -> Tensor:
    """Logarithm of the sigmoid: ``-softplus(-x)``."""
    return negative(softplus(negative(as_float(x))))


def squareplus(x: Any, b: float = 4) -> Tensor:
    """``(x + sqrt(x**2 + b)) / 2``, a smooth relu without exp (Barron, 2021)."""
    x = as_float(x)
    return divide(add(x, sqrt(add(square(x), b))), 2)


def tanh_shrink(x: Any) -> Tensor:
    """``x - tanh(x)``."""
    x = as_float(x)
    return subtract(x, bind(TANH, x, params=(False,)))  # needed twice, hence not fused


def glu(x: Any, axis: int = -1) -> Tensor:
    """The first half of `x` along `axis`, times the sigmoid of the second (Dauphin et al., 2017).

    Raises
    ------
    ValueError
        If the length of that axis is odd.
    """
    x = as_float(x)
    length = x.shape[axis]
    if length % 2:
        msg = (
            "axis size must be divisible by 2. "
            f"Received: x.shape={x.shape} with axis={axis}. "
            "`x`: expected an axis of even length, whose halves are the values and their gates."
        )
        raise ValueError(msg)
    before = (slice(None),) * (axis % x.ndim)
    values, gates = slice(length // 2), slice(length // 2, None)
    return multiply(get_item(x, (*before, values)), sigmoid(get_item(x, (*before, gates))))
