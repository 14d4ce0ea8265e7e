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

    def samples(self) -> Any:
        """The samples of all batches: a slice or their numbers."""
        start, size = self.first * self.data.batch_size, self.count * self.data.batch_size
        stop = min(start + size, self.data.num_samples)
        return slice(start, stop) if self.order is None else self.order[start:stop]

    def batch(self) -> Batch:
        """All of it as one batch."""
        return self.data.rows(self.samples())

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
    """

    def __init__(self, data: ArrayData, steps_per_epoch: int | None = None) -> None:
        if steps_per_epoch is not None:
            steps_per_epoch = positive_int(steps_per_epoch, "steps_per_epoch")
        self.data = data
        self.steps_per_epoch = steps_per_epoch
        self._order: Array | None = None
        self._seen: int | None = None  # batches of this pass; None: the next epoch begins one

    @property
    def num_batches(self) -> int:
        """Batches in a whole pass, which the progress bar counts to (Keras shows this number)."""
        return self.data.num_batches

    def restart(self) -> None:
        """Let the next epoch begin with the first batch."""
        self._seen = None

    def epoch(self, epoch: int = 0) -> Iterator[tuple[int, Batch]]:
        """The next epoch, whose number is `epoch` (it counts only where epochs differ)."""
        for span in self.spans(epoch):
            yield span.step, span.batch()

    def spans(self, epoch: int = 0, at_once: Callable[[], int] = lambda: 1) -> Iterator[Span]:
        """The next epoch in spans of as many batches as `at_once` says, each time anew."""
        if self._seen is None or self.steps_per_epoch is None:
            self._order, self._seen = self.data.order(epoch), 0
        steps, step = self.steps_per_epoch or self.num_batches, 0
        while step < steps:
            left = min(steps - step, self.num_batches - self._seen)
            if not left:
                warnings.warn(
                    "Your input ran out of data; interrupting training. Make sure that your "
                    "dataset can generate at least `steps_per_epoch * epochs` batches: "
                    f"`steps_per_epoch` is {self.steps_per_epoch}, a pass has {self.num_batches}.",
                    stacklevel=2,
                )
                break
            span = Span(self.data, self._order, self._seen, min(at_once(), left), step)
            try:
                yield span
            finally:  # also where a loop ends here, to go on in the next epoch
                self._seen += span.count
            step += span.count
        if self._seen >= self.num_batches:
            self._seen = None
