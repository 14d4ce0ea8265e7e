"""What a `train_step` of one's own needs: data joined and taken apart, arrays normalized."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd.tensor import Array


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Join to ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, as `fit` takes them.

    >>> pack_x_y_sample_weight(1, 2)
    (1, 2)

    References
    ----------
    Keras, ``keras.utils.pack_x_y_sample_weight`` (trainers/data_adapters/data_adapter_utils.py).
    """
    if y is None:
        return (x,) if isinstance(x, tuple | list) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Take apart what `pack_x_y_sample_weight` joins; None stands for what is not there.

    Raises
    ------
    ValueError
        If there are more than three parts.

    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)

    References
    ----------
    Keras, ``keras.utils.unpack_x_y_sample_weight`` (trainers/data_adapters/data_adapter_utils.py).
    """
    if not isinstance(data, tuple | list):
        return data, None, None
    if not 1 <= len(data) <= 3:
        msg = (
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, "
            f"found: {data}"
        )
        raise ValueError(msg)
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


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
