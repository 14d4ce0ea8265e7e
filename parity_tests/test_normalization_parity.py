"""BatchNormalization and LayerNormalization beside live Keras: steps, moving averages, files.

Bits are equal where no whole packet of eight passes TensorFlow's rsqrt, which starts from an
estimate that each processor makes: up to seven features, or seven samples for layer normalization.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minisgd
from minisgd.parity.compare import compare
from minisgd.parity.sides import keras_side, minisgd_side
from minisgd.parity.tolerances import EQUAL, NORMALIZED, Tolerance

pytestmark = pytest.mark.layers

X = np.random.default_rng(5).normal(0.3, 2, (320, 19)).astype(np.float32)
Y = np.random.default_rng(6).integers(0, 5, 320)
KINDS = ["BatchNormalization", "LayerNormalization"]
LENGTHS = ["RMSNormalization", "UnitNormalization"]


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def within(name: str, ours: Any, theirs: Any, tolerance: Tolerance = EQUAL) -> None:
    difference = compare(name, np.asarray(ours), np.asarray(theirs))
    if not difference.equal:
        assert tolerance.holds(tolerance.measured(difference)), f"{difference}; {tolerance}"


def network(package: Any, kind: str, units: int, **options: Any) -> Any:
    package.utils.set_random_seed(2)
    layers = package.layers
    model = package.Sequential([
        layers.Input((19,)), layers.Dense(units), getattr(layers, kind)(**options, name="norm"),
        layers.Activation("relu"), layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    draw = np.random.default_rng(7)
    own = model.layers[1].get_weights()
    own = [draw.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in own]
    model.layers[1].set_weights(own)
    sgd = package.optimizers.SGD(0.05, momentum=0.9)
    model.compile(sgd, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def both_trained(
    keras: Any, kind: str, units: int, samples: int, batch_size: int = 32, **options: Any
) -> list[Any]:
    models = []
    for package in (minisgd, keras):
        model = network(package, kind, units, **options)
        model.fit(X[:samples], Y[:samples], batch_size=batch_size, verbose=0, shuffle=False)
        models.append(model)
    return models


def compare_models(ours: Any, theirs: Any, tolerance: Tolerance = EQUAL) -> None:
    names = [w.path for w in theirs.weights]
    assert [w.name for w in ours.weights] == [n.rpartition("/")[2] for n in names]
    pairs = zip(names, ours.get_weights(), theirs.get_weights(), strict=True)
    for name, mine, reference in pairs:
        within(name, mine, reference, tolerance)


@pytest.mark.parametrize("units", [2, 6])
@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False, "momentum": 0.9}],
                         ids=str)  # fmt: skip
def test_a_step_of_batch_normalization_has_kerass_bits(
    keras: Any, units: int, options: dict[str, Any]
) -> None:
    compare_models(*both_trained(keras, "BatchNormalization", units, 32, **options))


@pytest.mark.parametrize("units", [6, 24])
@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}], ids=str)
def test_a_step_of_layer_normalization_has_kerass_bits(
    keras: Any, units: int, options: dict[str, Any]
) -> None:
    compare_models(*both_trained(keras, "LayerNormalization", units, 7, **options))


@pytest.mark.parametrize("units", [1, 6, 24, 64])
@pytest.mark.parametrize("kind", [*KINDS, *LENGTHS])
def test_a_run_stays_near(keras: Any, kind: str, units: int) -> None:
    ours, theirs = both_trained(keras, kind, units, 320)
    compare_models(ours, theirs, NORMALIZED)
    within("predictions", ours.predict(X, verbose=0), theirs.predict(X, verbose=0), NORMALIZED)
    within("loss", ours.evaluate(X, Y, verbose=0)[0], theirs.evaluate(X, Y, verbose=0)[0],
           NORMALIZED)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_penalties_and_constraints(keras: Any, kind: str) -> None:
    options = {"gamma_regularizer": "l2", "beta_regularizer": "l1", "gamma_constraint": "non_neg"}
    ours, theirs = both_trained(keras, kind, 6, 160, **options)
    compare_models(ours, theirs, NORMALIZED)
    configs = [config_without_name(m.layers[1]) for m in (ours, theirs)]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("units", [6, 24, 64])
def test_moving_averages_have_kerass_bits(keras: Any, units: int) -> None:
    """They don't pass the inverse root; after the first step the weights before them do."""
    ours, theirs = both_trained(keras, "BatchNormalization", units, 32)
    for name in ("moving_mean", "moving_variance"):
        mine, reference = (getattr(m.layers[1], name) for m in (ours, theirs))
        within(name, mine, reference)


