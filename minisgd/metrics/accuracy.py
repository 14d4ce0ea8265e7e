"""Accuracy: the share of samples whose most probable class is the right one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd.metrics.metric import Metric, count_up, mean_from, total, weighted
from minisgd.tensor import Array, Tensor


class Share(Metric):
    """Number of hits divided by the number of samples; both counts are exact."""

    _direction = "up"  # for callbacks with mode="auto": more is better
    _right: Any
    _seen: Any

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(dtype, name)
        Share.reset_state(self)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Which samples are right: bool, shape (N,)."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        hits = self.hits(np.asarray(y_true), np.asarray(y_pred))
        if sample_weight is None:
            self.add(int(np.count_nonzero(hits)), hits.size)
            return
        values, weights = weighted(hits.astype(np.float32), sample_weight, mean_from)
        self._right = count_up(self._right, total(values))
        self._seen = count_up(self._seen, total(weights))

    def add(self, right: int, seen: int) -> None:
        """Take in batches whose hits have been counted."""
        self._right += right
        self._seen += seen

    def result(self) -> Tensor:
        """The share so far, a float32; 0 before the first sample."""
        share = np.float32(self._right) / np.float32(self._seen) if self._seen else 0
        return Tensor(np.array(share, np.float32))

    def reset_state(self) -> None:
        """Forget all samples."""
        self._right = self._seen = 0


def _predicted_class(y_pred: Array) -> Array:
    """First class of the largest probability, or -1 (always wrong) where there is a NaN."""
    if not y_pred.size:
        return np.zeros(y_pred.shape[:-1], np.int64)
    return np.where(np.isnan(y_pred.max(-1)), -1, y_pred.argmax(-1))


def _categorical_hits(y_true: Array, y_pred: Array) -> Array:
    return np.asarray(y_true.argmax(-1) == _predicted_class(y_pred))


def _sparse_hits(y_true: Array, y_pred: Array) -> Array:
    if y_true.ndim == y_pred.ndim:
        y_true = y_true[..., 0]
    return np.asarray(y_true == _predicted_class(y_pred))


def _binary_hits(y_true: Array, y_pred: Array, threshold: float) -> Array:
    side = (y_pred > threshold).astype(y_pred.dtype)
    return np.asarray((y_true.reshape(y_pred.shape) == side) & ~np.isnan(y_pred))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where label and prediction (N, C) have their largest element in one place, else 0; (N,)."""
    return Tensor(_categorical_hits(np.asarray(y_true), np.asarray(y_pred)).astype(np.float32))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the class number, (N,) or (N, 1), is the place of the largest of (N, C); (N,)."""
    return Tensor(_sparse_hits(np.asarray(y_true), np.asarray(y_pred)).astype(np.float32))


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """1 where the prediction is on the side of `threshold` of its label, 0 or 1, else 0."""
    hits = _binary_hits(np.asarray(y_true), np.asarray(y_pred), threshold)
    return Tensor(hits.astype(np.float32))


class CategoricalAccuracy(Share):
    """Accuracy for one-hot labels, shape (N, C)."""

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether label and prediction have their largest element in the same place."""
        return _categorical_hits(y_true, y_pred)


class SparseCategoricalAccuracy(Share):
    """Accuracy for class numbers, shape (N,) or (N, 1)."""

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether the label is the place of the largest prediction."""
        return _sparse_hits(y_true, y_pred)


class BinaryAccuracy(Share):
    """Accuracy for labels 0 and 1 and predictions of one unit; every element counts."""

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        self.threshold = threshold
        super().__init__(dtype, name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether the prediction is on the label's side of the threshold."""
        return _binary_hits(y_true, y_pred, self.threshold)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**super().get_config(), "threshold": self.threshold}
