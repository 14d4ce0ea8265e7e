"""Regularizers, constraints, more layers and layers of the user's own, beside Keras's.

Whole runs of `fit` from one seed: where the reference setup promises bits, weights, History and
what `evaluate` returns are equal, whether minisgd's steps are compiled or eager.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
from beside_keras import check_same, nearly_equal

import minisgd
from minisgd.parity.probe import measured_mode
from minisgd.parity.sides import keras_side, minisgd_side

pytestmark = pytest.mark.layers

rng = np.random.default_rng(0)
X = rng.random((203, 784), dtype=np.float32)
X[X < 0.6] = 0
Y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 203)]
SMALL_X = rng.random((64, 8), dtype=np.float32)
SMALL_Y = rng.random((64, 3), dtype=np.float32)

Make = Callable[[Any], Any]


@pytest.fixture(scope="module")
def keras() -> Any:
    return importlib.import_module("keras")


# --- runs ---
def mlp(**options: Any) -> Make:
    """784-64-10, whose first layer has these options; each value a function of the package."""

    def make(ns: Any) -> Any:
        found = {name: value(ns) for name, value in options.items()}
        return ns.Sequential(
            [
                ns.layers.Input((784,)),
                ns.layers.Dense(64, "relu", **found),
                ns.layers.Dense(10, "softmax", kernel_regularizer=found.get("kernel_regularizer")),
            ]
        )

    return make


def stack(*layers: Make) -> Make:
    """A dense layer, these, and a softmax behind them."""
    return lambda ns: ns.Sequential(
        [
            ns.layers.Input((784,)),
            ns.layers.Dense(32),
            *(layer(ns) for layer in layers),
            ns.layers.Dense(10, "softmax"),
        ]
    )


def layer(name: str, *args: Any, **kwargs: Any) -> Make:
    return lambda ns: getattr(ns.layers, name)(*args, **kwargs)


def nested(ns: Any) -> Any:
    inner = ns.Sequential([ns.layers.Dense(8, trainable=False), ns.layers.Dense(9)])
    return ns.Sequential(
        [
            ns.layers.Dense(16, "tanh", kernel_regularizer="l2"),
            ns.layers.Dropout(0.2, seed=3),
            inner,
        ]
    )


def l1_l2(ns: Any) -> Any:
    return ns.regularizers.L1L2(0.001, 0.003)


RUNS: dict[str, Make] = {
    "L1": mlp(kernel_regularizer=lambda ns: "l1"),
    "L2": mlp(kernel_regularizer=lambda ns: "l2", bias_regularizer=lambda ns: "l1"),
    "L1L2": mlp(kernel_regularizer=l1_l2),
    "output L1": mlp(activity_regularizer=lambda ns: "l1"),
    "output L2": mlp(activity_regularizer=lambda ns: "l2"),
    "output L1L2": mlp(activity_regularizer=l1_l2, kernel_regularizer=l1_l2),
    "MaxNorm": mlp(
        kernel_constraint=lambda ns: ns.constraints.MaxNorm(0.5),
        bias_constraint=lambda ns: "max_norm",
    ),
    "UnitNorm": mlp(kernel_constraint=lambda ns: "unit_norm", kernel_regularizer=lambda ns: "l2"),
    "NonNeg": mlp(kernel_constraint=lambda ns: "non_neg", bias_constraint=lambda ns: "non_neg"),
    "MinMaxNorm": mlp(kernel_constraint=lambda ns: ns.constraints.MinMaxNorm(0.3, 0.6, 0.7)),
    "MinMaxNorm, rows": mlp(kernel_constraint=lambda ns: ns.constraints.MinMaxNorm(0.3, axis=1)),
    "Rescaling": lambda ns: ns.Sequential(
        [
            ns.layers.Input((784,)),
            ns.layers.Rescaling(1 / 3, offset=-0.1),
            ns.layers.Dense(10, "softmax"),
        ]
    ),
    "Normalization": stack(layer("Normalization", -1, [0.5] * 32, [1.5, 2.5] * 16)),
    "ReLU": stack(layer("ReLU")),
    "ReLU, limited": stack(layer("ReLU", max_value=0.5)),
    "ReLU, all": stack(layer("ReLU", max_value=0.5, negative_slope=0.1, threshold=0.1)),
    "ReLU, sloped": stack(layer("ReLU", negative_slope=0.1)),
    "LeakyReLU": stack(layer("LeakyReLU")),
    "ELU": stack(layer("ELU", alpha=0.5)),
    "PReLU": stack(
        layer("PReLU", "ones", alpha_regularizer="l2", alpha_constraint="non_neg"),
        layer("Reshape", (4, 8)),
        layer("PReLU", shared_axes=[1]),
        layer("Flatten"),
    ),
    "Softmax": stack(layer("Softmax")),
    "ActivityRegularization": stack(layer("ActivityRegularization", 0.001, 0.002)),
    "shapes": stack(
        layer("Reshape", (4, -1)), layer("Permute", (2, 1)), layer("Flatten"), layer("Identity"),
        layer("RepeatVector", 2), layer("Flatten"),
    ),
    "nested": stack(nested, layer("Activation", "relu")),
}  # fmt: skip
OPTIMIZERS: dict[str, Make] = {
    "nesterov": lambda ns: ns.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "accumulating": lambda ns: ns.optimizers.SGD(0.05, gradient_accumulation_steps=2, use_ema=True),
}


def run(ns: Any, make: Make, optimizer: Make, **options: Any) -> Any:
    """Weights, History and results of three epochs with a short last batch."""
    ns.utils.set_random_seed(1)
    model = make(ns)
    model.compile(
        optimizer(ns), "categorical_crossentropy", metrics=["accuracy"], run_eagerly=False,
        **options,
    )  # fmt: skip
    history = model.fit(X, Y, batch_size=32, epochs=3, verbose=0, validation_data=(X[:50], Y[:50]))
    results = model.evaluate(X, Y, verbose=0)
    return [np.array(w) for w in model.get_weights()], history.history, results


@pytest.mark.parametrize("name", RUNS)
def test_runs(keras, name):
    theirs = run(keras, RUNS[name], OPTIMIZERS["nesterov"])
    check_same(run(minisgd, RUNS[name], OPTIMIZERS["nesterov"], jit_compile=False), theirs)


@pytest.mark.parametrize("name", ["L1L2", "UnitNorm", "MinMaxNorm, rows"])
def test_runs_that_accumulate_gradients(keras, name):
    theirs = run(keras, RUNS[name], OPTIMIZERS["accumulating"])
    check_same(run(minisgd, RUNS[name], OPTIMIZERS["accumulating"], jit_compile=False), theirs)


# --- functions and configurations ---
def value_of(ns: Any, make: Make, x: np.ndarray) -> np.ndarray:
    return np.asarray(make(ns)(ns.ops.convert_to_tensor(x)))


FUNCTIONS: dict[str, Make] = {
    "l1": lambda ns: ns.regularizers.get("l1"),
    "l2": lambda ns: ns.regularizers.get("l2"),
    "L1(0.3)": lambda ns: ns.regularizers.L1(0.3),
    "l1l2": lambda ns: ns.regularizers.l1_l2(l1=0.1, l2=None),
    "L1L2": lambda ns: ns.regularizers.L1L2(0.1, 0.2),
    "max_norm": lambda ns: ns.constraints.get("max_norm"),
    "MaxNorm": lambda ns: ns.constraints.max_norm(0.7, axis=[0, 1]),
    "NonNeg": lambda ns: ns.constraints.get(ns.constraints.NonNeg),
    "UnitNorm": lambda ns: ns.constraints.UnitNorm(axis=1),
    "MinMaxNorm": lambda ns: ns.constraints.MinMaxNorm(0.5, 0.7, rate=0.3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(5,), (37, 12), (784, 64)])
def test_functions(keras, name, shape):
    if len(shape) == 1 and name in ("MaxNorm", "UnitNorm"):
        shape = (1, 5)
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    ours, theirs = value_of(minisgd, FUNCTIONS[name], x), value_of(keras, FUNCTIONS[name], x)
    if measured_mode().bits:
        np.testing.assert_array_equal(ours, theirs)
    nearly_equal([ours], [theirs])
    module = "regularizers" if theirs.shape == () else "constraints"
    configs = [getattr(ns, module).serialize(FUNCTIONS[name](ns)) for ns in (minisgd, keras)]
    assert configs[0] == configs[1]
    back = getattr(minisgd, module).deserialize(configs[1])
    assert back.get_config() == configs[1]["config"]


@pytest.mark.parametrize("mode", ["rows", "columns"])
@pytest.mark.parametrize("shape", [(5, 3), (37, 12)])
def test_orthogonal_regularizer(keras, mode, shape):
    """Near Keras's value and gradient: its inverse root is the processor's estimate."""
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    found = []
    for side in (minisgd_side(), keras_side()):
        penalty = side.ns.regularizers.OrthogonalRegularizer(0.3, mode)
        tensor = side.tensor(x)
        with side.tape() as tape:
            tape.watch(tensor)
            value = penalty(tensor)
        found.append((np.asarray(value), np.asarray(tape.gradient(value, tensor))))
        config = side.ns.regularizers.serialize(penalty)
        assert config["config"] == {"factor": float(np.float32(0.3)), "mode": mode}
        assert minisgd.regularizers.deserialize(config).get_config() == config["config"]
        named = side.ns.regularizers.get("orthogonal_regularizer")
        assert type(named).__name__ == "OrthogonalRegularizer"
        for wrong in ((-1.0, "rows"), (0.1, "both")):
            with pytest.raises(ValueError, match="Invalid value for argument"):
                side.ns.regularizers.OrthogonalRegularizer(*wrong)
        with pytest.raises(ValueError, match="must have rank 2"):
            penalty(side.tensor(x[0]))
    nearly_equal(*found)


@pytest.mark.parametrize("module", ["regularizers", "constraints"])
def test_names_and_signatures(keras, module):
    ours, theirs = getattr(minisgd, module), getattr(keras, module)
    known = {name for name in dir(theirs) if not name.startswith("_")}
    missing = {name for name in known if not hasattr(ours, name)}
    assert not missing
    for name in known - missing - {"get", "serialize", "deserialize", "Regularizer", "Constraint"}:
        mine, other = (inspect.signature(getattr(m, name)) for m in (ours, theirs))
        assert [(p.name, p.default) for p in mine.parameters.values()] == [
            (p.name, p.default) for p in other.parameters.values()
        ]


REFUSED: dict[str, Make] = {
    "negative": lambda ns: ns.regularizers.L2(-1.0),
    "no number": lambda ns: ns.regularizers.L1("a"),
    "infinite": lambda ns: ns.regularizers.L1L2(l2=float("inf")),
    "regularizer": lambda ns: ns.regularizers.get("foo"),
    "regularizer, number": lambda ns: ns.layers.Dense(2, kernel_regularizer=3),
    "constraint": lambda ns: ns.layers.Dense(2, bias_constraint="foo"),
    "trainable": lambda ns: ns.layers.Dense(2, trainable=1),
    "add_loss": lambda ns: ns.layers.Layer().add_loss("a"),
    "relu": lambda ns: ns.layers.ReLU(max_value=-1.0),
    "relu, slope": lambda ns: ns.layers.ReLU(negative_slope=None),
    "leaky": lambda ns: ns.layers.LeakyReLU(negative_slope=-0.1),
    "reshape": lambda ns: ns.layers.Reshape((-1, -1)),
    "reshape, size": lambda ns: ns.Sequential([ns.layers.Input((6,)), ns.layers.Reshape((4,))]),
    "permute": lambda ns: ns.layers.Permute((0, 1)),
    "repeat": lambda ns: ns.layers.RepeatVector(0),
    "repeat, type": lambda ns: ns.layers.RepeatVector(1.5),
    "add_weight": lambda ns: ns.layers.Layer().add_weight("w", (3,)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors(keras, name):
    """The same type, and Keras's own words in ours."""
    with pytest.raises((ValueError, TypeError)) as theirs:
        REFUSED[name](keras)
    with pytest.raises(theirs.type) as ours:
        REFUSED[name](minisgd)
    text = str(theirs.value).split(".call().", 1)[-1]  # without the layer in whose call it was
    words = re.sub(r"\x1b\[\d+m", "", text).strip().split("Received")[0].split("identifier:")[0]
    assert words.strip().split("\n")[0][:60] in str(ours.value)


