"""Sources whose batches come one after the other: generators, data sets, loaders, any iterable."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from itertools import count as endless
from types import GeneratorType
from typing import Any

import numpy as np

from minisgd.data.arrays import ArrayData
from minisgd.data.convert import naming
from minisgd.tensor import Array
from minisgd.utils.py_dataset import PyDataset, warn_unless_initialized

_LOOKED_AT = 2  # batches that Keras takes to learn the shapes


class Stream:
    """Any iterable of ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Parameters
    ----------
    source : iterable
    shuffle : bool or "batch"
    class_weight : dict, optional
        Weight by class number, for batches without weights of their own.
    only_x : bool
        Whether labels are left out, as `predict` wants it.

    Attributes
    ----------
    num_batches : int or None
        In one pass; None if that is not known.
    """

    kind = "iterable"
    takes_class_weight = True
    provided_as = ""  # in the warning about it, if not `kind`
    why_not_shuffled = "The iterable is expected to yield already-shuffled data."

    def __init__(
        self,
        source: Any,
        shuffle: bool | str = False,
        class_weight: Mapping[Any, float] | None = None,
        only_x: bool = False,
    ) -> None:
        self.source, self.shuffle = source, shuffle
        self.class_weight, self.only_x = class_weight, only_x
        self.num_batches = self._length()

    def _length(self) -> int | None:
        return len(self.source) if hasattr(self.source, "__len__") else None

    @property
    def ignores_shuffle(self) -> bool:
        """Whether the order of the batches is the source's alone."""
        return True

    def looked_at(self) -> list[ArrayData]:
        """The first batches, or samples like them, to check before training."""
        return self._numbered(list(islice(self.source, _LOOKED_AT)))

    def _numbered(self, items: Iterable[Any]) -> list[ArrayData]:
        return [self.batch(item, number) for number, item in enumerate(items)]

    def one_pass(self) -> Iterator[Any]:
        """Batches, as the source has them, from the first one on."""
        return iter(self.source)

    def on_epoch_begin(self) -> None:
        """Tell the source, if it wants to hear of it."""

    def on_epoch_end(self) -> None:
        """Tell the source, if it wants to hear of it."""

    def batch(self, item: Any, number: int) -> ArrayData:
        """One batch of the source, checked.

        Raises
        ------
        TypeError, ValueError
            If it is none; the message names the batch.
        """
        x, y, sample_weight = self._parts(item)
        if self.only_x:
            y = sample_weight = None
        x, y = (np.asarray(part) if isinstance(part, int | float) else part for part in (x, y))
        class_weight = None if y is None else self.class_weight
        name = f"Batch {number} of the {self.kind}"
        with naming(name):
            data = ArrayData(x, y, sample_weight, steps=1, class_weight=class_weight)
        data.name = name
        return data

    def _parts(self, item: Any) -> tuple[Any, Any, Any]:
        """``x, y, sample_weight``; what is not there is None.

        Raises
        ------
        ValueError
            If the source's items are no batches.
        """
        if isinstance(item, list):
            item = tuple(item)
        if not isinstance(item, tuple):
            return item, None, None
        if not 1 <= len(item) <= 3:
            msg = (
                "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, "
                f"sample_weight)`: the {self.kind} yields {len(item)} items."
            )
            raise ValueError(msg)
        x, y, sample_weight = (*item, None, None)[:3]
        return x, y, sample_weight


class Generator(Stream):
    """A Python generator, or another iterator, which can be gone through only once.

    As in Keras, it is asked for two batches at once, and what begins after its end has these two
    again and then nothing.
    """

    kind = "generator"
    takes_class_weight = False
    why_not_shuffled = "The generator is expected to yield already-shuffled data."

    def __init__(self, source: Any, *arguments: Any) -> None:
        super().__init__(source, *arguments)
        self._first_items = list(islice(source, _LOOKED_AT))
        if not self._first_items:
            raise ValueError(
                "When passing a Python generator to a Keras model, the generator must yield at "
                "least one batch. Received an empty generator."
            )

    @staticmethod
    def takes(source: Any) -> bool:
        """Whether it is gone through only once."""
        return hasattr(source, "__next__")

    def looked_at(self) -> list[ArrayData]:
        """The batches that were asked for at once."""
        return self._numbered(self._first_items)

    def one_pass(self) -> Iterator[Any]:
        """These batches again, then what is left."""
        return chain(self._first_items, self.source)

    def _parts(self, item: Any) -> tuple[Any, Any, Any]:
        if isinstance(self.source, GeneratorType) and not isinstance(item, tuple):
            msg = (
                "When passing a Python generator to a Keras model, the generator must return a "
                "tuple, either (input,) or (inputs, targets) or (inputs, targets, "
                f"sample_weights). Received: {type(item).__name__}"
            )
            raise ValueError(msg)
        return super()._parts(item)


