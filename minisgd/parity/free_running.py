"""Run ``fit`` on both sides from the seed alone and compare everything that it leaves behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity import tolerances
from minisgd.parity.compare import compare
from minisgd.parity.orders import epoch_order
from minisgd.parity.report import Ledger
from minisgd.parity.scripts import (
    BATCH_SIZE,
    Data,
    Scheduler,
    Script,
    keras_scheduler,
    load_data,
    tensorflow_scheduler,
)
from minisgd.parity.sides import (
    Side,
    State,
    keras_side,
    minisgd_side,
    pre_activation,
    step_function,
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Run:
    """What one side's `fit` left behind.

    Attributes
    ----------
    state : State
        Weights and optimizer variables at the end.
    batch_logs : dict of str to numpy.ndarray, float64, shape (steps,)
        The logs of every `on_train_batch_end`.
    history : dict of str to list of float
        `History.history`.
    test_loss, test_accuracy : float
        From `evaluate` on the test images.
    predictions : numpy.ndarray, float32, shape (10000, 10)
        From `predict` on the test images.
    """

    state: State
    batch_logs: dict[str, Array]
    history: dict[str, list[float]]
    test_loss: float
    test_accuracy: float
    predictions: Array


def train(
    side: Side, script: Script, seed: int, data: Data, *, epochs: int, scheduler: Scheduler
) -> Run:
    """Seed one side, train it with `fit` and collect what it leaves.

    Parameters
    ----------
    side : Side
        The package.
    script : Script
        What to train.
    seed : int
        Seeds weights and order.
    data : Data
        Images and labels.
    epochs : int
        How many.
    scheduler : callable
        For the third script.

    Returns
    -------
    Run
        The results.
    """
    records: list[dict[str, float]] = []

    class Recorder(side.ns.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            records.append(dict(logs))

    model = script.start(side.ns, seed)
    history = model.fit(
        data.x_train,
        data.y_train,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        verbose=0,
        callbacks=[*script.callbacks(side.ns, scheduler), Recorder()],
    )
    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    return Run(
        state=State.of(model),
        batch_logs={
            key: np.array([record[key] for record in records], dtype=np.float64)
            for key in records[0]
        },
        history=dict(history.history),
        test_loss=float(loss),
        test_accuracy=float(accuracy),
        predictions=np.asarray(model.predict(data.x_test, verbose=0)),
    )


def run(
    script: Script,
    seed: int,
    *,
    bits: bool,
    epochs: int = 1,
    ours: Side | None = None,
    theirs: Side | None = None,
) -> Ledger:
    """Compare two whole runs of `fit` that share nothing but script, data and seed.

    Compared are the logs of every batch, History with the order of its keys, weights,
    velocities, test loss and accuracy, and the predictions for the test images. In tolerance
    mode, weights that part by more than `tolerances.RUN_WEIGHTS` are excused only by a ReLU
    mask mismatch, which is then searched for and reported.

    Parameters
    ----------
    script : Script
        What to train.
    seed : int
        Seeds weights and order on both sides.
    bits : bool
        Demand equality, or allow the tolerances for whole runs.
    epochs : int
        How many.
    ours, theirs : Side, optional
        minisgd and Keras; another pair is for tests of the comparison itself.

    Returns
    -------
    Ledger
        All comparisons.
    """
    ours, theirs = ours or minisgd_side(), theirs or keras_side()
    data = load_data(theirs.ns)
    our_scheduler = tensorflow_scheduler if ours.name == "minisgd" else keras_scheduler
    mine = train(ours, script, seed, data, epochs=epochs, scheduler=our_scheduler)
    reference = train(theirs, script, seed, data, epochs=epochs, scheduler=keras_scheduler)
    ledger = Ledger(bits)
    parted = not bits and _weights_parted(mine.state, reference.state)
    mismatch = first_mask_mismatch(script, seed, ours, theirs, epochs=epochs) if parted else ""
    if mismatch:
        ledger.events.append(mismatch)

    keys = np.array([list(mine.history) == list(reference.history)])
    ledger.check("the run", "History keys", keys, np.array([True]))
    for key, values in reference.batch_logs.items():
        _check_figure(ledger, f"batch log {key}", key, mine.batch_logs[key], values)
    for key, history in reference.history.items():
        mine_history = np.array(mine.history[key], dtype=np.float64)
        _check_figure(ledger, f"History {key}", key, mine_history, np.array(history, np.float64))
    for name, value in reference.state.optimizer.items():
        if name.startswith("velocity"):
            if not mismatch:
                velocity = mine.state.optimizer[name]
                ledger.check("the end", name, velocity, value, (tolerances.VELOCITY,))
        else:
            ledger.check("the end", name, mine.state.optimizer[name], value)
    for name, value in reference.state.weights.items():
        if not mismatch:
            weight = mine.state.weights[name]
            ledger.check("the end", name, weight, value, (tolerances.RUN_WEIGHTS,))
    _check_figure(
        ledger, "test loss", "loss", np.float64(mine.test_loss), np.float64(reference.test_loss)
    )
    _check_figure(
        ledger,
        "test accuracy",
        "accuracy",
        np.float64(mine.test_accuracy),
        np.float64(reference.test_accuracy),
    )
    if not mismatch:
        ledger.check(
            "the end",
            "predictions",
            mine.predictions,
            reference.predictions,
            (tolerances.ACTIVATION,),
        )
    return ledger


def _check_figure(ledger: Ledger, name: str, key: str, ours: Any, theirs: Any) -> None:
    """Losses by relative difference, accuracies by points, anything else (rates) equal."""
    bounds = (tolerances.EQUAL,)
    if key.endswith("loss"):
        bounds = (tolerances.RUN_LOSS,)
    elif key.endswith("accuracy"):
        bounds = (tolerances.RUN_ACCURACY,)
    ledger.check("the run", name, ours, theirs, bounds)


def _weights_parted(mine: State, reference: State) -> bool:
    return any(
        not tolerances.RUN_WEIGHTS.holds(compare(name, mine.weights[name], value).rel_frobenius)
        for name, value in reference.weights.items()
    )


def first_mask_mismatch(
    script: Script, seed: int, ours: Side, theirs: Side, *, epochs: int = 1
) -> str:
    """Train both sides from the seed, step by step, up to the first ReLU mask mismatch.

    A mismatch is a sample and a unit whose pre-activation is positive on one side only. From
    there on the two runs part, whatever the quality of their arithmetic.

    Parameters
    ----------
    script : Script
        What to train; its scheduler is not run, hence `epochs` is at most 5 for the third.
    seed : int
        Seeds weights and order.
    ours, theirs : Side
        The two packages.
    epochs : int
        How far to look.

    Returns
    -------
    str
        Step, sample, unit and both pre-activations in words; "" if there is no mismatch, or
        if the weights had parted before it (then the mismatch explains nothing).
    """
    data = load_data(theirs.ns)
    order = epoch_order(len(data.x_train), seed)
    models = [script.start(side.ns, seed) for side in (ours, theirs)]
    forwards = [
        _hidden_pre_activation(side, model)
        for side, model in zip((ours, theirs), models, strict=True)
    ]
    trainers = [
        step_function(side, model) for side, model in zip((ours, theirs), models, strict=True)
    ]
    steps = math.ceil(len(order) / BATCH_SIZE)
    for step in range(epochs * steps):
        rows = order[(step % steps) * BATCH_SIZE : (step % steps + 1) * BATCH_SIZE]
        x, y = data.x_train[rows], data.y_train[rows]
        mine, reference = (forward(x) for forward in forwards)
        unequal = (mine > 0) != (reference > 0)
        if unequal.any():
            if _weights_parted(*(State.of(model) for model in models)):
                return ""
            sample, unit = (int(i) for i in np.argwhere(unequal)[0])
            return (
                f"first ReLU mask mismatch: step {step}, sample {sample} of the batch, unit "
                f"{unit}, pre-activation ours {mine[sample, unit]:.9g}, Keras's "
                f"{reference[sample, unit]:.9g}; no tolerance for weights from there on"
            )
        for train_one in trainers:
            train_one(x, y)
    return ""


def _hidden_pre_activation(side: Side, model: Any) -> Callable[[Array], Array]:
    hidden = model.layers[0]
    compiled = side.compiled(lambda x: pre_activation(side, hidden, x))
    return lambda x: np.asarray(compiled(side.tensor(x)))
