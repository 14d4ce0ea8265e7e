"""From the same seed: the same weights, Dropout masks and orders of samples as Keras, in bits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minisgd.parity.compare import first_difference
from minisgd.parity.orders import epoch_order, observed_batches, observed_orders
from minisgd.parity.scripts import SCRIPTS
from minisgd.parity.sides import keras_side, minisgd_side

SEEDS = (0, 1, 42, 2024, 2**32 - 1)


def initial_weights(build: Callable[[Any], Any], seed: int) -> tuple[list[Any], list[Any]]:
    """Build a model under both packages after seeding them; return (ours, Keras's) weights."""
    found = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.set_random_seed(seed)
        model = build(side.ns)
        found.append([np.asarray(weight) for weight in model.get_weights()])
    return found[0], found[1]


def assert_equal_lists(ours: list[Any], theirs: list[Any]) -> None:
    """Every array of the two lists has the same bits."""
    assert len(ours) == len(theirs)
    for i, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        difference = first_difference(f"weight {i}", mine, reference)
        assert difference is None, str(difference)


@pytest.mark.parametrize("seed", SEEDS)
def test_initial_weights_of_the_scripts(seed: int) -> None:
    """Glorot uniform kernels and zero biases of 784-128-10."""
    assert_equal_lists(*initial_weights(SCRIPTS[1].build_model, seed))


def deferred(ns: Any) -> Any:
    """No input shape: built by the first call of `build`."""
    dense = ns.layers.Dense
    model = ns.models.Sequential([dense(5, activation="relu"), dense(3)])
    model.build((None, 7))
    return model


def lazily_in_fit(ns: Any) -> Any:
    """Built inside `fit` with a learning rate of zero, which keeps the initial weights."""
    dense = ns.layers.Dense
    model = ns.models.Sequential([dense(5, activation="relu"), dense(3)])
    model.compile(optimizer=ns.optimizers.SGD(learning_rate=0.0), loss="mse")
    model.fit(np.ones((4, 7), "float32"), np.ones((4, 3), "float32"), verbose=0)
    return model


def added(ns: Any) -> Any:
    """One layer after the other, Dropout in between draws a seed of its own."""
    model = ns.models.Sequential()
    model.add(ns.layers.Input((7,)))
    model.add(ns.layers.Dense(5, activation="relu"))
    model.add(ns.layers.Dropout(0.5))
    model.add(ns.layers.Dense(3, activation="softmax"))
    return model


def popped(ns: Any) -> Any:
    """A layer that is taken away again has drawn its seed."""
    model = ns.models.Sequential([ns.layers.Input((7,)), ns.layers.Dense(5), ns.layers.Dense(4)])
    model.pop()
    model.add(ns.layers.Dense(3))
    return model


def built_backwards(ns: Any) -> Any:
    """The last layer is constructed first: seeds follow construction, not position."""
    last = ns.layers.Dense(3)
    first = ns.layers.Dense(5)
    return ns.models.Sequential([ns.layers.Input((7,)), first, last])


def flattened(ns: Any) -> Any:
    """Flatten and Activation draw nothing."""
    layers = ns.layers
    return ns.models.Sequential(
        [
            layers.Input((4, 3)),
            layers.Flatten(),
            layers.Dense(5),
            layers.Activation("relu"),
            layers.Dense(3),
        ]
    )


def second_model(ns: Any) -> Any:
    """A second model goes on in the same stream of seeds."""
    flattened(ns)
    return deferred(ns)


def zero_dropout(ns: Any) -> Any:
    """Dropout of rate 0 draws no seed."""
    layers = ns.layers
    return ns.models.Sequential(
        [layers.Input((7,)), layers.Dropout(0.0), layers.Dense(5), layers.Dense(3)]
    )


CONSTRUCTIONS = (
    deferred,
    lazily_in_fit,
    added,
    popped,
    built_backwards,
    flattened,
    second_model,
    zero_dropout,
)


@pytest.mark.parametrize("build", CONSTRUCTIONS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("seed", (0, 42, 2**32 - 1))
def test_initial_weights_of_any_construction(build: Callable[[Any], Any], seed: int) -> None:
    """The order of construction, not of building, decides which layer gets which seed."""
    assert_equal_lists(*initial_weights(build, seed))


INITIALIZERS: dict[str, Callable[[Any, int], Any]] = {
    "GlorotUniform": lambda ns, s: ns.initializers.GlorotUniform(seed=s),
    "GlorotNormal": lambda ns, s: ns.initializers.GlorotNormal(seed=s),
    "HeUniform": lambda ns, s: ns.initializers.HeUniform(seed=s),
    "HeNormal": lambda ns, s: ns.initializers.HeNormal(seed=s),
    "LecunUniform": lambda ns, s: ns.initializers.LecunUniform(seed=s),
    "LecunNormal": lambda ns, s: ns.initializers.LecunNormal(seed=s),
    "RandomUniform": lambda ns, s: ns.initializers.RandomUniform(-0.2, 0.7, seed=s),
    "RandomNormal": lambda ns, s: ns.initializers.RandomNormal(0.3, 0.05, seed=s),
    "TruncatedNormal": lambda ns, s: ns.initializers.TruncatedNormal(-0.1, 0.2, seed=s),
    "Zeros": lambda ns, s: ns.initializers.Zeros(),
    "Ones": lambda ns, s: ns.initializers.Ones(),
    "Constant": lambda ns, s: ns.initializers.Constant(0.1),
}
SHAPES = ((784, 128), (128, 10), (7, 3), (3, 3, 4, 5), (5,), (1, 1))


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_initializers(name: str, shape: tuple[int, ...]) -> None:
    """Every initializer of the slice, several shapes and explicit seeds."""
    for seed in (0, 7, 2**31 - 2, 2**40 + 7):
        ours, theirs = (
            np.asarray(INITIALIZERS[name](side.ns, seed)(shape))
            for side in (minisgd_side(), keras_side())
        )
        difference = first_difference(f"{name}{shape}, seed {seed}", ours, theirs)
        assert difference is None, str(difference)


@pytest.mark.parametrize("name", ("he_normal", "lecun_uniform", "random_normal"))
def test_initializers_by_name_draw_their_seed(name: str) -> None:
    """A string is resolved at construction and draws from Python's `random` there."""

    def build(ns: Any) -> Any:
        dense = ns.layers.Dense
        return ns.models.Sequential(
            [ns.layers.Input((7,)), dense(5, kernel_initializer=name), dense(3)]
        )

    assert_equal_lists(*initial_weights(build, 42))


@pytest.mark.parametrize("seed", SEEDS)
def test_dropout_masks(seed: int) -> None:
    """Three training calls in a row, an inference call in between: same masks, same scale."""
    calls = []
    x = np.random.default_rng(0).standard_normal((33, 17)).astype(np.float32)
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.set_random_seed(seed)
        layer, explicit = side.ns.layers.Dropout(0.2), side.ns.layers.Dropout(0.5, seed=seed)
        results = []
        for training in (True, False, True, True):
            results += [layer(x, training=training), explicit(x, training=training)]
        calls.append([np.asarray(result) for result in results])
    assert_equal_lists(calls[0], calls[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_samples(seed: int) -> None:
    """Keras's observed order, ours observed, ours computed: one permutation every epoch."""
    for n in (1, 2, 10, 1000):
        ours = observed_orders(minisgd_side(), n, seed, epochs=3, batch_size=64)
        theirs = observed_orders(keras_side(), n, seed, epochs=3, batch_size=64)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours[0], epoch_order(n, seed))
        np.testing.assert_array_equal(theirs[0], theirs[2])


def test_order_of_sixty_thousand() -> None:
    """The whole of MNIST's length, seed 42."""
    (theirs,) = observed_orders(keras_side(), 60_000, 42, batch_size=2000)
    np.testing.assert_array_equal(epoch_order(60_000, 42), theirs)


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 3},
        {"batch_size": 3, "shuffle": False},
        {"batch_size": 3, "shuffle": "batch"},
        {"batch_size": 4, "shuffle": "batch"},
        {"batch_size": 3, "validation_split": 0.3},
        {"batch_size": 2, "validation_split": 0.25, "shuffle": False},
        {"batch_size": 64},
        {"batch_size": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", (0, 42))
def test_batches(arguments: dict[str, Any], seed: int) -> None:
    """Which samples are in which batch of which epoch, the short last one included."""
    ours = observed_batches(minisgd_side(), 23, seed, epochs=3, **arguments)
    theirs = observed_batches(keras_side(), 23, seed, epochs=3, **arguments)
    assert ours == theirs


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize(
    ("n", "batch_size", "steps"), [(10, 2, 2), (23, 3, 4), (10, 5, 1), (12, 2, 6), (6, 2, 5)]
)
def test_batches_with_steps_per_epoch(n: int, batch_size: int, steps: int) -> None:
    """The iterator goes on over epochs and starts again where it ran out."""
    arguments = {"epochs": 5, "batch_size": batch_size, "steps_per_epoch": steps}
    ours = observed_batches(minisgd_side(), n, 42, **arguments)
    theirs = observed_batches(keras_side(), n, 42, **arguments)
    assert ours == theirs


def test_a_later_fit_repeats_the_order() -> None:
    """Seeded once, every `fit` of the same length sees the same order."""
    for side in (minisgd_side(), keras_side()):
        first = observed_orders(side, 50, 42, batch_size=8)
        second = observed_orders(side, 50, None, batch_size=8)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("package", ("minisgd", "keras"))
def test_unseeded_epochs_differ(package: str) -> None:
    """In a process that never seeded anything, no two epochs have the same order."""
    code = (
        f"from minisgd.parity import orders, sides\n"
        f"found = orders.observed_orders(sides.{package}_side(), 50, None, epochs=3)\n"
        f"assert all(sorted(order) == list(range(50)) for order in found)\n"
        f"assert len({{tuple(order) for order in found}}) == 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
