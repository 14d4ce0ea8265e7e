"""Every metric beside Keras's, inside `evaluate` and `fit`: there Keras runs as a graph."""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest

from minisgd.parity import tolerances
from minisgd.parity.report import Ledger
from minisgd.parity.sides import Side, keras_side, minisgd_side
from minisgd.parity.tolerances import EQUAL

pytestmark = pytest.mark.layers


def data(kind: str, n: int = 75, c: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions; those of "bits" have ties and lie on thresholds."""
    rng = np.random.default_rng(5)
    z = (rng.standard_normal((n, c)) * 2).astype(np.float32)
    softmax = (np.exp(z) / np.exp(z).sum(-1, keepdims=True)).astype(np.float32)
    numbers = (z + rng.standard_normal((n, c))).astype(np.float32)
    bits = rng.integers(0, 2, (n, c)).astype(np.float32)
    steps = (np.clip(bits + rng.integers(-8, 9, (n, c)), 0, 8) / 8).astype(np.float32)
    return {
        "numbers": (numbers, z),
        "positive": (np.abs(numbers), np.abs(z)),
        "signs": (bits * 2 - 1, z),
        "bits": (bits, steps),
        "bit": (bits[:, :1], steps[:, :1]),
        "bit, logit": (bits[:, :1], z[:, :1]),
        "fine bits": (bits, (1 / (1 + np.exp(-z))).astype(np.float32)),
        "one-hot": (np.eye(c, dtype=np.float32)[rng.integers(0, c, n)], softmax),
        "classes": (rng.integers(0, c, (n, 1)), softmax),
        "equal or not": (rng.integers(0, 2, (n, 3)), rng.integers(0, 2, (n, 3)).astype("f4")),
    }[kind]


ROOT, LIBRARY = tolerances.LOSS_INVERSE_ROOT, tolerances.LOSS_C_LIBRARY
AREA = tolerances.METRIC_LOGARITHM
# class, arguments, data, bound
CASES: list[tuple[str, dict[str, Any], str, Any]] = [
    ("MeanSquaredError", {}, "numbers", EQUAL),
    ("RootMeanSquaredError", {}, "numbers", EQUAL),
    ("MeanAbsoluteError", {}, "numbers", EQUAL),
    ("MeanAbsolutePercentageError", {}, "numbers", EQUAL),
    ("MeanSquaredLogarithmicError", {}, "positive", LIBRARY),
    ("LogCoshError", {}, "numbers", EQUAL),
    ("CosineSimilarity", {}, "numbers", ROOT),
    ("R2Score", {}, "numbers", EQUAL),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, "numbers", EQUAL),
    ("R2Score", {"class_aggregation": None}, "numbers", EQUAL),
    ("KLDivergence", {}, "one-hot", EQUAL),
    ("Poisson", {}, "positive", EQUAL),
    ("BinaryCrossentropy", {}, "fine bits", EQUAL),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "bit, logit", EQUAL),
    ("CategoricalCrossentropy", {}, "one-hot", EQUAL),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one-hot", EQUAL),
    ("SparseCategoricalCrossentropy", {}, "classes", EQUAL),
    ("Hinge", {}, "signs", EQUAL),
    ("SquaredHinge", {}, "signs", EQUAL),
    ("CategoricalHinge", {}, "one-hot", EQUAL),
    ("Accuracy", {}, "equal or not", EQUAL),
    ("BinaryAccuracy", {}, "bits", EQUAL),
    ("BinaryAccuracy", {"threshold": 0.3}, "bit", EQUAL),
    ("CategoricalAccuracy", {}, "one-hot", EQUAL),
    ("SparseCategoricalAccuracy", {}, "classes", EQUAL),
    ("TopKCategoricalAccuracy", {"k": 2}, "one-hot", EQUAL),
    ("TopKCategoricalAccuracy", {"k": 1}, "one-hot", EQUAL),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "classes", EQUAL),
    ("TruePositives", {}, "bits", EQUAL),
    ("FalsePositives", {"thresholds": 0.25}, "bits", EQUAL),
    ("TrueNegatives", {"thresholds": [0.1, 0.5]}, "bits", EQUAL),
    ("FalseNegatives", {"thresholds": [0.0, 0.5, 1.0]}, "bits", EQUAL),
    ("Precision", {}, "bit", EQUAL),
    ("Precision", {"thresholds": [0.2, 0.4, 0.9]}, "bits", EQUAL),
    ("Precision", {"top_k": 2}, "one-hot", EQUAL),
    ("Precision", {"class_id": 1}, "one-hot", EQUAL),
    ("Recall", {}, "bits", EQUAL),
    ("Recall", {"top_k": 1, "class_id": 2}, "one-hot", EQUAL),
    ("Recall", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}, "bits", EQUAL),
    ("F1Score", {}, "one-hot", EQUAL),
    ("F1Score", {"average": "micro"}, "one-hot", EQUAL),
    ("F1Score", {"average": "weighted", "threshold": 0.4}, "bits", EQUAL),
    ("FBetaScore", {"average": "macro", "beta": 2.0}, "one-hot", EQUAL),
    ("AUC", {}, "bits", EQUAL),
    ("AUC", {}, "fine bits", EQUAL),
    ("AUC", {"curve": "PR"}, "fine bits", AREA),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, "bits", EQUAL),
    ("AUC", {"curve": "PRGAIN", "num_thresholds": 50}, "fine bits", EQUAL),
    ("AUC", {"summation_method": "minoring", "num_thresholds": 3}, "fine bits", EQUAL),
    ("AUC", {"thresholds": [0.1, 0.35, 0.6]}, "fine bits", EQUAL),
    ("AUC", {"multi_label": True}, "fine bits", EQUAL),
    ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 0.5, 0.0]}, "fine bits", EQUAL),
    ("AUC", {"from_logits": True}, "bit, logit", EQUAL),
    ("PearsonCorrelation", {}, "numbers", EQUAL),
    ("ConcordanceCorrelation", {}, "numbers", EQUAL),
    ("PrecisionAtRecall", {"recall": 0.6}, "fine bits", EQUAL),
    ("RecallAtPrecision", {"precision": 0.4, "num_thresholds": 1}, "bits", EQUAL),
    ("SensitivityAtSpecificity", {"specificity": 0.9, "num_thresholds": 33}, "bits", EQUAL),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7, "class_id": 1}, "one-hot", EQUAL),
]
IDS = [f"{name}-{settings}-{kind}" for name, settings, kind, _ in CASES]


def pass_through(side: Side, width: int, **kwargs: Any) -> Any:
    """A model whose predictions are its inputs."""
    layers = side.ns.layers
    model = side.ns.Sequential([layers.Input((width,)), layers.Activation("linear")])
    model.compile("sgd", lambda y, p: side.ns.ops.sum(p, -1), **kwargs)
    return model


def figures(side: Side, name: str, settings: Any, kind: str, weight: Any) -> dict[str, Any]:
    """What the metric says after each batch of `evaluate`, plain and weighted."""
    make = getattr(side.ns.metrics, name)
    seen: dict[str, list[Any]] = {}

    class Recorder(side.ns.callbacks.Callback):  # type: ignore[name-defined]
        def on_test_batch_end(self, batch, logs=None):
            for key, value in logs.items():
                seen.setdefault(key, []).append(np.asarray(value, np.float32))

    y, p = data(kind)
    model = pass_through(
        side, p.shape[-1],
        metrics=[make(**settings, name="plain")],
        weighted_metrics=[make(**settings, name="weighted")],
    )  # fmt: skip
    model.evaluate(p, y, batch_size=32, sample_weight=weight, verbose=0, callbacks=[Recorder()])
    return {key: np.stack(values) for key, values in seen.items()}


@pytest.mark.parametrize("weights", ["none", "whole", "fractions"])
@pytest.mark.parametrize(("name", "settings", "kind", "bound"), CASES, ids=IDS)
def test_running_figures(name, settings, kind, bound, weights):
    """After 32, 64 and 75 samples; weights reach the weighted one alone."""
    rng = np.random.default_rng(2)
    weight = {
        "none": None,
        "whole": rng.integers(0, 3, 75).astype(np.float32),
        "fractions": rng.random(75, np.float32),
    }[weights]
    ours, theirs = (
        figures(side, name, settings, kind, weight) for side in (minisgd_side(), keras_side())
    )
    assert sorted(ours) == sorted(theirs) == ["loss", "plain", "weighted"]
    ledger = Ledger(bits=False)
    for key in ("plain", "weighted"):
        ledger.check(name, key, ours[key] + 0, theirs[key] + 0, (bound,))
    assert ledger.passed, str(ledger)
    if weight is not None and kind != "equal or not":
        assert not np.array_equal(ours["plain"], ours["weighted"])


def fitted(side: Side, **kwargs: Any) -> Any:
    """Two epochs of a small classifier with validation; its History."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((96, 5)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 96)]
    layers = side.ns.layers
    model = side.ns.Sequential([layers.Input((5,)), layers.Dense(3, "softmax")])
    model.set_weights([rng.standard_normal((5, 3)).astype(np.float32), np.zeros(3, np.float32)])
    weighting = kwargs.pop("weighting", {})
    model.compile("sgd", "categorical_crossentropy", **kwargs)
    history = model.fit(
        x, y, batch_size=20, epochs=2, shuffle=False, verbose=0, validation_split=0.25, **weighting
    )
    return history.history


def mine(y_true: Any, y_pred: Any) -> Any:
    return abs(y_true - y_pred)


LISTS: list[dict[str, Any]] = [
    {"metrics": ["mse", "mae", "acc", "AUC", "Precision", "recall"]},
    {"metrics": ["accuracy"], "weighted_metrics": ["accuracy", "mse"]},
    {"metrics": ["mse"], "weighted_metrics": ["mse", "mse", "mae", "mse"]},
    {"weighted_metrics": ["acc", "top_k_categorical_accuracy", "AUC"]},
    {"metrics": [mine, "categorical_accuracy"], "weighted_metrics": [mine]},
    {"metrics": ("kl_divergence", "MeanSquaredError"), "weighted_metrics": ()},
    {"metrics": [["mae"]], "weighted_metrics": {"any": ["mae"]}},
]
WEIGHTINGS: list[dict[str, Any]] = [
    {},
    {"sample_weight": np.random.default_rng(3).random(96, np.float32)},
    {"class_weight": {0: 2.0, 1: 0.5}},
]


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda w: "".join(w) or "plain")
@pytest.mark.parametrize("lists", LISTS, ids=range(len(LISTS)))
def test_lists_of_metrics_in_fit(lists, weighting):
    """Log keys, and values to the bit."""
    ours, theirs = (
        fitted(side, **lists, weighting=weighting) for side in (minisgd_side(), keras_side())
    )
    assert list(ours) == list(theirs)
    for key in ours:
        assert ours[key] == theirs[key], key


