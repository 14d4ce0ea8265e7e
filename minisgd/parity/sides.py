"""The two packages behind one small interface, so that one function serves both."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd import numerics
from minisgd.parity.environment import load_reference

Array = npt.NDArray[Any]
WEIGHTS = ("W1", "b1", "W2", "b2")


@dataclass(frozen=True)
class Side:
    """One of the two packages.

    Attributes
    ----------
    name : str
        "minisgd" or "keras".
    ns : module
        The package.
    tape : callable
        Its GradientTape.
    tensor : callable
        Makes a constant tensor from an array.
    compiled : callable
        ``compiled(function)`` returns the function as the package would run it inside `fit`:
        for Keras a `tf.function`.
    """

    name: str
    ns: Any
    tape: Callable[[], Any]
    tensor: Callable[[Array], Any]
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]]


def _in_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` that rounds as in a graph, with the numerics of whoever calls it."""

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        with numerics.scope(numerics.current()):
            return function(*arguments)

    return run


@functools.cache
def minisgd_side() -> Side:
    """Return minisgd as a side."""
    ns = importlib.import_module("minisgd")
    tensor = importlib.import_module("minisgd.tensor").Tensor
    return Side("minisgd", ns, ns.GradientTape, tensor, _in_graph)


@functools.cache
def keras_side() -> Side:
    """Return Keras on TensorFlow as a side.

    Raises
    ------
    ReferenceUnavailableError
        If it is not installed.
    """
    keras, tf = load_reference()
    return Side("keras", keras, tf.GradientTape, tf.constant, tf.function)


def trace_function(side: Side, model: Any) -> Callable[[Array, Array], dict[str, Array]]:
    """Return a function that computes every intermediate value of one training step.

    The function changes nothing. Its values come from the model's own layers, the package's
    categorical cross-entropy and the package's tape, in the order in which they are computed.

    Parameters
    ----------
    side : Side
        The package that `model` belongs to.
    model : Sequential
        Two Dense layers, relu and softmax.

    Returns
    -------
    callable
        ``trace(x, y)`` with float32 arrays of shape (N, D_in) and (N, C) returns a dict of
        arrays: x, z1, h, logits, p, loss, dlogits, dW2, db2, dh, dW1, db1.
    """
    loss_function = side.ns.losses.CategoricalCrossentropy()
    hidden, output = model.layers

    def step(x: Any, y: Any) -> dict[str, Any]:
        with side.tape() as tape:
            z1 = pre_activation(side, hidden, x)
            h = hidden.activation(z1)
            logits = pre_activation(side, output, h)
            p = output.activation(logits)
            loss = loss_function(y, p)
        sources = {
            "dlogits": logits,
            "dW2": output.kernel,
            "db2": output.bias,
            "dh": h,
            "dW1": hidden.kernel,
            "db1": hidden.bias,
        }
        # Both packages' Variables wrap a value; TensorFlow's tape knows only the inner one.
        inner = [getattr(source, "value", source) for source in sources.values()]
        gradients = tape.gradient(loss, inner if side.name == "keras" else list(sources.values()))
        forward = {"x": x, "z1": z1, "h": h, "logits": logits, "p": p, "loss": loss}
        return forward | dict(zip(sources, gradients, strict=True))

    compiled = side.compiled(step)

    def trace(x: Array, y: Array) -> dict[str, Array]:
        values = compiled(side.tensor(x), side.tensor(y))
        return {name: np.asarray(value) for name, value in values.items()}

    return trace


def step_function(side: Side, model: Any) -> Callable[[Array, Array], None]:
    """Return a function that trains the model on one batch, in place, as fast as it can.

    Keras's `train_on_batch` spends more time around the step than in it; the same
    `train_step` compiled by itself leaves the same bits.
    """
    if side.name != "keras":
        return lambda x, y: model.train_on_batch(x, y)
    compiled = side.compiled(lambda x, y: model.train_step((x, y)))

    def step(x: Array, y: Array) -> None:
        compiled(side.tensor(x), side.tensor(y))

    return step


def pre_activation(side: Side, layer: Any, inputs: Any) -> Any:
    """Call a Dense layer without its activation, through its own `call`."""
    activation, layer.activation = layer.activation, side.ns.activations.linear
    try:
        return layer(inputs)
    finally:
        layer.activation = activation


@dataclass(frozen=True)
class State:
    """Everything that a step reads and writes: weights and optimizer variables as arrays.

    Attributes
    ----------
    weights : dict of str to numpy.ndarray
        W1, b1, W2, b2.
    optimizer : dict of str to numpy.ndarray
        "iteration", "learning rate", and with momentum "velocity W1", ...
    """

    weights: Mapping[str, Array]
    optimizer: Mapping[str, Array]

    @classmethod
    def of(cls, model: Any) -> State:
        """Copy the state of a compiled two-layer model, building its optimizer if need be."""
        _build_optimizer(model)
        weights = dict(zip(WEIGHTS, copies(model.get_weights()), strict=True))
        names = ["iteration", "learning rate", *(f"velocity {name}" for name in WEIGHTS)]
        variables = model.optimizer.variables
        values = copies([_array(variable) for variable in variables])
        return cls(weights, dict(zip(names, values, strict=False)))

    def restore(self, model: Any) -> None:
        """Assign this state to another model of the same architecture, in place."""
        _build_optimizer(model)
        model.set_weights(list(self.weights.values()))
        variables = model.optimizer.variables
        for variable, value in zip(variables, self.optimizer.values(), strict=True):
            variable.assign(value)


def copies(arrays: Sequence[Array]) -> list[Array]:
    """Return copies that later steps cannot change."""
    return [np.array(array) for array in arrays]


def _array(variable: Any) -> Array:
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable)


def _build_optimizer(model: Any) -> None:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
