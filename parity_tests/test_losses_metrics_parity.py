"""Losses and metrics beside Keras's: values, gradients, reductions, weights, running figures.

Every value has Keras's bits. Of the gradients all that start at logits have; those through the
logarithm of plain probabilities may differ in the last bits, since TensorFlow multiplies there by
a reciprocal that the processor estimates.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minisgd.parity import tolerances
from minisgd.parity.report import Ledger
from minisgd.parity.sides import Side, keras_side, minisgd_side
from minisgd.parity.tolerances import EQUAL

pytestmark = pytest.mark.layers
GRADIENTS = (tolerances.GRADIENT, tolerances.GRADIENT_LARGEST)
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


# --- losses: what the labels are, and how the predictions came about ---


def one_hot(rng: Any, n: int, c: int) -> np.ndarray:
    return np.eye(c, dtype=np.float32)[rng.integers(0, c, n)]


LABELS: dict[str, tuple[str, Callable[[Any, int, int], np.ndarray], dict[str, Any]]] = {
    "one-hot": ("CategoricalCrossentropy", one_hot, {}),
    "one-hot, uint8": (
        "CategoricalCrossentropy",
        lambda rng, n, c: one_hot(rng, n, c).astype(np.uint8),
        {},
    ),
    "one-hot, float64": (
        "CategoricalCrossentropy",
        lambda rng, n, c: one_hot(rng, n, c).astype(np.float64),
        {},
    ),
    "one-hot, bool": (
        "CategoricalCrossentropy",
        lambda rng, n, c: one_hot(rng, n, c).astype(bool),
        {},
    ),
    "unnormalised": (
        "CategoricalCrossentropy",
        lambda rng, n, c: rng.random((n, c), np.float32) * 2,
        {},
    ),
    "all zeros": (
        "CategoricalCrossentropy",
        lambda rng, n, c: np.zeros((n, c), np.float32),
        {},
    ),
    "smoothed": ("CategoricalCrossentropy", one_hot, {"label_smoothing": 0.1}),
    "smoothed away": ("CategoricalCrossentropy", one_hot, {"label_smoothing": 1.0}),
    "classes": (
        "SparseCategoricalCrossentropy",
        lambda rng, n, c: rng.integers(0, c, n),
        {},
    ),
    "classes, (N, 1)": (
        "SparseCategoricalCrossentropy",
        lambda rng, n, c: rng.integers(0, c, (n, 1)),
        {},
    ),
    "classes, uint8": (
        "SparseCategoricalCrossentropy",
        lambda rng, n, c: rng.integers(0, c, n, dtype=np.uint8),
        {},
    ),
    "classes, float32": (
        "SparseCategoricalCrossentropy",
        lambda rng, n, c: rng.integers(0, c, n).astype(np.float32),
        {},
    ),
    "targets": (
        "MeanSquaredError",
        lambda rng, n, c: rng.standard_normal((n, c)).astype(np.float32),
        {},
    ),
}


def identity(ns: Any, c: int, activation: str | None) -> Any:
    """A Dense layer whose product is exact in any order."""
    layer = ns.layers.Dense(c, activation=activation)
    layer(np.zeros((1, c), np.float32))
    layer.set_weights([np.eye(c, dtype=np.float32), np.zeros(c, np.float32)])
    return layer


# name -> (starts at logits, from_logits, what makes the function of package and classes)
PREDICTIONS: dict[str, tuple[bool, bool, Callable[[Any, int], Any]]] = {
    "logits": (True, True, lambda ns, c: lambda z: z),
    "Dense(activation='softmax')": (True, False, lambda ns, c: identity(ns, c, "softmax")),
    "Activation('softmax')": (True, False, lambda ns, c: ns.layers.Activation("softmax")),
    "softmax, from_logits": (True, True, lambda ns, c: ns.activations.softmax),
    "probabilities": (False, False, lambda ns, c: lambda p: p),
    "Dense of probabilities": (False, False, lambda ns, c: identity(ns, c, None)),
}


@dataclass(frozen=True)
class Case:
    """A loss on a batch."""

    labels: str
    predictions: str
    n: int
    classes: int
    reduction: str | None = "sum_over_batch_size"
    weights: str = "none"

    def __str__(self) -> str:
        return (
            f"{self.labels}; {self.predictions}; {self.n} x {self.classes}; "
            f"{self.reduction}, weights: {self.weights}"
        )


WEIGHTS: dict[str, Callable[[Any, int], Any]] = {
    "none": lambda rng, n: None,
    "random": lambda rng, n: rng.random(n, np.float32),
    "(N, 1)": lambda rng, n: rng.random((n, 1), np.float32),
    "whole": lambda rng, n: rng.integers(0, 3, n),
    "zeros": lambda rng, n: np.zeros(n, np.float32),
    "one for all": lambda rng, n: 0.3,
}


def value_and_gradient(side: Side, case: Case) -> dict[str, np.ndarray]:
    """Loss and its gradient with respect to logits or probabilities."""
    rng = np.random.default_rng([case.n, case.classes])
    class_name, make_labels, settings = LABELS[case.labels]
    at_logits, from_logits, make = PREDICTIONS[case.predictions]
    start = (rng.standard_normal((case.n, case.classes)) * 3).astype(np.float32)
    if not at_logits:
        start = np.exp(start)
        start /= start.sum(-1, keepdims=True)
    y, weight = make_labels(rng, case.n, case.classes), WEIGHTS[case.weights](rng, case.n)
    if class_name != "MeanSquaredError":
        settings = {**settings, "from_logits": from_logits}
    loss_function = getattr(side.ns.losses, class_name)(reduction=case.reduction, **settings)
    x, predict = side.tensor(start), make(side.ns, case.classes)
    with warnings.catch_warnings(), side.tape() as tape:
        warnings.filterwarnings("ignore", ".*received `from_logits=True`")
        tape.watch(x)
        loss = loss_function(y, predict(x), sample_weight=weight)
    return {"loss": np.asarray(loss), "gradient": np.asarray(tape.gradient(loss, x))}


def check(cases: list[Case]) -> None:
    ledger = Ledger(bits=False)
    for case in cases:
        ours, theirs = (value_and_gradient(side, case) for side in (minisgd_side(), keras_side()))
        # Weights (N, 1) without a reduction: Keras's values have that shape too, ours are (N,).
        # The sign of a zero is not compared, here and below.
        values = theirs["loss"].reshape(ours["loss"].shape)
        ledger.check(str(case), "loss", ours["loss"] + 0, values + 0)
        exact = PREDICTIONS[case.predictions][0] or case.labels == "targets"
        bounds = (EQUAL,) if exact else GRADIENTS
        ledger.check(str(case), "gradient", ours["gradient"] + 0, theirs["gradient"] + 0, bounds)
    assert ledger.passed, str(ledger)


def possible(labels: str, predictions: str) -> bool:
    """Squares are not taken of a softmax, which rounds in its own way, nor is there a way back."""
    return labels != "targets" or "softmax" not in predictions


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [(labels, p) for labels in LABELS for p in PREDICTIONS if possible(labels, p)],
)
def test_losses_of_all_sizes(labels, predictions):
    """Batches from 1 to 40 and classes from 2 to 20, each size in several of the cases."""
    step = 1 + (list(LABELS).index(labels) + list(PREDICTIONS).index(predictions)) % 8
    sizes = [(n, 2 + (step * n) % 19) for n in range(step, 41, 8)] + [(32, 10), (16, 10)]
    check([Case(labels, predictions, n, c) for n, c in sizes])


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions(reduction, weights):
    check(
        [
            Case(labels, predictions, n, 10, reduction, weights)
            for labels in ("one-hot", "unnormalised", "classes", "targets")
            for n, predictions in ((32, "logits"), (7, "probabilities"))
        ]
    )


def test_a_layer_behind_the_softmax_ends_the_way_back():
    """Then the loss is that of the probabilities, which softmax rounds: 16.1 for a lost cause."""
    z = np.array([[200.0, 0.0, 0.0], [1.0, 2.0, 3.0]], np.float32)
    y = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    found = []
    for side in (minisgd_side(), keras_side()):
        losses = []
        for layers in (
            [],
            [side.ns.layers.Dropout(0.0)],
            [side.ns.layers.Activation("linear")],
            [side.ns.layers.Flatten()],
            [side.ns.layers.Activation("relu")],
        ):
            p = side.ns.activations.softmax(side.tensor(z))
            for layer in layers:
                p = layer(p)
            losses.append(np.asarray(side.ns.losses.categorical_crossentropy(y, p)))
        found.append(losses)
    ledger = Ledger(bits=False)
    for number, (ours, theirs) in enumerate(zip(*found, strict=True)):
        ledger.check(f"chain {number}", "loss", ours, theirs, (tolerances.LOSS,))
    assert ledger.passed, str(ledger)
    assert float(found[0][0][0]) == 200.0
    assert abs(float(found[0][4][0]) - 16.118) < 1e-3


def test_losses_as_functions():
    """One value a sample, of arrays as well as tensors."""
    rng = np.random.default_rng(0)
    p = rng.random((6, 4), np.float32) + 0.1
    y, classes = one_hot(rng, 6, 4), rng.integers(0, 4, 6)
    ledger = Ledger(bits=False)
    for name, arguments in {
        "categorical_crossentropy": (y, p),
        "sparse_categorical_crossentropy": (classes, p),
        "mean_squared_error": (y, p),
    }.items():
        ours, theirs = (
            np.asarray(getattr(side.ns.losses, name)(*arguments))
            for side in (minisgd_side(), keras_side())
        )
        ledger.check(name, "values", ours, theirs)
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize(
    "identifier",
    ["categorical_crossentropy", "sparse_categorical_crossentropy", "mean_squared_error", "mse"],
)
def test_losses_by_name(identifier):
    y = np.array([[1.0], [0.0]], np.float32)
    p = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    values = []
    for side in (minisgd_side(), keras_side()):
        loss = side.ns.losses.get(identifier)
        target = y if identifier.startswith("sparse") else np.hstack([y, 1 - y])
        # Keras gives the function here, minisgd the object: the mean of its values.
        values.append(float(np.mean(np.asarray(loss(target, p)))))
    assert values[0] == values[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda losses: losses.CategoricalCrossentropy(),
        lambda losses: losses.CategoricalCrossentropy(True, 0.1, reduction="sum", name="mine"),
        lambda losses: losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None),
        lambda losses: losses.MeanSquaredError("none"),
    ],
)
def test_losses_names_and_configuration(make):
    ours, theirs = (make(side.ns.losses) for side in (minisgd_side(), keras_side()))
    assert (ours.name, ours.reduction) == (theirs.name, theirs.reduction)
    config, reference = ours.get_config(), theirs.get_config()
    for key in set(config) & set(reference):
        assert config[key] == reference[key], key
    again = type(ours).from_config(config)
    assert again.get_config() == config


# --- metrics ---


ACCURACIES: dict[str, tuple[str, dict[str, Any]]] = {
    "CategoricalAccuracy": ("one-hot", {}),
    "SparseCategoricalAccuracy": ("classes", {}),
    "BinaryAccuracy": ("yes or no", {}),
    "BinaryAccuracy(threshold=0.8)": ("yes or no", {"threshold": 0.8}),
}


def batches(kind: str, sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels and predictions, with ties among the latter."""
    rng = np.random.default_rng(3)
    found = []
    for n in sizes:
        p = (rng.integers(0, 6, (n, 4)) / 8).astype(np.float32)
        if kind == "one-hot":
            found.append((one_hot(rng, n, 4), p))
        elif kind.startswith("classes"):
            y = rng.integers(0, 4, n)
            found.append((y.reshape(n, 1) if kind.endswith("(N, 1)") else y, p))
        else:
            p = (rng.integers(0, 9, (n, 1)) / 8).astype(np.float32)
            y = rng.integers(0, 2, n)
            found.append((y.reshape(n, 1) if kind.endswith("(N, 1)") else y, p))
    return found


