"""Run ``fit`` on both sides from the seed alone and compare everything that it leaves behind."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity import tolerances
from minisgd.parity.causes import check_alone
from minisgd.parity.compare import compare, differing_positions
from minisgd.parity.localise import Fit, first_differing_step
from minisgd.parity.orders import epoch_order
from minisgd.parity.report import Ledger
from minisgd.parity.scripts import (
    BATCH_SIZE,
    Data,
    Scheduler,
    Script,
    Watch,
    keras_scheduler,
    load_data,
    tensorflow_scheduler,
    unwatched,
)
from minisgd.parity.sides import (
    WEIGHTS,
    Side,
    State,
    keras_side,
    minisgd_side,
    pre_activation,
    step_function,
)

Array = npt.NDArray[Any]
OUTSIDE_OF_THE_STEPS = "outside of the training steps"


@dataclass(frozen=True)
class Run:
    """What one side's `fit` left behind.

    Attributes
    ----------
    start : State
        Weights and optimizer variables before the first step.
    epochs : list of State
        The same at the end of every epoch.
    batch_logs : dict of str to numpy.ndarray, float64, shape (steps,)
        The logs of every `on_train_batch_end`.
    history : dict of str to list of float
        `History.history`.
    test_loss, test_accuracy : float
        From `evaluate` on the test images.
    predictions : numpy.ndarray, float32, shape (10000, 10)
        From `predict` on the test images.
    """

    start: State
    epochs: list[State]
    batch_logs: dict[str, Array]
    history: dict[str, list[float]]
    test_loss: float
    test_accuracy: float
    predictions: Array


def train(
    side: Side,
    script: Script,
    seed: int,
    data: Data,
    *,
    epochs: int,
    scheduler: Scheduler,
    batch_size: int = BATCH_SIZE,
    watch: Watch = unwatched,
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
    batch_size : int
        Samples in a step.
    watch : callable
        Told of every step.

    Returns
    -------
    Run
        The results.
    """
    records: list[dict[str, float]] = []
    states: list[State] = []
    total = epochs * math.ceil(len(data.x_train) / batch_size)

    class Recorder(side.ns.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_begin(self, logs: Any = None) -> None:
            states.append(State.of(self.model))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            records.append(dict(logs))
            watch(f"fit of {side.name}", len(records), total)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            states.append(State.of(self.model))

    model = script.start(side.ns, seed)
    history = model.fit(
        data.x_train,
        data.y_train,
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
        callbacks=[*script.callbacks(side.ns, scheduler), Recorder()],
    )
    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    return Run(
        start=states[0],
        epochs=states[1:],
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
    batch_size: int = BATCH_SIZE,
    ours: Side | None = None,
    theirs: Side | None = None,
    watch: Watch = unwatched,
) -> Ledger:
    """Compare two whole runs of `fit` that share nothing but script, data and seed.

    Compared are the initial weights, the logs of every batch, velocities and weights at the end
    of every epoch, History with the order of its keys, test loss and accuracy, and the
    predictions for the test images. Where equality is demanded and not found, both are trained
    once more to find the first step whose values differ (`minisgd.parity.localise`). In
    tolerance mode, weights that part by more than `tolerances.RUN_WEIGHTS` are excused only by
    a ReLU mask mismatch, which is then searched for and reported.

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
    batch_size : int
        Samples in a step.
    ours, theirs : Side, optional
        minisgd and Keras; another pair is for tests of the comparison itself.
    watch : callable
        Told of every step.

    Returns
    -------
    Ledger
        All comparisons.
    """
    ours, theirs = ours or minisgd_side(), theirs or keras_side()
    data, our_labels = load_data(theirs.ns), load_data(ours.ns).y_train
    our_scheduler = tensorflow_scheduler if ours.name == "minisgd" else keras_scheduler
    fits = [
        Fit(ours, script, seed, data, epochs, batch_size, our_scheduler),
        Fit(theirs, script, seed, data, epochs, batch_size, keras_scheduler),
    ]
    mine, reference = (
        train(
            fit.side,
            script,
            seed,
            data,
            epochs=epochs,
            scheduler=fit.scheduler,
            batch_size=batch_size,
            watch=watch,
        )
        for fit in fits
    )
    ledger = Ledger(bits)
    mismatch = None
    if not bits and any(map(_weights_parted, mine.epochs, reference.epochs)):
        mismatch = first_mask_mismatch(
            script, seed, ours, theirs, epochs=epochs, batch_size=batch_size, watch=watch
        )
    if mismatch:
        ledger.events.append(str(mismatch))

    check_alone(ledger, "the start", "one-hot labels", our_labels, data.y_train)
    for name, value in reference.start.weights.items():
        check_alone(ledger, "the start", f"initial {name}", mine.start.weights[name], value)
    steps = math.ceil(len(data.x_train) / batch_size)
    names = np.array([list(mine.batch_logs) == list(reference.batch_logs)])
    ledger.check("step 0", "batch log names", names, np.array([True]))
    for epoch in range(epochs):
        _check_logs(ledger, slice(epoch * steps, (epoch + 1) * steps), mine, reference)
        excused = mismatch is not None and mismatch.step < (epoch + 1) * steps
        _check_state(ledger, epoch, mine.epochs[epoch], reference.epochs[epoch], excused)
    _check_results(ledger, mine, reference, mismatch is not None)
    _explain(ledger, fits, steps, watch)
    return ledger


def _check_logs(ledger: Ledger, part: slice, mine: Run, reference: Run) -> None:
    """Compare one epoch's batch logs; the divergence, if any, names the first step."""
    pairs = {
        key: (mine.batch_logs[key][part], values[part])
        for key, values in reference.batch_logs.items()
        if key in mine.batch_logs
    }
    first = {key: [*differing_positions(*pair), 0][0] + part.start for key, pair in pairs.items()}
    for key in sorted(pairs, key=lambda key: first[key]) if ledger.bits else pairs:
        where = f"step {first[key]}" if ledger.bits else f"the epoch from step {part.start} on"
        _check_figure(ledger, where, f"batch log {key}", key, *pairs[key])


def _check_state(ledger: Ledger, epoch: int, mine: State, reference: State, excused: bool) -> None:
    """Compare velocities and weights at the end of an epoch, unless a mask flip excuses them."""
    where = f"the end of epoch {epoch}"
    for name, value in reference.optimizer.items():
        velocity = name.startswith("velocity")
        if not (velocity and excused):
            bounds = tolerances.VELOCITY if velocity else tolerances.EQUAL
            ledger.check(where, name, mine.optimizer[name], value, (bounds,))
    if not excused:
        for name, value in reference.weights.items():
            ledger.check(where, name, mine.weights[name], value, (tolerances.RUN_WEIGHTS,))


def _check_results(ledger: Ledger, mine: Run, reference: Run, excused: bool) -> None:
    """Compare History, test loss and accuracy, and the predictions."""
    where = "the end"
    keys = np.array([list(mine.history) == list(reference.history)])
    ledger.check(where, "History keys", keys, np.array([True]))
    for key, values in reference.history.items():
        if key in mine.history:
            ours = np.array(mine.history[key], np.float64)
            _check_figure(ledger, where, f"History {key}", key, ours, np.array(values, np.float64))
    for key in ("loss", "accuracy"):
        figures = (np.float64(getattr(run, f"test_{key}")) for run in (mine, reference))
        _check_figure(ledger, where, f"test {key}", key, *figures)
    if not excused:
        bounds = (tolerances.ACTIVATION,)
        ledger.check(where, "predictions", mine.predictions, reference.predictions, bounds)


def _explain(ledger: Ledger, fits: list[Fit], steps: int, watch: Watch) -> None:
    """Replace the divergence by that of the first step that differs, and name its cause."""
    found = ledger.divergence
    if found is None or found.cause:
        return
    if not ledger.bits:
        ledger.explain("not looked for in tolerance mode; --lockstep compares single steps")
        return
    known = re.fullmatch(r"(step|the end of epoch) (\d+)", found.where)
    last = fits[0].epochs * steps - 1
    if known:
        last = int(known[2]) if known[1] == "step" else (int(known[2]) + 1) * steps - 1
    first = first_differing_step(*fits, last=last, watch=watch)
    if first is not None:
        ledger.divergence = first
    elif found.difference.name in (*WEIGHTS, *(f"velocity {name}" for name in WEIGHTS)):
        ledger.explain("not found: both were trained again, and no step differed")
    else:
        ledger.explain(
            f"{OUTSIDE_OF_THE_STEPS}: up to here weights, velocities and learning rates "
            "are equal in bits after every step"
        )


def _check_figure(ledger: Ledger, where: str, name: str, key: str, ours: Any, theirs: Any) -> None:
    """Losses by relative difference, accuracies by points, anything else (rates) equal."""
    bounds = (tolerances.EQUAL,)
    if key.endswith("loss"):
        bounds = (tolerances.RUN_LOSS,)
    elif key.endswith("accuracy"):
        bounds = (tolerances.RUN_ACCURACY,)
    ledger.check(where, name, ours, theirs, bounds)


def _weights_parted(mine: State, reference: State) -> bool:
    return any(
        not tolerances.RUN_WEIGHTS.holds(compare(name, mine.weights[name], value).rel_frobenius)
        for name, value in reference.weights.items()
    )


@dataclass(frozen=True)
class MaskMismatch:
    """A sample and a unit whose pre-activation is positive on one side only.

    Attributes
    ----------
    step, sample, unit : int
        Where: step of the run, sample of its batch, hidden unit.
    ours, theirs : float
        The two pre-activations.
    """

    step: int
    sample: int
    unit: int
    ours: float
    theirs: float

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"first ReLU mask mismatch: step {self.step}, sample {self.sample} of the batch, unit "
            f"{self.unit}, pre-activation ours {self.ours:.9g}, Keras's {self.theirs:.9g}; no "
            "tolerance for weights from there on"
        )


