"""Accuracies beyond the most probable class: of equal numbers, and of the k most probable."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd.metrics.accuracy import Share
from minisgd.metrics.metric import count_up, mean_from, total
from minisgd.tensor import Array, Tensor


def _equal(y_true: Array, y_pred: Array) -> Array:
    """Which elements are equal, of (N, D); labels (N,) may stand beside (N, 1)."""
    if y_true.ndim != y_pred.ndim and 1 in (y_true.shape[-1:] + y_pred.shape[-1:]):
        y_true = y_true.reshape(y_pred.shape)
    if y_true.shape != y_pred.shape:
        msg = (
            "accuracy: expected `y_true` and `y_pred` of the same shape, received "
            f"{y_true.shape} and {y_pred.shape}"
        )
        raise ValueError(msg)
    return np.asarray(y_true.astype(y_pred.dtype) == y_pred)


def _in_top_k(labels: Array, y_pred: Array, k: int) -> Array:
    """Whether fewer than `k` classes are more probable than the label; never with NaN or infinity.

    References
    ----------
    TensorFlow, core/kernels/in_topk_op.h.
    """
    shape, classes = labels.shape, y_pred.shape[-1]
    rows, labels = y_pred.reshape(-1, classes), labels.reshape(-1).astype(np.int64)
    known = (labels >= 0) & (labels < classes)
    own = rows[np.arange(len(rows)), np.where(known, labels, 0)]
    better = np.count_nonzero(rows > own[:, None], axis=-1)
    return np.asarray(known & np.isfinite(rows).all(-1) & (better < k)).reshape(shape)


def _categorical(y_true: Array, y_pred: Array, k: int) -> Array:
    return _in_top_k(y_true.argmax(-1), y_pred, k)


def _sparse(y_true: Array, y_pred: Array, k: int, from_sorted_ids: bool) -> Array:
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    if from_sorted_ids:
        return np.asarray((y_true.reshape(-1, 1) == y_pred[:, :k]).any(-1))
    return _in_top_k(y_true, y_pred, k)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the label's class is among the `k` most probable, else 0; (N, C) -> (N,).

    References
    ----------
    Keras, ``keras.metrics.top_k_categorical_accuracy`` (metrics/accuracy_metrics.py).
    """
    return Tensor(_categorical(np.asarray(y_true), np.asarray(y_pred), k).astype(np.float32))


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Tensor:
    """`top_k_categorical_accuracy` for class numbers (N,) or (N, 1).

    With `from_sorted_ids` the predictions are class numbers, the most probable first.

    References
    ----------
    Keras, ``keras.metrics.sparse_top_k_categorical_accuracy`` (metrics/accuracy_metrics.py).
    """
    hits = _sparse(np.asarray(y_true), np.asarray(y_pred), k, from_sorted_ids)
    return Tensor(hits.astype(np.float32))


class Accuracy(Share):
    """How often predictions equal labels, element by element; a sample counts with its mean.

    References
    ----------
    Keras, ``keras.metrics.Accuracy`` (metrics/accuracy_metrics.py).
    """

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Which elements are equal."""
        return _equal(y_true, y_pred)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        if sample_weight is not None or np.ndim(y_pred) < 2:
            super().update_state(y_true, y_pred, sample_weight)
            return
        hits = self.hits(np.asarray(y_true), np.asarray(y_pred)).astype(np.float32)
        self._right = count_up(self._right, total(mean_from(hits, 1)))
        self._seen += len(hits)


class TopKCategoricalAccuracy(Share):
    """Share of the samples whose one-hot label is among the `k` most probable classes.

    References
    ----------
    Keras, ``keras.metrics.TopKCategoricalAccuracy`` (metrics/accuracy_metrics.py).
    """

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        self.k = _positive(k)
        super().__init__(dtype, name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether the label is among the `k` most probable classes."""
        return _categorical(y_true, y_pred, self.k)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**super().get_config(), "k": self.k}


class SparseTopKCategoricalAccuracy(Share):
    """`TopKCategoricalAccuracy` for class numbers, (N,) or (N, 1).

    References
    ----------
    Keras, ``keras.metrics.SparseTopKCategoricalAccuracy`` (metrics/accuracy_metrics.py).
    """

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        self.k, self.from_sorted_ids = _positive(k), from_sorted_ids
        super().__init__(dtype, name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether the label is among the `k` most probable classes."""
        return _sparse(y_true, y_pred, self.k, self.from_sorted_ids)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        config = {**super().get_config(), "k": self.k}
        return config | ({"from_sorted_ids": True} if self.from_sorted_ids else {})


def _positive(k: Any) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        msg = f"`k`: expected a positive int, received {k!r}"
        raise ValueError(msg)
    return int(k)
