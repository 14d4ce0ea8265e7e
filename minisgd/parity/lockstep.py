"""Train both packages side by side, ours reset to Keras's state before every compared step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity import tolerances
from minisgd.parity.causes import check_alone, likely_cause
from minisgd.parity.compare import compare
from minisgd.parity.evidence import Evidence, step_values
from minisgd.parity.orders import epoch_order, observed_orders
from minisgd.parity.report import Ledger
from minisgd.parity.scripts import (
    BATCH_SIZE,
    Script,
    Watch,
    keras_scheduler,
    load_data,
    unwatched,
)
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
    epochs: int = 1,
    batch_size: int = BATCH_SIZE,
    ours: Side | None = None,
    theirs: Side | None = None,
    watch: Watch = unwatched,
) -> Ledger:
    """Compare every value of some steps of a run, each from Keras's own state.

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
    epochs : int
        How many; steps are counted from 0 through all of them.
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
    data = load_data(theirs.ns)
    their_model, our_model = script.start(theirs.ns, seed), script.start(ours.ns, seed)
    ledger = Ledger(bits)
    for name, initial in State.of(their_model).weights.items():
        check_alone(
            ledger, "the start", f"initial {name}", State.of(our_model).weights[name], initial
        )
    check_alone(ledger, "the start", "one-hot labels", load_data(ours.ns).y_train, data.y_train)
    # Seeded, the order of the second epoch is that of all later ones.
    orders = observed_orders(
        ours, len(data.x_train), seed, epochs=min(epochs, 2), batch_size=batch_size
    )
    # Keras's does not depend on the size of the batches, and few are quicker.
    their_orders = observed_orders(
        theirs, len(data.x_train), seed, epochs=min(epochs, 2), batch_size=max(2000, batch_size)
    )
    for mine, reference in zip(orders, their_orders, strict=True):
        check_alone(ledger, "the start", "order of samples", mine, reference)
    if not ledger.passed:
        return ledger

    in_epoch = math.ceil(len(data.x_train) / batch_size)
    pair = _StepPair(ours, theirs, our_model, their_model, ledger, data.x_train)
    train_theirs = step_function(theirs, their_model)
    compared = 0
    for step in range(epochs * in_epoch):
        epoch, batch = divmod(step, in_epoch)
        if not batch:
            script.begin_epoch(theirs.ns, their_model, epoch, keras_scheduler)
            script.begin_epoch(ours.ns, our_model, epoch, keras_scheduler)
            our_rate, their_rate = (
                State.of(model).optimizer["learning rate"] for model in (our_model, their_model)
            )
            check_alone(ledger, f"step {step}", "learning rate", our_rate, their_rate)
        rows = orders[min(epoch, 1)][batch * batch_size : (batch + 1) * batch_size]
        x, y = data.x_train[rows], data.y_train[rows]
        if is_compared(step):
            pair.compare(f"step {step}", x, y)
            compared += 1
            if ledger.divergence:
                return ledger
        else:
            train_theirs(x, y)
        watch("lockstep", step + 1, epochs * in_epoch)
    ledger.require(
        tolerances.MASK_STEPS,
        # Fewer than 1,000 steps may still meet one such step.
        pair.mask_steps * 1000 / max(compared, 1000),
        "steps with differing ReLU masks per 1,000",
    )
    ledger.check_medians()
    return ledger


class _StepPair:
    """Both models, and one compared step at a time."""

    def __init__(
        self,
        ours: Side,
        theirs: Side,
        our_model: Any,
        their_model: Any,
        ledger: Ledger,
        images: Array,
    ) -> None:
        self.side = ours
        self.our_model, self.their_model = our_model, their_model
        self.our_trace = trace_function(ours, our_model)
        self.their_trace = trace_function(theirs, their_model)
        self.ledger = ledger
        self.images = images
        self.mask_steps = 0
        self.given: dict[str, Array] = {}

    def compare(self, where: str, x: Array, y: Array) -> None:
        """Reset ours to Keras's state, run one step on both sides, compare everything."""
        before = State.of(self.their_model)
        before.restore(self.our_model)
        self.given = {}
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
        after, our_after = State.of(self.their_model), State.of(self.our_model)
        if not exempt:
            self._compare_state(where, our_after, after)
        self.ledger.check(
            where, "log names", np.array([*our_logs] == [*their_logs]), np.array(True)
        )
        for key, value in their_logs.items():
            name = f"log {key}"
            ours = np.float64(our_logs[key])
            self.ledger.check(where, name, ours, np.float64(value), tolerances.STEP[name])
        self._compare_update(where, before, reference, after)
        if self.ledger.divergence:
            self._explain(
                step_values(before, y, mine, our_after),
                step_values(before, y, reference, after),
                {f"log {key}": np.array(our_logs[key]) for key in their_logs},
                {f"log {key}": np.array(value) for key, value in their_logs.items()},
            )

    def _explain(
        self,
        mine: dict[str, Array],
        reference: dict[str, Array],
        our_logs: dict[str, Array],
        their_logs: dict[str, Array],
    ) -> None:
        """Name the likely cause of the divergence of the step just compared."""
        if self.ledger.divergence is None:
            return
        evidence = Evidence(
            mine | our_logs,
            reference | their_logs,
            self.given,
            self.images,
            float(self.our_model.optimizer.momentum),
            bool(self.our_model.optimizer.nesterov),
        )
        self.ledger.explain(likely_cause(self.ledger.divergence.difference.name, evidence))

    def _check_given(
        self,
        where: str,
        name: str,
        ours: Array,
        theirs: Array,
        bounds: tuple[tolerances.Tolerance, ...] = (tolerances.EQUAL,),
    ) -> None:
        self.given[name] = ours
        self.ledger.check(where, name, ours, theirs, bounds)

    def _compare_state(self, where: str, mine: State, after: State, suffix: str = "") -> None:
        for name, value in (*after.optimizer.items(), *after.weights.items()):
            ours = mine.weights[name] if name in WEIGHTS else mine.optimizer[name]
            kind = "weight" if name in WEIGHTS else name.split(" W")[0].split(" b")[0]
            if suffix:
                self._check_given(where, f"new {name}{suffix}", ours, value)
            else:
                self.ledger.check(where, f"new {name}", ours, value, tolerances.STEP[kind])

    def _compare_given(self, where: str, y: Array, reference: dict[str, Array]) -> None:
        """Compare relu, softmax, loss and its gradient from Keras's own inputs."""
        side = self.side
        h = self.our_model.layers[0].activation(side.tensor(reference["z1"]))
        self._check_given(where, "h given z1", np.asarray(h), reference["h"])
        logits = side.tensor(reference["logits"])
        with side.tape() as tape:
            tape.watch(logits)
            p = self.our_model.layers[1].activation(logits)
            loss = side.ns.losses.CategoricalCrossentropy()(side.tensor(y), p)
        dlogits = tape.gradient(loss, logits)
        for name, value in (("p", p), ("loss", loss), ("dlogits", dlogits)):
            # The probabilities are oneDNN's: the sum of a row follows the vectors' width.
            bounds = tolerances.STEP["p"] if name == "p" else (tolerances.EQUAL,)
            self._check_given(
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
        self._compare_state(where, State.of(self.our_model), after, " given gradients")

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
