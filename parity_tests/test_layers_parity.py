"""Every layer beside Keras's: outputs, gradients, state, configuration, names, summary, errors.

One record a case. Nothing but matrix products and softmax may differ in bits, and those not either
on the reference setup within the sizes for which bits are promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minisgd import activations
from minisgd.parity import tolerances
from minisgd.parity.report import Ledger
from minisgd.parity.sides import keras_side, minisgd_side
from minisgd.parity.small_network import network
from minisgd.parity.tolerances import EQUAL, Tolerance

pytestmark = pytest.mark.layers
MATMUL = (tolerances.PRE_ACTIVATION, tolerances.ACTIVATION)
SOFTMAX = (tolerances.ACTIVATION,)
GRADIENTS = (tolerances.GRADIENT, tolerances.GRADIENT_LARGEST)
Bounds = tuple[Tolerance, ...]


def numbers(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Normal numbers in a few sizes, with exact zeros between; uint8: from 0 to 255."""
    rng = np.random.default_rng([seed, *shape])
    if dtype == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    values = rng.standard_normal(shape)
    values[rng.random(shape) < 0.1] = 0.0
    return values.astype(dtype)


@dataclass(frozen=True)
class Case:
    """A layer, its input, and what may differ.

    `training` has one value a call; `gradients` says whether they are compared (after the calls,
    at the last output); `promised` whether the reference setup promises bits.
    """

    name: str
    make: Callable[[Any], Any]
    x: np.ndarray
    outputs: Bounds = (EQUAL,)
    dx: Bounds = (EQUAL,)
    dw: Bounds = (EQUAL,)
    training: tuple[bool | None, ...] = (None,)
    promised: bool = True

    def __str__(self) -> str:
        return self.name


def dense(
    x: np.ndarray, units: int, *, promised: bool = False, note: str = "", **arguments: Any
) -> Case:
    """A Dense layer; products of other than float32 matrices of the usual sizes promise nothing."""
    settings = ", ".join(f"{k}={v}" for k, v in arguments.items())
    return Case(
        f"Dense({units}, {settings}) of {x.dtype}{x.shape}{note}",
        lambda ns: ns.layers.Dense(units, **arguments),
        x,
        SOFTMAX if arguments.get("activation") == "softmax" or x.dtype != "float32" else MATMUL,
        GRADIENTS,
        GRADIENTS,
        promised=promised,
    )


# threshold needs arguments, glu an even width: test_activations_parity.py has both.
ACTIVATIONS = sorted(activations._BY_NAME.keys() - {"glu", "threshold"})
# Bounds where the reference setup does not promise bits.
BOUNDS = {"softmax": (SOFTMAX, GRADIENTS), "sparse_plus": ((tolerances.OP_GELU_POWER,), (EQUAL,))}
CASES = [
    dense(numbers(32, 784), 128, activation="relu", promised=True),
    dense(numbers(32, 128), 10, promised=True),
    *(dense(numbers(32, 20), units) for units in (1, 3, 10, 128)),
    *(dense(numbers(32, 20), units, use_bias=False) for units in (1, 10)),
    *(dense(numbers(16, 12), 5, activation=name) for name in ACTIVATIONS),
    *(dense(numbers(n, 20), 3) for n in (1, 2, 7)),
    dense(numbers(4, 3, 20), 5),
    dense(numbers(4, 3, 20), 5, use_bias=False, activation="relu"),
    dense(numbers(2, 3, 4, 5), 3, activation="softmax"),
    dense(numbers(8, 20, dtype="float64"), 5),
    dense(numbers(8, 20, dtype="uint8"), 5),
    dense(numbers(8, 20, dtype="float64"), 5, dtype="float64"),
    *(
        Case(
            f"Activation({name}) of {shape}",
            lambda ns, name=name: ns.layers.Activation(name),
            numbers(*shape),
            *BOUNDS.get(name, ((EQUAL,), (EQUAL,))),
            promised=name not in BOUNDS,  # softmax: gradients of few rows are summed otherwise
        )
        for name in ACTIVATIONS
        for shape in ((7, 10), (3, 4, 5), (1, 2))
    ),
    *(
        Case(f"Flatten of {shape}", lambda ns: ns.layers.Flatten(), numbers(*shape))
        for shape in ((6,), (6, 5), (6, 5, 4), (2, 3, 4, 5), (6, 1, 1))
    ),
    *(
        Case(
            f"Dropout({rate}, noise_shape={noise})",
            lambda ns, rate=rate, noise=noise: ns.layers.Dropout(rate, noise, seed=11),
            numbers(9, 6, 5),
            training=(True, False, True, None, True, True),
        )
        for rate, noise in (
            *((rate, None) for rate in (0, 0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 1)),
            *((0.5, noise) for noise in ((9, 1, 5), (None, 1, None), (9, 6, 1), (1, 1, 5))),
        )
    ),
    Case(
        "Dropout without a seed of its own",
        lambda ns: ns.layers.Dropout(0.3),
        numbers(9, 6),
        training=(True, True),
    ),
]