def test_a_frozen_layer_uses_its_moving_averages_and_leaves_them(keras: Any) -> None:
    models = []
    for package in (minisgd, keras):
        model = network(package, "BatchNormalization", 6)
        model.layers[1].trainable = False
        model.compile(package.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
        before = model.layers[1].get_weights()
        model.fit(X[:32], Y[:32], batch_size=32, verbose=0, shuffle=False)
        for was, now in zip(before, model.layers[1].get_weights(), strict=True):
            np.testing.assert_array_equal(was, now)
        models.append(model)
    compare_models(*models)
    for model in models:  # the moving averages stay untrainable
        model.layers[1].trainable = True
        assert [w.path.split("/")[-1] for w in model.layers[1].trainable_weights] == [
            "gamma", "beta",
        ]  # fmt: skip
    counts = [[len(m.trainable_weights), len(m.non_trainable_weights)] for m in models]
    assert counts[0] == counts[1] == [6, 2]


SHAPES = [
    ("BatchNormalization", {"axis": 1}, (4, 3)),
    ("BatchNormalization", {"axis": 2}, (4, 3)),
    ("BatchNormalization", {"axis": -2, "center": False}, (2, 4, 3)),
    ("LayerNormalization", {"axis": 1}, (4, 3)),
    ("LayerNormalization", {"axis": [2, 1]}, (4, 3)),
    ("LayerNormalization", {"axis": [-1, -2]}, (2, 4, 3)),
    ("LayerNormalization", {"axis": (1, 2, 3), "scale": False}, (2, 4, 3)),
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("kind", "options", "shape"), SHAPES, ids=str)
def test_more_axes(keras: Any, kind: str, options: Any, shape: Any, training: bool) -> None:
    x = np.random.default_rng(8).normal(1, 3, (9, *shape)).astype(np.float32)
    outputs, layers = [], []
    for package in (minisgd, keras):
        layer = getattr(package.layers, kind)(**options)
        layer.build((None, *shape))
        draw = np.random.default_rng(9)
        layer.set_weights([draw.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        call = {"training": training} if kind == "BatchNormalization" else {}
        outputs.append(np.asarray(layer(x, **call)))
        layers.append(layer)
    within("output", *outputs, NORMALIZED)
    for mine, reference in zip(*(layer.get_weights() for layer in layers), strict=True):
        within("weight", mine, reference, NORMALIZED)


def config_without_name(layer: Any) -> dict[str, Any]:
    return {k: v for k, v in layer.get_config().items() if k != "name"}


@pytest.mark.parametrize(("kind", "options", "shape"), SHAPES, ids=str)
@pytest.mark.parametrize("built", [False, True])
def test_configurations_are_kerass(
    keras: Any, kind: str, options: Any, shape: Any, built: bool
) -> None:
    configs = []
    for package in (minisgd, keras):
        layer = getattr(package.layers, kind)(epsilon=0.01, gamma_initializer="he_normal",
                                              **options)  # fmt: skip
        if built:
            layer.build((None, *shape))
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        configs.append(config_without_name(layer))
    assert configs[0] == configs[1]


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("axis", [-1, [2, 1], (2,)], ids=str)
def test_layers_that_divide_by_a_length(keras: Any, kind: str, axis: Any) -> None:
    """Outputs, gradients and configurations; a sample of zeros, too."""
    x = np.random.default_rng(8).normal(1, 3, (9, 4, 3)).astype(np.float32)
    x[2] = 0
    found, configs = [], []
    for side in (minisgd_side(), keras_side()):
        layer = getattr(side.ns.layers, kind)(axis)
        inputs = side.tensor(x)
        with side.tape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            total = side.ns.ops.sum(side.ns.ops.square(outputs - 0.5))
        found.append([outputs, np.delete(np.asarray(tape.gradient(total, inputs)), 2, 0)])
        configs.append(config_without_name(layer))
    for mine, reference in zip(*found, strict=True):
        within(kind, mine, reference, NORMALIZED)
    assert configs[0] == configs[1]


@pytest.mark.parametrize("kind", [*KINDS, *LENGTHS])
@pytest.mark.parametrize("extension", ["keras", "weights.h5"])
def test_files_go_both_ways(keras: Any, kind: str, extension: str, tmp_path: Path) -> None:
    """A file takes weights, moving averages and the optimizer's state along."""
    for writer, reader in ((minisgd, keras), (keras, minisgd)):
        model = network(writer, kind, 6)
        model.fit(X[:96], Y[:96], batch_size=32, verbose=0)
        path = str(tmp_path / f"{writer.__name__}.{extension}")
        if extension == "keras":
            model.save(path)
            loaded = reader.models.load_model(path)
        else:
            model.save_weights(path)
            loaded = network(reader, kind, 6)
            loaded.optimizer.build(loaded.trainable_variables)
            loaded.load_weights(path)
        pairs = zip(model.get_weights(), loaded.get_weights(), strict=True)
        for ours, theirs in pairs:
            within("weight", ours, theirs)
        expected = model.predict(X[:6], verbose=0)
        within("prediction", loaded.predict(X[:6], verbose=0), expected, NORMALIZED)


@pytest.mark.parametrize("kind", KINDS)
def test_clones_and_counts(keras: Any, kind: str) -> None:
    found = []
    for package in (minisgd, keras):
        model = network(package, kind, 6)
        clone = package.models.clone_model(model)
        shapes = [w.shape for w in clone.weights]
        assert shapes == [w.shape for w in model.weights]
        text: list[str] = []
        model.summary(print_fn=text.append)
        lines = [line.strip() for line in "\n".join(text).splitlines() if "params" in line]
        found.append((clone.layers[1].get_weights(), model.count_params(), lines[:3]))
    (ours, *counted), (theirs, *expected) = found
    for mine, reference in zip(ours, theirs, strict=True):
        within("fresh weight", mine, reference)
    assert counted == expected


WRONG = [
    (lambda layers: layers.LayerNormalization(axis="a"), TypeError),
    (lambda layers: layers.BatchNormalization(axis=[1, 2]), TypeError),
    (lambda layers: layers.BatchNormalization(momentum="a"), ValueError),
    (lambda layers: layers.BatchNormalization(gamma_initializer="onse"), ValueError),
]


@pytest.mark.parametrize(("make", "error"), WRONG)
def test_what_keras_refuses_we_refuse(keras: Any, make: Any, error: type[Exception]) -> None:
    for package in (keras, minisgd):
        with pytest.raises(error):
            make(package.layers)


def test_another_number_of_features_is_refused_in_kerass_words(keras: Any) -> None:
    for package in (keras, minisgd):
        layer = package.layers.BatchNormalization()
        layer.build((None, 3))
        words = "expected axis -1 of input shape to have value 3, but received input with shape"
        with pytest.raises(ValueError, match=words):
            layer(np.ones((2, 4), np.float32))
        with pytest.raises(ValueError, match="expected ndim=2, found ndim=3"):
            layer(np.ones((2, 4, 3), np.float32))
