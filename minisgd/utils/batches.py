"""What a `train_step` of one's own needs: batches joined and taken apart, arrays normalized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minisgd.tensor import Array


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """A batch as a tuple without the parts that are None; `x` alone stays as it is.

    References
    ----------
    Keras, ``keras.utils.pack_x_y_sample_weight`` (trainers/data_adapters/data_adapter_utils.py).
    """
    if y is None:
        return (x,) if isinstance(x, tuple | list) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """``(x, y, sample_weight)`` of a batch, None for what it has not.

    Raises
    ------
    ValueError
        If it is a tuple of another length.

    References
    ----------
    Keras, ``keras.utils.unpack_x_y_sample_weight`` (trainers/data_adapters/data_adapter_utils.py).
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if 1 <= len(data) <= 3:
        x, y, sample_weight = (*data, None, None)[:3]
        return x, y, sample_weight
    msg = (
        "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, "
        f"found: {len(data)} items"
    )
    raise ValueError(msg)


def plain_logs(logs: Any) -> Any:
    """The result of a user's own step with Python floats for numbers, and no dict inside it."""
    if not isinstance(logs, Mapping):
        return logs
    plain: dict[str, Any] = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            plain |= plain_logs(value)
            continue
        try:
            plain[name] = float(value)
        except (TypeError, ValueError):
            plain[name] = value
    return plain


def normalize(x: Any, axis: int = -1, order: float = 2) -> Array:
    """A copy of an array with norms of 1 along an axis; rows of zeros stay.

    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])

    Parameters
    ----------
    x : array_like
    axis : int
    order : float
        Of the norm: 2 is the Euclidean one.

    Notes
    -----
    Keras takes axis 0 for the last one.

    References
    ----------
    Keras, ``keras.utils.normalize`` (utils/numerical_utils.py).
    """
    array = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(array, order, axis))
    norm[norm == 0] = 1
    normalized: Array = array / np.expand_dims(norm, axis)
    return normalized
