"""Activation functions, element by element."""

from __future__ import annotations

from typing import Any

import minisgd_kernels as kernels
from minisgd.ops.choice import greater, less, where
from minisgd.ops.convert import as_float, convert_to_tensor, flat
from minisgd.ops.elementwise import multiply, subtract
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor

_relu: Primitive = defop(
    "relu", lambda x: kernels.relu(x), lambda g, out, x: bind(_relu_vjp, g, out)
)


_relu_vjp: Primitive = defop(
    "relu_vjp",
    lambda g, y: kernels.relu_vjp(g, y),
    lambda h, out, g, y: bind(_relu_vjp, h, y),
    None,  # piecewise linear: the second derivative is 0
)


_elu: Primitive = defop(
    "elu", lambda x: flat(kernels.elu, x), lambda g, out, x: bind(_elu_vjp, g, out)
)


_elu_vjp: Primitive = defop(  # (y + 1) * g where y < 0, else g
    "elu_vjp",
    lambda g, y: flat(kernels.elu_vjp, g, y),
    lambda h, out, g, y: bind(_elu_vjp, h, y),
    lambda h, out, g, y: where(less(y, 0), multiply(h, g), 0),
)


_tanh: Primitive = defop(
    "tanh",
    lambda x: flat(kernels.tanh, x),
    lambda g, out, x: multiply(g, subtract(1, multiply(out, out))),
)


_sigmoid: Primitive = defop(
    "sigmoid", lambda x: flat(kernels.sigmoid, x), lambda g, out, x: bind(_sigmoid_vjp, g, out)
)


_sigmoid_vjp: Primitive = defop(  # g * y * (1 - y)
    "sigmoid_vjp",
    lambda g, y: flat(kernels.sigmoid_vjp, g, y),
    lambda h, out, g, y: bind(_sigmoid_vjp, h, y),
    lambda h, out, g, y: multiply(multiply(h, g), subtract(1, multiply(y, 2))),
)


_softplus: Primitive = defop(
    "softplus",
    lambda x: flat(kernels.softplus, x),
    lambda g, out, x: multiply(g, sigmoid(x)),
)


def relu(x: Any) -> Tensor:
    """``max(x, 0)``; the gradient at 0 is 0. NaN stays NaN, also inside Keras-like `fit`.

    References
    ----------
    Keras, ``keras.ops.relu``; TensorFlow, core/kernels/relu_op_functor.h (ReluGrad).
    """
    return bind(_relu, convert_to_tensor(x))


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """`x` above 0, else ``x * negative_slope``; the slope at 0 is `negative_slope`."""
    x = as_float(x)
    slope = convert_to_tensor(negative_slope, x.dtype)
    return multiply(x, where(greater(x, 0), 1, slope))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """`x` above 0, else ``alpha * (exp(x) - 1)``.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, ICLR 2016.
    """
    x = as_float(x)
    out = bind(_elu, x)
    return out if alpha == 1 else where(greater(x, 0), out, multiply(out, alpha))


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent; in float32 with Eigen's rounding."""
    return bind(_tanh, as_float(x))


def sigmoid(x: Any) -> Tensor:
    """``1 / (1 + exp(-x))``; in float32 with Eigen's rounding. Remembers `x` as its `logits`."""
    x = as_float(x)
    out = bind(_sigmoid, x)
    out.logits = x
    return out


def softplus(x: Any) -> Tensor:
    """``log(1 + exp(x))``; in float32 with Eigen's rounding."""
    return bind(_softplus, as_float(x))
