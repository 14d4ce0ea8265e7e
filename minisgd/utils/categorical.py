"""Class numbers as one-hot rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd.tensor import Array


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """One row for each label, 1 in the label's column and 0 elsewhere.

    Parameters
    ----------
    x : array_like of whole numbers, shape (...,) or (..., 1)
        Class numbers from 0 to ``num_classes - 1``.
    num_classes : int, optional
        By default the largest label + 1.

    Returns
    -------
    numpy.ndarray, shape (..., num_classes), float64

    Raises
    ------
    ValueError
        If a label is negative, too large or no whole number. (Keras wraps -1 to the last class and
        truncates 2.9 to 2.)

    Examples
    --------
    >>> to_categorical([1, 0, 2])
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = np.asarray(x)
    if labels.dtype.kind not in "fiub":
        msg = f"`x`: expected class numbers, received dtype {labels.dtype}"
        raise ValueError(msg)
    numbers = labels.astype(np.int64) if np.isfinite(labels).all() else np.zeros_like(labels)
    if numbers.size and (numbers != labels).any():
        first = labels[numbers != labels].flat[0]
        msg = f"`x`: expected whole numbers, received {first}; round labels before the call"
        raise ValueError(msg)
    if num_classes is not None:
        whole = isinstance(num_classes, int | np.integer) and not isinstance(num_classes, bool)
        if not whole or num_classes < 1:
            raise ValueError(f"`num_classes`: expected a positive int, received {num_classes!r}")
    shape = labels.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    numbers = numbers.astype(np.int64).reshape(-1)
    if num_classes is None:
        if not numbers.size:
            raise ValueError("`x`: expected at least one label, or `num_classes` to be given")
        num_classes = int(numbers.max()) + 1
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < num_classes:
        wrong = numbers[(numbers < 0) | (numbers >= num_classes)][0]
        msg = f"`x`: expected labels from 0 to {num_classes - 1}, received {wrong}"
        raise ValueError(msg)
    rows = np.zeros((numbers.size, num_classes))
    rows[np.arange(numbers.size), numbers] = 1
    return rows.reshape(*shape, num_classes)
