"""``keras.activations`` beside live Keras: names, arguments, values, and whole steps of `fit`.

`fit` runs TensorFlow's graph, where constants are multiplied first, divisions by a constant become
products and oneDNN computes some functions in one piece; `test_ops_parity` has the ops by
themselves.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import minisgd
from minisgd.parity.compare import compare
from minisgd.parity.tolerances import ACTIVATION_RUN, EQUAL, OP_C_LIBRARY, OP_ZEROS, Tolerance

pytestmark = pytest.mark.ops

NAMES = [
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "tanh",
    "tanh_shrink",
]  # fmt: skip
OTHERS = ["glu", "log_softmax", "softmax", "threshold"]  # other shapes or arguments
WITH_ARGUMENTS = [
    ("celu", {"alpha": 0.7}),
    ("elu", {"alpha": 0.5}),
    ("gelu", {"approximate": True}),
    ("hard_shrink", {"threshold": 1.0}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 2.0}),
    ("relu", {"max_value": 6.0, "negative_slope": 0.3}),
    ("relu", {"threshold": 0.5}),
    ("relu", {"threshold": 0.5, "negative_slope": 0.3, "max_value": 2.0}),
    ("soft_shrink", {"threshold": 1.0}),
    ("squareplus", {"b": 1.0}),
    ("threshold", {"threshold": 0.3, "default_value": -2.0}),
]
X = np.random.default_rng(3).normal(0, 1, (160, 19)).astype(np.float32)
Y = np.random.default_rng(4).integers(0, 5, 160)

# What is not TensorFlow's to the bit, and in which of `fit` and `predict`.
LOOSE = {"gelu": ("fit", "predict"), "mish": ("predict",), "hard_silu": ("predict",)}


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def within(name: str, ours: Any, theirs: Any, tolerance: Tolerance) -> None:
    difference = compare(name, np.asarray(ours), np.asarray(theirs))
    if not difference.equal:
        assert tolerance.holds(tolerance.measured(difference)), f"{difference}; {tolerance}"


def trained(package: Any, activation: Any) -> tuple[list[Any], Any]:
    """Weights after five steps of `fit`, and predictions."""
    package.utils.set_random_seed(1)
    layers = package.layers
    model = package.Sequential([
        layers.Input((19,)), layers.Dense(24, activation=activation),
        layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    sgd = package.optimizers.SGD(0.05, momentum=0.9)
    model.compile(sgd, "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=32, epochs=1, verbose=0)
    return model.get_weights(), np.asarray(model.predict(X[:32], verbose=0))


def compare_runs(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    def activation(package: Any) -> Any:
        function = getattr(package.activations, name)
        return (lambda x: function(x, **arguments)) if arguments else name

    ours, predicted = trained(minisgd, activation(minisgd))
    theirs, expected = trained(keras, activation(keras))
    loose = LOOSE.get(name, ())
    in_fit = ACTIVATION_RUN if "fit" in loose and not arguments else EQUAL
    for i, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        within(f"{name}, weight {i}", mine, reference, in_fit)
    within(name, predicted, expected, ACTIVATION_RUN if "predict" in loose else EQUAL)


@pytest.mark.parametrize("name", NAMES)
def test_fit_and_predict(keras: Any, name: str) -> None:
    compare_runs(keras, name, {})


@pytest.mark.parametrize(("name", "arguments"), WITH_ARGUMENTS, ids=str)
def test_fit_and_predict_with_arguments(keras: Any, name: str, arguments: Any) -> None:
    compare_runs(keras, name, arguments)


@pytest.mark.parametrize(("name", "arguments"), WITH_ARGUMENTS[4:] + [("mish", {})], ids=str)
def test_values(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    ours, theirs = (
        np.asarray(getattr(p.activations, name)(X * 3, **arguments)) for p in (minisgd, keras)
    )
    within(name, ours, theirs, OP_C_LIBRARY if name == "mish" else OP_ZEROS)


def test_every_activation_is_compared(keras: Any) -> None:
    from keras.src.activations import ALL_OBJECTS_DICT

    ours = set(minisgd.activations._BY_NAME)
    assert ours == set(ALL_OBJECTS_DICT) - {"sparsemax"}
    assert set(NAMES) | set(OTHERS) | {"swish", "hard_swish"} == ours


@pytest.mark.parametrize("name", [*NAMES, *OTHERS, "swish", "hard_swish"])
def test_arguments_and_serialization_are_kerass(keras: Any, name: str) -> None:
    ours, theirs = minisgd.activations.get(name), keras.activations.get(name)

    def parameters(function: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert parameters(ours) == parameters(theirs)
    written = keras.activations.serialize(theirs)
    assert minisgd.activations.serialize(ours) == written
    assert minisgd.activations.deserialize(written) is ours
    assert keras.activations.deserialize(minisgd.activations.serialize(ours)) is theirs


@pytest.mark.parametrize("identifier", ["rellu", "", 3, {"class_name": "rellu"}])
def test_what_keras_refuses_we_refuse(keras: Any, identifier: Any) -> None:
    for package in (keras, minisgd):
        with pytest.raises((ValueError, TypeError)):
            package.activations.get(identifier)
