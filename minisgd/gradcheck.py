"""Second derivatives along a vector, and derivatives checked against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisgd import ops
from minisgd.tape import GradientTape
from minisgd.tensor import Array, Tensor, Variable

# A derivative this much smaller than the input's largest is compared with that one: differences of
# rounded numbers can't resolve it.
_FLOOR = 1e-4


def hvp(
    function: Callable[[], Tensor], variables: Sequence[Tensor], vectors: Sequence[Any]
) -> list[Tensor]:
    """Hessian-vector product: the derivative of the gradient along a vector, exactly.

    ``d/dw <gradient(w), v>``, with a tape inside a tape (Pearlmutter, "Fast exact multiplication by
    the Hessian", 1994): it costs a few gradients and never builds the Hessian.

    Parameters
    ----------
    function : callable
        Takes nothing and computes the loss from `variables`; other shapes than () are summed.
    variables : sequence of Tensor
        What the loss is differentiated in, float.
    vectors : sequence of array_like
        The direction v: one array a variable, of its shape.

    Returns
    -------
    list of Tensor
        One a variable, of its shape; zeros where the gradient does not change.

    Raises
    ------
    ValueError
        If the numbers or shapes of variables and vectors differ.

    Examples
    --------
    >>> import minisgd
    >>> w = minisgd.Variable([1.0, 2.0])
    >>> (product,) = minisgd.hvp(lambda: w * w * w, [w], [[1.0, 10.0]])
    >>> print(product.numpy())
    [  6. 120.]
    """
    directions = [ops.convert_to_tensor(v, w.dtype) for w, v in _zip(variables, vectors)]
    with GradientTape() as outer:
        outer.watch(variables)
        with GradientTape() as inner:
            inner.watch(variables)
            target = function()
        gradients = inner.gradient(target, list(variables))
        along = [
            ops.sum(ops.reshape(g * v, -1))
            for g, v in zip(gradients, directions, strict=True)
            if g is not None
        ]
        slope = along[0] if along else ops.sum(target)
        for term in along[1:]:
            slope = slope + term
    products = outer.gradient(slope, list(variables)) if along else [None] * len(gradients)
    return [
        Tensor(np.zeros_like(w._array)) if p is None else p
        for w, p in zip(variables, products, strict=True)
    ]


def _zip(variables: Sequence[Tensor], vectors: Sequence[Any]) -> list[tuple[Tensor, Any]]:
    shapes = [w.shape for w in variables], [np.shape(v) for v in vectors]
    if shapes[0] != shapes[1]:
        msg = f"`vectors`: expected one a variable, of shapes {shapes[0]}, received {shapes[1]}"
        raise ValueError(msg)
    return list(zip(variables, vectors, strict=True))


class GradCheckError(AssertionError):
    """A derivative differs from its finite difference.

    Attributes
    ----------
    report : GradCheckReport
        What was found.
    """

    def __init__(self, report: GradCheckReport) -> None:
        super().__init__(str(report))
        self.report = report


@dataclass(frozen=True)
class Comparison:
    """The worst element of one derivative in one input.

    Attributes
    ----------
    order : int
        1 for the gradient, 2 for its change along a random vector, 0 for the change of the
        value along a random vector through all inputs.
    name : str
        The input's name.
    index : tuple of int
        Where the element is.
    analytic, numeric : float
        What the tape says, and what central differences say.
    error : float
        ``|analytic - numeric| / max(|analytic|, |numeric|, floor)``; the floor is 1e-4 times the
        input's largest derivative, or 1e-4 if that is below 1.
    count : int
        How many elements were compared.
    """

    order: int
    name: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    count: int

    def __str__(self) -> str:
        what = ("along a random vector", "first derivative", "second derivative")[self.order]
        place = f"{self.name}[{', '.join(map(str, self.index))}]" if self.index else self.name
        return (
            f"{what}, {place}: analytic {self.analytic:.12g}, numeric {self.numeric:.12g}, "
            f"relative error {self.error:.2g} (worst of {self.count})"
        )


@dataclass(frozen=True)
class GradCheckReport:
    """What `gradcheck` found: ``print`` it.

    Attributes
    ----------
    name : str
        The function's name.
    tolerance : float
        The largest relative error allowed.
    comparisons : tuple of Comparison
        The worst element of each derivative in each input: first what fails, elements before
        directions, the largest error first.
    """

    name: str
    tolerance: float
    comparisons: tuple[Comparison, ...]

    @property
    def worst(self) -> Comparison:
        """The first of the comparisons."""
        return self.comparisons[0]

    @property
    def ok(self) -> bool:
        """Whether every relative error is within the tolerance."""
        return self.worst.error <= self.tolerance

    def __str__(self) -> str:
        verdict = "agrees" if self.ok else "DISAGREES"
        head = f"gradcheck of {self.name}: {verdict} to {self.tolerance:g}; worst first:"
        return "\n".join([head, *(f"  {c}" for c in self.comparisons)])


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Any],
    *,
    order: int = 2,
    tolerance: float = 1e-6,
    step: float = 1e-4,
    max_elements: int = 100,
    seed: int = 0,
    name: str | None = None,
) -> GradCheckReport:
    """Compare a function's derivatives with central differences, in float64.

    The function's result is weighed with a random array w into one number
    ``F = sum(w * function(*inputs))``. Compared are the change of F along a random vector v through
    all inputs; dF/dx, element by element; and for ``order=2`` the change of dF/dx along v (the
    Hessian-vector product), element by element. The differences use four points,
    ``(8 (F(+h) - F(-h)) - (F(+2h) - F(-2h))) / 12 h``, whose error is of order h^4.

    Parameters
    ----------
    function : callable
        ``function(*tensors) -> Tensor`` of floats.
    inputs : sequence of array_like
        Floats are converted to float64 and differentiated; others are passed on as they are. No
        kink may be within ``2 * step`` of them.
    order : int
        1 or 2.
    tolerance : float
        Largest relative error (`Comparison.error`).
    step : float
        h.
    max_elements : int
        Of a larger input so many randomly chosen elements are differenced for dF/dx.
    seed : int
        For w, v and the choice of elements.
    name : str, optional
        For the report; by default the function's.

    Returns
    -------
    GradCheckReport
        With the worst element of each derivative in each input.

    Raises
    ------
    GradCheckError
        If a relative error exceeds the tolerance or is NaN; its text is the report.
    ValueError
        If there is no float input, or the result is no float64 tensor.

    Examples
    --------
    >>> import minisgd
    >>> minisgd.gradcheck(minisgd.ops.tanh, [[0.5, -1.0]]).ok
    True
    """
    rng = np.random.default_rng(seed)
    arrays = [ops.convert_to_tensor(x)._array for x in inputs]
    places = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    if not places or order not in (1, 2):
        msg = f"expected float inputs and order 1 or 2, received {len(places)}, order {order}"
        raise ValueError(msg)
    starts = [np.array(inputs[i], np.float64) for i in places]
    variables = [Variable(a, name=f"input {i}") for i, a in zip(places, starts, strict=True)]
    tensors = [Tensor(a) for a in arrays]
    for place, variable in zip(places, variables, strict=True):
        tensors[place] = variable

    def random_vector(shape: tuple[int, ...]) -> Array:
        return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.0, shape)

    weights = random_vector((function(*tensors).size,))
    directions = [random_vector(a.shape) for a in starts]

    def value() -> Tensor:
        out = function(*tensors)
        if not isinstance(out, Tensor) or out.dtype != np.float64:
            received = f"a {out.dtype} tensor" if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"expected a function of float64 tensors to give one, got {received}")
        return ops.sum(ops.reshape(out, -1) * weights)

    def gradients() -> list[Array]:
        with GradientTape() as tape:
            target = value()
        found = tape.gradient(target, variables)
        return [
            np.zeros(w.shape) if g is None else g.numpy()
            for w, g in zip(variables, found, strict=True)
        ]

    def differences(what: Callable[[], list[Array]], moves: list[Array]) -> list[Array]:
        at = {}
        for h in (-2, -1, 1, 2):
            for w, start, move in zip(variables, starts, moves, strict=True):
                w.assign(start + h * step * move)
            at[h] = what()
        for w, start in zip(variables, starts, strict=True):
            w.assign(start)
        return [
            (8 * (right - left) - (far_right - far_left)) / (12 * step)
            for left, right, far_left, far_right in zip(at[-1], at[1], at[-2], at[2], strict=True)
        ]

    def number() -> list[Array]:
        return [np.array(float(value()))]

    first = gradients()
    along = sum(float(np.sum(g * v)) for g, v in zip(first, directions, strict=True))
    found = [_worst(0, "all inputs", np.array(along), differences(number, directions)[0], None)]
    for i, w in enumerate(variables):
        chosen = rng.permutation(w.size)[:max_elements]
        numeric = np.zeros(w.size)
        for element in chosen:
            moves = [np.zeros(a.shape) for a in starts]
            moves[i].reshape(-1)[element] = 1
            numeric[element] = differences(number, moves)[0]
        if chosen.size:
            found.append(_worst(1, w.name, first[i], numeric.reshape(w.shape), chosen))
    if order == 2:
        exact = hvp(value, variables, directions)
        numerics = differences(gradients, directions)
        for w, a, n in zip(variables, exact, numerics, strict=True):
            if w.size:
                found.append(_worst(2, w.name, a.numpy(), n, None))
    # What fails comes first, and of that what names an element.
    found.sort(
        key=lambda c: (c.error <= tolerance, c.order == 0, -np.nan_to_num(c.error, nan=np.inf))
    )
    title = name or getattr(function, "__name__", None) or "the function"
    report = GradCheckReport(str(title), tolerance, tuple(found))
    if not report.ok:
        raise GradCheckError(report)
    return report


def _worst(order: int, name: str, analytic: Array, numeric: Array, chosen: Any) -> Comparison:
    """The element of the largest relative error, among those `chosen` (None: all)."""
    a, n = analytic.reshape(-1), numeric.reshape(-1)
    among = np.arange(a.size) if chosen is None else chosen
    floor = _FLOOR * np.max(np.abs(n), initial=1.0)
    error = np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), floor)
    position = int(among[np.argmax(error[among])])  # argmax finds a NaN
    index = tuple(int(i) for i in np.unravel_index(position, analytic.shape))
    return Comparison(
        order, name, index, float(a[position]), float(n[position]), float(error[position]),
        int(among.size),
    )  # fmt: skip
