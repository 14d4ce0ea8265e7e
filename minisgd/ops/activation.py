"""Activation functions, element by element."""

from __future__ import annotations

from typing import Any

import minisgd_kernels as kernels
from minisgd import numerics
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


# `fused` is whether TensorFlow's graph would compute it in one piece with a dense layer. Only the
# forward function depends on it: the VJPs use its output.
_elu: Primitive = defop(
    "elu",
    lambda x, fused: flat(kernels.fused_elu if fused else kernels.elu, x),
    lambda g, out, x, fused: bind(_elu_vjp, g, out),
    params=1,
)


_elu_vjp: Primitive = defop(  # (y + 1) * g where y < 0, else g
    "elu_vjp",
    lambda g, y: flat(kernels.elu_vjp, g, y),
    lambda h, out, g, y: bind(_elu_vjp, h, y),
    lambda h, out, g, y: where(less(y, 0), multiply(h, g), 0),
)


TANH: Primitive = defop(
    "tanh",
    lambda x, fused: flat(kernels.fused_tanh if fused else kernels.tanh, x),
    lambda g, out, x, fused: multiply(g, subtract(1, multiply(out, out))),
    params=1,
)


SIGMOID: Primitive = defop(
    "sigmoid",
    lambda x, fused: flat(kernels.fused_sigmoid if fused else kernels.sigmoid, x),
    lambda g, out, x, fused: bind(_sigmoid_vjp, g, out),
    params=1,
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
    # Never fused: the product's own activation is the softplus.
    lambda g, out, x: multiply(g, bind(SIGMOID, x, params=(False,))),
)


def _fused(x: Tensor) -> tuple[bool]:
    """Whether TensorFlow would compute the activation of `x` together with its dense layer."""
    return (x.from_dense and numerics.in_graph() and not numerics.current().eigen,)


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
    if alpha == 1:
        return bind(_elu, x, params=_fused(x))
    out = bind(_elu, x, params=(False,))  # `x` is needed twice, which TensorFlow does not fuse
    return where(greater(x, 0), out, multiply(out, alpha))


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent; in float32 with Eigen's rounding, in a graph behind `dense` oneDNN's."""
    x = as_float(x)
    return bind(TANH, x, params=_fused(x))


def sigmoid(x: Any) -> Tensor:
    """``1 / (1 + exp(-x))``; remembers `x` as its `logits`. Rounding: see `tanh`."""
    x = as_float(x)
    out = bind(SIGMOID, x, params=_fused(x))
    out.logits = x
    return out


def sigmoid_alone(x: Any) -> Tensor:
    """Sigmoid of what is needed elsewhere, too: TensorFlow does not fuse it with a dense layer."""
    return bind(SIGMOID, as_float(x), params=(False,))


def softplus(x: Any) -> Tensor:
    """``log(1 + exp(x))``; in float32 with Eigen's rounding."""
    return bind(_softplus, as_float(x))
