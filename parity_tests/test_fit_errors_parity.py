"""Wrong arguments of `fit` and its kin beside live Keras: the same type of error, and phrase."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minisgd.parity.sides import keras_side, minisgd_side
from minisgd.parity.small_network import CATEGORICAL, SPARSE, C, W, X, Y, build

pytestmark = pytest.mark.run


@dataclass(frozen=True)
class Wrong:
    """What is done with a fresh compiled model, and the words that both messages share.

    `reason` is given where minisgd refuses what Keras lets pass, or meets with an accident: then
    only minisgd must raise, ValueError unless said otherwise, with the phrase.
    """

    name: str
    act: Callable[[Any, Any], Any]
    phrase: str
    error: type[Exception] = ValueError
    reason: str = ""

    def __str__(self) -> str:
        return self.name


def fit(**changes: Any) -> Callable[[Any, Any], Any]:
    """Train for one epoch with some arguments changed."""
    return lambda ns, model: model.fit(
        **{"x": X[:10], "y": Y[:10], "epochs": 1, "verbose": 0, **changes}
    )


def compiled_with(**changes: Any) -> Callable[[Any, Any], Any]:
    """Compile with some arguments changed, then train."""

    def act(ns: Any, _: Any) -> Any:
        model = build(ns)  # a second `compile` without a loss keeps Keras's first one
        model.compile(**{"optimizer": "sgd", "loss": CATEGORICAL, "run_eagerly": True, **changes})
        return model.fit(X[:10], Y[:10], verbose=0)

    return act


def uncompiled(method: str) -> Callable[[Any, Any], Any]:
    return lambda ns, model: getattr(build(ns), method)(X[:10], Y[:10])


PHRASES = {
    "target rank": "Arguments `target` and `output` must have the same rank (ndim)",
    "target shape": "Arguments `target` and `output` must have the same shape",
    "cardinality": "Data cardinality is ambiguous. Make sure all arrays contain the same number of",
    "uncompiled": "You must call `compile()` before using the model",
    "split": "samples, which is not sufficient to split it into a validation and training set",
}
WRONG = [
    Wrong("lengths differ", fit(y=Y[:9]), PHRASES["cardinality"]),
    Wrong("lengths differ: x", fit(y=Y[:9]), "'x' sizes: 10\n'y' sizes: 9\n"),
    Wrong("weights' length", fit(sample_weight=W[:9]), PHRASES["cardinality"]),
    Wrong("x a number", fit(x=5), "Unrecognized data type: x"),
    Wrong("x a word", fit(x="abc"), "Unrecognized data type: x"),
    Wrong("weight a number", fit(sample_weight=0.5), "Unrecognized data type"),
    Wrong("x of words", fit(x=np.full((10, 20), "a")), "Invalid dtype"),
    Wrong("x of objects", fit(x=X[:10].astype(object)), "Invalid dtype"),
    Wrong("width", fit(x=X[:10, :3]), "expected axis -1 of input shape to have value 20, but"),
    Wrong("rank", fit(x=np.zeros((10, 20, 2), np.float32)), "input has incompatible shape"),
    Wrong("y's width", fit(y=Y[:10, :3]), PHRASES["target shape"]),
    Wrong("y of classes", fit(y=C[:10]), PHRASES["target rank"]),
    Wrong(
        "one-hot for sparse",
        lambda ns, model: compiled_with(loss=SPARSE)(ns, model),
        "Argument `output` must have rank (ndim) `target.ndim - 1`",
    ),
    Wrong(
        "y None",
        lambda ns, model: (model.compile("sgd", CATEGORICAL), fit(y=None)(ns, model)),
        "None values not supported.",
    ),
    Wrong("batch_size -1", fit(batch_size=-1), ""),
    Wrong("batch_size 2.5", fit(batch_size=2.5), "", TypeError),
    Wrong("batch_size '4'", fit(batch_size="4"), "", TypeError),
    Wrong("epochs 1.5", fit(epochs=1.5), "", TypeError),
    Wrong("epochs None", fit(epochs=None), "", TypeError),
    Wrong("split 0.99", fit(validation_split=0.99), PHRASES["split"]),
    Wrong("split 0.9", fit(validation_split=0.9), PHRASES["split"]),
    Wrong("split 1.0", fit(validation_split=1.0), ""),
    Wrong(
        "4 validation items", fit(validation_data=(X, Y, W, W)), "Data is expected to be in form"
    ),
    Wrong("validation_freq 'a'", fit(validation_data=(X, Y), validation_freq="a"), ""),
    Wrong(
        "both weights",
        fit(class_weight={0: 1.0}, sample_weight=W[:10]),
        "You cannot `class_weight` and `sample_weight` at the same time",
    ),
    Wrong(
        "both weights on a batch",
        lambda ns, m: m.train_on_batch(X[:4], Y[:4], sample_weight=W[:4], class_weight={0: 1.0}),
        "",
    ),
    *(
        Wrong(f"uncompiled {method}", uncompiled(method), PHRASES["uncompiled"])
        for method in ("fit", "evaluate", "train_on_batch", "test_on_batch")
    ),
    Wrong("no loss", compiled_with(loss=None), "No loss to compute. Provide a `loss` argument"),
    Wrong("loss unknown", compiled_with(loss="foo"), "Could not interpret loss identifier: "),
    Wrong(
        "metric unknown", compiled_with(metrics=["foo"]), "Could not interpret metric identifier"
    ),
    Wrong("metrics a word", compiled_with(metrics="accuracy"), "Expected `metrics` argument to be"),
    Wrong(
        "optimizer unknown", compiled_with(optimizer="foo"), "Could not interpret optimizer iden"
    ),
    Wrong("compile(foo=1)", compiled_with(foo=1), "foo", TypeError),
    Wrong("fit(foo=1)", fit(foo=1), "foo", TypeError),
    Wrong(
        "reduction unknown",
        lambda ns, model: ns.losses.CategoricalCrossentropy(reduction="foo"),
        "Invalid value for argument `reduction`",
    ),
    Wrong("predict: width", lambda ns, model: model.predict(X[:10, :3], verbose=0), "(10, 3)"),
    Wrong("evaluate: y's width", lambda ns, m: m.evaluate(X, Y[:, :3], verbose=0), "same shape"),
    Wrong("no samples", fit(x=X[:0], y=Y[:0]), ""),
    # Stricter than Keras.
    Wrong("batch_size 0", fit(batch_size=0), "", reason="Keras takes 0 for the default, 32"),
    Wrong("epochs -1", fit(epochs=-1), "", reason="Keras does nothing"),
    Wrong("split -0.1", fit(validation_split=-0.1), "", reason="Keras trains on other samples"),
    Wrong("split 1.5", fit(validation_split=1.5), "", reason="Keras trains on a slice"),
    Wrong(
        "validation_freq 0",
        fit(validation_data=(X, Y), validation_freq=0),
        "",
        reason="Keras divides by zero, after the first epoch",
    ),
    Wrong(
        "weights (N, 2)",
        fit(sample_weight=np.ones((10, 2), np.float32)),
        "",
        reason="in Keras, TensorFlow raises its own error in the first step",
    ),
    Wrong(
        "a class too many",
        lambda ns, model: (
            model.compile("sgd", SPARSE, run_eagerly=True),
            model.fit(X, C + 1, verbose=0),
        ),
        "labels: expected whole numbers from 0 to 3",
        reason="in Keras, TensorFlow raises its own error in the step that meets it",
    ),
    Wrong(
        "half a class",
        lambda ns, model: (
            model.compile("sgd", SPARSE, run_eagerly=True),
            model.fit(X, C * 0.5, verbose=0),
        ),
        "labels: expected whole numbers",
        reason="Keras cuts off the fraction",
    ),
    Wrong("shuffle 'foo'", fit(shuffle="foo"), "", reason="Keras takes any word for True"),
    Wrong("class_weight < 0", fit(class_weight={0: -1.0}), "", reason="Keras climbs the loss"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_errors(wrong):
    for side in (minisgd_side(), keras_side()):
        if wrong.reason and side.name == "keras":
            continue
        model = build(side.ns)
        model.compile("sgd", CATEGORICAL, metrics=["accuracy"], run_eagerly=True)
        before = [np.array(w) for w in model.get_weights()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(wrong.error) as raised:
                wrong.act(side.ns, model)
        assert type(raised.value) is wrong.error, side.name
        assert wrong.phrase in str(raised.value), side.name
        if side.name == "minisgd":
            assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("wrong", [w for w in WRONG if w.reason], ids=str)
def test_keras_does_not_refuse_in_this_way(wrong):
    """Where Keras comes to raise ValueError too, the case belongs among the others."""
    ns = keras_side().ns
    model = build(ns)
    model.compile("sgd", CATEGORICAL, metrics=["accuracy"], run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wrong.act(ns, model)
        except Exception as error:
            assert type(error) is not ValueError
