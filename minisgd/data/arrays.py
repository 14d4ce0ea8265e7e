"""Arrays in memory as a source of batches (Keras: ``ArrayDataAdapter``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minisgd import random
from minisgd.data.convert import is_mapped, to_numpy
from minisgd.tensor import Array, Tensor
from minisgd.utils.arguments import check_flag

Batch = tuple[Tensor, Tensor | None, Tensor | None]
Arrays = tuple[Array, Array | None, Array | None]
_AT_ONCE = 1 << 14  # labels, which may lie in a file


def as_data_array(value: Any, argument: str) -> Array:
    """`value` as a NumPy array of numbers; not copied if it is one.

    Raises
    ------
    ValueError
        If it can't be one, has no axes, or does not hold numbers.
    TypeError
        If it is masked.
    """
    array = to_numpy(value, argument)
    if array.dtype.kind not in "fiub":
        msg = (
            f"Invalid dtype: {array.dtype}. `{argument}`: expected numbers; convert with "
            f"{argument}.astype('float32')."
        )
        raise ValueError(msg)
    if array.ndim == 0:
        msg = (
            f"`{argument}`: expected at least one axis (the samples), received a scalar; the "
            "arrays must be at least rank 1"
        )
        raise ValueError(msg)
    return array


def check_cardinality(arrays: Mapping[str, Array | None]) -> int:
    """Number of samples, which all arrays must share.

    Raises
    ------
    ValueError
        If they differ, there are none, or a sample has no elements.
    """
    sizes = {name: len(a) for name, a in arrays.items() if a is not None}
    if len(set(sizes.values())) > 1:
        lines = "".join(f"'{name}' sizes: {n}\n" for name, n in sizes.items())
        msg = (
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of "
            f"samples.{lines}"
        )
        raise ValueError(msg)
    n = next(iter(sizes.values()))
    if n == 0:
        msg = f"`{next(iter(sizes))}`: expected at least one sample, received 0"
        raise ValueError(msg)
    for name, array in arrays.items():
        if array is not None and not array.size:
            msg = f"`{name}`: expected samples with elements, received an array of {array.shape}"
            raise ValueError(msg)
    return n


def positive_int(value: Any, argument: str, default: int | None = None) -> int:
    """A whole number of at least 1; None stands for `default`; see `whole_number`."""
    if value is None and default is not None:
        return default
    return whole_number(value, argument, 1)


def whole_number(value: Any, argument: str, least: int) -> int:
    """A whole number of at least `least`.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is smaller.
    """
    wanted = "a positive int" if least == 1 else f"an int >= {least}"
    msg = f"`{argument}`: expected {wanted}, received {value!r}"
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(msg)
    if value < least:
        raise ValueError(msg)
    return int(value)


def check_shuffle(shuffle: Any) -> None:
    """Refuse what is not True, False or "batch"."""
    if not isinstance(shuffle, bool) and shuffle != "batch":
        msg = f"`shuffle`: expected True, False or 'batch', received {shuffle!r}"
        raise ValueError(msg)


def weights_from_classes(y: Array, class_weight: Mapping[Any, float]) -> Array:
    """Weight of each sample by its class, float32, shape (N,); classes not named weigh 1.

    Raises
    ------
    ValueError
        If it is no dict, a key is no class number, or a weight is negative or not finite.
    """
    expected = "`class_weight`: expected {class number: weight >= 0}, received "
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"{expected}{class_weight!r}")
    one_hot = y.ndim > 1 and y.shape[-1] > 1
    classes = y.shape[-1] if one_hot else math.inf
    for key, weight in class_weight.items():
        whole = isinstance(key, int | np.integer) and not isinstance(key, bool)
        is_class = whole and 0 <= key < classes
        is_number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
        if not (is_class and is_number and math.isfinite(weight) and weight >= 0):
            limit = f" ({classes} classes)" if one_hot else ""
            raise ValueError(f"{expected}{{{key!r}: {weight!r}}}{limit}")
    weights = np.ones(len(y), np.float32)
    for start in range(0, len(y), _AT_ONCE):
        part, weights_part = y[start : start + _AT_ONCE], weights[start : start + _AT_ONCE]
        labels = part.argmax(-1) if one_hot else np.rint(part.reshape(len(part))).astype(np.int64)
        for key, weight in class_weight.items():
            weights_part[labels == key] = weight
    return weights


def split_for_validation(arrays: Arrays, fraction: float) -> tuple[Arrays, Arrays]:
    """Training part and validation part: the last ``fraction`` of the samples, before shuffling.

    Raises
    ------
    ValueError
        If `fraction` is not in (0, 1) or one part would be empty.
    """
    number = isinstance(fraction, int | float | np.floating) and not isinstance(fraction, bool)
    if not number or not 0 < fraction < 1:
        msg = f"`validation_split`: expected a number from 0 to 1 (excluded), received {fraction!r}"
        raise ValueError(msg)
    n = len(arrays[0])
    split_at = math.floor(n * (1.0 - fraction))
    if split_at in (0, n):
        msg = (
            f"Training data contains {n} samples, which is not sufficient to split it into a "
            f"validation and training set as specified by `validation_split={fraction}`."
        )
        raise ValueError(msg)
    train = tuple(None if a is None else a[:split_at] for a in arrays)
    valid = tuple(None if a is None else a[split_at:] for a in arrays)
    return train, valid  # type: ignore[return-value]


class ArrayData:
    """Batches of `x`, `y` and sample weights, in Keras's order.

    Parameters
    ----------
    x : array_like, shape (N, ...)
        float64 and float16 become float32, batch by batch.
    y, sample_weight : array_like, shape (N, ...), optional
    batch_size : int, optional
        By default 32, or N / `steps` rounded up if `steps` is given.
    steps : int, optional
    shuffle : bool or "batch"
        ``"batch"`` shuffles only within each batch.
    class_weight : dict, optional
        Weight by class number, instead of `sample_weight`.
    reshuffle : bool
        Another order in every epoch even when seeded; Keras repeats the first one.

    Attributes
    ----------
    unread : bool
        Whether values are not to be looked at before training: they lie in a file, larger than
        memory perhaps, or they are not those of the data yet.
    name : str
        For messages about a batch of an iterable: which one it is.
    """

    name = ""

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        steps: int | None = None,
        shuffle: bool | str = False,
        class_weight: Mapping[Any, float] | None = None,
        reshuffle: bool = False,
    ) -> None:
        check_flag(reshuffle, "reshuffle_each_epoch")
        positive_int(steps, "steps", 1)
        check_shuffle(shuffle)
        self.x = as_data_array(x, "x")
        self.y = None if y is None else as_data_array(y, "y")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "You cannot `class_weight` and `sample_weight` at the same time: expected one "
                    "of them."
                )
            if self.y is None:
                raise ValueError("`class_weight`: expected labels `y`, received None")
            sample_weight = weights_from_classes(self.y, class_weight)
        self.sample_weight = None
        if sample_weight is not None:
            self.sample_weight = as_data_array(sample_weight, "sample_weight")
        arrays = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        self.num_samples = check_cardinality(arrays)
        default = math.ceil(self.num_samples / steps) if steps else 32
        # All that are larger than the data are the same, and none needs memory for itself.
        size = positive_int(batch_size, "batch_size", default)
        self.batch_size = min(size, self.num_samples + 1)
        self.num_batches = math.ceil(self.num_samples / self.batch_size)
        self.unread = is_mapped(self.x) or (self.y is not None and is_mapped(self.y))
        self._shuffle, self._reshuffle = shuffle, reshuffle

    def order(self, epoch: int = 0) -> Array | None:
        """Order of the samples in an epoch; None if it is their own."""
        epoch = epoch if self._reshuffle else 0
        if self._shuffle == "batch":
            return random.batchwise_order(self.num_samples, self.batch_size, epoch)
        return random.epoch_order(self.num_samples, epoch) if self._shuffle else None

    def batches(self, epoch: int = 0) -> Iterator[Batch]:
        """One epoch as tensors; the last batch is what is left over."""
        order = self.order(epoch)
        for start in range(0, self.num_samples, self.batch_size):
            stop = min(start + self.batch_size, self.num_samples)
            yield self.rows(slice(start, stop) if order is None else order[start:stop])

    def rows(self, rows: Any) -> Batch:
        """Some samples, by a slice or their numbers, as tensors."""
        return (
            _take(self.x, rows),
            None if self.y is None else _take(self.y, rows),
            None if self.sample_weight is None else _take(self.sample_weight, rows),
        )

    def first_sample(self) -> Batch:
        """The first sample as a batch of one."""
        return self.rows(slice(0, 1))


def _take(array: Array, rows: Any) -> Tensor:
    """Copy of some rows as a tensor; floats become float32."""
    dtype = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    if array.dtype == dtype and not isinstance(rows, slice):
        return Tensor(array.take(rows, 0))  # a copy, in less time than ``array[rows]`` takes
    with np.errstate(over="ignore"):  # `watch` names what float32 can't hold
        taken = np.array(array[rows], dtype, order="C", copy=isinstance(rows, slice) or None)
    return Tensor(taken)


def whole_batch(x: Any, y: Any = None, weight: Any = None, class_weight: Any = None) -> ArrayData:
    """All samples as one batch."""
    size = max(len(as_data_array(x, "x")), 1)
    return ArrayData(x, y, weight, size, class_weight=class_weight)
