"""Train both packages side by side, ours reset to Keras's state before every compared step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity import tolerances
from minisgd.parity.compare import compare
from minisgd.parity.orders import epoch_order, observed_orders
from minisgd.parity.report import Ledger
from minisgd.parity.scripts import BATCH_SIZE, Script, load_data
from minisgd.parity.sides import (
    WEIGHTS,
    Side,
    State,
    keras_side,
    minisgd_side,
    step_function,
    trace_function,
)

Array = npt.NDArray[Any]
FIRST_STEPS = 200
INTERVAL = 100


def is_compared(step: int) -> bool:
    """Return whether a step (0-based) is compared: the first 200, then every 100th."""
    return step < FIRST_STEPS or step % INTERVAL == 0


def run(
    script: Script,
    seed: int,
    *,
    bits: bool,
    steps: int | None = None,
    ours: Side | None = None,
    theirs: Side | None = None,
) -> Ledger:
    """Compare every value of the steps of one epoch, each from Keras's own state.

    Between compared steps only Keras trains. At a compared step the values are checked in the
    order of computation: x, z1, h, logits, p, loss, dlogits, dW2, db2, dh, dW1, db1,
    velocities, weights, logs. In addition what stands behind no matrix product is computed
    from Keras's own inputs ("h given z1") and must be equal whatever the mode; only softmax's
    probabilities, which no gradient depends on, keep their tolerance.

    Parameters
    ----------
    script : Script
        What to train.
    seed : int
        Seeds weights and order on both sides.
    bits : bool
        Demand equality everywhere, or allow `minisgd.parity.tolerances.STEP`.
    steps : int, optional
        How many steps of the epoch to run; default the whole epoch.
    ours, theirs : Side, optional
        minisgd and Keras; another pair is for tests of the comparison itself.

    Returns
    -------
    Ledger
        All comparisons.
    """
    ours, theirs = ours or minisgd_side(), theirs or keras_side()
    data = load_data(theirs.ns)
    order = epoch_order(len(data.x_train), seed)
    their_model, our_model = script.start(theirs.ns, seed), script.start(ours.ns, seed)
    ledger = Ledger(bits)
    for name, initial in State.of(their_model).weights.items():
        ledger.check("the start", f"initial {name}", State.of(our_model).weights[name], initial)
    ledger.check("the start", "one-hot labels", load_data(ours.ns).y_train, data.y_train)
    (their_order,) = observed_orders(theirs, len(order), seed, batch_size=2000)
    ledger.check("the start", "order of samples", order, their_order)
    if not ledger.passed:
        return ledger

    total = math.ceil(len(order) / BATCH_SIZE)
    step_pair = _StepPair(ours, theirs, our_model, their_model, ledger)
    train_theirs = step_function(theirs, their_model)
    compared = 0
    for step in range(total if steps is None else steps):
        rows = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        x, y = data.x_train[rows], data.y_train[rows]
        if is_compared(step):
            step_pair.compare(f"step {step}", x, y)
            compared += 1
            if ledger.divergence:
                return ledger
        else:
            train_theirs(x, y)
    ledger.require(
        tolerances.MASK_STEPS,
        # Fewer than 1,000 steps may still meet one such step.
        step_pair.mask_steps * 1000 / max(compared, 1000),
        "steps with differing ReLU masks per 1,000",
    )
    ledger.check_medians()
    return ledger


class _StepPair:
    """Both models, and one compared step at a time."""

    def __init__(
        self, ours: Side, theirs: Side, our_model: Any, their_model: Any, ledger: Ledger
    ) -> None:
        self.side = ours
        self.our_model, self.their_model = our_model, their_model
        self.our_trace = trace_function(ours, our_model)
        self.their_trace = trace_function(theirs, their_model)
        self.ledger = ledger
        self.mask_steps = 0

    def compare(self, where: str, x: Array, y: Array) -> None:
        """Reset ours to Keras's state, run one step on both sides, compare everything."""
        before = State.of(self.their_model)
        before.restore(self.our_model)
        mine, reference = self.our_trace(x, y), self.their_trace(x, y)
        exempt = self._mask_differs(where, x, before, mine["z1"], reference["z1"])
        for name, value in reference.items():
            # Behind a differing mask lie the gradients of the hidden layer alone: h itself is
            # within its bound on either side of the kink.
            if not (exempt and name in ("dW1", "db1")):
                self.ledger.check(where, name, mine[name], value, tolerances.STEP[name])
        self._compare_given(where, y, reference)

        their_logs = self.their_model.train_on_batch(x, y, return_dict=True)
        our_logs = self.our_model.train_on_batch(x, y, return_dict=True)
        after = State.of(self.their_model)
        if not exempt:
            self._compare_state(where, after)
        self.ledger.check(
            where, "log names", np.array([*our_logs] == [*their_logs]), np.array(True)
        )
        for key, value in their_logs.items():
            name = f"log {key}"
            ours = np.float64(our_logs[key])
            self.ledger.check(where, name, ours, np.float64(value), tolerances.STEP[name])
        self._compare_update(where, before, reference, after)

    def _compare_state(self, where: str, after: State, suffix: str = "") -> None:
        mine = State.of(self.our_model)
        for name, value in (*after.optimizer.items(), *after.weights.items()):
            ours = mine.weights[name] if name in WEIGHTS else mine.optimizer[name]
            kind = "weight" if name in WEIGHTS else name.split(" W")[0].split(" b")[0]
            bounds = (tolerances.EQUAL,) if suffix else tolerances.STEP[kind]
            self.ledger.check(where, f"new {name}{suffix}", ours, value, bounds)

    def _compare_given(self, where: str, y: Array, reference: dict[str, Array]) -> None:
        """Compare relu, softmax, loss and its gradient from Keras's own inputs."""
        side = self.side
        h = self.our_model.layers[0].activation(side.tensor(reference["z1"]))
        self.ledger.check(where, "h given z1", np.asarray(h), reference["h"])
        logits = side.tensor(reference["logits"])
        with side.tape() as tape:
            tape.watch(logits)
            p = self.our_model.layers[1].activation(logits)
            loss = side.ns.losses.CategoricalCrossentropy()(side.tensor(y), p)
        dlogits = tape.gradient(loss, logits)
        for name, value in (("p", p), ("loss", loss), ("dlogits", dlogits)):
            # The probabilities are oneDNN's: the sum of a row follows the vectors' width.
            bounds = tolerances.STEP["p"] if name == "p" else (tolerances.EQUAL,)
            self.ledger.check(
                where, f"{name} given logits", np.asarray(value), reference[name], bounds
            )

    def _compare_update(
        self, where: str, before: State, reference: dict[str, Array], after: State
    ) -> None:
        """Compare the update from Keras's own gradients: equal."""
        before.restore(self.our_model)
        gradients = [self.side.tensor(reference[f"d{name}"]) for name in WEIGHTS]
        self.our_model.optimizer.apply_gradients(
            zip(gradients, self.our_model.trainable_variables, strict=True)
        )
        self._compare_state(where, after, " given gradients")

    def _mask_differs(self, where: str, x: Array, before: State, mine: Array, z: Array) -> bool:
        """Note a step whose ReLU masks differ; it is exempt where z is zero to rounding."""
        unequal = (mine > 0) != (z > 0)
        if self.ledger.bits or not unequal.any():
            return False
        sample, unit = (int(i) for i in np.argwhere(unequal)[0])
        exact = x.astype(np.float64) @ before.weights["W1"].astype(np.float64)
        exact += before.weights["b1"]
        farthest = float(np.max(np.abs(exact[unequal])))
        self.mask_steps += 1
        self.ledger.events.append(
            f"ReLU masks differ at {where}: sample {sample}, unit {unit}, ours "
            f"{mine[sample, unit]:.9g}, Keras's {z[sample, unit]:.9g}, "
            f"float64 {exact[sample, unit]:.9g}"
        )
        self.ledger.require(tolerances.MASK_NEAR_ZERO, farthest, f"ReLU mask at {where}")
        return tolerances.MASK_NEAR_ZERO.holds(farthest)


def bits_after(script: Script, seed: int, steps: int, ours: Side, theirs: Side) -> str:
    """Train both from the seed without any reset and say what differs first, "" if nothing.

    Parameters
    ----------
    script : Script
        What to train.
    seed : int
        Seeds weights and order.
    steps : int
        How many batches of the first epoch.
    ours, theirs : Side
        The two packages.

    Returns
    -------
    str
        The first tensor of the state whose bits differ, in words.
    """
    data = load_data(theirs.ns)
    order = epoch_order(len(data.x_train), seed)
    models = [script.start(side.ns, seed) for side in (ours, theirs)]
    for step in range(steps):
        rows = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        for model in models:
            model.train_on_batch(data.x_train[rows], data.y_train[rows])
    mine, reference = (State.of(model) for model in models)
    for name, value in (*reference.weights.items(), *reference.optimizer.items()):
        ours_value = mine.weights[name] if name in WEIGHTS else mine.optimizer[name]
        difference = compare(name, ours_value, value)
        if not difference.equal:
            return str(difference)
    return ""
