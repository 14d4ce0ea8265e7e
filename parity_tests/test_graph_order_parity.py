"""What TensorFlow's graph rounds otherwise than the same step run eagerly, and when it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_keras import check_same

from minisgd.parity.sides import Side, keras_side, minisgd_side

pytestmark = pytest.mark.run

SAMPLES = 96
RNG = np.random.default_rng(11)
X = RNG.standard_normal((SAMPLES, 8)).astype(np.float32)
Y = RNG.random((SAMPLES, 3), np.float32)
WEIGHT = RNG.random(SAMPLES, np.float32) + np.float32(0.1)
SHAPES = [(8, 5), (5,), (5, 3), (3,)]
WEIGHTS = [RNG.standard_normal(shape).astype(np.float32) for shape in SHAPES]


def compiled_model(side: Side, loss: Any, sgd: dict[str, Any], l2: float = 0.0, **options: Any):
    """A network of two layers, always with the same weights."""
    layers, regularizers = side.ns.layers, side.ns.regularizers
    penalty = {"kernel_regularizer": regularizers.L2(l2)} if l2 else {}
    dense = [layers.Dense(5, "relu", **penalty), layers.Dense(3, **penalty)]
    model = side.ns.Sequential([layers.Input((8,)), *dense])
    model.set_weights(WEIGHTS)
    if side.name == "keras":
        options.pop("jit_compile", None)
    model.compile(side.ns.optimizers.SGD(**sgd), loss, **options)
    return model


def fit(model: Any, batch_size: int, samples: int = SAMPLES) -> list[float]:
    """One epoch's loss."""
    data = X[:samples], Y[:samples], batch_size
    history = model.fit(*data, sample_weight=WEIGHT[:samples], shuffle=False, verbose=0)
    return history.history["loss"]


def on_batches(model: Any, *sizes: int) -> list[float]:
    """`train_on_batch` with batches of these sizes."""
    return [float(model.train_on_batch(X[:n], Y[:n], WEIGHT[:n])) for n in sizes]


def from_generator(model: Any) -> list[float]:
    """Two batches that a generator yields."""
    parts = [slice(0, 48), slice(48, 96)]
    history = model.fit(
        ((X[p], Y[p], WEIGHT[p]) for p in parts), steps_per_epoch=2, shuffle=False, verbose=0
    )
    return history.history["loss"]


# TensorFlow knows a batch's length in the first and in some batches of the others.
WAYS = {
    "the batch size divides the samples": lambda model: fit(model, 24),
    "it doesn't": lambda model: fit(model, 25),
    "larger than the data": lambda model: fit(model, 100),
    "another batch size later": lambda model: fit(model, 24) + fit(model, 12) + fit(model, 24),
    "one that divides later": lambda model: fit(model, 25) + fit(model, 24),
    "train_on_batch": lambda model: on_batches(model, 24, 24),
    "train_on_batch, several lengths": lambda model: on_batches(model, 24, 12, 24, 7),
    "fit, then train_on_batch": lambda model: fit(model, 24) + on_batches(model, 24, 11),
    "a generator": from_generator,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("jit", [True, False], ids=["compiled", "eager"])
def test_means_with_weighted_samples(way, jit):
    """Where the divisor of the mean is a constant, its reciprocal comes into the gradient."""
    found = []
    for side in (minisgd_side(), keras_side()):
        model = compiled_model(side, "mse", {"learning_rate": 0.05}, jit_compile=jit)
        losses = WAYS[way](model)
        found.append(([np.asarray(w) for w in model.get_weights()], losses, 0))
    check_same(*found)


@pytest.mark.parametrize("loss", ["mae", "mape", "huber", "log_cosh", "hinge", "squared_hinge"])
@pytest.mark.parametrize("batch_size", [24, 25])
def test_other_means_with_weighted_samples(loss, batch_size):
    found = []
    for side in (minisgd_side(), keras_side()):
        model = compiled_model(side, loss, {"learning_rate": 1e-4 if loss == "mape" else 0.5})
        losses = fit(model, batch_size)
        weights = [np.array(w) for w in model.get_weights()]
        loss_again = model.evaluate(X, Y, batch_size, sample_weight=WEIGHT, verbose=0)
        found.append((weights, losses, loss_again))
    check_same(*found)


OPTIONS: list[dict[str, Any]] = [
    {"weight_decay": 0.13},
    {"global_clipnorm": 0.7},
    {"global_clipnorm": 0.7e6},
    {"loss_scale_factor": 3.0},
    {"gradient_accumulation_steps": 3},
    {"weight_decay": 0.13, "global_clipnorm": 0.7},
    {"weight_decay": 0.13, "clipnorm": 0.3, "use_ema": True},
    {"loss_scale_factor": 3.0, "gradient_accumulation_steps": 3, "global_clipnorm": 0.7},
]


@pytest.mark.parametrize("l2", [0.0, 0.01])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("run_eagerly", [True, False], ids=["eager", "graph"])
def test_constants_of_the_update(options, l2, run_eagerly):
    """Only a graph multiplies numbers with each other before they meet the gradient."""
    sgd = {"learning_rate": 0.037, "momentum": 0.9, **options}
    found = []
    for side in (minisgd_side(), keras_side()):
        model = compiled_model(side, "mse", sgd, l2, run_eagerly=run_eagerly)
        losses = [model.fit(X, Y, 16, shuffle=False, verbose=0).history["loss"] for _ in range(2)]
        state = [np.asarray(v) for v in model.optimizer.variables[2:]]
        found.append(([*map(np.asarray, model.get_weights()), *state], losses, 0))
    check_same(*found)
