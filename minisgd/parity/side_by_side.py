"""Run `fit` on both sides from the seed alone, and compare all that it leaves, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity import tolerances
from minisgd.parity.cases import Case
from minisgd.parity.report import Ledger
from minisgd.parity.sides import Side, copies, keras_side, minisgd_side
from minisgd.parity.tolerances import Tolerance

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
        callbacks=[*case.callbacks(side.ns), Recorder()],
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


def compare(ours: Traces, theirs: Traces, bits: bool = True) -> Ledger:
    """Compare two sides' traces.

    Parameters
    ----------
    ours, theirs : Traces
    bits : bool
        Demand equality of everything. Without it losses and accuracies have the tolerances of
        whole runs; weights, optimizer and predictions have none that is honest.

    Returns
    -------
    Ledger
        All comparisons; batch logs first, then weights: the order in which a mistake shows.
    """
    ledger = Ledger(bits)
    for key, values in theirs.batch_logs.items():
        ledger.check("the run", f"batch log {key}", ours.batch_logs[key], values, _bounds(key))
    if bits:
        for kind in ("weights", "optimizer"):
            _compare_epochs(ledger, kind, getattr(ours, kind), getattr(theirs, kind))
        ledger.check("the end", "predict", ours.predictions, theirs.predictions)
    keys = np.array([list(ours.history) == list(theirs.history)])
    ledger.check("the end", "History keys", keys, np.array([True]))
    for key, values in theirs.history.items():
        ledger.check("the end", f"History {key}", ours.history[key], values, _bounds(key))
    for key, mine, reference in zip(
        ("loss", "accuracy"), ours.evaluation, theirs.evaluation, strict=True
    ):
        ledger.check("the end", f"evaluate {key}", mine, reference, _bounds(key))
    return ledger


def _compare_epochs(
    ledger: Ledger, kind: str, ours: list[list[Array]], theirs: list[list[Array]]
) -> None:
    for epoch, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        for a, b in zip(mine, reference, strict=True):
            ledger.check(f"epoch {epoch}", kind, a, b)


def _bounds(key: str) -> tuple[Tolerance, ...]:
    if key.endswith("loss"):
        return (tolerances.RUN_LOSS,)
    return (tolerances.RUN_ACCURACY if key.endswith("accuracy") else tolerances.EQUAL,)


def run(case: Case, seed: int, numerics: str = "", bits: bool = True) -> Ledger:
    """Train both packages and compare.

    Parameters
    ----------
    case : Case
    seed : int
        Seeds both.
    numerics : str
        For minisgd's `compile`; TensorFlow's setting is this process's.
    bits : bool
        See `compare`.
    """
    ours = train(minisgd_side(), case, seed, numerics)
    return compare(ours, train(keras_side(), case, seed), bits)
