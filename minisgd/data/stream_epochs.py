"""Epochs over batches that come one after the other (Keras: ``EpochIterator``, once more)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from minisgd.data.arrays import ArrayData, Batch, positive_int
from minisgd.data.epochs import Span
from minisgd.data.streams import IndexedData, Stream
from minisgd.tensor import Array
from minisgd.utils.warn import warn_user

_END = object()


@dataclass
class StreamSpan(Span):
    """One batch, which is all that its data have.

    Attributes
    ----------
    is_new : bool
        Whether its shapes are others than those of the batch before.
    name : str
        For messages about it.
    """

    is_new: bool = False
    name: str = ""

    def new_labels(self) -> Array | None:
        """All its labels: nobody could look at them before."""
        return self.data.y


class StreamIterator:
    """Yields spans of one batch each, for one epoch after the other.

    Without `steps_per_epoch` an epoch is one pass: as many batches as there are. With it, an epoch
    has that many steps, and the next one goes on where this one stopped. Where the batches end
    before they should, or where nobody knew how many there are, the epoch ends with a warning.

    Parameters
    ----------
    data : Stream
    steps_per_epoch : int, optional

    Attributes
    ----------
    watch : NumericsWatch
        What looks at the numbers; whoever runs steps on the data sets it.
    """

    watch: Any = None

    def __init__(self, data: Stream, steps_per_epoch: int | None = None) -> None:
        if steps_per_epoch is not None:
            steps_per_epoch = positive_int(steps_per_epoch, "steps_per_epoch")
        self.data, self.steps_per_epoch = data, steps_per_epoch
        self._items: Iterator[Any] | None = None  # the rest of this pass; None: begin one
        self._seen = 0  # batches of this pass
        self._step = 0  # batches of this epoch
        self._shapes: Any = None  # of the last batch that was checked
        self.in_epoch = False  # whether the next epoch goes on in its middle

    @property
    def num_batches(self) -> int | None:
        """Steps of an epoch, which the progress bar counts to; None if that is not known."""
        return self.steps_per_epoch or self.data.num_batches

    def looked_at(self) -> list[ArrayData]:
        """Batches to check before training."""
        return self.data.looked_at()

    def restart(self) -> None:
        """Let the next epoch begin a pass."""
        self._items, self._seen, self.in_epoch = None, 0, False
        self.data.on_epoch_end()  # once more than there are epochs, as in Keras

    def epoch(self, epoch: int = 0) -> Iterator[tuple[int, Batch]]:
        """The next epoch as ``(step, batch)``."""
        for span in self.spans(epoch):
            yield span.step, span.batch()

    def spans(self, epoch: int = 0, at_once: Callable[[], int] | None = None) -> Iterator[Span]:
        """The next epoch, batch by batch, whatever `at_once` says."""
        if not self.in_epoch:
            self._step = 0
            self.data.on_epoch_begin()
            if self.steps_per_epoch is None:
                self._items = None
        self.in_epoch = False
        while self.steps_per_epoch is None or self._step < self.steps_per_epoch:
            item = self._next_item()
            if item is _END:
                self._items = None
                break
            batch = self.data.batch(item, self._seen)
            self._seen += 1
            self._step += 1
            yield StreamSpan(batch, None, 0, 1, self._step - 1, self._is_new(batch), batch.name)
        if self._seen == self.data.num_batches:
            self._items = None
        self.data.on_epoch_end()

    def _next_item(self) -> Any:
        """The next batch as the source has it; warns where there is none and should be one.

        Raises
        ------
        ValueError
            If a whole pass has none.
        """
        if self._items is None:
            self._items, self._seen = self.data.one_pass(), 0
        complete = self._seen == self.data.num_batches
        item = _END if complete else next(self._items, _END)
        if item is _END and not self._seen:
            msg = f"The {self.data.kind} is empty: expected at least one batch."
            raise ValueError(msg)
        if item is _END and not (complete and self.steps_per_epoch is None):
            warn_user(
                "Your input ran out of data; interrupting training. Make sure that your dataset or "
                "generator can generate at least `steps_per_epoch * epochs` batches: the "
                f"{self.data.kind} ended after {self._seen}.",
            )
        return item

    def _is_new(self, batch: ArrayData) -> bool:
        """Whether no batch with these shapes has been checked."""
        parts = (batch.x, batch.y, batch.sample_weight)
        shapes = [None if part is None else (part.dtype, part.shape[1:]) for part in parts]
        known, self._shapes = self._shapes, shapes
        return bool(known != shapes)

    # --- for backups ---
    def position(self, in_epoch: bool, ends: bool = False) -> dict[str, Any]:
        """Where the data stand, for `go_on`: within an epoch or between two."""
        at_end = self.steps_per_epoch is None or self._seen == self.data.num_batches
        between = not in_epoch and (at_end or self._items is None)
        step = self.num_batches if ends and self.num_batches is not None else self._step
        return {
            "step": step if in_epoch else 0,
            "seen": None if between else self._seen,
            "order": None if between else getattr(self.data, "order", None),
            "in_epoch": in_epoch,
            "kind": self.data.kind,
            "steps_per_epoch": self.steps_per_epoch,
        }

    def go_on(self, position: dict[str, Any]) -> None:
        """Let the next epoch begin where another iterator over the same data stood.

        A `PyDataset` is asked for the batches that are left; of anything else the batches that were
        seen are taken and left out.

        Raises
        ------
        ValueError
            If the data are others, or end too early.
        """
        own = self.position(in_epoch=False)
        for name in ("kind", "steps_per_epoch"):
            if position["seen"] is not None and own[name] != position.get(name):
                msg = (
                    f"The backup was made in the middle of other data: expected {name}="
                    f"{position.get(name)}, received {own[name]}."
                )
                raise ValueError(msg)
        self._step, self.in_epoch = position["step"], position["in_epoch"]
        seen = position["seen"]
        if seen is None:
            self._items, self._seen = None, 0
        elif isinstance(self.data, IndexedData):
            self._items, self._seen = self.data.go_on(position["order"], seen), seen
        elif self._items is None or self._seen != seen:
            self._skip(seen)

    def _skip(self, seen: int) -> None:
        """Take and leave out the batches before this one."""
        self._items, self._seen = self.data.one_pass(), seen
        skipped = sum(1 for _ in islice(self._items, seen))
        if skipped < seen:
            msg = (
                f"The backup was made after {seen} batches of the {self.data.kind}: it has "
                f"{skipped}. Delete the backup to train from the start."
            )
            raise ValueError(msg)
        warn_user(
            f"The backup was made in the middle of a {self.data.kind}: its first {seen} batches "
            "were left out. If it does not yield the same batches again, the run ends in other "
            "bits; arrays and a `PyDataset` know their place.",
        )