@pytest.mark.parametrize("name", ACCURACIES)
def test_accuracies_over_batches(name):
    """After each batch, a short last one included, and again after a reset."""
    kind, settings = ACCURACIES[name]
    found = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.clear_session(free_memory=False)
        metric = getattr(side.ns.metrics, name.partition("(")[0])(**settings)
        values = [(metric.name, float(metric.result()))]
        for _ in range(2):
            for y, p in batches(kind, (32, 32, 7, 1)):
                metric.update_state(y, p)
                values.append(np.asarray(metric.result()).item())
            metric.reset_state()
            values.append(float(metric.result()))
        values.append(float(metric(*batches(kind, (5,))[0])))
        values.append(str(np.asarray(metric.result()).dtype))
        found.append(values)
    assert found[0] == found[1]


def test_mean_over_batches():
    rng = np.random.default_rng(0)
    found = []
    values = [rng.random(shape, np.float32) for shape in ((), (), (7,), (32,), (1000,))]
    # Sums of weights that float32 holds: there Keras's count is exact too.
    weights = [32, 7.0, np.arange(7) / 4, np.arange(32) / 8, None]
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.clear_session(free_memory=False)
        metric, seen = side.ns.metrics.Mean(), []
        seen.append((metric.name, float(metric.result())))
        for value, weight in zip(values, weights, strict=True):
            metric.update_state(value, sample_weight=weight)
            seen.append(np.asarray(metric.result()).item())
        metric.reset_state()
        metric.update_state([1.0, 3.0], sample_weight=[0.0, 0.0])
        seen.append(float(metric.result()))
        seen.append(side.ns.metrics.Mean().name)
        found.append(seen)
    assert found[0] == found[1]


