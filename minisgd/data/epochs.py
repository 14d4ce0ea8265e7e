"""Steps and epochs: when an epoch ends, and when the data start over (Keras: ``EpochIterator``)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisgd.data.arrays import ArrayData, Batch, positive_int
from minisgd.tensor import Array


@dataclass
class Span:
    """Some batches that follow each other within one pass over the data.

    Attributes
    ----------
    data : ArrayData
    order : numpy.ndarray or None
        Order of the samples in this pass; None if it is their own.
    first : int
        The first batch, counted within the pass.
    count : int
        How many batches; whoever runs fewer of them sets it.
    step : int
        The first batch, counted within the epoch.
    """

    data: ArrayData
    order: Array | None
    first: int
    count: int
    step: int
    is_new = False  # whether nobody has seen data of this shape
    name = ""  # for messages about it

    def samples(self) -> Any:
        """The samples of all batches: a slice or their numbers."""
        start, size = self.first * self.data.batch_size, self.count * self.data.batch_size
        stop = min(start + size, self.data.num_samples)
        return slice(start, stop) if self.order is None else self.order[start:stop]

    def batch(self) -> Batch:
        """All of it as one batch."""
        return self.data.rows(self.samples())

    def new_labels(self) -> Array | None:
        """Labels that could not be looked at before training: those in a file."""
        return self.data.y[self.samples()] if self.data.y is not None and self.data.unread else None

    def sizes(self) -> Array:
        """Length of each batch."""
        starts = np.arange(self.first, self.first + self.count) * self.data.batch_size
        return np.minimum(self.data.batch_size, self.data.num_samples - starts)


class EpochIterator:
    """Yields ``(step, batch)`` for one epoch after the other.

    Without `steps_per_epoch` an epoch is one pass over the data. With it, an epoch has that many
    steps: the next one goes on where this one stopped, and when the data run out the epoch ends
    early with a warning and the data start over.

    Parameters
    ----------
    data : ArrayData
    steps_per_epoch : int, optional

    Attributes
    ----------
    watch : NumericsWatch
        What looks at the numbers; whoever runs steps on the data sets it.
    """

    watch: Any = None

    def __init__(self, data: ArrayData, steps_per_epoch: int | None = None) -> None:
        if steps_per_epoch is not None:
            steps_per_epoch = positive_int(steps_per_epoch, "steps_per_epoch")
        self.data = data
        self.steps_per_epoch = steps_per_epoch
        self._order: Array | None = None
        self._seen: int | None = None  # batches of this pass; None: the next epoch begins one
        self._step = 0  # batches of this epoch
        self._out: Span | None = None  # what is being run
        self.in_epoch = False  # whether the next epoch goes on in its middle

    @property
    def num_batches(self) -> int:
        """Steps of an epoch, which the progress bar counts to."""
        return self.steps_per_epoch or self.data.num_batches

    def looked_at(self) -> list[ArrayData]:
        """What can be checked before training."""
        return [self.data]

    def restart(self) -> None:
        """Let the next epoch begin with the first batch."""
        self._seen, self.in_epoch = None, False

    def position(self, in_epoch: bool, ends: bool = False) -> dict[str, Any]:
        """Where the data stand, for `go_on`: within an epoch or between two.

        The batches of the span that is out count as seen. With `ends` the epoch has no more.
        """
        running = self._out.count if self._out is not None else 0
        seen = None if self._seen is None else self._seen + running
        if not in_epoch and (self.steps_per_epoch is None or seen == self.data.num_batches):
            seen = None  # the next epoch begins a pass
        step = self.num_batches if ends else self._step + running
        return {
            "step": step if in_epoch else 0,
            "seen": seen,
            "order": None if seen is None else self._order,
            "in_epoch": in_epoch,
            "samples": self.data.num_samples,
            "batch_size": self.data.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
        }

    def go_on(self, position: dict[str, Any]) -> None:
        """Let the next epoch begin where another iterator over the same data stood.

        Raises
        ------
        ValueError
            If the data are others.
        """
        if position["seen"] is not None:
            own = self.position(in_epoch=False)
            for name in ("samples", "batch_size", "steps_per_epoch"):
                if own[name] != position.get(name):
                    msg = (
                        f"The backup was made in the middle of other data: expected {name}="
                        f"{position.get(name)}, received {own[name]}."
                    )
                    raise ValueError(msg)
        self._step, self._seen = position["step"], position["seen"]
        self._order, self.in_epoch = position["order"], position["in_epoch"]

    def epoch(self, epoch: int = 0) -> Iterator[tuple[int, Batch]]:
        """The next epoch, whose number is `epoch` (it counts only where epochs differ)."""
        for span in self.spans(epoch):
            yield span.step, span.batch()

    def spans(self, epoch: int = 0, at_once: Callable[[], int] = lambda: 1) -> Iterator[Span]:
        """The next epoch in spans of as many batches as `at_once` says, each time anew."""
        if not self.in_epoch:
            self._step = 0
            if self._seen is None or self.steps_per_epoch is None:
                self._order, self._seen = self.data.order(epoch), 0
        self.in_epoch = False
        steps, seen, batches = self.num_batches, self._seen or 0, self.data.num_batches
        while self._step < steps:
            left = min(steps - self._step, batches - seen)
            if not left:
                warnings.warn(
                    "Your input ran out of data; interrupting training. Make sure that your "
                    "dataset can generate at least `steps_per_epoch * epochs` batches: "
                    f"`steps_per_epoch` is {self.steps_per_epoch}, a pass has {batches}.",
                    stacklevel=2,
                )
                break
            span = Span(self.data, self._order, seen, min(at_once(), left), self._step)
            self._out = span
            try:
                yield span
            finally:  # also where a loop ends here, to go on in the next epoch
                self._out = None
                self._seen = seen = seen + span.count
                self._step += span.count
        if seen >= batches:
            self._seen = None
