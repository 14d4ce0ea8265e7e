"""Numbers that spoil a run, named before the step that would use them.

NaN and infinity in data, labels or weights, whole numbers that float32 can't hold, negative sample
weights, labels that are no distributions, a loss that stops being finite: Keras trains on in
silence. Here one `NumericsWarning` a call names the array and the first place; with
``compile(check_numerics=True)`` it is a ValueError, and the weights are those of before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minisgd.data.convert import is_mapped
from minisgd.data.epochs import Span
from minisgd.tensor import Array
from minisgd.utils.warn import warn_user

_LARGEST = float(np.finfo(np.float32).max)
_WHOLE = 2**24  # float32 holds every whole number up to here
_CHUNK = 1 << 20  # elements that are looked at at once where something is wrong
_NAMES = ("x", "y", "sample_weight")
_KINDS = {"train": "training", "test": "evaluation", "predict": "prediction"}


class NumericsWarning(UserWarning):
    """Numbers that spoil a run: NaN, infinity, labels that are no distribution, and the like."""


class NumericsWatch:
    """Looks at the numbers of one call of `fit`, `evaluate` or `predict`, and speaks up once.

    Arrays in memory are read once, now; those that are memory-mapped, and what comes batch by
    batch, before the step that uses it.

    Parameters
    ----------
    model : Trainer
    data : object
        What has arrays ``x``, ``y`` and ``sample_weight``, or none of them.
    role : str
        E.g. "validation data: ", which comes before the names of arrays.

    Raises
    ------
    ValueError
        With ``check_numerics=True``, for all that would be warned of otherwise.
    """

    def __init__(self, model: Any, data: Any, role: str = "") -> None:
        self._model, self._role = model, role
        self._strict: bool = model.check_numerics
        self._said = False
        self._span: Span | None = None  # what is being run
        self._epoch: int | None = None  # in training
        self._kept: list[tuple[Any, Array]] = []  # what a failing step is taken back to
        self._data, arrays = data, _arrays(data)
        self._mapped = {n: a for n, a in arrays.items() if is_mapped(a)}
        in_memory = {n: a for n, a in arrays.items() if n not in self._mapped}
        self._report(self._in_arrays(in_memory) + _in_weights(model))

    def over(self, spans: Iterable[Span], kind: str, epoch: int) -> Iterator[Span]:
        """Pass an epoch's batches on, each looked at before; in the end look at the weights.

        Parameters
        ----------
        spans : iterable of Span
        kind : str
            "train", "test" or "predict".
        epoch : int
            Counted from 0; matters in training only.
        """
        self._epoch = epoch if kind == "train" else None
        for span in spans:
            if span.data is not self._data:  # an iterable's batch, which nobody could look at
                found = self._in_arrays(_arrays(span.data))
                self._report([f"{span.name}: {text}" for text in found])
            elif self._mapped:
                rows = span.samples()
                batch = {name: array[rows] for name, array in self._mapped.items()}
                if isinstance(rows, slice):
                    rows = np.arange(rows.start, rows.stop)
                self._report(self._in_arrays(batch, rows))
            if self._strict and kind == "train":
                self._keep()
            self._span = span
            yield span
        if kind == "train":
            self._report(_in_weights(self._model))

    def see(self, result: Any) -> None:
        """Look at what a step has returned: logs, or predictions."""
        if isinstance(result, dict):
            loss = result.get("loss")
            if loss is None or math.isfinite(loss):
                return
            text = (
                f"{self._role}the loss is {float(loss)}{self._place()}: expected a finite number; "
                "a smaller learning rate, `clipnorm`, or data scaled to about 1 may help"
            )
        else:
            text = _named("the predictions", np.asarray(result))
        if text and self._strict:
            for variable, values in self._kept:
                variable.assign(values)
        self._report([text] if text else [])

    def _place(self) -> str:
        if self._span is None:
            return ""
        last = self._span.step + self._span.count
        return f" by batch {last}" + ("" if self._epoch is None else f" of epoch {self._epoch + 1}")

    def _in_arrays(self, arrays: dict[str, Array], numbers: Array | None = None) -> list[str]:
        """What is wrong with data; `numbers` are those of the rows if they are not all."""
        found = []
        for name, array in arrays.items():
            text = _named(f"`{name}`", array, numbers)
            if not text and name == "sample_weight":
                text = _negative(array, numbers)
            if not text and name == "y" and getattr(self._model, "_loss", None) is not None:
                doubt = self._model._loss.doubtful_targets(array)
                if doubt is not None:
                    row = doubt[0] if numbers is None else numbers[doubt[0]]
                    text = f"`y`, row {row}, {doubt[1]}"
            found += [self._role + text] if text else []
        return found

    def _report(self, problems: list[str]) -> None:
        """Raise or, the first time, warn."""
        if not problems:
            return
        text = "; ".join(problems)
        if self._strict:
            raise ValueError(f"{text} (an error because of check_numerics=True).")
        if not self._said:
            self._said = True
            warn_user(f"{text}. compile(check_numerics=True) makes it an error.", NumericsWarning)

    def _keep(self) -> None:
        """Copy all that the next step changes in model and optimizer."""
        model = self._model
        variables = list(model.weights)
        if model.optimizer is not None:
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            variables += model.optimizer.variables
        self._kept = [(variable, variable.numpy()) for variable in variables]


def _arrays(data: Any) -> dict[str, Array]:
    """The arrays that there are, by name."""
    found = {name: getattr(data, name, None) for name in _NAMES}
    return {name: array for name, array in found.items() if array is not None}


def first_unusable(array: Array) -> tuple[int, ...] | None:
    """Place of the first number that float32 can't hold: NaN, infinity, too large; None if none.

    Of whole numbers, those beyond 2**24, from where on not each is a float32. Where all is well,
    which is the usual case, the array is read once or twice and nothing is copied.
    """
    limit: float = _WHOLE
    if array.dtype.kind == "f":
        limit = min(_LARGEST, float(np.finfo(array.dtype).max))
    if array.dtype.kind == "b" or not array.size or _within(array, limit):
        return None
    rows = max(1, _CHUNK // array[:1].size)
    for start in range(0, len(array), rows):
        chunk = array[start : start + rows]
        with np.errstate(invalid="ignore"):
            wrong = ~((chunk >= -limit) & (chunk <= limit))  # also NaN
        if wrong.any():
            place = np.unravel_index(int(np.argmax(wrong)), chunk.shape)
            return (start + int(place[0]), *map(int, place[1:]))
    return None


def _within(array: Array, limit: float) -> bool:
    """Whether all elements are at most `limit` in size; NaN is not."""
    if array.dtype.kind in "iu" and np.iinfo(array.dtype).max <= limit:
        return True
    with np.errstate(invalid="ignore", over="ignore"):
        if array.dtype == np.float32 and math.isfinite(array.sum()):
            return True  # one pass; a sum may overflow, though, where no element does
        return bool(array.max() <= limit and array.min() >= -limit)


def _named(name: str, array: Array, numbers: Array | None = None) -> str:
    """The first unusable number of an array in words, or nothing."""
    place = first_unusable(array)
    if place is None:
        return ""
    value = array[place]
    where = (place[0] if numbers is None else int(numbers[place[0]]), *place[1:])
    index = ", ".join(map(str, where))
    position = f" (row {where[0]}, column {where[1]})" if len(where) == 2 else ""
    if array.dtype.kind != "f":
        wanted = "whole numbers up to 2**24 in size, as float32 holds them"
    else:
        wanted = "finite numbers" if not np.isfinite(value) else "numbers that float32 can hold"
    return f"{name}[{index}] is {value}{position}: expected {wanted}"


def _negative(weights: Array, numbers: Array | None) -> str:
    """The first negative sample weight in words, or nothing."""
    if weights.dtype.kind not in "fi" or not weights.size or weights.min() >= 0:
        return ""
    first = np.unravel_index(int(np.argmax(weights < 0)), weights.shape)
    row = int(first[0] if numbers is None else numbers[first[0]])
    return (
        f"`sample_weight`[{row}] is {weights[first]}: expected no number below 0, since training "
        "would climb this sample's loss"
    )


def _in_weights(model: Any) -> list[str]:
    """What is wrong with a model's weights: the first of them that is no number."""
    for variable in model.weights:
        text = _named(f"weight `{variable.path}`", np.atleast_1d(variable._array))
        if text:
            return [text]
    return []
