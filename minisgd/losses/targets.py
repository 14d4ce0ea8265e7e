"""Labels that do not count, and labels that are not what a loss takes them for."""

from __future__ import annotations

import warnings
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


def warn_unless_distributions(y_true: Array) -> None:
    """Warn once if one-hot rows are no distributions: a negative entry, or a sum off by over 1e-3.

    Keras says nothing, and the loss then has no meaning in nats. Rows with NaN or infinity are
    another matter and left out.
    """
    if y_true.ndim != 2 or isinstance(y_true, np.memmap):  # those are never read as a whole
        return
    sums, least = y_true.sum(-1, dtype=np.float64), y_true.min(-1, initial=0)
    wrong = np.isfinite(sums) & ((np.abs(sums - 1) > 1e-3) | (least < 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        what = f"has the entry {least[row]:g}" if least[row] < 0 else f"sums to {sums[row]:g}"
        msg = (
            f"`y`: expected rows that are distributions (one-hot: no entry below 0, sum 1), "
            f"received {int(wrong.sum())} of {len(y_true)} others; the first, row {row}, {what}. "
            "The loss of such rows is no cross-entropy; use utils.to_categorical for class numbers."
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
