"""How an operation becomes a kernel call: the one place that every operation passes through.

A `Primitive` is a forward function on arrays and one VJP rule per input. `bind` runs the forward
function and hands an `Equation` to every tape that is recording in this thread. `call` runs a
kernel that needs no gradient, such as an optimizer's. The compiler watches both.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

import minisgd_kernels as kernels
from minisgd.tensor import Tensor

Forward = Callable[..., Any]
VJP = Callable[..., Tensor]


@dataclass(frozen=True)
class Primitive:
    """One row of the op table.

    Attributes
    ----------
    name : str
        As printed by a tape.
    forward : callable
        ``forward(*arrays, *params) -> array``; pure.
    vjps : tuple of (callable or None)
        One rule an input, ``vjp(g, out, *inputs, *params) -> Tensor``: the vector-Jacobian product
        of cotangent `g`, written in ops, so that it can be differentiated in turn. None says that
        the op is not differentiable in that input (class numbers, conditions).
    """

    name: str
    forward: Forward
    vjps: tuple[VJP | None, ...]

    @cached_property
    def differentiable(self) -> bool:
        """Whether any input has a rule; comparisons and the like have none."""
        return any(vjp is not None for vjp in self.vjps)


@dataclass(slots=True)
class Equation:
    """One recorded call: ``output = primitive(*inputs, *params)``."""

    primitive: Primitive
    inputs: tuple[Tensor, ...]
    params: tuple[Any, ...]
    output: Tensor


class Recorder(Protocol):
    """What `bind` needs of a tape."""

    def record(self, equation: Equation) -> None:
        """Take note of one call."""


class Watcher(Protocol):
    """What `bind` and `call` need of a compiler that records a step."""

    def result(
        self, name: str, function: Forward, inputs: Sequence[Any], params: Sequence[Any]
    ) -> Any:
        """``function(*inputs, *params)``, or what stands for it."""

    def note(self, name: str, inputs: tuple[Any, ...], params: tuple[Any, ...], out: Any) -> Any:
        """Take note of one call of a primitive or kernel; what `call` is to return."""


class _Recorders(threading.local):
    """The tapes that are recording, the outermost first; each thread has its own."""

    def __init__(self) -> None:
        self.active: list[Recorder] = []
        self.watcher: Watcher | None = None


recorders = _Recorders()


def defop(name: str, forward: Forward, *vjps: VJP | None, params: int = 0) -> Primitive:
    """Define a primitive; a missing VJP rule fails here and not in somebody's training step.

    Parameters
    ----------
    name : str
        The op's public name.
    forward : callable
        Compute kernel or function on arrays.
    *vjps : callable or None
        One rule an input, in order.
    params : int
        Number of trailing arguments of `forward` that are not tensors.

    Raises
    ------
    TypeError
        If the number of rules differs from the number of inputs.
    """
    function = getattr(forward, "py_func", forward)
    inputs = len(inspect.signature(function).parameters) - params
    if len(vjps) != inputs:
        msg = f"op '{name}': expected {inputs} VJP rules, one an input, received {len(vjps)}"
        raise TypeError(msg)
    return Primitive(name, forward, vjps)


def bind(primitive: Primitive, *inputs: Tensor, params: tuple[Any, ...] = ()) -> Tensor:
    """Apply a primitive to tensors, and let every active tape record it."""
    arrays, watcher = [t._array for t in inputs], recorders.watcher
    if watcher is None:
        result = primitive.forward(*arrays, *params)
    else:
        result = watcher.result(primitive.name, primitive.forward, arrays, params)
    if not isinstance(result, np.ndarray):  # Numba turns a 0-d result into a Python number
        result = np.array(result, inputs[0].dtype)
    output = Tensor(result)
    active = recorders.active
    if active and primitive.differentiable and True in [t.requires_grad for t in inputs]:
        output.requires_grad = True
        equation = Equation(primitive, inputs, params, output)
        for recorder in active:
            recorder.record(equation)
    if watcher is not None:
        watcher.note(primitive.name, inputs, params, output)
    return output


def call(kernel: str, *arguments: Any) -> Any:
    """Call a compute kernel by name, on arrays and numbers; no tape hears of it."""
    function, watcher = getattr(kernels, kernel), recorders.watcher
    if watcher is None:
        return function(*arguments)
    result = watcher.result(kernel, function, arguments, ())
    return watcher.note(kernel, arguments, (), result)


def argument(name: str, value: Any) -> Any:
    """`value`, a float32 that may differ in every step: a compiled step takes it as an argument."""
    watcher = recorders.watcher
    return value if watcher is None else watcher.note("argument", (), (name,), value)