def own(side: Side, name: str) -> Any:
    return getattr(side.ns.metrics, name)


def names_of(side: Side) -> set[str]:
    return {n for n in dir(side.ns.metrics) if not n.startswith("_")}


CLASSES = sorted({name for name, *_ in CASES} | {"Mean", "Sum", "MeanMetricWrapper", "Metric"})


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_and_default_names(name):
    ours, theirs = (
        {p.name: p.default for p in inspect.signature(own(side, name).__init__).parameters.values()}
        for side in (minisgd_side(), keras_side())
    )
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize(("name", "settings", "kind", "bound"), CASES, ids=IDS)
def test_dicts_can_be_exchanged(name, settings, kind, bound):
    if "label_weights" in settings:
        settings = {k: v for k, v in settings.items() if k != "label_weights"}  # a tensor in Keras
    forms = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.clear_session(free_memory=False)
        forms.append(side.ns.metrics.serialize(own(side, name)(**settings)))
    assert forms[0] == json.loads(json.dumps(forms[1]))
    again = minisgd_side().ns.metrics.deserialize(forms[1])
    assert minisgd_side().ns.metrics.serialize(again) == forms[0]


STRINGS = [
    "mse", "MSE", "mae", "mape", "msle", "bce", "AUC", "auc", "accuracy", "binary_accuracy",
    "categorical_accuracy", "sparse_categorical_accuracy", "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy", "f1_score", "fbeta_score", "f_beta_score", "r2_score",
    "precision", "recall", "true_positives", "log_cosh_error", "logcosh", "kl_divergence",
    "KLDivergence", "kullback_leibler_divergence", "mean", "sum", "poisson", "hinge", "Huber",
    "huber", "root_mean_squared_error", "acc", "cosine_similarity", "categorical_hinge",
]  # fmt: skip


