"""GradientTape: a flat list of equations, walked backwards once.

The order of recording is a topological order, so reverse-mode differentiation needs no search and
no recursion: going through the list from its end, each equation's cotangent is complete when its
turn comes (Linnainmaa 1970; Griewank and Walther, "Evaluating Derivatives", 2008, ch. 3).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Any, overload

import numpy as np

from minisgd import ops
from minisgd.primitive import Equation, recorders
from minisgd.tensor import Tensor, Variable


class GradientTape:
    """Record operations, then ask for gradients.

    Trainable variables are followed of themselves, other tensors after `watch`. Tapes nest: the
    inner one's `gradient` is recorded by the outer one, which gives exact second derivatives.

    Parameters
    ----------
    persistent : bool
        Whether `gradient` may be called more than once.

    Examples
    --------
    >>> import minisgd
    >>> w = minisgd.Variable([[3.0]])
    >>> with minisgd.GradientTape() as tape:
    ...     loss = minisgd.ops.sum(w * w)
    >>> print(tape.gradient(loss, w).numpy())
    [[6.]]

    References
    ----------
    TensorFlow, ``tf.GradientTape`` (python/eager/backprop.py).
    """

    def __init__(self, persistent: bool = False) -> None:
        self.persistent = persistent
        self._equations: list[Equation] = []
        self._watched: dict[int, Tensor] = {}
        self._flagged: list[Tensor] = []  # watched by this tape and followed for no other reason
        self._versions: dict[int, tuple[Variable, int]] = {}
        self._used = False

    def __enter__(self) -> GradientTape:
        if self in recorders.active:
            raise ValueError("Tape is already recording: expected one `with` block at a time.")
        recorders.active.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        recorders.active.remove(self)
        outer = [tape for tape in recorders.active if isinstance(tape, GradientTape)]
        for tensor in self._flagged:
            heirs = [tape for tape in outer if id(tensor) in tape._watched]
            if heirs:
                heirs[0]._flagged.append(tensor)
            else:
                tensor.requires_grad = False
        self._flagged.clear()

    def record(self, equation: Equation) -> None:
        """Append an equation (called by `minisgd.primitive.bind`)."""
        self._equations.append(equation)
        for tensor in equation.inputs:
            if isinstance(tensor, Variable) and id(tensor) not in self._versions:
                self._versions[id(tensor)] = (tensor, tensor.version)

    @property
    def equations(self) -> tuple[Equation, ...]:
        """What was recorded, in order."""
        return tuple(self._equations)

    def watch(self, tensor: Tensor | Sequence[Tensor]) -> None:
        """Follow what is computed from `tensor` from here on.

        Raises
        ------
        ValueError
            If it is not a tensor of floats.
        """
        for t in [tensor] if isinstance(tensor, Tensor) else tensor:
            if not isinstance(t, Tensor) or t.dtype.kind != "f":
                received = f"{t.dtype} tensor" if isinstance(t, Tensor) else type(t).__name__
                msg = f"`tensor`: expected a float tensor to watch, received {received}"
                raise ValueError(msg)
            self._watched[id(t)] = t
            if not t.requires_grad:
                t.requires_grad = True
                self._flagged.append(t)

    @overload
    def gradient(
        self, target: Tensor, sources: Tensor, unconnected_gradients: str = "none"
    ) -> Tensor | None: ...
    @overload
    def gradient(
        self, target: Tensor, sources: Sequence[Tensor], unconnected_gradients: str = "none"
    ) -> list[Tensor | None]: ...
    def gradient(self, target: Tensor, sources: Any, unconnected_gradients: str = "none") -> Any:
        """Gradient of ``sum(target)`` with respect to each source.

        Parameters
        ----------
        target : Tensor
            Usually the loss, shape ().
        sources : Tensor or sequence of Tensor
            Variables, watched tensors, or anything computed from them.
        unconnected_gradients : {"none", "zero"}
            What to return for a source on which `target` does not depend.

        Returns
        -------
        Tensor or None, or a list of them, as `sources`
            Each has its source's shape.

        Raises
        ------
        ValueError
            If `unconnected_gradients` is something else.
        RuntimeError
            If the tape was asked before and is not persistent, or if a recorded variable was
            changed since: the recorded values are gone, and the gradient would be wrong.
        """
        if unconnected_gradients not in ("none", "zero"):
            msg = (
                "Unknown value for unconnected_gradients: expected 'none' or 'zero', received "
                f"{unconnected_gradients!r}"
            )
            raise ValueError(msg)
        if self._used and not self.persistent:
            raise RuntimeError(
                "A non-persistent GradientTape can only be used to compute one set of gradients: "
                "expected GradientTape(persistent=True) for a second call."
            )
        self._used = True
        for variable, version in self._versions.values():
            if variable.version != version:
                msg = (
                    f"variable '{variable.path}' was changed after the tape recorded it: take the "
                    "gradients before the update (or record again)."
                )
                raise RuntimeError(msg)
        wanted = [sources] if isinstance(sources, Tensor) else list(sources)
        cotangents = self._walk_back(target, wanted)
        gradients = [cotangents.get(id(source)) for source in wanted]
        if unconnected_gradients == "zero":
            pairs = zip(wanted, gradients, strict=True)
            gradients = [Tensor(np.zeros_like(s._array)) if g is None else g for s, g in pairs]
        if not self.persistent:
            self._equations.clear()
        return gradients[0] if isinstance(sources, Tensor) else gradients

    def _walk_back(self, target: Tensor, sources: list[Tensor]) -> dict[int, Tensor]:
        """Cotangent of every tensor between the sources and the target, by the tensor's id."""
        # Ids are safe as keys: the equations keep every tensor alive during the walk.
        followed = {id(equation.output) for equation in self._equations} | self._watched.keys()
        followed |= {id(v) for v, _ in self._versions.values() if v.requires_grad}
        needed = {id(source) for source in sources} & followed
        for equation in self._equations:
            if not needed.isdisjoint([id(tensor) for tensor in equation.inputs]):
                needed.add(id(equation.output))
        if id(target) not in needed:
            return {}
        cotangents = {id(target): Tensor(np.ones_like(target._array))}
        for equation in reversed(self._equations):
            g = cotangents.get(id(equation.output))
            if g is None:
                continue
            for tensor, vjp in zip(equation.inputs, equation.primitive.vjps, strict=True):
                if vjp is None or id(tensor) not in needed:
                    continue
                share = vjp(g, equation.output, *equation.inputs, *equation.params)
                # Float addition is not associative: always earlier + later, in reverse tape order.
                so_far = cotangents.get(id(tensor))
                cotangents[id(tensor)] = share if so_far is None else ops.add(so_far, share)
        return cotangents

    def __repr__(self) -> str:
        return f"<GradientTape with {len(self._equations)} equations>"

    def __str__(self) -> str:
        """Print the equations as a program, one line each.

        Variables go by their paths, other inputs and what was computed by numbers.
        """
        names: dict[int, str] = {}
        lines: list[str] = []
        numbers = itertools.count()
        for number, equation in enumerate(self._equations, start=1):
            for tensor in equation.inputs:
                if id(tensor) not in names:
                    known = getattr(tensor, "path", None) or f"input_{next(numbers)}"
                    names[id(tensor)] = known
                    lines.append(f"{known}: {_type(tensor)}")
            names[id(equation.output)] = f"t{number}"
            arguments = [names[id(t)] for t in equation.inputs]
            arguments += [_param(p) for p in equation.params]
            call = f"{equation.primitive.name}({', '.join(arguments)})"
            lines.append(f"t{number}: {_type(equation.output)} = {call}")
        return "\n".join(lines)


def _param(value: Any) -> str:
    """A parameter, in short: an array is its type."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(_param(v) for v in value)})"
    return str(value)


def _type(tensor: Tensor) -> str:
    """Dtype and shape: ``float32[32, 784]``."""
    return f"{tensor.dtype}[{', '.join(str(n) for n in tensor.shape)}]"