def values_of(side: Any, case: Case) -> dict[str, np.ndarray]:
    """Outputs of all calls, gradients of the last one, and the weights."""
    side.ns.utils.set_random_seed(5)
    layer = case.make(side.ns)
    layer(case.x[:1])
    layer.set_weights([numbers(*w.shape, dtype=str(w.dtype)) / 32 for w in layer.weights])
    found = {}
    x = side.tensor(case.x)
    floats = case.x.dtype.kind == "f"
    for call, training in enumerate(case.training):
        keywords = {} if training is None else {"training": training}
        with side.tape() as tape:
            if floats:
                tape.watch(x)
            out = layer(x, **keywords)
            cotangent = numbers(*out.shape, dtype=np.asarray(out).dtype.name, seed=1)
            total = side.ns.ops.sum(out * side.tensor(cotangent))
        found[f"output {call}"] = np.asarray(out)
    weights = layer.trainable_variables
    sources = [getattr(w, "value", w) if side.name == "keras" else w for w in weights]
    names = [f"d{w.name}" for w in weights]
    if floats:
        sources, names = [x, *sources], ["dx", *names]
    for name, gradient in zip(names, tape.gradient(total, sources), strict=True):
        if gradient is not None:
            # TensorFlow's relu multiplies by its mask, which makes -0.0 of some gradients.
            found[name] = np.asarray(gradient) + 0
    return found | {f"weight {w.name}": np.asarray(w) for w in weights}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values(case, mode):
    ours, theirs = (values_of(side, case) for side in (minisgd_side(), keras_side()))
    assert list(ours) == list(theirs)
    ledger = Ledger(bits=mode.bits and case.promised)
    for name, value in theirs.items():
        bounds: Bounds = (EQUAL,)
        if name.startswith("output"):
            bounds = case.outputs
        elif name.startswith("d"):
            bounds = case.dx if name == "dx" else case.dw
        ledger.check(case.name, name, ours[name], value, bounds)
    assert ledger.passed, str(ledger)


# --- structure ---


def by_input_shape(ns: Any) -> Any:
    return ns.Sequential([ns.layers.Flatten(input_shape=(2, 2)), ns.layers.Dense(3)])


def by_input_dim(ns: Any) -> Any:
    return ns.Sequential([ns.layers.Dense(3, input_dim=7), ns.layers.Dense(2, use_bias=False)])


def unbuilt(ns: Any) -> Any:
    return ns.Sequential([ns.layers.Dense(3), ns.layers.Flatten(), ns.layers.Dense(2)])


def built_by_shape(ns: Any) -> Any:
    model = unbuilt(ns)
    model.build((None, 5))
    return model


def built_by_data(ns: Any) -> Any:
    model = unbuilt(ns)
    model(np.zeros((2, 5), np.float32))
    return model


def named(ns: Any) -> Any:
    layers = ns.layers
    names = ("first", "a layer with a rather long name that needs a second line")
    return ns.Sequential(
        [layers.Input((1000,)), *(layers.Dense(1000, name=name) for name in names)], name="mine"
    )


def frozen(ns: Any) -> Any:
    model = by_input_dim(ns)
    model.layers[0].trainable = False
    return model


def empty(ns: Any) -> Any:
    return ns.Sequential()


def only_an_input(ns: Any) -> Any:
    return ns.Sequential([ns.layers.Input((5,))])


def compiled(ns: Any) -> Any:
    model = network(ns)
    model.compile("sgd", "mse", metrics=["accuracy"])
    return model


def plain_state(ns: Any) -> Any:
    model = by_input_dim(ns)
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def trained(ns: Any) -> Any:
    model = by_input_dim(ns)
    model.compile(ns.optimizers.SGD(0.1, momentum=0.9), "mse", run_eagerly=True)
    model.fit(np.zeros((4, 7), np.float32), np.zeros((4, 2), np.float32), verbose=0)
    return model


def popped(ns: Any) -> Any:
    model = network(ns)
    model.pop()
    model.pop()
    model.add(ns.layers.Dense(2))
    return model


def batch_size_given(ns: Any) -> Any:
    return ns.Sequential([ns.layers.Input((4,), batch_size=8), ns.layers.Dense(2)])


def unknown_length(ns: Any) -> Any:
    return ns.Sequential([ns.layers.Input((None, 4)), ns.layers.Dense(2)])


MODELS = [
    network,
    by_input_shape,
    by_input_dim,
    unbuilt,
    built_by_shape,
    named,
    frozen,
    empty,
    compiled,
    plain_state,
    trained,
    popped,
    batch_size_given,
    unknown_length,
]


def both(function: Callable[[Any], Any]) -> list[Any]:
    """The function of both packages, each with its counters of names at zero; ours first."""
    found = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.clear_session(free_memory=False)
        found.append(function(side.ns))
    return found


def shape_or_error(model: Any, name: str) -> Any:
    try:
        return tuple(getattr(model, name))
    except (AttributeError, ValueError) as error:
        return type(error)