def first_mask_mismatch(
    script: Script,
    seed: int,
    ours: Side,
    theirs: Side,
    *,
    epochs: int = 1,
    batch_size: int = BATCH_SIZE,
    watch: Watch = unwatched,
) -> MaskMismatch | None:
    """Train both sides from the seed, step by step, up to the first ReLU mask mismatch.

    From there on the two runs part, whatever the quality of their arithmetic.

    Parameters
    ----------
    script : Script
        What to train.
    seed : int
        Seeds weights and order.
    ours, theirs : Side
        The two packages.
    epochs : int
        How far to look.
    batch_size : int
        Samples in a step.
    watch : callable
        Told of every step.

    Returns
    -------
    MaskMismatch or None
        None if there is no mismatch, or if the weights had parted before it (then the mismatch
        explains nothing).
    """
    data = load_data(theirs.ns)
    order = epoch_order(len(data.x_train), seed)
    sides = (ours, theirs)
    models = [script.start(side.ns, seed) for side in sides]
    pairs = list(zip(sides, models, strict=True))
    forwards = [_hidden_pre_activation(side, model) for side, model in pairs]
    trainers = [step_function(side, model) for side, model in pairs]
    steps = math.ceil(len(order) / batch_size)
    for step in range(epochs * steps):
        epoch, batch = divmod(step, steps)
        if not batch:
            for side, model in pairs:
                script.begin_epoch(side.ns, model, epoch, keras_scheduler)
        rows = order[batch * batch_size : (batch + 1) * batch_size]
        x, y = data.x_train[rows], data.y_train[rows]
        mine, reference = (forward(x) for forward in forwards)
        unequal = (mine > 0) != (reference > 0)
        if unequal.any():
            if _weights_parted(*(State.of(model) for model in models)):
                return None
            sample, unit = (int(i) for i in np.argwhere(unequal)[0])
            values = float(mine[sample, unit]), float(reference[sample, unit])
            return MaskMismatch(step, sample, unit, *values)
        for train_one in trainers:
            train_one(x, y)
        watch("search for a ReLU mask mismatch", step + 1, epochs * steps)
    return None


def _hidden_pre_activation(side: Side, model: Any) -> Callable[[Array], Array]:
    hidden = model.layers[0]
    compiled = side.compiled(lambda x: pre_activation(side, hidden, x))
    return lambda x: np.asarray(compiled(side.tensor(x)))