@pytest.mark.parametrize("identifier", STRINGS)
def test_metrics_by_name(identifier):
    """The same class, or refused by both."""
    found: list[Any] = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.clear_session(free_memory=False)
        try:
            metric = side.ns.metrics.get(identifier)
            found.append((type(metric).__name__, metric.name))
        except ValueError as error:
            assert str(error).startswith("Could not interpret metric identifier: ")
            found.append("refused")
    assert found[0] == found[1]


def test_wrapper_and_sum_by_hand():
    rng = np.random.default_rng(0)
    y, p = rng.random((9, 3), np.float32), rng.random((9, 3), np.float32)
    weight, found = rng.random(9, np.float32), []
    for side in (minisgd_side(), keras_side()):
        metrics = side.ns.metrics
        values = []
        for metric, arguments in (
            (metrics.MeanMetricWrapper(mine, "mine"), (side.tensor(y), side.tensor(p))),
            (metrics.MeanMetricWrapper(metrics.binary_accuracy, threshold=0.3), (y > 0.5, p)),
            (metrics.Sum(), (p,)),
            (metrics.Mean(), (p,)),
        ):
            for w in (None, weight, weight[:, None]):
                metric.update_state(*arguments, sample_weight=w)
                values.append(np.asarray(metric.result()).item())
        found.append(values)
    assert found[0] == found[1]


def test_a_metric_of_the_users():
    """Written for Keras: with `add_weight`, and `reset_state` as it is."""
    found = []
    for side in (minisgd_side(), keras_side()):

        class Hits(side.ns.metrics.Metric):  # type: ignore[name-defined]
            def __init__(self, name="hits", **kwargs):
                super().__init__(name=name, **kwargs)
                self.total = self.add_weight(shape=(), initializer="zeros", name="total")

            def update_state(self, y_true, y_pred, sample_weight=None):
                self.total.assign(self.total + type(self).ops.sum(y_pred))

            def result(self):
                return self.total

        Hits.ops = side.ns.ops
        y, p = data("bits")
        model = pass_through(side, 4, metrics=[Hits()])
        values = [model.evaluate(p, y, batch_size=32, verbose=0) for _ in range(2)]
        found.append(values)
    assert found[0] == found[1]
    assert found[0][0] == found[0][1]
