"""Every loss beside Keras's: values, gradients, twenty steps of `fit`, names and configs.

Keras runs as a graph, as in `fit`: that is where it rewrites what it adds and multiplies. All
values have Keras's bits but those of cosine similarity, of log1p and of some focal losses; so have
all gradients that pass no logarithm, whose slope TensorFlow takes from an estimated reciprocal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from minisgd import numerics
from minisgd.parity import tolerances
from minisgd.parity.probe import measured_mode
from minisgd.parity.report import Ledger
from minisgd.parity.sides import Side, keras_side, minisgd_side
from minisgd.parity.tolerances import EQUAL, Tolerance

pytestmark = pytest.mark.layers
RECIPROCAL, ROOT = tolerances.LOSS_RECIPROCAL, tolerances.LOSS_INVERSE_ROOT
FOCAL, LIBRARY = tolerances.LOSS_FOCAL, tolerances.LOSS_C_LIBRARY


@dataclass(frozen=True)
class Case:
    """A loss, and what its labels and predictions look like."""

    name: str
    data: str
    settings: dict[str, Any] = field(default_factory=dict)
    gradient: Tolerance = EQUAL
    value: Tolerance = EQUAL

    def __str__(self) -> str:
        return f"{self.name}({self.settings or ''}) of {self.data}"


CASES = [
    Case("MeanSquaredError", "numbers"),
    Case("MeanAbsoluteError", "numbers"),
    Case("MeanAbsolutePercentageError", "numbers"),
    Case("MeanSquaredLogarithmicError", "numbers", {}, RECIPROCAL, LIBRARY),
    Case("MeanSquaredLogarithmicError", "positive", {}, RECIPROCAL, LIBRARY),
    Case("CosineSimilarity", "numbers", {}, ROOT, ROOT),
    Case("CosineSimilarity", "numbers", {"axis": 0}, ROOT, ROOT),
    Case("Huber", "numbers"),
    Case("Huber", "numbers", {"delta": 0.3}),
    Case("LogCosh", "numbers"),
    Case("Hinge", "signs"),
    Case("Hinge", "bits, logits"),
    Case("SquaredHinge", "signs"),
    Case("SquaredHinge", "bits, logits"),
    Case("CategoricalHinge", "one-hot, logits"),
    Case("KLDivergence", "one-hot", gradient=RECIPROCAL),
    Case("KLDivergence", "distributions", gradient=RECIPROCAL),
    Case("Poisson", "positive", gradient=RECIPROCAL),
    Case("BinaryCrossentropy", "bits", gradient=RECIPROCAL),
    Case("BinaryCrossentropy", "bits", {"label_smoothing": 0.1}, RECIPROCAL),
    Case("BinaryCrossentropy", "bits", {"axis": 0}, RECIPROCAL),
    Case("BinaryCrossentropy", "bits, logits", {"from_logits": True}, RECIPROCAL),
    Case("BinaryFocalCrossentropy", "bits", gradient=RECIPROCAL),
    Case("BinaryFocalCrossentropy", "bits, logits", {"from_logits": True}, RECIPROCAL),
    Case(
        "BinaryFocalCrossentropy",
        "bits",
        {"apply_class_balancing": True, "alpha": 0.3, "label_smoothing": 0.2},
        RECIPROCAL,
        FOCAL,
    ),
    Case("BinaryFocalCrossentropy", "bits", {"gamma": 1.5}, RECIPROCAL, FOCAL),
    Case("CategoricalFocalCrossentropy", "one-hot", gradient=RECIPROCAL),
    Case(
        "CategoricalFocalCrossentropy",
        "one-hot, logits",
        {"from_logits": True, "gamma": 3.0, "label_smoothing": 0.1},
        RECIPROCAL,
        FOCAL,
    ),
    Case("CategoricalFocalCrossentropy", "one-hot", {"alpha": [0.5, 0.25, 1.0, 0.75]}, RECIPROCAL),
]


def labels_and_predictions(kind: str, n: int, c: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, c])
    z = (rng.standard_normal((n, c)) * 2).astype(np.float32)
    bits = rng.integers(0, 2, (n, c)).astype(np.float32)
    softmax = (np.exp(z) / np.exp(z).sum(-1, keepdims=True)).astype(np.float32)
    one_hot = np.eye(c, dtype=np.float32)[rng.integers(0, c, n)]
    numbers = rng.standard_normal((n, c)).astype(np.float32)
    return {
        "numbers": (numbers, z),
        "positive": (np.abs(numbers), np.abs(z)),
        "signs": (bits * 2 - 1, z),
        "bits": (bits, (1 / (1 + np.exp(-z))).astype(np.float32)),
        "bits, logits": (bits, z),
        "one-hot": (one_hot, softmax),
        "one-hot, logits": (one_hot, z),
        "distributions": (softmax[::-1].copy(), softmax),
    }[kind]


def value_and_gradient(side: Side, loss: Any, y: Any, p: Any, weight: Any) -> list[np.ndarray]:
    """Loss of a batch and its gradient, as inside a step of `fit`."""

    def step(y: Any, p: Any) -> Any:
        with side.tape() as tape:
            tape.watch(p)
            value = loss(y, p, sample_weight=weight)
        return value, tape.gradient(value, p)

    if side.name == "keras":
        import tensorflow as tf

        anyhow = [tf.TensorSpec((None, a.shape[1]), tf.float32) for a in (y, p)]
        step = tf.function(step, input_signature=anyhow)
    with numerics.scope(numerics.DEFAULT):
        return [np.asarray(v) for v in step(side.tensor(y), side.tensor(p))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case):
    ledger = Ledger(bits=False)
    sizes = [(32, 4), (7, 4), (1, 4)] if "alpha" in case.settings else [(32, 10), (13, 4), (7, 3)]
    for n, c in sizes:
        y, p = labels_and_predictions(case.data, n, c)
        for reduction in ("sum_over_batch_size", "none"):
            settings = {**case.settings, "reduction": reduction}
            found = []
            for side in (minisgd_side(), keras_side()):
                loss = getattr(side.ns.losses, case.name)(**settings)
                found.append(value_and_gradient(side, loss, y, p, None))
            where = f"{case}, {n} x {c}, {reduction}"
            for what, ours, theirs in zip(("loss", "gradient"), *found, strict=True):
                bound = case.value if what == "loss" else case.gradient
                ledger.check(where, what, ours + 0, theirs + 0, (bound,))
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight", None])
@pytest.mark.parametrize("case", [CASES[1], CASES[7], CASES[10], CASES[14]], ids=str)
def test_weights_and_reductions(case, reduction):
    y, p = labels_and_predictions(case.data, 21, 4)
    weight = np.random.default_rng(0).random(21, np.float32)
    found = []
    for side in (minisgd_side(), keras_side()):
        loss = getattr(side.ns.losses, case.name)(reduction=reduction)
        found.append(value_and_gradient(side, loss, y, p, weight))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- in a model ---
def trained(side: Side, loss: Any, case: Case, jit: Any) -> dict[str, Any]:
    """Twenty steps of a small network, from the same weights, with weighted samples."""
    rng = np.random.default_rng(1)
    c = 4
    y, _ = labels_and_predictions(case.data, 320, c)
    x = rng.standard_normal((320, 6)).astype(np.float32)
    last = {
        "positive": "softplus",
        "bits": "sigmoid",
        "one-hot": "softmax",
        "distributions": "softmax",
    }.get(case.data)
    layers = side.ns.layers
    model = side.ns.Sequential(
        [layers.Input((6,)), layers.Dense(8, "relu"), layers.Dense(c, None)]
        + ([layers.Activation(last)] if last else [])
    )
    shapes = [(6, 8), (8,), (8, c), (c,)]
    model.set_weights([(rng.standard_normal(s) * 0.4).astype(np.float32) for s in shapes])
    kwargs = {} if side.name == "keras" else {"jit_compile": jit}
    model.compile(side.ns.optimizers.SGD(0.01, momentum=0.9), loss, **kwargs)
    weight = rng.random(320, np.float32)
    history = model.fit(x, y, batch_size=16, shuffle=False, verbose=0, sample_weight=weight)
    evaluated = model.evaluate(x, y, batch_size=64, verbose=0)
    return {
        "loss": np.float32(history.history["loss"]),
        "evaluated": np.float32(evaluated),
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]),
    }


@pytest.mark.parametrize("case", [c for c in CASES if "axis" not in c.settings], ids=str)
def test_twenty_steps_of_fit(case):
    """With `jit_compile` as it is by default: what the compiler does not know runs eagerly."""
    found = [
        trained(side, getattr(side.ns.losses, case.name)(**case.settings), case, "auto")
        for side in (minisgd_side(), keras_side())
    ]
    ledger = Ledger(bits=False)
    exact = case.gradient is EQUAL and case.value is EQUAL
    for what in found[0]:
        bounds = (EQUAL,) if exact else (tolerances.RUN_WEIGHTS,)
        if what == "weights" and case.gradient is RECIPROCAL and measured_mode().bits:
            bounds = (tolerances.LOGARITHM_RUN,)
        ledger.check(str(case), what, found[0][what], found[1][what], bounds)
    assert ledger.passed, str(ledger)


NAMES = [
    "mean_squared_error", "mse", "MSE", "mean_absolute_error", "mae", "MAE", "mape", "MAPE",
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "msle", "MSLE",
    "cosine_similarity", "huber", "log_cosh", "hinge", "squared_hinge", "categorical_hinge",
    "kl_divergence", "kld", "KLD", "poisson", "binary_crossentropy", "bce", "BCE",
    "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy", "MeanSquaredError", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "CosineSimilarity", "Huber",
    "LogCosh", "Hinge", "SquaredHinge", "CategoricalHinge", "KLDivergence", "Poisson",
    "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy", "SparseCategoricalCrossentropy",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_configs_and_dicts(name):
    """`get` gives a function or an object as Keras's does; dicts can be exchanged."""
    ours, theirs = (side.ns.losses.get(name) for side in (minisgd_side(), keras_side()))
    assert getattr(ours, "__name__", type(ours).__name__) == getattr(
        theirs, "__name__", type(theirs).__name__
    )
    forms = [side.ns.losses.serialize(loss) for side, loss in zip(
        (minisgd_side(), keras_side()), (ours, theirs), strict=True)]  # fmt: skip
    assert json.dumps(forms[0]) == json.dumps(forms[1])
    again = minisgd_side().ns.losses.deserialize(json.loads(json.dumps(forms[1])))
    assert minisgd_side().ns.losses.serialize(again) == forms[0]


