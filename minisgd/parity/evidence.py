"""The values of one training step on both sides: what a likely cause is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity.compare import compare
from minisgd.parity.sides import State

Array = npt.NDArray[Any]
Values = Mapping[str, Array]


@dataclass(frozen=True)
class Evidence:
    """Values of one step by name, ours and Keras's.

    Attributes
    ----------
    mine, reference : dict of str to numpy.ndarray
        The state before the step (``W1``, ``velocity W1``, ``learning rate``, ...), the batch
        (``x``, ``labels``), the values computed from it (``z1``, ..., ``db1``) and the state
        after it (``new W1``, ...), in this order.
        Any of them may be missing.
    given : dict of str to numpy.ndarray
        What ours computed from Keras's own inputs, for example ``h given z1``.
    images : numpy.ndarray or None, shape (N, D_in)
        All training images, to look for a batch's rows in.
    momentum : float
        Momentum of SGD.
    nesterov : bool
        Whether it is Nesterov's.
    """

    mine: Values
    reference: Values
    given: Values = field(default_factory=dict)
    images: Array | None = None
    momentum: float = 0.0
    nesterov: bool = False

    def about(self, tensor: str) -> Evidence:
        """Return the evidence for one tensor; if it is "... given ...", with Keras's inputs."""
        name, _, given = tensor.partition(" given ")
        if not given:
            return self
        return replace(self, mine={**self.reference, name: self.given[tensor]})

    def has(self, *names: str) -> bool:
        """Return whether both sides have all these values."""
        return all(name in self.mine and name in self.reference for name in names)

    def equal(self, *names: str) -> bool:
        """Return whether both sides have all these values, with the same bits."""
        return self.has(*names) and all(
            compare(name, self.mine[name], self.reference[name]).equal for name in names
        )


def step_values(
    before: State, labels: Array, trace: Values, after: State | None
) -> dict[str, Array]:
    """Return one side's values of a step under the names of `Evidence`.

    Parameters
    ----------
    before, after : State
        Weights and optimizer variables around the step.
    labels : numpy.ndarray
        The batch's one-hot labels.
    trace : dict of str to numpy.ndarray
        As `minisgd.parity.sides.trace_function` returns it.
    """
    start = {**before.optimizer, **before.weights}
    values = {**start, "x": trace["x"], "labels": np.asarray(labels), **trace}
    if after is not None:
        new = {**after.optimizer, **after.weights}
        values |= {f"new {name}": value for name, value in new.items()}
    return values