@pytest.mark.parametrize("weight", [0.25, [1.0, 0.5, 0.0, 2.0, 1.0]])
def test_mean_of_values_with_more_axes_than_weights(weight):
    """Each weight belongs to the mean of what lies under it."""
    values = np.random.default_rng(0).random((5, 3), np.float32)
    found = []
    for side in (minisgd_side(), keras_side()):
        metric = side.ns.metrics.Mean()
        metric.update_state(values + 1, sample_weight=weight)
        metric.update_state(values, sample_weight=None)
        found.append(np.asarray(metric.result()).item())
    assert found[0] == found[1]


def pass_through(ns: Any, width: int, loss: str, metrics: Any) -> Any:
    """A model whose predictions are its inputs."""
    model = ns.Sequential([ns.layers.Input((width,)), ns.layers.Activation("linear")])
    model.compile("sgd", loss, metrics=metrics, run_eagerly=True)
    return model


@dataclass(frozen=True)
class Resolution:
    """Entries of ``metrics=[...]`` for labels and predictions of some shape."""

    kind: str
    metrics: tuple[Any, ...] = ("accuracy",)
    loss: str = "mse"

    def __str__(self) -> str:
        return f"{self.kind}: {self.metrics}, {self.loss}"


SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"
RESOLUTIONS = [
    Resolution("one-hot"),
    Resolution("one-hot", loss=CATEGORICAL),
    Resolution("one-hot", ("acc",)),
    Resolution("one-hot", ("Accuracy",)),
    Resolution("one-hot", ("ACC", "accuracy")),
    Resolution("one-hot", ("accuracy", "accuracy")),
    Resolution("one-hot", ("accuracy", "acc", "accuracy", "accuracy")),
    Resolution("one-hot", ("categorical_accuracy", "accuracy")),
    Resolution("one-hot", ("binary_accuracy",)),
    Resolution("one-hot", ("CategoricalAccuracy()",)),
    Resolution("one-hot", ("CategoricalAccuracy('mine')", "accuracy")),
    Resolution("one-hot", ()),
    Resolution("classes", loss=SPARSE),
    Resolution("classes", ("acc", "sparse_categorical_accuracy"), SPARSE),
    Resolution("classes, (N, 1)", loss=SPARSE),
    Resolution("classes, (N, 1)", ("accuracy", "sparse_categorical_accuracy"), SPARSE),
    Resolution("yes or no"),
    Resolution("yes or no, (N, 1)"),
    Resolution("yes or no, (N, 1)", ("accuracy", "binary_accuracy")),
]


