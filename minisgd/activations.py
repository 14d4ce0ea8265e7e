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


def relu(x: Any) -> Tensor:
    """``max(x, 0)``, the rectified linear unit (Nair and Hinton, ICML 2010)."""
    return ops.relu(x)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along the last axis; remembers `x` as ``logits`` for the loss."""
    return ops.softmax(x, axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Logarithm of `softmax`, without its overflow and underflow."""
    return ops.log_softmax(x, axis)


def sigmoid(x: Any) -> Tensor:
    """``1 / (1 + exp(-x))``; remembers `x` as ``logits`` for the loss."""
    return ops.sigmoid(x)


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent."""
    return ops.tanh(x)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)`` (Clevert et al., ICLR 2016)."""
    return ops.elu(x, alpha)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """``x`` where positive, else ``negative_slope * x`` (Maas et al., ICML 2013)."""
    return ops.leaky_relu(x, negative_slope)


def softplus(x: Any) -> Tensor:
    """``log(1 + exp(x))``, a smooth relu."""
    return ops.softplus(x)


def exponential(x: Any) -> Tensor:
    """``exp(x)``."""
    return ops.exp(x)


_BY_NAME: dict[str, Activation] = {
    function.__name__: function
    for function in (
        elu,
        exponential,
        leaky_relu,
        linear,
        log_softmax,
        relu,
        sigmoid,
        softmax,
        softplus,
        tanh,
    )
}


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
    found = saving.deserialize_keras_object(config, custom_objects)
    if isinstance(found, str):
        return look_up(found, _BY_NAME, "activation function")
    if not callable(found):
        msg = f"Could not interpret activation function identifier: {config!r}"
        raise ValueError(msg)
    return found  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
