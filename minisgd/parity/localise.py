"""Find the first step at which two runs of ``fit`` part, and compare all of its values.

Both sides are trained again from the seed: once to see after which step their states differ
first, once to keep the states around that step. Its values in between are then computed from
each side's own state and own batch.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity.causes import likely_cause
from minisgd.parity.evidence import Evidence, step_values
from minisgd.parity.orders import observed_batches
from minisgd.parity.report import Divergence, Ledger
from minisgd.parity.scripts import Data, Scheduler, Script, Watch, unwatched
from minisgd.parity.sides import Side, State, trace_function

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Fit:
    """A run of ``fit`` that can be repeated.

    Attributes
    ----------
    side : Side
        The package.
    script : Script
        What to train.
    seed : int
        Seeds weights and order.
    data : Data
        Images and labels.
    epochs, batch_size : int
        As given to `fit`.
    scheduler : callable
        For the third script.
    """

    side: Side
    script: Script
    seed: int
    data: Data
    epochs: int
    batch_size: int
    scheduler: Scheduler

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.data.x_train) / self.batch_size)

    def repeat(self, observe: Any, last: int, watch: Watch) -> None:
        """Train again up to step `last`, and call ``observe(step, when, model)`` around each step.

        `when` is "before" or "after".
        """
        ns, counted = self.side.ns, iter(range(self.epochs * self.steps))

        class Observer(ns.callbacks.Callback):  # type: ignore[misc, name-defined]
            step = 0

            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                self.step = next(counted)
                if self.step <= last:
                    observe(self.step, "before", self.model)

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                if self.step <= last:
                    observe(self.step, "after", self.model)
                    watch(f"fit of {ns.__name__} again", self.step + 1, last + 1)
                if self.step >= last:
                    self.model.stop_training = True

        model = self.script.start(ns, self.seed)
        model.fit(
            self.data.x_train,
            self.data.y_train,
            epochs=self.epochs,
            batch_size=self.batch_size,
            verbose=0,
            callbacks=[*self.script.callbacks(ns, self.scheduler), Observer()],
        )

    def digests(self, last: int, watch: Watch) -> list[bytes]:
        """Train again and return a digest of the state before and after each step."""
        found: list[bytes] = []

        def observe(step: int, when: str, model: Any) -> None:
            digest = hashlib.blake2b(digest_size=16)
            state = State.of(model)
            for value in (*state.optimizer.values(), *state.weights.values()):
                digest.update(value.tobytes())
            found.append(digest.digest())

        self.repeat(observe, last, watch)
        return found

    def values(self, step: int, watch: Watch) -> dict[str, Array]:
        """Train again and return all values of one step, from this side's own state and batch."""
        states: dict[str, State] = {}

        def observe(now: int, when: str, model: Any) -> None:
            if now == step:
                states[when] = State.of(model)

        self.repeat(observe, step, watch)
        epoch, batch = divmod(step, self.steps)
        seen = observed_batches(
            self.side,
            len(self.data.x_train),
            self.seed,
            epochs=epoch + 1,
            batch_size=self.batch_size,
        )
        rows = np.array(seen[epoch][batch])
        x, y = self.data.x_train[rows], self.data.y_train[rows]
        model = self.script.start(self.side.ns, self.seed)
        states["before"].restore(model)
        trace = trace_function(self.side, model)(x, y)
        return step_values(states["before"], y, trace, states["after"])


def first_differing_step(
    ours: Fit, theirs: Fit, *, last: int, watch: Watch = unwatched
) -> Divergence | None:
    """Return the first value that differs in bits in the first step that differs, with its cause.

    Parameters
    ----------
    ours, theirs : Fit
        The two runs.
    last : int
        No step after this one is looked at.
    watch : callable
        Told of every step.

    Returns
    -------
    Divergence or None
        None if the states agree before and after every step: what differs is not in them, or
        does not come again.
    """
    mine, reference = (fit.digests(last, watch) for fit in (ours, theirs))
    unequal = [i for i, pair in enumerate(zip(mine, reference, strict=False)) if len({*pair}) > 1]
    if not unequal:
        return None
    step = unequal[0] // 2
    values, their_values = (fit.values(step, watch) for fit in (ours, theirs))
    model = ours.script.start(ours.side.ns, ours.seed)
    evidence = Evidence(
        values,
        their_values,
        images=ours.data.x_train,
        momentum=float(getattr(model.optimizer, "momentum", 0.0)),
        nesterov=bool(getattr(model.optimizer, "nesterov", False)),
    )
    ledger = Ledger(bits=True, last_agreed=f"all weights (step {step - 1})" if step else "none")
    state = "before"
    for name, value in their_values.items():
        state = "" if name == "x" else state
        ledger.check(f"step {step}", f"{name} {state}".rstrip(), values[name], value)
        if ledger.divergence is not None:
            ledger.explain(likely_cause(name, evidence))
            break
    return ledger.divergence
