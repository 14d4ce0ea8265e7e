"""Compare two arrays bit by bit and say how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_UNSIGNED: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_SIGNED: dict[int, Any] = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


@dataclass(frozen=True)
class TensorDifference:
    """What a comparison of two arrays of one shape and dtype found.

    Attributes
    ----------
    name : str
        The tensor's name, for example ``"dW1"``.
    shape : tuple of int
        Shape of both arrays.
    dtype : numpy.dtype
        Type of both arrays.
    differing : int
        Number of elements whose bits differ.
    index : tuple of int or None
        Where the worst element is: the largest absolute difference; an element that is NaN or
        infinite on one side only is worse than any finite one. None if all bits are equal.
    ours, theirs : float or int or None
        The two values there.
    ulp : int or None
        How many representable numbers lie between them (see `ulp_distance`).
    max_abs : float
        Largest absolute difference (infinite if NaN or infinity meets another value).
    max_rel : float
        Largest ``|ours - theirs| / |theirs|`` of an element; infinite where only theirs is 0.
    max_ulp : int
        Largest distance of two elements in representable numbers (see `ulp_distances`).
    scaled_max : float
        ``max_abs / max|theirs|``, 0 where all bits are equal.
    rel_frobenius : float
        ``||ours - theirs|| / ||theirs||`` (Frobenius norms, in float64).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    differing: int
    index: tuple[int, ...] | None
    ours: float | int | None
    theirs: float | int | None
    ulp: int | None
    max_abs: float
    max_rel: float
    max_ulp: int
    scaled_max: float
    rel_frobenius: float

    @property
    def equal(self) -> bool:
        """Whether every element has the same bits."""
        return self.differing == 0

    @property
    def size(self) -> int:
        """Number of elements compared."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def points(self) -> float:
        """Largest absolute difference of fractions, in percentage points."""
        return 100.0 * self.max_abs

    def __str__(self) -> str:
        """Return one line: the tensor, the count, the worst element and the norms."""
        if self.equal:
            return f"{self.name}: {self.size} values, all bits equal"
        return (
            f"{self.name}: {self.differing} of {self.size} values differ in bits; worst at "
            f"{self.index}: ours {self.ours!r}, Keras's {self.theirs!r}, {self.ulp} ulp apart; "
            f"max |difference| {self.max_abs:.3g}, over max |Keras's| {self.scaled_max:.3g}, "
            f"relative Frobenius {self.rel_frobenius:.3g}"
        )


def ulp_distances(a: Array, b: Array) -> Array:
    """Return how many representable numbers lie between the elements of two arrays.

    Floats are mapped to integers so that neighbours differ by one and the order is kept:
    a negative float with bit pattern ``i`` (as a signed integer) becomes ``INT_MIN - i``. Both
    zeros map to 0, hence -0.0 and 0.0 are 0 ulp apart although their bits differ. For
    integers the distance is the difference.

    Parameters
    ----------
    a, b : numpy.ndarray
        Values of the same shape and float, integer or boolean dtype.

    Returns
    -------
    numpy.ndarray of uint64
        The distances, without overflow. A NaN is given the number that its bit pattern stands
        for (beyond infinity), so its distance is finite but means nothing.

    Examples
    --------
    >>> one = np.float32([1, 0, -1])
    >>> ulp_distances(one, np.nextafter(one, np.float32(2)))
    array([1, 1, 1], dtype=uint64)
    """
    m, n = _ordinals(a), _ordinals(b)
    # The difference of two int64 fits in uint64, whose arithmetic wraps around to it.
    distances: Array = np.maximum(m, n).view(np.uint64) - np.minimum(m, n).view(np.uint64)
    return distances


def ulp_distance(a: Array, b: Array) -> int:
    """Return `ulp_distances` of two 0-d arrays as a Python integer."""
    return int(ulp_distances(np.atleast_1d(a), np.atleast_1d(b))[0])


def _ordinals(values: Array) -> Array:
    """The int64 of each value in `ulp_distances`."""
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    signed = _SIGNED[values.dtype.itemsize]
    patterns = np.ascontiguousarray(values).view(signed).astype(np.int64)
    ordinals: Array = np.where(patterns < 0, int(np.iinfo(signed).min) - patterns, patterns)
    return ordinals


def differing_positions(a: Array, b: Array) -> Array:
    """Return the flat positions at which two contiguous arrays of one shape differ in bits."""
    bits = _UNSIGNED[a.dtype.itemsize]
    return np.flatnonzero(a.reshape(-1).view(bits) != b.reshape(-1).view(bits))


def compare(name: str, ours: npt.ArrayLike, theirs: npt.ArrayLike) -> TensorDifference:
    """Compare two arrays bit by bit.

    Equal means the same bits: a NaN equals a NaN of the same payload, 0.0 and -0.0 differ.

    Parameters
    ----------
    name : str
        The tensor's name, kept for messages.
    ours, theirs : array_like
        minisgd's and Keras's values: one shape and one dtype (float, integer or boolean).

    Returns
    -------
    TensorDifference
        What was found.

    Raises
    ------
    ValueError
        If the shapes or the dtypes differ.
    """
    a, b = np.ascontiguousarray(ours), np.ascontiguousarray(theirs)
    # ascontiguousarray turns 0-d into 1-d: restore the shapes that were given.
    a, b = a.reshape(np.shape(ours)), b.reshape(np.shape(theirs))
    if a.shape != b.shape:
        raise ValueError(f"{name}: expected Keras's shape {b.shape}, received ours {a.shape}")
    if a.dtype != b.dtype:
        raise ValueError(f"{name}: expected Keras's dtype {b.dtype}, received ours {a.dtype}")

    positions = differing_positions(a, b)
    if not len(positions):
        equal = {"max_abs": 0.0, "max_rel": 0.0, "scaled_max": 0.0, "rel_frobenius": 0.0}
        return TensorDifference(
            name, a.shape, a.dtype, 0, None, None, None, None, max_ulp=0, **equal
        )

    # Only what differs is widened: most comparisons of a long run differ in few elements.
    values_a, values_b = a.reshape(-1)[positions], b.reshape(-1)[positions]
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(values_a.astype(np.float64) - values_b.astype(np.float64))
        gap[~np.isfinite(gap)] = np.inf
        size = np.abs(values_b.astype(np.float64))
        relative = np.divide(gap, size, out=np.full_like(gap, np.inf), where=size > 0)
    relative[gap == 0] = 0.0
    relative[~np.isfinite(gap)] = np.inf
    ulps = ulp_distances(values_a, values_b)
    worst = int(np.argmax(gap))
    max_abs = float(gap[worst])
    index = tuple(int(i) for i in np.unravel_index(positions[worst], a.shape)) if a.ndim else ()
    value_a, value_b = values_a[worst], values_b[worst]
    return TensorDifference(
        name=name,
        shape=a.shape,
        dtype=a.dtype,
        differing=len(positions),
        index=index,
        ours=value_a.item(),
        theirs=value_b.item(),
        ulp=int(ulps[worst]),
        max_abs=max_abs,
        max_rel=float(np.max(relative)),
        max_ulp=int(np.max(ulps)),
        scaled_max=_ratio(max_abs, float(np.max(np.abs(b)))),
        rel_frobenius=_ratio(_norm(gap), _norm(b)),
    )


def first_difference(
    name: str, ours: npt.ArrayLike, theirs: npt.ArrayLike
) -> TensorDifference | None:
    """Return what differs between two arrays, or None if all bits are equal.

    Parameters
    ----------
    name : str
        The tensor's name, kept for messages.
    ours, theirs : array_like
        minisgd's and Keras's values.

    Returns
    -------
    TensorDifference or None
        The comparison's result where at least one bit differs.

    Raises
    ------
    ValueError
        If the shapes or the dtypes differ.
    """
    difference = compare(name, ours, theirs)
    return None if difference.equal else difference


def _norm(values: Array) -> float:
    # Not np.linalg.norm: it calls BLAS, whose threads would fight TensorFlow's for the cores.
    return float(np.sqrt(np.sum(np.square(values, dtype=np.float64))))


def _ratio(numerator: float, denominator: float) -> float:
    """Divide; 0/0 is 0 and x/0 or x/NaN is infinite."""
    if numerator == 0.0:
        return 0.0
    if not denominator > 0.0 or np.isinf(numerator):
        return float("inf")
    return numerator / denominator
