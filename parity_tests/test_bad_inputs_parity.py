"""Rows of the list of bad inputs beside live Keras: what it raises, or that it says nothing.

Its words stand in our message where both raise; where it is silent, or meets with an accident, the
page docs/reference/bad-input.md says so, and this keeps the page true.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minisgd.data import NumericsWarning
from minisgd.parity.sides import keras_side, minisgd_side
from minisgd.parity.small_network import CATEGORICAL, SPARSE, C, W, X, Y, build

pytestmark = pytest.mark.run
NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """A row: what is done with a fresh compiled model, and how either package answers.

    `keras` is the type that Keras raises, or None where it takes the input without a word; `ours`
    the type that minisgd raises, or NumericsWarning, or None. `phrase` stands in both messages.
    """

    id: str
    act: Callable[[Any, Any], Any]
    keras: type[Exception] | None
    ours: type[Exception] | type[Warning] | None
    phrase: str = ""

    def __str__(self) -> str:
        return self.id


def fit(**changes: Any) -> Callable[[Any, Any], Any]:
    """Train for an epoch with some arguments changed."""
    return lambda ns, model: model.fit(**{"x": X, "y": Y, "verbose": 0, **changes})


def sparse(y: Any) -> Callable[[Any, Any], Any]:
    def act(ns: Any, model: Any) -> None:
        model.compile("sgd", SPARSE)
        model.fit(X, y, verbose=0)

    return act


def sgd(**arguments: Any) -> Callable[[Any, Any], Any]:
    return lambda ns, model: ns.optimizers.SGD(**arguments)


def spoiled(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    copy = array.astype(np.float32)
    copy[place] = value
    return copy


def scheduled(value: Any) -> Callable[[Any, Any], Any]:
    def act(ns: Any, model: Any) -> None:
        callback = ns.callbacks.LearningRateScheduler(lambda epoch, lr: value)
        model.fit(X, Y, verbose=0, callbacks=[callback])

    return act


def dense(*arguments: Any, **keywords: Any) -> Callable[[Any, Any], Any]:
    return lambda ns, model: ns.layers.Dense(*arguments, **keywords)


def nan_weights(ns: Any, model: Any) -> None:
    model.set_weights([np.full(np.shape(w), NAN, np.float32) for w in model.get_weights()])
    model.predict(X, verbose=0)


WARNS = NumericsWarning
ROWS = [
    Row("X-01", fit(x=spoiled(X, (5, 3), NAN)), None, WARNS),
    Row("X-06", fit(x=X.astype(object)), ValueError, ValueError, "Invalid dtype: object"),
    Row("X-07", fit(x=X.astype(str)), ValueError, ValueError, "Invalid dtype"),
    Row("X-13", fit(x=(X > 0) * np.int64(2**60)), None, WARNS),
    Row("X-28", fit(y=Y[:-1]), ValueError, ValueError, "Data cardinality is ambiguous."),
    Row("X-31", fit(x=X.astype("datetime64[s]")), ValueError, ValueError, "Invalid dtype"),
    Row("X-33", fit(x=X * np.float32(1e38)), None, WARNS),
    Row("Y-02", fit(y=spoiled(Y, (3, 2), np.inf)), None, WARNS),
    Row("Y-03", fit(y=C), ValueError, ValueError, "must have the same rank (ndim)"),
    Row("Y-04", fit(y=C[:, None]), ValueError, ValueError, "must have the same shape"),
    Row("Y-05", fit(y=Y[:, :3]), ValueError, ValueError, "must have the same shape"),
    Row("Y-06", fit(y=Y * 2), None, WARNS),
    Row("Y-07", fit(y=Y - np.float32(0.5)), None, WARNS),
    Row("Y-11", sparse(np.where(C == 0, 0.7, C)), None, ValueError),
    Row("Y-23", lambda ns, _: ns.utils.to_categorical([-1, 2], 10), None, ValueError),
    Row("Y-24", lambda ns, _: ns.utils.to_categorical([2.9], 10), None, ValueError),
    Row("F-01", fit(batch_size=0), None, ValueError),
    Row("F-05", fit(batch_size=True), None, TypeError),
    Row("F-10", fit(epochs=0), None, None),
    Row("F-11", fit(epochs=-1), None, ValueError),
    Row("F-14", fit(initial_epoch=5, epochs=3), None, UserWarning),
    Row("F-15", fit(initial_epoch=-2), None, ValueError),
    Row("F-20", fit(validation_split=NAN), ValueError, ValueError),
    Row("F-24", fit(class_weight={0: NAN}), None, ValueError),
    Row("F-25", fit(class_weight={0: -1.0}), None, ValueError),
    Row("F-26", fit(class_weight={"0": 2.0}), None, ValueError),
    Row("F-30", fit(sample_weight=-W - 1), None, WARNS),
    Row("F-34", fit(shuffle="yes"), None, ValueError),
    Row("F-36", fit(verbose=7), None, ValueError),
    Row("F-39", fit(validation_data=(X, Y), validation_freq=0), ZeroDivisionError, ValueError),
    Row("F-45", lambda ns, m: m.evaluate(X, Y, batch_size=0, verbose=0), None, ValueError),
    Row("O-01", sgd(learning_rate=-0.1), None, ValueError),
    Row("O-02", sgd(learning_rate=NAN), None, ValueError),
    Row("O-03", sgd(learning_rate=np.inf), None, ValueError),
    Row("O-06", sgd(learning_rate=None), ValueError, ValueError, "Argument `learning_rate` should"),
    Row("O-10", sgd(momentum=1.5), ValueError, ValueError, "`momentum` must be a float between"),
    Row("O-12", sgd(momentum=NAN), None, ValueError),
    Row("O-14", sgd(momentum=1), ValueError, ValueError, "`momentum` must be a float between"),
    Row("O-16", sgd(nesterov="yes", momentum=0.9), None, ValueError),
    Row("O-18", sgd(clipnorm=0.0), None, ValueError),
    Row("O-19", sgd(clipnorm=NAN), None, ValueError),
    Row("O-23", sgd(weight_decay=-0.1), None, ValueError),
    Row("O-24", sgd(weight_decay=NAN), None, ValueError),
    Row("O-26", sgd(use_ema=True, ema_overwrite_frequency=0), None, ValueError),
    Row("O-27", sgd(gradient_accumulation_steps=0), None, ValueError),
    Row("O-36", scheduled(None), ValueError, ValueError, "schedule` function should be a float"),
    Row("O-37", scheduled(NAN), None, ValueError),
    Row("O-38", scheduled(-1.0), None, ValueError),
    Row("L-04", dense("64"), ValueError, ValueError, "Received an invalid value for `units`"),
    Row("L-05", dense(True), None, ValueError),
    Row("L-07", dense(3, "rleu"), ValueError, ValueError, "Could not interpret activation"),
    Row(
        "L-08",
        dense(3, kernel_initializer="glorot"),
        ValueError,
        ValueError,
        "Could not interpret initializer identifier: ",
    ),
    Row("L-10", lambda ns, _: ns.layers.Input((-1,)), ValueError, ValueError, "Cannot convert '"),
    Row("L-11", lambda ns, _: ns.layers.Input(784), ValueError, None),
    Row("L-18", nan_weights, None, WARNS),
    Row(
        "a name with a slash", dense(3, name="a/b"), ValueError, ValueError, "Argument `name` must"
    ),
    Row("a name of no word", dense(3, name=5), ValueError, ValueError, "Argument `name` must be"),
]


def answer(side: Any, row: Row) -> tuple[type | None, str]:
    """What an act ends in: the type and text of an error or of the first warning, or nothing."""
    model = build(side.ns)
    model.compile("sgd", CATEGORICAL, run_eagerly=True)
    before = [np.array(w) for w in model.get_weights()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            row.act(side.ns, model)
        except Exception as error:
            if side.name == "minisgd":
                assert all(map(np.array_equal, before, model.get_weights()))
            return type(error), str(error)
    caught = [w for w in caught if issubclass(w.category, UserWarning)]
    assert len(caught) <= 1, [str(w.message) for w in caught]
    return (caught[0].category, str(caught[0].message)) if caught else (None, "")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rows(row):
    kind, text = answer(keras_side(), row)
    assert kind is row.keras
    assert row.phrase in text
    kind, text = answer(minisgd_side(), row)
    assert kind is row.ours, text
    assert row.phrase in text
