"""The suite is tested itself: each of these bugs, put into minisgd, is caught and named.

A bug is a monkeypatch; the comparison is the suite's own (`lockstep.run`, `free_running.run`, the
orders of samples), on few images; the first divergence must name the tensor and the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numba import njit

import minisgd
import minisgd_kernels as kernels
from minisgd.parity import causes, free_running, lockstep, sgd_cases, updates
from minisgd.parity.orders import epoch_order, observed_orders
from minisgd.parity.probe import Mode
from minisgd.parity.report import Ledger
from minisgd.parity.scripts import SCRIPTS, Data, Script, load_data
from minisgd.parity.sides import keras_side, minisgd_side
from minisgd_kernels._intrinsics import fma

pytestmark = pytest.mark.step
Patch = pytest.MonkeyPatch
SEED = 42


@dataclass(frozen=True)
class WithDropout(Script):
    """The network with Dropout between its layers."""

    def build_model(self, ns: Any) -> Any:
        model = ns.models.Sequential([ns.layers.Input((784,)), ns.layers.Dense(32, "relu")])
        model.add(ns.layers.Dropout(0.25))
        model.add(ns.layers.Dense(10, activation="softmax"))
        return model


def with_optimizer(**arguments: Any) -> Script:
    """Script 2 with other arguments for SGD; a schedule is given as a function of the package."""

    def make(ns: Any) -> Any:
        made = {k: v(ns) if callable(v) else v for k, v in arguments.items()}
        return ns.optimizers.SGD(**made)

    return Script(2, "SGD with other arguments", make)


def few_images(patch: Patch, n: int, blank: int = 0) -> None:
    """Train on the first `n` images, of which `blank` are all zeros, and test on 64."""

    def load(ns: Any) -> Data:
        data = load_data(ns)
        x = data.x_train[:n].copy()
        x[:blank] = 0
        return Data(x, data.y_train[:n], data.x_test[:64], data.y_test[:64])

    patch.setattr(lockstep, "load_data", load)
    patch.setattr(free_running, "load_data", load)


def in_lockstep(
    script: Script, patch: Patch, n: int = 96, blank: int = 0, epochs: int = 1, bits: bool = False
) -> Ledger:
    few_images(patch, n, blank)
    return lockstep.run(script, SEED, bits=bits, epochs=epochs)


def running_free(
    script: Script,
    patch: Patch,
    n: int = 320,
    epochs: int = 1,
    bits: bool = False,
    batch_size: int = 32,
) -> Ledger:
    few_images(patch, n)
    return free_running.run(script, SEED, bits=bits, epochs=epochs, batch_size=batch_size)


def fading_velocities(patch: Patch) -> Ledger:
    """Momentum 0.01, and blank images but for the first batch: velocities of W1 fade away."""
    few_images(patch, 32 * 24)
    load = lockstep.load_data

    def load_fading(ns: Any) -> Data:
        data = load(ns)
        data.x_train[epoch_order(len(data.x_train), SEED)[32:]] = 0
        return data

    patch.setattr(lockstep, "load_data", load_fading)
    script = with_optimizer(learning_rate=0.01, momentum=0.01)
    return lockstep.run(script, SEED, bits=False)


def two_epochs_of_orders(patch: Patch) -> Ledger:
    ledger = Ledger(bits=True)
    ours, theirs = (
        observed_orders(side, 50, SEED, epochs=2, batch_size=8)
        for side in (minisgd_side(), keras_side())
    )
    for epoch, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        ledger.check(f"epoch {epoch}", "order of samples", mine, reference)
    return ledger


def fan_out(patch: Patch) -> Ledger:
    """Gradient of ``sum(x * x + x)``: three shares of one tensor's gradient are added up."""
    ledger = Ledger(bits=True)
    values = np.linspace(-2, 2, 12, dtype=np.float32)
    gradients = []
    for side in (minisgd_side(), keras_side()):
        x = side.tensor(values)
        with side.tape() as tape:
            tape.watch(x)
            total = side.ns.ops.sum(x * x + x)
        gradients.append(np.asarray(tape.gradient(total, x)))
    ledger.check("op", "dx of x * x + x", *gradients)
    return ledger


# --- the bugs ---
def slope_one_at_zero(patch: Patch) -> None:
    patch.setattr(kernels, "relu_vjp", lambda g, out: np.where(out >= 0, g, np.float32(0)))


def rate_outside_the_velocity(patch: Patch) -> None:
    def update(w: Any, v: Any, g: Any, lr: Any, mu: Any) -> None:
        v[:] = v * mu - g
        w += lr * v

    patch.setattr(kernels, "momentum_inplace", update)


