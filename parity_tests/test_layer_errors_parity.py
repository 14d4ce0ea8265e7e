"""Wrong layers and models beside live Keras: the same type of error, its key phrase in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minisgd.parity.sides import keras_side, minisgd_side
from minisgd.parity.small_network import network

pytestmark = pytest.mark.layers


@dataclass(frozen=True)
class Wrong:
    """What raises, with what, and the words that both messages share."""

    name: str
    act: Callable[[Any], Any]
    phrase: str
    error: type[Exception] = ValueError

    def __str__(self) -> str:
        return self.name


def by_input_dim(ns: Any) -> Any:
    return ns.Sequential([ns.layers.Dense(3, input_dim=7), ns.layers.Dense(2, use_bias=False)])


def dense_built(ns: Any) -> Any:
    layer = ns.layers.Dense(3)
    layer(np.zeros((1, 4), np.float32))
    return layer


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [np.zeros(shape, np.float32) for shape in shapes]


WRONG = [
    Wrong("units 0", lambda ns: ns.layers.Dense(0), "Received an invalid value for `units`"),
    Wrong("units -1", lambda ns: ns.layers.Dense(-1), "expected a positive integer"),
    Wrong("units 2.0", lambda ns: ns.layers.Dense(2.0), "Received an invalid value for `units`"),
    Wrong("units '3'", lambda ns: ns.layers.Dense("3"), "Received an invalid value for `units`"),
    Wrong("units np.int64", lambda ns: ns.layers.Dense(np.int64(3)), "invalid value for `units`"),
    Wrong("activation", lambda ns: ns.layers.Dense(3, "rulu"), "Could not interpret activation"),
    Wrong("Activation", lambda ns: ns.layers.Activation("rulu"), "Could not interpret activation"),
    Wrong(
        "initializer",
        lambda ns: ns.layers.Dense(3, kernel_initializer="glorot"),
        "Could not interpret initializer identifier",
    ),
    Wrong("unknown argument", lambda ns: ns.layers.Dense(3, foo=1), "Unrecognized keyword argu"),
    Wrong("rate 1.5", lambda ns: ns.layers.Dropout(1.5), "Invalid value received for argument"),
    Wrong("rate -0.1", lambda ns: ns.layers.Dropout(-0.1), "Expected a float value between 0"),
    Wrong("shape with -1", lambda ns: ns.layers.Input((-1,)), "Cannot convert"),
    Wrong("no shape", lambda ns: ns.layers.Input(), "You must pass a `shape` argument"),
    Wrong(
        "width",
        lambda ns: dense_built(ns)(np.zeros((2, 3), np.float32)),
        "expected axis -1 of input shape to have value 4, but received input with shape (2, 3)",
    ),
    Wrong(
        "rank 1", lambda ns: dense_built(ns)(np.zeros(4, np.float32)), "expected min_ndim=2, found"
    ),
    Wrong(
        "too few weights",
        lambda ns: dense_built(ns).set_weights(arrays((4, 3))),
        "with a weight list of length 1, but the layer was expecting 2 weights.",
    ),
    Wrong(
        "too many weights",
        lambda ns: dense_built(ns).set_weights(arrays((4, 3), (3,), (3,))),
        "with a weight list of length 3, but the layer was expecting 2 weights.",
    ),
    Wrong(
        "weight's shape",
        lambda ns: dense_built(ns).set_weights(arrays((4, 2), (3,))),
        "weight shape (4, 3) is not compatible with provided weight shape (4, 2)",
    ),
    Wrong(
        "model's weights",
        lambda ns: network(ns).set_weights(arrays((12, 128))),
        "with a weight list of length 1, but the layer was expecting 4 weights.",
    ),
    Wrong(
        "model's weight's shape",
        lambda ns: network(ns).set_weights(arrays((12, 128), (128,), (128, 10), (9,))),
        "is not compatible with provided weight shape (9,)",
    ),
    Wrong(
        "count_params, unbuilt",
        lambda ns: ns.layers.Dense(3).count_params(),
        "You tried to call `count_params` on layer",
    ),
    Wrong("no layer", lambda ns: ns.Sequential([3]), "can be added to a Sequential model"),
    Wrong(
        "a name twice",
        lambda ns: ns.Sequential([ns.layers.Dense(1, name="a"), ns.layers.Dense(1, name="a")]),
        "All layers added to a Sequential model should have unique names.",
    ),
    Wrong(
        "an input twice",
        lambda ns: ns.Sequential([ns.layers.Input((3,)), ns.layers.Input((3,))]),
        "has already been configured",
    ),
    Wrong("pop", lambda ns: ns.Sequential().pop(), "", IndexError),
    Wrong("build", lambda ns: ns.Sequential().build((None, 3)), "because it has no layers"),
    Wrong("get_layer()", lambda ns: network(ns).get_layer(), "Provide either a layer name or"),
    Wrong("get_layer('x')", lambda ns: network(ns).get_layer("x"), "No such layer: x."),
    Wrong(
        "get_layer(9)",
        lambda ns: network(ns).get_layer(index=9),
        "Was asked to retrieve layer at index 9 but model only has 5 layers.",
    ),
    Wrong(
        "model's width",
        lambda ns: by_input_dim(ns)(np.zeros((2, 6), np.float32)),
        "expected axis -1 of input shape to have value 7, but received input with shape (2, 6)",
    ),
    Wrong(
        "model's rank",
        lambda ns: by_input_dim(ns)(np.zeros((2, 6, 7), np.float32)),
        "has incompatible shape (2, 6, 7)",
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_errors(wrong):
    for side in (minisgd_side(), keras_side()):
        with pytest.raises(wrong.error) as raised:
            wrong.act(side.ns)
        assert type(raised.value) is wrong.error
        assert wrong.phrase in str(raised.value), side.name


def test_a_refused_list_of_weights_changes_nothing():
    """Stricter than Keras, which has already set those that come before the wrong one."""
    for side in (minisgd_side(), keras_side()):
        layer = dense_built(side.ns)
        before = [np.array(w) for w in layer.get_weights()]
        with pytest.raises(ValueError, match="not compatible"):
            layer.set_weights([np.ones((4, 3), np.float32), np.ones(2, np.float32)])
        same = all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
        assert same == (side.name == "minisgd")
