"""Record one eager step as the flat list of the kernel calls that it makes.

The step runs on batches of three different lengths, without computing anything: no kernel is
called, `shapes` says what each would return. Whatever differs between the three recordings must be
the length of the batch, which the printed step calls ``n``; anything else that differs, or that no
recorded call has made, would go stale, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minisgd.compiler.ahead import Job, job
from minisgd.compiler.shapes import stand_in
from minisgd.primitive import recorders
from minisgd.tensor import Array, Tensor

SIZES = (5, 3, 1)  # lengths of the recorded batches: no two of them in the same proportion


class NotCompilableError(Exception):
    """Why a step can only run eagerly, in one sentence."""


@dataclass(frozen=True)
class Times:
    """A number that is `factor` times the length of the batch."""

    factor: int | float

    def __str__(self) -> str:
        return "n" if self.factor == 1 else f"{self.factor} * n"


@dataclass(frozen=True)
class Constant:
    """A number that is the same in every step, or that grows with the batch."""

    value: Any
    dtype: str

    def __str__(self) -> str:
        return f"np.{self.dtype}({self.value})"


Operand = str | Constant
Shape = tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """One recorded call: ``output = name(*inputs, *params)``.

    Attributes
    ----------
    name : str
        Of the primitive or compute kernel.
    inputs : tuple of str or Constant
        Names of arrays, parameters of the printed function among them, and numbers.
    params : tuple
        What is no array: shapes, flags.
    output : str
        Name of the result; empty if the call changes its first inputs instead.
    shape : tuple
        Of the result; the length of the batch is ``Times(1)``.
    part : str
        "forward", "backward", "update" or "metrics".
    origin : tuple of Call
        The recorded calls that a fused call stands for.
    """

    name: str
    inputs: tuple[Operand, ...]
    params: tuple[Any, ...]
    output: str
    shape: Shape
    part: str = ""
    origin: tuple[Call, ...] = field(default=(), compare=False, repr=False)


class Symbol(np.float32):
    """A float32 that differs from step to step, and the expression that stands for it."""

    text: str

    def __mul__(self, other: Any) -> Any:
        return symbol(np.float32(self) * np.float32(other), f"{self.text} * {_number(other)}")

    def __rmul__(self, other: Any) -> Any:
        return symbol(np.float32(other) * np.float32(self), f"{_number(other)} * {self.text}")


def symbol(value: Any, text: str) -> Symbol:
    """A number with its expression."""
    result = Symbol(value)
    result.text = text
    return result


def _number(value: Any) -> str:
    return value.text if isinstance(value, Symbol) else f"np.float32({float(value)!r})"


@dataclass
class Recording:
    """What `minisgd.primitive.bind` and `call` report while a step runs.

    Attributes
    ----------
    names : dict
        Address of an array's data to its name. All arrays are kept alive meanwhile, so that no two
        share an address; a reshaped view has its array's.
    suffix : str
        Of the names of an update's results, where updates differ from step to step.
    jobs : list
        What `ahead` needs to know of the calls.
    """

    names: dict[int, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    part: str = "forward"
    suffix: str = ""
    jobs: list[Job] = field(default_factory=list)
    _alive: list[Any] = field(default_factory=list)
    result = staticmethod(stand_in)  # nothing is computed: a step's calls don't depend on values

    def name(self, array: Array, name: str) -> None:
        """Call an array by a name from here on."""
        self.names[_address(array)] = name
        self.shapes[name] = array.shape
        self._alive.append(array)

    def note(self, name: str, inputs: tuple[Any, ...], params: tuple[Any, ...], out: Any) -> Any:
        """Append a call (called by `minisgd.primitive`); returns what stands for the result."""
        if name == "argument":
            (known,) = params
            if known not in self.arguments:
                self.arguments.append(known)
            return symbol(out, known)
        self.jobs.append(job(name, inputs, params))
        in_place = out is None
        if not isinstance(out, Tensor):  # from `call`
            self.part = "update"
        output = "" if in_place else f"t{len(self.calls) + 1}"
        if output and self.part == "update":
            output += self.suffix
        operands = tuple(self.operand(x) for x in inputs)
        self._alive += inputs
        shape: tuple[int, ...] = ()
        if isinstance(out, Tensor | np.ndarray):
            array = out._array if isinstance(out, Tensor) else out
            self.name(array, output)
            shape = array.shape
        elif not in_place:
            out = symbol(out, output)
        self.calls.append(Call(name, operands, params, output, shape, self.part))
        return out

    def operand(self, value: Any) -> Operand:
        """The name of an array or number, or the number itself if it has none."""
        if isinstance(value, Symbol):
            return value.text
        array = value._array if isinstance(value, Tensor) else np.asarray(value)
        known = self.names.get(_address(array)) if isinstance(value, Tensor | np.ndarray) else None
        if known is not None:
            return known
        if array.ndim or not np.isfinite(array):
            raise NotCompilableError("it uses an array that no operation of minisgd.ops has made")
        return Constant(array.item(), array.dtype.name)


def _address(array: Array) -> int:
    # Not `__array_interface__`: the names of its items, made anew each time, churn the table of all
    # names, which Python then lays out anew: 2 MB now and then.
    return array.ctypes.data


@contextmanager
def watching(recording: Recording) -> Iterator[None]:
    """Let a recording hear of every call in this thread."""
    recorders.watcher = recording
    try:
        yield
    finally:
        recorders.watcher = None


def generalize(lists: Sequence[list[Call]]) -> list[Call]:
    """One list of calls for any length of the batch out of three for `SIZES`."""
    if len({tuple((c.name, c.output) for c in calls) for calls in lists}) > 1:
        raise NotCompilableError("its operations depend on the number of samples in a batch")
    return [_general_call(*same) for same in zip(*lists, strict=True)]


def _general_call(*same: Call) -> Call:
    inputs = tuple(_general(*values) for values in zip(*(c.inputs for c in same), strict=True))
    params = _general(*(c.params for c in same))
    return Call(
        same[0].name, inputs, params, same[0].output, _general(*(c.shape for c in same)),
        same[0].part,
    )  # fmt: skip


def _general(*values: Any) -> Any:
    """One value for all lengths of the batch."""
    if all(type(v) is tuple for v in values) and len({len(v) for v in values}) == 1:
        return tuple(_general(*parts) for parts in zip(*values, strict=True))
    if all(v == values[0] for v in values):
        return values[0]
    if all(isinstance(v, Constant) for v in values):
        return Constant(_general(*(v.value for v in values)), values[0].dtype)
    if all(isinstance(v, int | float) for v in values):
        factor = values[-1]  # the last batch has one sample
        if all(v == factor * n for v, n in zip(values, SIZES, strict=True)):
            return Times(factor)
    raise NotCompilableError(f"{values[0]} in one batch is {values[1]} in another")