def nesterov_with_the_old_velocity(patch: Patch) -> None:
    def update(w: Any, v: Any, g: Any, lr: Any, mu: Any) -> None:
        w += v * mu - g * lr
        v[:] = v * mu - g * lr

    patch.setattr(kernels, "nesterov_inplace", update)


def gradients_overwritten(patch: Patch) -> None:
    add = minisgd.ops.add
    patch.setattr(minisgd.tape.ops, "add", lambda a, b: b)
    patch.setattr(minisgd.Tensor, "__add__", lambda a, b: add(a, b))


def loss_from_probabilities(patch: Patch) -> None:
    softmax = minisgd.ops.softmax

    def forgetful(x: Any, axis: int = -1) -> Any:
        p = softmax(x, axis)
        p.logits = None
        return p

    patch.setattr(minisgd.ops, "softmax", forgetful)


def division_by_the_full_batch(patch: Patch) -> None:
    divide = minisgd.ops.divide
    patch.setattr(minisgd.ops, "divide", lambda a, b: divide(a, 32 if isinstance(b, int) else b))


def own_loss_in_the_logs(patch: Patch) -> None:
    update = minisgd.metrics.Mean.update_state

    def forget_first(self: Any, *args: Any, **kwargs: Any) -> None:
        self.reset_state()
        update(self, *args, **kwargs)

    patch.setattr(minisgd.metrics.Mean, "update_state", forget_first)


def labels_off_by_one(patch: Patch) -> None:
    encode = minisgd.utils.to_categorical
    patch.setattr(minisgd.utils, "to_categorical", lambda y, n: np.roll(encode(y, n), 1, axis=1))


def second_epoch_reshuffled(patch: Patch) -> None:
    order = minisgd.data.ArrayData.order

    def reshuffled(self: Any, epoch: int = 0) -> Any:
        self._reshuffle = True
        return order(self, epoch)

    patch.setattr(minisgd.data.ArrayData, "order", reshuffled)


def dropout_scaled_at_inference(patch: Patch) -> None:
    call = minisgd.layers.Dropout.call

    def scaled(self: Any, inputs: Any, training: bool = False) -> Any:
        return call(self, inputs, training=training) if training else inputs * (1 - self.rate)

    patch.setattr(minisgd.layers.Dropout, "call", scaled)


def float64_rate(patch: Patch) -> None:
    update = kernels.sgd_inplace
    patch.setattr(kernels, "sgd_inplace", lambda w, g, lr: update(w, g, np.float64(str(lr))))


def fused_update(patch: Patch) -> None:
    @njit  # type: ignore[untyped-decorator]
    def update(w: Any, g: Any, lr: Any) -> None:
        for i in range(w.size):
            w[i] = fma(-g[i], lr, w[i])

    patch.setattr(kernels, "sgd_inplace", update)


def denormals_kept(patch: Patch) -> None:
    def update(w: Any, v: Any, g: Any, lr: Any, mu: Any) -> None:
        v[:] = v * mu - g * lr
        w += v

    patch.setattr(kernels, "momentum_inplace", update)


def numpy_exp(patch: Patch) -> None:
    def backprop(logits: Any, y: Any) -> Any:
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return e / kernels.sum_last(e)[:, None] - y

    patch.setattr(kernels, "softmax_cross_entropy_backprop", backprop)


def two_samples_swapped(patch: Patch) -> None:
    order = minisgd.data.ArrayData.order

    def swapped(self: Any, epoch: int = 0) -> Any:
        rows = order(self, epoch)
        if rows is None:  # evaluate and predict
            return None
        rows = np.array(rows)
        rows[[70, 75]] = rows[[75, 70]]
        return rows

    patch.setattr(minisgd.data.ArrayData, "order", swapped)


def schedule_stopped(patch: Patch) -> None:
    begin = minisgd.callbacks.LearningRateScheduler.on_epoch_begin

    def stop(self: Any, epoch: int, logs: Any = None) -> None:
        if epoch < 6:
            begin(self, epoch, logs)

    patch.setattr(minisgd.callbacks.LearningRateScheduler, "on_epoch_begin", stop)


def one_ulp_at_step_500(patch: Patch) -> None:
    step = minisgd.optimizers.SGD.update_step

    def update(self: Any, gradient: Any, variable: Any, lr: Any, index: int) -> None:
        step(self, gradient, variable, lr, index)
        if index == 0 and int(self.iterations) == 500:
            w = variable.array_inplace()
            w[300, 5] = np.nextafter(w[300, 5], np.float32(1))

    patch.setattr(minisgd.optimizers.SGD, "update_step", update)
    # A model with a `train_step` of its own is not compiled: the bug is not among the kernel calls.
    train_step = minisgd.trainer.Trainer.train_step
    patch.setattr(minisgd.trainer.Trainer, "train_step", lambda m, data: train_step(m, data))


