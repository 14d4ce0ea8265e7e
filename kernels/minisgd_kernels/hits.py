"""How many predictions of a batch are right: what the accuracies count."""

from __future__ import annotations

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel


@helper
def _first_of_largest(row: Array) -> int:
    """Place of the largest element, the first of equal ones; of the first NaN if there is one."""
    place = 0
    for c in range(row.size):
        if row[c] != row[c]:
            return c
        if row[c] > row[place]:
            place = c
    return place


@helper
def _predicted_class(row: Array) -> int:
    """First class of the largest probability, or -1 (always wrong) where there is a NaN."""
    place = _first_of_largest(row)
    return place if row[place] == row[place] else -1


@kernel
def categorical_hits(y: Array, p: Array) -> int:
    """How many rows of y and p, both (N, C), have their largest element in the same place."""
    mode = flush_denormals()
    hits = 0
    for i in range(p.shape[0]):
        hits += _first_of_largest(y[i]) == _predicted_class(p[i])
    restore_denormals(mode)
    return hits


@kernel
def sparse_hits(y: Array, p: Array) -> int:
    """How many class numbers y (N,) are the place of the largest prediction in p (N, C)."""
    mode = flush_denormals()
    hits = 0
    for i in range(p.shape[0]):
        hits += y[i] == _predicted_class(p[i])
    restore_denormals(mode)
    return hits


@kernel
def binary_hits(y: Array, p: Array, threshold: Scalar) -> int:
    """How many p are on the side of the threshold that labels y, 0 or 1, ask for; both (N,)."""
    mode = flush_denormals()
    hits = 0
    for i in range(p.size):
        side = 1 if p[i] > threshold else 0
        hits += y[i] == side and p[i] == p[i]
    restore_denormals(mode)
    return hits
