"""Who is nearer to the truth? Gradients against a float64 oracle, from identical weights.

The oracle is textbook backpropagation in float64, written out in NumPy and independent of the
engine: from the same float32 weights and batch, its gradients are exact to about 1e-16.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd import numerics
from minisgd.parity.compare import compare
from minisgd.parity.orders import epoch_order
from minisgd.parity.scripts import BATCH_SIZE, EPOCHS, Script, keras_scheduler, load_data
from minisgd.parity.sides import (
    WEIGHTS,
    State,
    keras_side,
    minisgd_side,
    step_function,
    trace_function,
)

Array = npt.NDArray[Any]
INTERVAL = 25


def exact_gradients(weights: dict[str, Array], x: Array, y: Array) -> dict[str, Array]:
    """Gradients of the mean cross-entropy of a relu and softmax network, in float64.

    Parameters
    ----------
    weights : dict of str to numpy.ndarray
        W1 (D_in, H), b1 (H,), W2 (H, C), b2 (C,).
    x : numpy.ndarray, shape (N, D_in)
    y : numpy.ndarray, shape (N, C)
        Rows that sum to 1.

    Returns
    -------
    dict of str to numpy.ndarray, float64
        dW1, db1, dW2, db2.
    """
    w1, b1, w2, b2 = (weights[name].astype(np.float64) for name in WEIGHTS)
    x, y = x.astype(np.float64), y.astype(np.float64)
    # einsum, not `@`: BLAS's threads would fight TensorFlow's for the cores.
    z1 = np.einsum("nk,kh->nh", x, w1, optimize=False) + b1
    h = np.maximum(z1, 0)
    z2 = np.einsum("nh,hc->nc", h, w2) + b2
    e = np.exp(z2 - z2.max(axis=1, keepdims=True))
    dz2 = (e / e.sum(axis=1, keepdims=True) - y) / len(x)
    dz1 = np.einsum("nc,hc->nh", dz2, w2) * (z1 > 0)
    return {
        "dW1": np.einsum("nk,nh->kh", x, dz1),
        "db1": dz1.sum(axis=0),
        "dW2": np.einsum("nh,nc->hc", h, dz2),
        "db2": dz2.sum(axis=0),
    }


@dataclass
class Errors:
    """Relative Frobenius errors of one gradient, one a sampled step.

    Attributes
    ----------
    ours, theirs : list of float
        minisgd's with ``numerics="accurate"``, and TensorFlow's.
    """

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def worse(self) -> int:
        """At how many steps our error is above TensorFlow's."""
        return sum(a > b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def ratio(self) -> float:
        """TensorFlow's median error over ours."""
        return statistics.median(self.theirs) / statistics.median(self.ours)

    def as_dict(self) -> dict[str, Any]:
        """The figures of a report."""
        return {
            "steps": len(self.ours),
            "worse": self.worse,
            "ratio": round(self.ratio, 2),
            "median": [statistics.median(self.ours), statistics.median(self.theirs)],
            "max": [max(self.ours), max(self.theirs)],
        }


def sampled_errors(
    script: Script, seed: int, *, epochs: int = EPOCHS, interval: int = INTERVAL
) -> dict[str, Errors]:
    """Train Keras; at every so many steps compare both gradients with the exact ones.

    Parameters
    ----------
    script : Script
        What to train.
    seed : int
        Seeds weights and order.
    epochs : int
        How long.
    interval : int
        Every how many steps a gradient is taken.

    Returns
    -------
    dict of str to Errors
        For dW1, db1, dW2, db2.
    """
    ours, theirs = minisgd_side(), keras_side()
    our_model, their_model = script.start(ours.ns, seed), script.start(theirs.ns, seed)
    our_trace = trace_function(ours, our_model)
    their_trace = trace_function(theirs, their_model)
    train = step_function(theirs, their_model)
    errors = {f"d{name}": Errors() for name in WEIGHTS}
    for step, (x, y) in enumerate(_batches(script, their_model, seed, epochs)):
        if step % interval == 0:
            state = State.of(their_model)
            state.restore(our_model)
            exact = exact_gradients(dict(state.weights), x, y)
            with numerics.scope(numerics.get("accurate")):
                mine = our_trace(x, y)
            reference = their_trace(x, y)
            for name, record in errors.items():
                record.ours.append(_error(mine[name], exact[name]))
                record.theirs.append(_error(reference[name], exact[name]))
        train(x, y)
    return errors


def _batches(script: Script, model: Any, seed: int, epochs: int) -> Iterator[tuple[Array, Array]]:
    """The batches of `fit`; a scheduled script's rate is set at the start of each epoch."""
    data = load_data(keras_side().ns)
    order = epoch_order(len(data.x_train), seed)
    for epoch in range(epochs):
        if script.scheduled:
            rate = model.optimizer.learning_rate
            rate.assign(keras_scheduler(epoch, float(rate.numpy())))
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            yield data.x_train[rows], data.y_train[rows]


def _error(gradient: Array, exact: Array) -> float:
    return compare("gradient", gradient.astype(np.float64), exact).rel_frobenius