def gradient_in_numpys_order(patch: Patch) -> None:
    patch.setattr(kernels, "matmul_tn", lambda a, b, *_: np.ascontiguousarray(a[::-1].T @ b[::-1]))


@dataclass(frozen=True)
class Bug:
    """A mistake, where it must be found, under which name, and what is said of its cause.

    `bits` says that it is found only where equality is demanded.
    """

    put_in: Callable[[Patch], None]
    compare: Callable[[Patch], Ledger]
    where: str
    tensor: str
    cause: str = ""
    bits: bool = False

    def __str__(self) -> str:
        return f"{self.put_in.__name__}-{self.tensor}".replace(" ", "_")


NESTEROV = with_optimizer(learning_rate=0.01, momentum=0.9, nesterov=True)
BUGS = [
    Bug(
        slope_one_at_zero,
        lambda p: in_lockstep(SCRIPTS[1], p, blank=96),
        "step 0",
        "db1",
        causes.SLOPE_AT_ZERO,
    ),
    Bug(
        rate_outside_the_velocity,
        lambda p: in_lockstep(SCRIPTS[2], p),
        "step 0",
        "new velocity",
        updates.OUTSIDE,
    ),
    Bug(
        nesterov_with_the_old_velocity,
        lambda p: in_lockstep(NESTEROV, p),
        "step 0",
        "new W1",
        updates.OLD_VELOCITY,
    ),
    Bug(gradients_overwritten, fan_out, "op", "dx of x * x + x"),
    Bug(loss_from_probabilities, lambda p: in_lockstep(SCRIPTS[1], p), "step 0", "dlogits"),
    Bug(
        division_by_the_full_batch,
        lambda p: in_lockstep(SCRIPTS[1], p, n=50),
        "step 1",
        "loss",
        causes.OTHER_FACTOR,
    ),
    Bug(
        own_loss_in_the_logs,
        lambda p: running_free(SCRIPTS[1], p),
        "the epoch from step 0 on",
        "batch log loss",
    ),
    Bug(
        own_loss_in_the_logs,
        lambda p: running_free(SCRIPTS[1], p, bits=True),
        "step 1",
        "batch log loss",
        free_running.OUTSIDE_OF_THE_STEPS,
        bits=True,
    ),
    Bug(
        labels_off_by_one,
        lambda p: in_lockstep(SCRIPTS[1], p),
        "the start",
        "one-hot labels",
        causes.LABELS,
    ),
    Bug(second_epoch_reshuffled, two_epochs_of_orders, "epoch 1", "order of samples"),
    Bug(
        dropout_scaled_at_inference,
        lambda p: running_free(WithDropout(1, "with Dropout", SCRIPTS[1].optimizer), p),
        "the end",
        "predictions",
    ),
    Bug(
        float64_rate,
        lambda p: in_lockstep(SCRIPTS[1], p),
        "step 0",
        "new W1",
        updates.FLOAT64_RATE.format(rate=0.01),
    ),
    Bug(
        float64_rate,
        lambda p: running_free(SCRIPTS[1], p, bits=True, batch_size=64),
        "step 0",
        "new W1",
        updates.FLOAT64_RATE.format(rate=0.01),
        bits=True,
    ),
    Bug(fused_update, lambda p: in_lockstep(SCRIPTS[1], p), "step 0", "new W1", updates.FUSED),
    Bug(numpy_exp, lambda p: in_lockstep(SCRIPTS[1], p), "step 0", "dlogits", causes.NUMPY_EXP),
    Bug(
        two_samples_swapped,
        lambda p: in_lockstep(SCRIPTS[1], p),
        "the start",
        "order of samples",
        f"{causes.SWAPPED}: 70 and 75 of the epoch",
    ),
    Bug(
        two_samples_swapped,
        lambda p: running_free(SCRIPTS[1], p, bits=True),
        "step 2",
        "x",
        f"{causes.SWAPPED}: 6 and 11 of the batch",
        bits=True,
    ),
    Bug(
        one_ulp_at_step_500,
        lambda p: in_lockstep(SCRIPTS[1], p, n=1600, epochs=11),
        "step 500",
        "new W1",
        updates.ISOLATED,
    ),
    Bug(
        one_ulp_at_step_500,
        lambda p: running_free(SCRIPTS[1], p, n=1600, epochs=11, bits=True),
        "step 500",
        "new W1",
        updates.ISOLATED,
        bits=True,
    ),
    Bug(
        gradient_in_numpys_order,
        lambda p: in_lockstep(SCRIPTS[1], p, bits=True),
        "step 0",
        "dW2",
        causes.SUM_ORDER,
        bits=True,
    ),
    Bug(
        second_epoch_reshuffled,
        lambda p: running_free(SCRIPTS[1], p, epochs=2, bits=True),
        "step 10",
        "x",
        causes.OTHER_ORDER,
        bits=True,
    ),
    Bug(
        schedule_stopped,
        lambda p: running_free(SCRIPTS[3], p, epochs=7, bits=True),
        "step 60",
        "learning rate before",
        "another learning rate: 0.09",
        bits=True,
    ),
    Bug(denormals_kept, fading_velocities, "step 15", "new velocity W1", causes.DENORMALS),
]


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_seeded_bug_is_caught_and_named(bug: Bug, mode: Mode, monkeypatch: Patch) -> None:
    if bug.bits and not mode.bits:
        pytest.skip(f"equality is not demanded here: {mode}")
    bug.put_in(monkeypatch)
    divergence = bug.compare(monkeypatch).divergence
    assert divergence is not None, "the bug was not caught"
    assert divergence.where == bug.where, str(divergence)
    assert divergence.difference.name.startswith(bug.tensor), str(divergence)
    assert divergence.cause.startswith(bug.cause), str(divergence)


