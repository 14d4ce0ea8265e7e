"""Run `fit` on both sides from the seed alone, and compare all that it leaves, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity.cases import Case
from minisgd.parity.report import Ledger
from minisgd.parity.sides import Side, copies, keras_side, minisgd_side

Array = npt.NDArray[Any]
EVALUATED = 10_000


@dataclass(frozen=True)
class Traces:
    """What one side's `fit` did.

    Attributes
    ----------
    weights, optimizer : list of list of numpy.ndarray
        All weights and all variables of the optimizer, after each epoch and after `fit`.
    batch_logs : dict of str to numpy.ndarray, float64
        The logs of every `on_train_batch_end`.
    history : dict of str to numpy.ndarray, float64
    evaluation : numpy.ndarray, float64
        What `evaluate` returned.
    predictions : numpy.ndarray, float32
    """

    weights: list[list[Array]]
    optimizer: list[list[Array]]
    batch_logs: dict[str, Array]
    history: dict[str, Array]
    evaluation: Array
    predictions: Array


def train(side: Side, case: Case, seed: int, numerics: str = "") -> Traces:
    """Seed one side, train it with `fit`, and collect what it did.

    Parameters
    ----------
    side : Side
    case : Case
    seed : int
    numerics : str
        For minisgd's `compile`.
    """
    logged: list[dict[str, float]] = []
    weights: list[list[Array]] = []
    variables: list[list[Array]] = []

    def snapshot(model: Any) -> None:
        weights.append(copies(model.get_weights()))
        variables.append(copies([v.numpy() for v in model.optimizer.variables]))

    class Recorder(side.ns.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            logged.append(dict(logs))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            snapshot(self.model)

    model = case.start(side.ns, seed, numerics)
    arguments, (x_test, y_test) = case.data(side.ns)
    history = model.fit(
        **arguments,
        epochs=case.epochs,
        batch_size=case.batch_size,
        verbose=0,
        callbacks=[Recorder()],
        **case.fit,
    )
    snapshot(model)  # averaged weights take their place at the very end of `fit`
    x_test, y_test = x_test[:EVALUATED], y_test[:EVALUATED]
    return Traces(
        weights,
        variables,
        {key: np.array([record[key] for record in logged]) for key in logged[0]},
        {key: np.array(values, np.float64) for key, values in history.history.items()},
        np.array(model.evaluate(x_test, y_test, batch_size=case.batch_size, verbose=0)),
        np.asarray(model.predict(x_test, batch_size=case.batch_size, verbose=0)),
    )


def compare(ours: Traces, theirs: Traces) -> Ledger:
    """Compare two sides' traces: every value must have the same bits."""
    ledger = Ledger(bits=True)
    for key, values in theirs.batch_logs.items():
        ledger.check("the run", f"batch log {key}", ours.batch_logs[key], values)
    for epoch, (mine, reference) in enumerate(zip(ours.weights, theirs.weights, strict=True)):
        for a, b in zip(mine, reference, strict=True):
            ledger.check(f"epoch {epoch}", "weights", a, b)
    for epoch, (mine, reference) in enumerate(zip(ours.optimizer, theirs.optimizer, strict=True)):
        for a, b in zip(mine, reference, strict=True):
            # The count of iterations is an int64 in both, but for Keras a variable like others.
            ledger.check(f"epoch {epoch}", "optimizer", a.astype(b.dtype), b)
    keys = np.array([list(ours.history) == list(theirs.history)])
    ledger.check("the end", "History keys", keys, np.array([True]))
    for key, values in theirs.history.items():
        ledger.check("the end", f"History {key}", ours.history[key], values)
    ledger.check("the end", "evaluate", ours.evaluation, theirs.evaluation)
    ledger.check("the end", "predict", ours.predictions, theirs.predictions)
    return ledger


def run(case: Case, seed: int, numerics: str = "") -> Ledger:
    """Train both packages and compare.

    Parameters
    ----------
    case : Case
    seed : int
        Seeds both.
    numerics : str
        For minisgd's `compile`; TensorFlow's setting is this process's.

    Returns
    -------
    Ledger
        All comparisons; batch logs first, then weights: the order in which a mistake shows.
    """
    return compare(train(minisgd_side(), case, seed, numerics), train(keras_side(), case, seed))