SIGNATURES = [name for name in NAMES if name[0].isupper() and not name.isupper()]


@pytest.mark.parametrize("name", [*SIGNATURES, *(n for n in NAMES if "_" in n)])
def test_arguments(name):
    """Names, order and defaults of the arguments."""
    import inspect

    ours, theirs = (
        {
            p.name: p.default
            for p in inspect.signature(getattr(side.ns.losses, name)).parameters.values()
        }
        for side in (minisgd_side(), keras_side())
    )
    assert list(ours.items()) == list(theirs.items())


def test_settings_that_keras_forgets_are_kept():
    """Keras's configs of these two leave out what they were made with; Keras reads ours."""
    for name, settings in (("Huber", {"delta": 2.0}), ("CosineSimilarity", {"axis": 0})):
        loss = getattr(minisgd_side().ns.losses, name)(**settings)
        config = loss.get_config()
        assert config == {
            **getattr(keras_side().ns.losses, name)(**settings).get_config(), **settings
        }  # fmt: skip
        theirs = getattr(keras_side().ns.losses, name).from_config(config)
        assert theirs._fn_kwargs == settings


@pytest.mark.parametrize("wrong", ["mean_squared_eror", 3, ["mse"]])
def test_unknown_losses(wrong):
    texts = []
    for side in (minisgd_side(), keras_side()):
        with pytest.raises(ValueError, match="Could not interpret loss identifier") as caught:
            side.ns.losses.get(wrong)
        texts.append(str(caught.value).replace("'", ""))
    assert texts[0].startswith(texts[1].replace("'", ""))