# The other comparisons are the suite's own, on fewer images.
UNUSUAL = [
    slope_one_at_zero,
    nesterov_with_the_old_velocity,
    gradients_overwritten,
    division_by_the_full_batch,
    dropout_scaled_at_inference,
    denormals_kept,
]


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.put_in in UNUSUAL], ids=str)
def test_without_the_bug_nothing_is_found(bug: Bug, monkeypatch: Patch) -> None:
    ledger = bug.compare(monkeypatch)
    assert ledger.passed, str(ledger)


# --- the optimizer's bugs: the comparison is that of all its options ---
def decay_after_the_update(patch: Patch) -> None:
    step = minisgd.optimizers.SGD.update_step

    def late(self: Any, gradient: Any, variable: Any, lr: Any, index: int) -> None:
        step(self, gradient, variable, lr, index)
        factor = np.float32(self.weight_decay) * np.float32(lr)
        kernels.decay_inplace(variable.array_inplace().reshape(-1), factor)

    patch.setattr(minisgd.optimizers.SGD, "update_step", late)
    patch.setattr(minisgd.optimizers.Optimizer, "_decay", lambda self, updates, rate: None)


def biases_not_decayed(patch: Patch) -> None:
    patch.setattr(minisgd.optimizers.Optimizer, "_decays", lambda self, variable: variable.ndim > 1)


def schedule_read_after_the_increment(patch: Patch) -> None:
    rate = minisgd.optimizers.Optimizer._current_rate

    def late(self: Any) -> Any:
        self._iterations.array_inplace()[...] += 1
        try:
            return rate(self)
        finally:
            self._iterations.array_inplace()[...] -= 1

    patch.setattr(minisgd.optimizers.Optimizer, "_current_rate", late)


def options(**wanted: int) -> sgd_cases.Case:
    """The case with the first value of every option but these."""
    return sgd_cases.Case(tuple(wanted.get(name, 0) for name in sgd_cases.OPTIONS))


OPTIMIZER_BUGS = [
    (decay_after_the_update, options(weight_decay=1), "step 0: weight 0"),
    (biases_not_decayed, options(weight_decay=1), "step 0: weight 1"),
    (schedule_read_after_the_increment, options(learning_rate=1), "step 0: weight 0"),
]


@pytest.mark.optimizer
@pytest.mark.parametrize(("put_in", "case", "expected"), OPTIMIZER_BUGS)
def test_a_seeded_bug_of_the_optimizer_is_caught(
    put_in: Callable[[Patch], None], case: sgd_cases.Case, expected: str, monkeypatch: Patch
) -> None:
    gradients = sgd_cases.gradients(3)
    theirs = sgd_cases.run(keras_side(), case, gradients)
    assert (
        sgd_cases.first_divergence(sgd_cases.run(minisgd_side(), case, gradients), theirs) is None
    )
    put_in(monkeypatch)
    found = sgd_cases.first_divergence(sgd_cases.run(minisgd_side(), case, gradients), theirs)
    assert found is not None, "the bug was not caught"
    assert found.startswith(expected), found
