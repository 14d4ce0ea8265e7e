"""Small runs of `fit` beside Keras's, from the same seed: callbacks, History, results, errors.

Keys, order, counts, accuracies and iterations must be the same; losses, weights and predictions,
which come from matrix products, may differ by the tolerances of a step.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from minisgd.parity import tolerances
from minisgd.parity.report import Ledger
from minisgd.parity.sides import Side, keras_side, minisgd_side
from minisgd.parity.small_network import (
    CATEGORICAL,
    FEATURES,
    SPARSE,
    C,
    N,
    W,
    X,
    Y,
    build,
)
from minisgd.parity.tolerances import EQUAL

pytestmark = pytest.mark.run
XV, YV, CV, WV = X[:30] + 0.25, Y[:30], C[:30], W[30:60]


@dataclass(frozen=True)
class Case:
    """A run: arguments of `fit`, and where they differ from the usual, of model and `compile`.

    `fits` are the further calls of `fit` on the same model; `warns` says that data run out.
    """

    name: str
    fit: Mapping[str, Any] = field(default_factory=dict)
    x: np.ndarray = field(default_factory=lambda: X)
    y: np.ndarray = field(default_factory=lambda: Y)
    loss: Any = CATEGORICAL
    metrics: tuple[str, ...] | None = ("accuracy",)
    sgd: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 0.1})
    dropout: float = 0.0
    fits: tuple[Mapping[str, Any], ...] = ()
    stop: tuple[int, int | None] | None = None
    warns: bool = False

    def __str__(self) -> str:
        return self.name


MOMENTUM = {"learning_rate": 0.1, "momentum": 0.9}
CASES = [
    Case("defaults"),
    Case("batch_size 16", {"batch_size": 16}),
    Case("batch_size 1000", {"batch_size": 1000}),
    Case("validation_split", {"validation_split": 0.25}),
    Case("validation_split and weights", {"validation_split": 0.25, "sample_weight": W}),
    Case("validation_data", {"validation_data": (XV, YV)}),
    Case("validation_data, weights", {"validation_data": (XV, YV, WV)}),
    Case(
        "validation in batches",
        {"validation_data": [XV, YV], "validation_batch_size": 7, "validation_steps": 3},
    ),
    Case("validation_freq 2", {"validation_data": (XV, YV), "validation_freq": 2, "epochs": 3}),
    Case(
        "validation_freq [1, 3]",
        {"validation_data": (XV, YV), "validation_freq": [1, 3], "epochs": 3},
    ),
    Case("class_weight", {"class_weight": {0: 2.0, 2: 0.5}}),
    Case("class_weight, classes", {"class_weight": {1: 3.0, 3: 0}}, y=C, loss=SPARSE),
    Case("sample_weight", {"sample_weight": W}),
    Case("sample_weight (N, 1)", {"sample_weight": W[:, None]}),
    Case("no shuffle", {"shuffle": False}),
    Case("shuffle in batches", {"shuffle": "batch"}),
    Case("steps over epochs", {"steps_per_epoch": 3, "batch_size": 17, "epochs": 3}),
    Case(
        "steps over uneven epochs",
        {"steps_per_epoch": 3, "batch_size": 32, "epochs": 3},
        warns=True,
    ),
    Case("steps run out", {"steps_per_epoch": 6, "batch_size": 32, "epochs": 3}, warns=True),
    Case("steps without batch_size", {"steps_per_epoch": 5, "batch_size": None}),
    Case("initial_epoch", {"initial_epoch": 1}),
    Case("epochs 0", {"epochs": 0}),
    Case("classes", y=C, loss=SPARSE),
    Case("classes (N, 1), float", y=C[:, None].astype(np.float32), loss=SPARSE),
    Case("classes, validated", {"validation_data": (XV, CV)}, y=C, loss=SPARSE),
    Case("Dropout", {"validation_data": (XV, YV)}, dropout=0.4),
    Case("momentum", sgd=MOMENTUM),
    Case("nesterov", sgd=MOMENTUM | {"nesterov": True}),
    Case("stop in a batch", {"validation_split": 0.2, "epochs": 3}, stop=(1, 1)),
    Case("stop after an epoch", {"validation_split": 0.2, "epochs": 3}, stop=(1, None)),
    Case("two fits", sgd=MOMENTUM, fits=({"epochs": 2}, {"initial_epoch": 2, "epochs": 3})),
    Case("no metrics", {"validation_split": 0.2}, metrics=None),
    Case("two metrics", {"validation_split": 0.2}, metrics=("Accuracy", "acc")),
    Case("mean squared error", loss="mse"),
    Case("x uint8", x=(X * 4).clip(0, 9).astype(np.uint8)),
    Case("x, y float64", x=X.astype(np.float64), y=Y.astype(np.float64)),
    Case("x float16", x=X.astype(np.float16)),
    Case("y uint8", y=Y.astype(np.uint8)),
    Case("y bool", y=Y.astype(bool)),
]


def recorder(ns: Any, model: Any, case: Case, events: list[tuple[str, int | None, Any]]) -> Any:
    """Writes down every call with logs; stops the training where the case says so."""
    epochs = []

    class Recorder(ns.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            epochs.append(epoch)
            events.append(("epoch begins", epoch, None))

        def on_train_batch_end(self, batch, logs=None):
            events.append(("batch", batch, dict(logs)))
            if case.stop == (epochs[-1], batch):
                model.stop_training = True

        def on_test_batch_end(self, batch, logs=None):
            events.append(("test batch", batch, dict(logs)))

        def on_epoch_end(self, epoch, logs=None):
            events.append(("epoch", epoch, dict(logs)))
            if case.stop == (epoch, None):
                model.stop_training = True

        def on_train_end(self, logs=None):
            events.append(("end", None, None if logs is None else dict(logs)))

    return Recorder()


def run(side: Side, case: Case) -> dict[str, Any]:
    """Train from the seed; everything that can be asked afterwards."""
    side.ns.utils.set_random_seed(42)
    model = build(side.ns, case.dropout)
    model.compile(
        side.ns.optimizers.SGD(**case.sgd),
        case.loss,
        metrics=None if case.metrics is None else list(case.metrics),
        run_eagerly=True,
    )
    events: list[tuple[str, int | None, Any]] = []
    histories = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for more in ({}, *case.fits):
            arguments = {"epochs": 2, "verbose": 0, **case.fit, **more}
            watch = recorder(side.ns, model, case, events)
            history = model.fit(case.x, case.y, callbacks=[watch], **arguments)
            assert model.history is history
            histories.append((history.history, history.epoch, history.params["epochs"]))
    ran_out = sum("ran out of data" in str(w.message) for w in caught)
    results = model.evaluate(case.x, case.y, verbose=0, sample_weight=W, batch_size=64)
    return {
        "events": events,
        "histories": histories,
        "ran out": ran_out,
        "evaluate": results,
        "predictions": np.asarray(model.predict(case.x, verbose=0, batch_size=64)),
        "state": [np.asarray(v) for v in (*model.get_weights(), *model.optimizer.variables)],
        "iterations": int(model.optimizer.iterations),
    }


def shape_of(value: Any) -> Any:
    """The same structure without its floats: keys in order, types, whole numbers and words."""
    if isinstance(value, dict):
        return [(key, shape_of(v)) for key, v in value.items()]
    if isinstance(value, list | tuple):
        return [shape_of(v) for v in value]
    return float if isinstance(value, float) else value


def floats_of(value: Any, name: str = "") -> list[tuple[str, float]]:
    """Its floats in order, each with its key."""
    if isinstance(value, dict):
        return [pair for key, v in value.items() for pair in floats_of(v, key)]
    if isinstance(value, list | tuple):
        return [pair for v in value for pair in floats_of(v, name)]
    return [(name, value)] if isinstance(value, float) else []


def check_values(ledger: Ledger, what: str, ours: Any, theirs: Any) -> None:
    """Accuracies by equality, everything else as a loss."""
    for (key, mine), (_, value) in zip(floats_of(ours), floats_of(theirs), strict=True):
        bounds = EQUAL if "acc" in key.lower() else tolerances.LOSS
        ledger.check(what, key, np.float64(mine), np.float64(value), (bounds,))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fit(case):
    ours, theirs = run(minisgd_side(), case), run(keras_side(), case)
    for key in ("events", "histories", "ran out", "iterations", "evaluate"):
        assert shape_of(ours[key]) == shape_of(theirs[key]), key
    assert bool(ours["ran out"]) == case.warns
    ledger = Ledger(bits=False)
    for key in ("events", "histories"):
        check_values(ledger, key, ours[key], theirs[key])
    results = [r if isinstance(r, list) else [r] for r in (ours["evaluate"], theirs["evaluate"])]
    names = ["loss", *(case.metrics or ())]
    check_values(ledger, "evaluate", *(dict(zip(names, r, strict=True)) for r in results))
    ledger.check(
        "the end",
        "predictions",
        ours["predictions"],
        theirs["predictions"],
        (tolerances.ACTIVATION,),
    )
    for number, (mine, value) in enumerate(zip(ours["state"], theirs["state"], strict=True)):
        weights = len(build(minisgd_side().ns).weights)
        bound = tolerances.VELOCITY
        if number < weights:
            bound = tolerances.RUN_WEIGHTS
        elif number < weights + 2:
            bound = EQUAL  # iteration, learning rate
        ledger.check("the end", f"variable {number}", mine, value, (bound,))
    assert ledger.passed, str(ledger)


def test_unseeded_fits_differ():
    """Without a seed of their own, later models have other weights and other losses."""
    for side in (minisgd_side(), keras_side()):
        losses = set()
        for _ in range(3):
            model = build(side.ns)
            model.compile("sgd", CATEGORICAL, run_eagerly=True)
            losses.add(model.fit(X, Y, verbose=0, epochs=1, batch_size=64).history["loss"][0])
        assert len(losses) == 3


@pytest.mark.parametrize("metrics", [None, ["accuracy"], ["accuracy", "acc"]], ids=str)
def test_one_batch_at_a_time(metrics):
    """Values, types and order of train_on_batch, test_on_batch and predict_on_batch."""
    found = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.set_random_seed(1)
        model = build(side.ns)
        sgd = side.ns.optimizers.SGD(0.1)
        model.compile(sgd, CATEGORICAL, metrics=metrics, run_eagerly=True)
        seen: list[Any] = [
            model.train_on_batch(X[:32], Y[:32]),
            model.train_on_batch(X[32:], Y[32:]),
            model.train_on_batch(X[:7], Y[:7], sample_weight=W[:7]),
            model.train_on_batch(X[:9], Y[:9], class_weight={0: 2.0, 1: 0.1}),
            model.train_on_batch(X[:32], Y[:32], return_dict=True),
            model.test_on_batch(X[:32], Y[:32]),
            model.test_on_batch(X[:5], Y[:5], sample_weight=W[:5]),
            model.test_on_batch(X[:5], Y[:5], return_dict=True),
            model.evaluate(X, Y, verbose=0, return_dict=True),
            model.evaluate(X, Y, verbose=0, steps=2, batch_size=8),
        ]
        predictions = model.predict_on_batch(X[:5])
        assert type(predictions) is np.ndarray
        assert predictions.dtype == np.float32
        found.append((seen, predictions, int(model.optimizer.iterations)))
    (ours, p, iterations), (theirs, reference, expected) = found
    assert iterations == expected == 5
    assert shape_of(ours) == shape_of(theirs)
    ledger = Ledger(bits=False)
    names = ["loss", *(metrics or [])]
    for number, (mine, value) in enumerate(zip(ours, theirs, strict=True)):
        if isinstance(mine, list):
            mine, value = (dict(zip(names, v, strict=True)) for v in (mine, value))
        check_values(ledger, f"call {number}", {"loss": mine}, {"loss": value})
    ledger.check("the end", "predictions", p, reference, (tolerances.ACTIVATION,))
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize(("features", "shape"), [(FEATURES, (N, FEATURES, 1)), (1, (N,))], ids=str)
def test_an_axis_of_one_is_put_on_or_off(features, shape):
    """Where it is all that input and model differ by."""
    x, found = X[:, :features].reshape(shape), []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.set_random_seed(0)
        model = side.ns.Sequential([side.ns.layers.Input((features,)), side.ns.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        history = model.fit(x, X[:, :1], verbose=0).history
        assert model.predict(x, verbose=0).shape == (N, 1)
        assert model(x).shape == (N, 1)
        found.append(history)
    ledger = Ledger(bits=False)
    check_values(ledger, "History", *found)
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize("targets", [X[:, 0], X[:, :1]], ids=["(N,)", "(N, 1)"])
def test_regression(targets):
    """Targets with or without an axis of one."""
    found = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.set_random_seed(0)
        model = side.ns.Sequential([side.ns.layers.Input((FEATURES,)), side.ns.layers.Dense(1)])
        model.compile(side.ns.optimizers.SGD(0.01), "mse", run_eagerly=True)
        found.append(model.fit(X, targets, verbose=0, sample_weight=W, epochs=2).history)
    ledger = Ledger(bits=False)
    check_values(ledger, "History", *found)
    assert ledger.passed, str(ledger)
