"""`GaussianNoise`, `GaussianDropout` and `AlphaDropout` beside Keras: the same streams and bits."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from beside_keras import check_same

import minisgd

pytestmark = pytest.mark.layers

rng = np.random.default_rng(0)
X = rng.random((72, 8), dtype=np.float32)
Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 72)]

LAYERS = {
    "noise": lambda ns: ns.layers.GaussianNoise(0.3),
    "noise, seed": lambda ns: ns.layers.GaussianNoise(1, seed=5),
    "no noise": lambda ns: ns.layers.GaussianNoise(0.0),
    "gaussian dropout": lambda ns: ns.layers.GaussianDropout(0.25),
    "gaussian dropout, seed": lambda ns: ns.layers.GaussianDropout(0.6, 7),
    "alpha": lambda ns: ns.layers.AlphaDropout(0.25),
    "alpha, shape": lambda ns: ns.layers.AlphaDropout(0.5, (None, 1), seed=11),
    "no alpha": lambda ns: ns.layers.AlphaDropout(0),
}


@pytest.fixture(scope="module")
def keras() -> Any:
    return importlib.import_module("keras")


@pytest.mark.parametrize("name", LAYERS)
def test_calls(keras, name):
    x = rng.standard_normal((5, 6)).astype(np.float32)
    found = []
    for ns in (minisgd, keras):
        ns.utils.set_random_seed(4)
        layer = LAYERS[name](ns)
        found.append([np.array(layer(x, training=t)) for t in (True, True, False, True)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_training(keras, name, run_eagerly):
    found = []
    for ns in (minisgd, keras):
        ns.utils.set_random_seed(4)
        dense = [ns.layers.Dense(16, "selu"), LAYERS[name](ns), ns.layers.Dense(3, "softmax")]
        model = ns.Sequential([ns.layers.Input((8,)), LAYERS[name](ns), *dense])
        optimizer = ns.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, "categorical_crossentropy", run_eagerly=run_eagerly)
        history = model.fit(X, Y, epochs=3, verbose=0)
        results = model.evaluate(X, Y, verbose=0)
        found.append(([np.array(w) for w in model.get_weights()], history.history, results))
    check_same(*found)


@pytest.mark.parametrize("name", LAYERS)
def test_configs_and_serialize(keras, name):
    ours, theirs = (LAYERS[name](ns) for ns in (minisgd, keras))
    config, reference = ours.get_config(), theirs.get_config()
    reference.pop("dtype")
    assert {**config, "name": ""}.items() >= {**reference, "name": ""}.items()
    for source, target, layer in ((minisgd, keras, ours), (keras, minisgd, theirs)):
        other = target.layers.deserialize(source.layers.serialize(layer))
        assert type(other) is type(LAYERS[name](target))
        assert other.name == layer.name
        assert other.seed == layer.seed


@pytest.mark.parametrize("value", [-0.1, 1.1])
@pytest.mark.parametrize("name", ["GaussianNoise", "GaussianDropout", "AlphaDropout"])
def test_errors_have_the_same_words(keras, name, value):
    for ns in (minisgd, keras):
        with pytest.raises(ValueError, match="Invalid value received for argument `(rate|stddev)`"):
            getattr(ns.layers, name)(value)


@pytest.mark.parametrize("name", ["GaussianDropout", "AlphaDropout"])
def test_a_rate_of_one_is_refused(keras, name):
    """Keras divides by zero in the first step."""
    with pytest.raises(ValueError, match="less than 1"):
        getattr(minisgd.layers, name)(1)
    with pytest.raises(ZeroDivisionError):
        getattr(keras.layers, name)(1.0)(X, training=True)