def logs_and_results(ns: Any, case: Resolution) -> dict[str, Any]:
    """Everything that `evaluate` and `test_on_batch` tell."""
    records = []

    class Recorder(ns.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            records.append(list(logs.items()))

        def on_test_end(self, logs=None):
            records.append(list(logs.items()))

    entries = [
        ns.metrics.CategoricalAccuracy(*([m[21:-2]] if "'" in m else [])) if "(" in m else m
        for m in case.metrics
    ]
    (y, p), (y2, p2) = batches(case.kind, (23, 9))
    model = pass_through(ns, p.shape[-1], case.loss, entries)
    found = {
        "evaluate": model.evaluate(p, y, batch_size=8, verbose=0, callbacks=[Recorder()]),
        "on batch": model.test_on_batch(p, y),
        "on batch, dict": list(model.test_on_batch(p2, y2, return_dict=True).items()),
    }
    return found | {"logs": records}


def types_of(value: Any) -> Any:
    return [types_of(v) for v in value] if isinstance(value, list | tuple) else type(value)


@pytest.mark.parametrize("case", RESOLUTIONS, ids=str)
def test_metrics_in_a_model(case):
    """Which accuracy is meant, its name, its running values, and what `evaluate` returns."""
    found = []
    for side in (minisgd_side(), keras_side()):
        found.append(logs_and_results(side.ns, case))
    ours, theirs = found
    if len(set(case.metrics)) < len(case.metrics):
        # Keras's lists repeat the first of the same name and append the others.
        for key in ("evaluate", "on batch"):
            assert len(ours.pop(key)) == 1 + len(case.metrics) < len(theirs.pop(key))
    for key in ours:
        assert ours[key] == theirs[key], key
        assert types_of(ours[key]) == types_of(theirs[key]), key


def test_nan_predictions_are_wrong():
    """Stricter than Keras, which counts class 0 as right where all predictions are NaN."""
    y, p = one_hot(np.random.default_rng(0), 6, 4), np.full((6, 4), np.nan, np.float32)
    y[:, :] = [1, 0, 0, 0]
    results = []
    for side in (minisgd_side(), keras_side()):
        results.append(float(side.ns.metrics.CategoricalAccuracy()(y, p)))
    assert results == [0.0, 1.0]
