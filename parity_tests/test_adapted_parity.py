"""The layer `Normalization` beside live Keras: what `adapt` learns, runs, files and errors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beside_keras import nearly_equal

import minisgd
from minisgd.parity.probe import measured_mode
from minisgd.parity.sides import keras_side, minisgd_side

pytestmark = pytest.mark.layers

X = np.random.default_rng(5).normal(3, 2, (50, 6)).astype(np.float32)
Y = np.random.default_rng(6).integers(0, 3, 50)
DEEP = X.reshape(25, 2, 6)


class Numbered:
    """Batches by their number, as a PyDataset of either side."""

    def __call__(self, ns: Any) -> Any:
        class Batches(ns.utils.PyDataset):  # type: ignore[name-defined, misc]
            def __len__(self) -> int:
                return 4

            def __getitem__(self, index: int) -> Any:
                return X[index * 15 : (index + 1) * 15], Y[index * 15 : (index + 1) * 15]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Batches()


def dataset(ns: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(X).batch(16)


def samples(ns: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(X)


DATA: dict[str, Any] = {
    "array": lambda ns: X,
    "doubles": lambda ns: X.astype(np.float64),
    "whole numbers": lambda ns: np.rint(X).astype(np.int32),
    "list of batches": lambda ns: [X[:7], X[7:30], X[30:]],
    "generator": lambda ns: ((x, None) for x in (X[:33], X[33:])),
    "PyDataset": Numbered(),
    "tf.data": dataset,
    "tf.data of samples": samples,
}


def equal(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype
    if measured_mode().bits:
        np.testing.assert_array_equal(ours, theirs)
    nearly_equal([ours], [theirs])


def both(act: Any) -> list[Any]:
    return [act(side.ns) for side in (minisgd_side(), keras_side())]


@pytest.mark.parametrize("name", DATA)
def test_what_adapt_learns(name: str) -> None:
    """Weights, and the output."""

    def learnt(ns: Any) -> list[Any]:
        layer = ns.layers.Normalization()
        layer.adapt(DATA[name](ns))
        layer.adapt(DATA[name](ns))  # what was there before is forgotten
        return [*layer.get_weights(), layer.mean, layer.variance, layer(X)]

    for mine, reference in zip(*both(learnt), strict=True):
        equal(mine, reference)


@pytest.mark.parametrize(
    "options",
    [
        {"axis": None},
        {"axis": (1, 2)},
        {"axis": 1, "invert": True},
        {"axis": [-2, -1], "mean": [1.0, 2, 3, 4, 5, 6], "variance": [0.0, 1, 2, 3, 4, 5]},
        {"mean": 2.0, "variance": 3.0, "invert": True},
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    def outcome(ns: Any) -> list[Any]:
        ns.utils.clear_session(free_memory=False)
        layer = ns.layers.Normalization(**options)
        if "mean" in options:
            layer.build((None, 2, 6))
        else:
            layer.adapt(DEEP)
        config = layer.get_config()
        del config["dtype"]
        return [layer(DEEP), layer.mean, layer.variance, config]

    (*ours, config), (*theirs, expected) = both(outcome)
    for mine, reference in zip(ours, theirs, strict=True):
        equal(mine, reference)
    assert config == expected


def network(ns: Any) -> Any:
    ns.utils.set_random_seed(1)
    layer = ns.layers.Normalization(name="norm")
    layer.adapt(X)
    layers = [ns.layers.Input((6,)), layer, ns.layers.Dense(4, "relu"), ns.layers.Dense(3)]
    model = ns.Sequential(layers)
    loss = ns.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(ns.optimizers.SGD(0.1, momentum=0.9), loss)
    return model


def test_a_run_and_files(tmp_path: Path) -> None:
    """Weights and losses in both modes of ours; either package reads what the other has saved."""

    def trained(ns: Any, **options: Any) -> list[Any]:
        model = network(ns)
        if options:
            model.compile(model.optimizer, model.loss, **options)
        losses = model.fit(X, Y, batch_size=16, epochs=3, verbose=0).history["loss"]
        if not options:  # Keras takes jit_compile=True, XLA, from the file
            model.save(tmp_path / f"{ns.__name__}.keras")
        return [*model.get_weights(), np.float32(losses), model.predict(X, verbose=0)]

    for mine, reference in zip(*both(trained), strict=True):
        equal(mine, reference)
    eager = trained(minisgd, run_eagerly=True)
    for mine, reference in zip(trained(minisgd, jit_compile=True), eager, strict=True):
        np.testing.assert_array_equal(mine, reference)
    for side in (minisgd_side(), keras_side()):
        for name in ("minisgd", "keras"):
            again = side.ns.models.load_model(tmp_path / f"{name}.keras")
            equal(again.predict(X, verbose=0), eager[-1])


def adapted(ns: Any) -> Any:
    layer = ns.layers.Normalization()
    layer.adapt(X)
    return layer


@pytest.mark.parametrize(
    ("act", "error", "phrase"),
    [
        (lambda ns: ns.layers.Normalization(mean=1.0), ValueError, "both `mean` and `variance`"),
        (lambda ns: ns.layers.Normalization(mean=[1.0], variance=2.0), ValueError, "same shape"),
        (lambda ns: ns.layers.Normalization(axis=None, mean=[1.0], variance=[2.0]), ValueError,
         "The rank of `mean` must be less"),
        (lambda ns: ns.layers.Normalization(axis=3).adapt(X), ValueError, "in the range"),
        (lambda ns: ns.layers.Normalization(axis=0).build((None, 3)), ValueError, "known shape"),
        (lambda ns: adapted(ns).adapt(X[:, :5]), ValueError, "incompatible shape"),
        (lambda ns: ns.layers.Normalization().adapt([]), ValueError, "empty iterable"),
        (lambda ns: ns.layers.Normalization().adapt([X, X[:, :5]]), ValueError, "incompatible"),
        (lambda ns: ns.layers.Normalization().adapt(3), TypeError, "Unsupported data type"),
        (lambda ns: ns.layers.Normalization().adapt(["a"]), TypeError, "yields arrays"),
    ],
)  # fmt: skip
def test_errors(act: Any, error: Any, phrase: str) -> None:
    for side in (minisgd_side(), keras_side()):
        with pytest.raises(error, match=phrase):
            act(side.ns)


def test_what_keras_lets_pass() -> None:
    """`adapt` of a layer with its own mean; an input that broadcasts against the mean."""
    layer = minisgd.layers.Normalization(mean=1.0, variance=2.0)
    with pytest.raises(ValueError, match="of its arguments"):
        layer.adapt(X)
    with pytest.raises(ValueError, match=r"expected shape \(None, 6\).*shape \(50, 1\)"):
        adapted(minisgd)(X[:, :1])