def structure(model: Any) -> dict[str, Any]:
    """What can be asked of a model."""
    return {
        "name": model.name,
        "built": model.built,
        "layers": [(layer.name, type(layer).__name__, layer.built) for layer in model.layers],
        "weights": [
            (w.name, w.path, tuple(w.shape), np.dtype(str(w.dtype)), w.trainable)
            for w in model.weights
        ],
        "trainable": [w.path for w in model.trainable_variables],
        "frozen": [w.path for w in model.non_trainable_weights],
        "input_shape": shape_or_error(model, "input_shape"),
        "output_shape": shape_or_error(model, "output_shape"),
        "get_weights": [(w.shape, w.dtype) for w in model.get_weights()],
    }


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_structure_and_summary(make):
    models = both(make)
    ours, theirs = (structure(model) for model in models)
    for key in theirs:
        assert ours[key] == theirs[key], key
    for width in (None, 60, 80):
        texts = []
        for model in models:
            calls = []
            model.summary(line_length=width, print_fn=calls.append)
            assert len(calls) == 1
            texts += calls
        assert texts[0] == texts[1]


def test_a_model_built_by_data():
    """Its input shape holds None for the batch; Keras keeps the size of the first one."""
    ours, theirs = both(built_by_data)
    assert (ours.input_shape, ours.output_shape) == ((None, 5), (None, 2))
    assert (theirs.input_shape, theirs.output_shape) == ((2, 5), (2, 2))
    ours, theirs = structure(ours), structure(theirs)
    assert all(ours[key] == theirs[key] for key in theirs if not key.endswith("put_shape"))


def test_a_model_of_an_input_alone():
    """It knows its input's shape, which Keras's does not before the first layer."""
    ours, theirs = both(only_an_input)
    assert ours.input_shape == (None, 5)
    with pytest.raises(AttributeError, match="no defined input shape"):
        _ = theirs.input_shape
    assert (ours.built, ours.layers, ours.weights) == (theirs.built, theirs.layers, theirs.weights)


def test_a_summary_wider_than_the_terminal():
    """Ours is whole; Keras cuts the lines, and with them the column of parameters."""
    texts = []
    for model in both(by_input_dim):
        model.summary(line_length=100, print_fn=texts.append)
    assert ["Param #" in text for text in texts] == [True, False]


LAYERS: dict[str, Callable[[Any], Any]] = {
    "Dense": lambda ns: ns.layers.Dense(3),
    "Dense, all": lambda ns: ns.layers.Dense(
        3, "relu", False, "he_normal", "ones", name="mine", trainable=False
    ),
    "Dense, softmax": lambda ns: ns.layers.Dense(1, activation="softmax", input_shape=(4,)),
    "Activation": lambda ns: ns.layers.Activation("relu"),
    "Flatten": lambda ns: ns.layers.Flatten(),
    "Dropout": lambda ns: ns.layers.Dropout(0.25),
    "Dropout, all": lambda ns: ns.layers.Dropout(0.5, (None, 1), 7, name="drop"),
    "InputLayer": lambda ns: ns.layers.InputLayer((3, 4)),
    "InputLayer, all": lambda ns: ns.layers.InputLayer((3,), batch_size=2, name="in"),
}
# Objects in Keras's form, which minisgd gives as its own: compared apart or not at all.
OBJECTS = {"dtype", "kernel_initializer", "bias_initializer"}


@pytest.mark.parametrize("name", LAYERS)
def test_config(name):
    ours, theirs = both(lambda ns: LAYERS[name](ns).get_config())
    assert ours == theirs


@pytest.mark.parametrize("name", LAYERS)
def test_from_config(name):
    for side in (minisgd_side(), keras_side()):
        layer = LAYERS[name](side.ns)
        again = type(layer).from_config(layer.get_config())
        for key, value in layer.get_config().items():
            if key not in OBJECTS:
                assert again.get_config()[key] == value


def test_names():
    """Numbered by class and process, whatever lies between; a given name does not count."""

    def names(ns):
        layers = ns.layers

        class MyOwnLayer(layers.Layer):
            pass

        class MLP2(ns.Sequential):
            pass

        class XMLNet(ns.Sequential):
            pass

        made = [
            layers.Dense(1),
            layers.Dense(1, name="given"),
            layers.Dense(1),
            layers.Dense(1, name="dense_2"),
            layers.Dense(1),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dropout(0.0),
            layers.Activation("relu"),
            layers.Activation("softmax"),
            layers.InputLayer((3,)),
            MyOwnLayer(),
            MLP2(),
            XMLNet(),
            ns.Sequential(),
            ns.Sequential([layers.Dense(1)]),
            ns.Sequential(name="given"),
            layers.Dense(1),
        ]
        return [layer.name for layer in made]

    ours, theirs = both(names)
    assert ours == theirs


def test_layers_alone():
    """Weights' names and paths of a layer outside of a model; `build` and the first call."""

    def weights(ns):
        found = []
        for build in (True, False):
            layer = ns.layers.Dense(3, name="lone")
            x = np.ones((2, 4), np.float32)
            if build:
                layer.build((None, 4))
            found.append((layer.built, [w.path for w in layer.weights]))
            layer(x)
            found.append((layer.built, [(w.path, tuple(w.shape)) for w in layer.weights]))
            found.append(layer.count_params())
        return found

    ours, theirs = both(weights)
    assert ours == theirs