@pytest.mark.parametrize("identifier", ["crossentropy", "CE"])
@pytest.mark.parametrize("labels", ["one-hot", "classes", "bits"])
def test_the_crossentropy_that_fits(identifier, labels):
    found = []
    for side in (minisgd_side(), keras_side()):
        rng = np.random.default_rng(0)
        c = 1 if labels == "bits" else 4
        x = rng.standard_normal((12, c)).astype(np.float32)
        y = rng.integers(0, max(c, 2), 12)
        y = np.eye(4, dtype=np.float32)[y] if labels == "one-hot" else y.reshape(-1, 1)
        activation = "sigmoid" if c == 1 else "softmax"
        model = side.ns.Sequential(
            [side.ns.layers.Input((c,)), side.ns.layers.Activation(activation)]
        )
        model.compile("sgd", identifier)
        found.append(model.evaluate(x, y, batch_size=5, verbose=0))
    assert found[0] == found[1]


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_that_is_ignored(reduction, weighted):
    rng = np.random.default_rng(0)
    y, z = rng.integers(0, 4, 20), rng.standard_normal((20, 4)).astype(np.float32)
    weight = rng.random(20, np.float32) if weighted else None
    found = []
    for side in (minisgd_side(), keras_side()):
        loss = side.ns.losses.SparseCategoricalCrossentropy(True, 2, reduction)
        found.append(np.asarray(loss(y, side.tensor(z), sample_weight=weight)))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_generalized_cross_entropy(q):
    """Class numbers (N,); Keras pairs those of shape (N, 1) with all samples, against its text."""
    _, p = labels_and_predictions("one-hot", 32, 10)
    y = np.random.default_rng(1).integers(0, 10, 32)
    found, ledger = [], Ledger(bits=False)
    for side in (minisgd_side(), keras_side()):
        loss = side.ns.losses.CategoricalGeneralizedCrossEntropy(q)
        tensor = side.tensor(p)
        with side.tape() as tape:
            tape.watch(tensor)
            value = loss(y, tensor)
        found.append([np.asarray(value), np.asarray(tape.gradient(value, tensor))])
        assert loss.get_config()["q"] == q
        with pytest.raises(ValueError, match="q must be in the interval"):
            side.ns.losses.CategoricalGeneralizedCrossEntropy(1.0)
    for what, ours, theirs in zip(("loss", "gradient"), *found, strict=True):
        ledger.check(f"q={q}", what, ours + 0, theirs + 0, (tolerances.LOSS_POWER,))
    assert ledger.passed, str(ledger)
    column = minisgd_side().ns.losses.CategoricalGeneralizedCrossEntropy(q)(y[:, None], p)
    np.testing.assert_array_equal(np.asarray(column), found[0][0])


