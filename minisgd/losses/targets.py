"""Labels that do not count, and labels that are not what a loss takes them for."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd import ops
from minisgd.tensor import Array, Tensor


def is_valid(y_true: Any, y_pred: Tensor, ignore_class: int) -> Array:
    """Which samples are of another class than `ignore_class`: bool, shape (N,)."""
    labels = np.asarray(y_true)
    if labels.ndim == y_pred.ndim and labels.shape[-1] == 1:
        labels = labels[..., 0]
    return np.asarray(labels != ignore_class)


def unless_ignored(
    y_true: Any, y_pred: Any, from_logits: bool, ignore_class: int, axis: int = -1
) -> Tensor:
    """`sparse_categorical_crossentropy`, and 0 for samples of `ignore_class`.

    As in Keras a softmax is not seen through here: the loss is that of the probabilities.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    valid = is_valid(y_true, y_pred, ignore_class)
    labels = np.where(valid, np.asarray(y_true).reshape(valid.shape), 0)
    outputs = ops.where(valid[..., None], y_pred, 0.0)
    values = ops.sparse_categorical_crossentropy(labels, outputs, from_logits, axis)
    return ops.where(valid, values, 0.0)


def weights_of_valid(valid: Array, reduction: str | None, sample_weight: Any) -> Array:
    """Sample weights under which a mean over the batch is one over its valid samples.

    References
    ----------
    Keras, ``apply_mask`` (losses/loss.py).
    """
    weights = valid.astype(np.float32)
    if reduction in ("mean", "sum_over_batch_size") and valid.any():
        weights *= np.float32(valid.size) / np.float32(np.count_nonzero(valid))
    if sample_weight is None:
        return weights
    return np.asarray(sample_weight, np.float32).reshape(-1) * weights


Doubt = tuple[int, str]  # number of a row of labels, and what is wrong with it


def first_no_distribution(y_true: Array) -> Doubt | None:
    """The first one-hot row that is no distribution: a negative entry, or a sum off by over 1e-3.

    Keras says nothing, and the loss then has no meaning in nats. Rows with NaN or infinity are
    another matter and left out.
    """
    if y_true.ndim != 2 or not y_true.size:
        return None
    if y_true.dtype in (np.float32, np.float64) and y_true.dtype.isnative:
        with np.errstate(invalid="ignore", over="ignore"):  # much faster than `sum` for short rows
            off = np.abs(np.einsum("ij->i", y_true) - 1)
            if (off < 9e-4).all() and y_true.min() >= 0:
                return None
    with np.errstate(invalid="ignore", over="ignore"):
        sums, least = y_true.sum(-1, dtype=np.float64), y_true.min(-1)
    wrong = np.isfinite(sums) & ((np.abs(sums - 1) > 1e-3) | (least < 0))
    if not wrong.any():
        return None
    row = int(np.argmax(wrong))
    what = f"has the entry {least[row]:g}" if least[row] < 0 else f"sums to {sums[row]:g}"
    return row, (
        f"{what} (so {int(wrong.sum())} of {len(y_true)}): expected rows that are distributions "
        "(one-hot: no entry below 0, sum 1; utils.to_categorical makes them of class numbers)"
    )


def first_no_probability(y_true: Array) -> Doubt | None:
    """The first row of labels that holds a number below 0 or above 1, NaN and infinity left out."""
    if y_true.dtype.kind == "b" or not y_true.size or (y_true.min() >= 0 and y_true.max() <= 1):
        return None
    wrong = np.isfinite(y_true) & ~((y_true >= 0) & (y_true <= 1))
    if not wrong.any():
        return None
    place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return int(place[0]), f"has the label {y_true[place]:g}: expected labels from 0 to 1"
