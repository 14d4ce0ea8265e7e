"""Activation functions, by name or as functions of a tensor (Keras: ``keras.activations``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minisgd import ops
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


_BY_NAME: dict[str, Activation] = {"linear": linear, "relu": relu, "softmax": softmax}


def get(identifier: str | Activation | None) -> Activation:
    """Activation with a name; None is `linear`, a function is itself.

    Raises
    ------
    ValueError
        If there is none with that name.
    """
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    return look_up(identifier, _BY_NAME, "activation function")


def serialize(activation: Activation) -> str:
    """Name of an activation."""
    return getattr(activation, "__name__", str(activation))


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
