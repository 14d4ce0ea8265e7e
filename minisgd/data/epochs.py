"""Steps and epochs: when an epoch ends, and when the data start over (Keras: ``EpochIterator``)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from minisgd.data.arrays import ArrayData, Batch, positive_int


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
        self._batches: Iterator[Batch] | None = None
        self._seen = 0

    @property
    def num_batches(self) -> int:
        """Batches in a whole pass, which the progress bar counts to (Keras shows this number)."""
        return self.data.num_batches

    def restart(self) -> None:
        """Let the next epoch begin with the first batch."""
        self._batches = None

    def epoch(self, epoch: int = 0) -> Iterator[tuple[int, Batch]]:
        """The next epoch, whose number is `epoch` (it counts only where epochs differ)."""
        if self.steps_per_epoch is None:
            yield from enumerate(self.data.batches(epoch))
            return
        if self._batches is None:
            self._batches, self._seen = self.data.batches(epoch), 0
        for step in range(self.steps_per_epoch):
            if self._seen >= self.num_batches:
                warnings.warn(
                    "Your input ran out of data; interrupting training. Make sure that your "
                    "dataset can generate at least `steps_per_epoch * epochs` batches: "
                    f"`steps_per_epoch` is {self.steps_per_epoch}, a pass has {self.num_batches}.",
                    stacklevel=2,
                )
                break
            self._seen += 1
            yield step, next(self._batches)
        if self._seen >= self.num_batches:
            self._batches = None
