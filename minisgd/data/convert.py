"""From what a user may pass as data to NumPy arrays; no library is imported for it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minisgd.tensor import Array


def to_numpy(value: Any, argument: str) -> Array:
    """`value` as a NumPy array, not copied where that can be; its dtype may still be any.

    Raises
    ------
    ValueError
        If it is nothing that could be an array, a sparse matrix, or a list of several inputs.
    TypeError
        If it is a masked array with masked values.
    """
    if isinstance(value, list | tuple):
        return _from_list(value, argument)
    if value is None:
        msg = (
            f"`{argument}`: expected data, received None. The input '{argument}' is not optional, "
            "but None was passed."
        )
        raise ValueError(msg)
    if is_sparse(value):
        msg = (
            f"Unrecognized data type: {argument} is a sparse {type(value).__name__}. `{argument}`: "
            f"expected a dense array; use {argument}.toarray()."
        )
        raise ValueError(msg)
    if isinstance(value, str | Mapping | type) or not hasattr(value, "__array__"):
        hint = f" It can be called: {argument}() may be what is meant." if callable(value) else ""
        msg = (
            f"Unrecognized data type: {argument} is of type {type(value).__name__}. `{argument}`: "
            f"expected a NumPy array, something with `__array__` or a list of numbers.{hint}"
        )
        raise ValueError(msg)
    if np.ma.is_masked(value):
        msg = (
            f"`{argument}`: expected an array without a mask, received a masked array with "
            f"{np.ma.getmaskarray(value).sum()} masked values; use {argument}.filled(...) to say "
            "what they are to be."
        )
        raise TypeError(msg)
    if hasattr(value, "iloc") and hasattr(value, "to_numpy"):
        return _from_pandas(value, argument)
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # PyTorch
        value = value.detach().cpu()
    return np.asarray(value)


def is_sparse(value: Any) -> bool:
    """Whether it is a sparse matrix of SciPy's."""
    return type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocoo")


def holds_arrays(value: Any) -> bool:
    """Whether a list or tuple holds arrays, not numbers or lists of numbers."""
    return any(hasattr(item, "__array__") and np.ndim(item) > 0 for item in value)


def is_list_of_batches(value: Any) -> bool:
    """Whether it is a list of tuples ``(x, y)`` or ``(x, y, sample_weight)`` of arrays."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, tuple) and holds_arrays(item) for item in value)
    )


def _from_list(value: Sequence[Any], argument: str) -> Array:
    """Numbers as an array; a list that holds one array stands for that array, as in Keras."""
    if holds_arrays(value):
        if len(value) == 1:
            return to_numpy(value[0], argument)
        msg = (
            f"`{argument}`: a list of arrays means several inputs. A Sequential model expects 1 "
            f"input(s), but it received {len(value)} input tensors; if they are samples, use "
            f"np.stack({argument})."
        )
        raise ValueError(msg)
    try:
        return np.array(value)
    except ValueError:
        msg = (
            f"Unrecognized data type: {argument} is a list of lists that differ in length. "
            f"`{argument}`: expected numbers, the same number of them in each sample."
        )
        raise ValueError(msg) from None


def _from_pandas(value: Any, argument: str) -> Array:
    """Values of a frame, or of a series as one column, as in Keras; what is missing is NaN."""
    array = np.asarray(value)
    if array.dtype == object:  # columns of several types have no other one in common
        kinds = dict(getattr(value, "dtypes", {})) if array.ndim == 2 else {argument: value.dtype}
        for column, dtype in kinds.items():
            if getattr(dtype, "kind", "O") not in "fiub":
                msg = (
                    f"Invalid dtype: {dtype}. `{argument}`: expected numbers, received a column "
                    f"{column!r} of {dtype}."
                )
                raise ValueError(msg)
        array = np.asarray(value.to_numpy(dtype=np.float32, na_value=np.nan))
    return array[:, None] if array.ndim == 1 else array


def is_mapped(array: Array) -> bool:
    """Whether an array's memory is a file's, which may be larger than memory."""
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = getattr(owner, "base", None)
    return owner is not None


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put before the message of an error what it is about, unless the message says so.

    An error of a class of the user's own stays as it is: it may hold more than a message.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if not what or what in str(error) or type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"{what}: {error}") from error