def test_steps_with_generalized_cross_entropy():
    x = np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
    y = np.arange(64) % 4
    weights = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.set_random_seed(0)
        layers = side.ns.layers
        model = side.ns.Sequential([layers.Input((6,)), layers.Dense(4, "softmax")])
        model.compile("sgd", side.ns.losses.CategoricalGeneralizedCrossEntropy())
        model.fit(x, y, epochs=2, verbose=0)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    ledger = Ledger(bits=False)
    ledger.check("GCE", "weights", *weights, (tolerances.RUN_WEIGHTS,))
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize("module", ["losses", "metrics"])
def test_functions_of_ones_own(module):
    """A registered function is found by its registered name; a dict may leave the module out."""
    forms = []
    for side in (minisgd_side(), keras_side()):
        room = getattr(side.ns, module)

        @side.ns.saving.register_keras_serializable("surface")
        def one_off(y_true: Any, y_pred: Any) -> Any:
            return y_pred - y_true

        forms.append(room.serialize(one_off))
        assert room.deserialize(forms[0]) is one_off
        assert room.deserialize("surface>one_off") is one_off
        del side.ns.saving.get_custom_objects()["surface>one_off"]
        assert room.deserialize("other", {"other": one_off}) is one_off
        found = room.deserialize({"class_name": "MeanSquaredError", "config": {"name": "mine"}})
        assert (type(found).__name__, found.name) == ("MeanSquaredError", "mine")
    assert forms[0] == forms[1]