class IndexedData(Stream):
    """A `PyDataset`, of ours or Keras's, or what has its methods."""

    kind = "PyDataset"
    provided_as = "an infinite PyDataset"
    why_not_shuffled = "The PyDataset is expected to already be shuffled."

    def __init__(self, source: Any, *arguments: Any) -> None:
        if isinstance(source, PyDataset):
            warn_unless_initialized(source)
        self.order: list[int] | None = None
        super().__init__(source, *arguments)
        if self.num_batches == 0:
            raise ValueError("The PyDataset has length 0: expected at least one batch.")

    @staticmethod
    def takes(source: Any) -> bool:
        """Whether it has batches by their number."""
        counted = hasattr(source, "__len__") or hasattr(source, "num_batches")
        return hasattr(source, "__getitem__") and counted and not isinstance(source, list)

    def _length(self) -> int | None:
        if hasattr(self.source, "num_batches"):
            found = self.source.num_batches
            return None if found is None else int(found)
        return len(self.source)

    @property
    def ignores_shuffle(self) -> bool:
        """Whether there is no end, so that there is no order to be drawn."""
        return self.num_batches is None

    def looked_at(self) -> list[ArrayData]:
        """The first batches, by their number."""
        count = _LOOKED_AT if self.num_batches is None else self.num_batches
        return self._numbered(self.source[i] for i in range(min(_LOOKED_AT, count)))

    def one_pass(self) -> Iterator[Any]:
        """Batches in a new order if they are to be shuffled."""
        return self.go_on(None, 0)

    def go_on(self, order: Any, seen: int) -> Iterator[Any]:
        """Batches after the first `seen` of a pass in this order; None: in a new one."""
        self.order = None if order is None else [int(index) for index in order]
        if self.order is None and self.shuffle and self.num_batches is not None:
            self.order = list(range(self.num_batches))
            random.shuffle(self.order)  # the global generator, as in Keras
        numbers: Iterable[int] | None = self.order
        if numbers is None:
            numbers = endless() if self.num_batches is None else range(self.num_batches)
        return (self.source[index] for index in islice(numbers, seen, None))

    def on_epoch_begin(self) -> None:
        """Pass it on."""
        getattr(self.source, "on_epoch_begin", lambda: None)()

    def on_epoch_end(self) -> None:
        """Pass it on."""
        getattr(self.source, "on_epoch_end", lambda: None)()

    def _parts(self, item: Any) -> tuple[Any, Any, Any]:
        if isinstance(item, list) or hasattr(item, "__array__"):
            item = tuple(item) if isinstance(item, list) else (item,)
        if not isinstance(item, tuple) or len(item) not in (1, 2, 3):
            msg = (
                "PyDataset.__getitem__() must return a tuple or a dict. If a tuple, it must be "
                "ordered either (input,) or (inputs, targets) or (inputs, targets, "
                f"sample_weights). Received: {str(item)[:100]}... of type {type(item)}"
            )
            raise ValueError(msg)
        return super()._parts(item)


class TensorFlowData(Stream):
    """A `tf.data.Dataset`, through its own methods."""

    kind = "tf.data.Dataset"
    why_not_shuffled = (
        "The Dataset is expected to already be shuffled (via `.shuffle(buffer_size)`)."
    )

    @staticmethod
    def takes(source: Any) -> bool:
        """Whether it has the methods that are needed."""
        names = ("as_numpy_iterator", "element_spec", "cardinality")
        return all(hasattr(source, name) for name in names)

    def _length(self) -> int | None:
        cardinality = int(self.source.cardinality())
        return None if cardinality < 0 else cardinality  # endless, or not known

    def looked_at(self) -> list[ArrayData]:
        """One sample of zeros, if its shape is known: a batch drawn would change the order."""
        spec = [part for part in self._parts(self.source.element_spec) if part is not None]
        zeros = [_zeros(part) for part in spec]
        if any(part is None for part in zeros):
            return []
        sample = self.batch(tuple(zeros), 0)
        sample.unread, sample.name = True, f"The {self.kind}"
        return [sample]

    def one_pass(self) -> Iterator[Any]:
        """Batches as NumPy arrays."""
        found: Iterator[Any] = self.source.as_numpy_iterator()
        return found


def _zeros(spec: Any) -> Array | None:
    """One sample of zeros; None where the shape is not known."""
    shape = getattr(spec, "shape", None)
    if shape is None or shape.rank is None:
        return None
    sizes = shape.as_list()
    if None in sizes[1:] or not sizes:
        return None if sizes else np.zeros(())
    return np.zeros((1, *sizes[1:]), spec.dtype.as_numpy_dtype)


class TorchLoader(Stream):
    """A PyTorch `DataLoader`, which is told by its name."""

    kind = "torch DataLoader"
    takes_class_weight = False
    why_not_shuffled = "The DataLoader is expected to already be shuffled."

    @staticmethod
    def takes(source: Any) -> bool:
        """Whether its class is, or comes from, PyTorch's."""
        return _is_torchs(source, "DataLoader")

    def _length(self) -> int | None:
        return len(self.source) if hasattr(self.source.dataset, "__len__") else None


def is_torch_dataset(source: Any) -> bool:
    """Whether this is a map-style `Dataset` of PyTorch's: samples by their number."""
    return _is_torchs(source, "Dataset") and not hasattr(source, "__iter__")


def _is_torchs(source: Any, name: str) -> bool:
    """Whether the class is, or comes from, one of PyTorch's with this name; nothing is imported."""
    return any(
        parent.__name__ == name and "torch.utils.data" in parent.__module__
        for parent in type(source).__mro__
    )
