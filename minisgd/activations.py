"""Activation functions, by name or as functions of a tensor (Keras: ``keras.activations``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minisgd import ops, saving
from minisgd.tensor import Tensor
from minisgd.utils.lookup import look_up
from minisgd.utils.unsupported import explain

Activation = Callable[[Any], Tensor]


def linear(x: Any) -> Tensor:
    """``x`` itself."""
    return ops.convert_to_tensor(x)


def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Tensor:
    """``max(x, 0)``, the rectified linear unit (Nair and Hinton, ICML 2010), and variants of it.

    Parameters
    ----------
    x : array-like
    negative_slope : float
        Slope below `threshold`.
    max_value : float, optional
        Largest value that is returned.
    threshold : float
        `x` up to here counts as too small; above it is returned as it is.

    References
    ----------
    Keras, activations/activations.py (ReLU.static_call).
    """
    x = ops.convert_to_tensor(x)
    if negative_slope and max_value is None and not threshold:
        return ops.leaky_relu(x, negative_slope)
    if threshold:
        out = ops.where(ops.greater(x, threshold), x, 0.0)
    elif max_value == 6:
        out, max_value = ops.relu6(x), None
    else:
        out = ops.relu(x)
    if max_value is not None:
        out = ops.clip(out, 0.0, max_value)
    if negative_slope:
        below = ops.negative(x)
        below = ops.relu(ops.add(below, threshold) if threshold else below)
        out = ops.subtract(out, ops.multiply(below, negative_slope))
    return out


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """``x`` where positive, else ``negative_slope * x`` (Maas et al., ICML 2013)."""
    return ops.leaky_relu(x, negative_slope)


def relu6(x: Any) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return ops.relu6(x)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along the last axis; remembers `x` as ``logits`` for the loss."""
    return ops.softmax(x, axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Logarithm of `softmax`, without its overflow and underflow."""
    return ops.log_softmax(x, axis)


def sigmoid(x: Any) -> Tensor:
    """``1 / (1 + exp(-x))``; remembers `x` as ``logits`` for the loss."""
    return ops.sigmoid(x)


def log_sigmoid(x: Any) -> Tensor:
    """Logarithm of `sigmoid`."""
    return ops.log_sigmoid(x)


def hard_sigmoid(x: Any) -> Tensor:
    """``x / 6 + 0.5``, limited to [0, 1]."""
    return ops.hard_sigmoid(x)


def sparse_sigmoid(x: Any) -> Tensor:
    """``(x + 1) / 2``, limited to [0, 1]."""
    return ops.sparse_sigmoid(x)


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent."""
    return ops.tanh(x)


def tanh_shrink(x: Any) -> Tensor:
    """``x - tanh(x)``."""
    return ops.tanh_shrink(x)


def hard_tanh(x: Any) -> Tensor:
    """`x` limited to [-1, 1]."""
    return ops.hard_tanh(x)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)`` (Clevert et al., ICLR 2016)."""
    return ops.elu(x, alpha)


def selu(x: Any) -> Tensor:
    """A scaled `elu` that keeps mean 0 and variance 1 (Klambauer et al., NeurIPS 2017)."""
    return ops.selu(x)


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)`` (Barron, 2017)."""
    return ops.celu(x, alpha)


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """``0.5 * x * (1 + erf(x / sqrt(2)))``, or its approximation by tanh (Hendrycks, 2016)."""
    return ops.gelu(x, approximate)


def glu(x: Any, axis: int = -1) -> Tensor:
    """Half of `x` times the sigmoid of the other half (Dauphin et al., ICML 2017)."""
    return ops.glu(x, axis)


def silu(x: Any) -> Tensor:
    """``x * sigmoid(x)``, also called swish (Ramachandran et al., 2017)."""
    return ops.silu(x)


swish = silu


def hard_silu(x: Any) -> Tensor:
    """``x * hard_sigmoid(x)``, also called hard_swish (Howard et al., ICCV 2019)."""
    return ops.hard_silu(x)


hard_swish = hard_silu


def mish(x: Any) -> Tensor:
    """``x * tanh(softplus(x))`` (Misra, 2019)."""
    x = ops.convert_to_tensor(x)
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


def softplus(x: Any) -> Tensor:
    """``log(1 + exp(x))``, a smooth relu."""
    return ops.softplus(x)


def sparse_plus(x: Any) -> Tensor:
    """0 up to -1, ``x`` from 1 on, a parabola between."""
    return ops.sparse_plus(x)


def squareplus(x: Any, b: float = 4) -> Tensor:
    """``(x + sqrt(x**2 + b)) / 2``, a smooth relu (Barron, 2021)."""
    return ops.squareplus(x, b)


def softsign(x: Any) -> Tensor:
    """``x / (|x| + 1)``."""
    return ops.softsign(x)


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """`x` moved towards 0 by `threshold`, and no further."""
    return ops.soft_shrink(x, threshold)


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """`x` where ``|x| > threshold``, else 0."""
    return ops.hard_shrink(x, threshold)


def threshold(x: Any, threshold: float, default_value: float) -> Tensor:
    """`x` where it is above `threshold`, else `default_value`."""
    return ops.threshold(x, threshold, default_value)


def exponential(x: Any) -> Tensor:
    """``exp(x)``."""
    return ops.exp(x)


_BY_NAME: dict[str, Activation] = {
    function.__name__: function
    for function in (
        celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh,
        leaky_relu, linear, log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu,
        soft_shrink, softmax, softplus, softsign, sparse_plus, sparse_sigmoid, squareplus, tanh,
        tanh_shrink, threshold,
    )
} | {"swish": silu, "hard_swish": hard_silu}  # fmt: skip


def get(identifier: str | dict[str, Any] | Activation | None) -> Activation:
    """Activation with a name or configuration; None is `linear`, a function is itself.

    Raises
    ------
    ValueError
        If there is none with that name.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if callable(identifier):
        return identifier
    return look_up(identifier, _BY_NAME, "activation function")


def serialize(activation: Activation) -> Any:
    """Name of one of ours; dict of another function or of an object with a configuration."""
    name = getattr(activation, "__name__", None)
    if name is not None and _BY_NAME.get(name) is activation:
        return name
    return saving.serialize_keras_object(activation)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Activation:
    """Activation from what `serialize` (ours or Keras's) returned.

    Raises
    ------
    ValueError
        If it is not known.
    """
    kind = "activation function"
    found = saving.deserialize_named(config, "keras.activations", _BY_NAME, custom_objects, kind)
    if not callable(found):
        msg = f"Could not interpret activation function identifier: {config!r}"
        raise ValueError(msg)
    return found  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