# --- layers of the user's own ---
def classes(ns: Any) -> dict[str, Any]:
    """A layer with weights, and one of layers, lists of layers, a variable and a loss."""

    class Linear(ns.layers.Layer):
        def __init__(self, units=4, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.w = self.add_weight(
                shape=(input_shape[-1], self.units), initializer="random_normal", name="w",
                regularizer="l2", constraint="max_norm",
            )  # fmt: skip
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")
            self.count = self.add_weight(initializer="zeros", trainable=False, name="count")

        def call(self, inputs):
            return ns.ops.matmul(inputs, self.w) + self.b

    class Block(ns.layers.Layer):
        def __init__(self, units=4, rate=0.2, **kwargs):
            super().__init__(**kwargs)
            self.units, self.rate = units, rate
            self.scale = ns.Variable(np.ones(units, np.float32), name="scale")
            self.hidden = Linear(units)
            self.drop = ns.layers.Dropout(rate, seed=1)
            self._last = [ns.layers.Dense(units)]
            self._last.append(ns.layers.Dense(units, activation="relu"))

        def call(self, x, training=False):
            h = self.drop(self.hidden(x), training=training)
            self.add_loss(1e-2 * ns.ops.sum(ns.ops.square(h)))
            for dense in self._last:
                h = dense(h)
            return h * self.scale

        def get_config(self):
            return {**super().get_config(), "units": self.units, "rate": self.rate}

    return {"Linear": Linear, "Block": Block}


def surface(ns: Any, known: dict[str, Any]) -> Any:
    """A model of nearly everything."""
    ns.utils.clear_session(free_memory=False)
    ns.utils.set_random_seed(5)
    inner = ns.Sequential(
        [ns.layers.Dense(6, "tanh", bias_regularizer="l1"), ns.layers.PReLU()], name="inner"
    )
    model = ns.Sequential(
        [
            ns.layers.Input((8,)),
            ns.layers.Rescaling(2.0, offset=-1.0),
            known["Linear"](5),
            known["Block"](5),
            inner,
            ns.layers.ActivityRegularization(0.01, 0.02),
            ns.layers.Reshape((3, 2)),
            ns.layers.Flatten(),
            ns.layers.Dense(
                3,
                kernel_constraint=ns.constraints.MinMaxNorm(0.1, 1.0),
                activity_regularizer=ns.regularizers.L1(0.01),
            ),
        ]
    )
    model.compile(ns.optimizers.SGD(0.1, momentum=0.9), loss="mse", metrics=["mae"])
    return model


def values(model: Any) -> list[bytes]:
    return [np.asarray(w).tobytes() for w in model.get_weights()]


def train(model: Any) -> Any:
    return model.fit(SMALL_X, SMALL_Y, epochs=2, batch_size=16, verbose=0).history


@pytest.fixture(scope="module")
def pair(keras) -> Any:
    """Both packages' classes and models, trained alike, and their histories."""
    found = []
    for ns in (minisgd, keras):
        known = classes(ns)
        model = surface(ns, known)
        found.append((ns, known, model, train(model)))
    return found


def test_layers_of_the_users_own(pair):
    (_, _, ours, history), (_, _, theirs, reference) = pair
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert [w.trainable for w in ours.weights] == [w.trainable for w in theirs.weights]
    names = [[w.name for w in m.trainable_weights] for m in (ours, theirs)]
    assert names[0] == names[1]
    if measured_mode().bits:
        assert values(ours) == values(theirs)
        assert history == reference
    nearly_equal(ours.get_weights(), theirs.get_weights())


def test_losses_of_a_model(pair):
    found = []
    for ns, _, model, _ in pair:
        model(ns.ops.convert_to_tensor(SMALL_X[:5]))
        found.append([float(loss) for loss in model.losses])
    assert len(found[0]) == len(found[1]) == 6
    nearly_equal(found[:1], found[1:])


def test_summary(pair):
    printed: list[str] = []
    for _, _, model, _ in pair:
        model.summary(print_fn=lambda text, **_: printed.append(text))
    assert printed[0] == printed[1]


def without_ids(config: Any) -> Any:
    """Without addresses, and without the `build_config` of layers that have nothing to build."""
    if isinstance(config, dict):
        kept = {k: without_ids(v) for k, v in config.items() if k != "shared_object_id"}
        if kept.get("class_name") == "Rescaling":
            kept.pop("build_config", None)
        return kept
    return [without_ids(v) for v in config] if isinstance(config, list) else config


def test_archives(pair, tmp_path):
    """The same configuration and the same groups of weights."""
    configs, groups = [], []
    for ns, _, model, _ in pair:
        path = tmp_path / f"{ns.__name__}.keras"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            configs.append(without_ids(json.loads(archive.read("config.json"))))
            found: set[str] = set()
            h5py.File(io.BytesIO(archive.read("model.weights.h5"))).visit(found.add)
            groups.append(found)
    for config in configs:  # the user's classes have other names in the two packages
        config.pop("module", None)
    assert json.loads(json.dumps(configs[0])) == configs[1]
    assert groups[0] == groups[1]


@pytest.mark.filterwarnings("ignore:`build:UserWarning")  # Keras's, of Block, which has none
@pytest.mark.parametrize("writer", [0, 1], ids=["minisgd", "keras"])
def test_files_go_both_ways(pair, tmp_path, writer):
    model = pair[writer][2]
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    loaded = []
    for ns, known, _, _ in pair:
        other = ns.models.load_model(tmp_path / "m.keras", custom_objects=known)
        assert values(other) == values(model)
        loaded.append((train(other), values(other)))
        fresh = surface(ns, known)
        fresh.optimizer.build(fresh.trainable_variables)
        fresh.load_weights(tmp_path / "m.weights.h5")
        assert values(fresh) == values(model)
    if measured_mode().bits:
        assert loaded[0] == loaded[1]


def test_clones(pair):
    clones = []
    for ns, _, model, _ in pair:
        ns.utils.set_random_seed(9)
        clones.append(ns.models.clone_model(model))
    assert values(clones[0]) == values(clones[1])
