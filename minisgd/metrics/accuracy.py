"""Accuracy: the share of samples whose most probable class is the right one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd.metrics.metric import Metric
from minisgd.tensor import Array, Tensor
from minisgd.utils.lookup import did_you_mean


class _Share(Metric):
    """Number of hits divided by the number of samples; both counts are exact."""

    _direction = "up"  # for callbacks with mode="auto": more is better

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Which samples are right: bool, shape (N,)."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        """Take in one batch of labels and predictions."""
        hits = self.hits(np.asarray(y_true), np.asarray(y_pred))
        self.add(int(np.count_nonzero(hits)), hits.size)

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


class CategoricalAccuracy(_Share):
    """Accuracy for one-hot labels, shape (N, C)."""

    def __init__(self, name: str | None = "categorical_accuracy") -> None:
        super().__init__(name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether label and prediction have their largest element in the same place."""
        return np.asarray(y_true.argmax(-1) == _predicted_class(y_pred))


class SparseCategoricalAccuracy(_Share):
    """Accuracy for class numbers, shape (N,) or (N, 1)."""

    def __init__(self, name: str | None = "sparse_categorical_accuracy") -> None:
        super().__init__(name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether the label is the place of the largest prediction."""
        if y_true.ndim == y_pred.ndim:
            y_true = y_true[..., 0]
        return np.asarray(y_true == _predicted_class(y_pred))


class BinaryAccuracy(_Share):
    """Accuracy for labels 0 and 1 and predictions of one unit; every element counts."""

    def __init__(self, name: str | None = "binary_accuracy", threshold: float = 0.5) -> None:
        self.threshold = threshold
        super().__init__(name)

    def hits(self, y_true: Array, y_pred: Array) -> Array:
        """Whether the prediction is on the label's side of the threshold."""
        side = (y_pred > self.threshold).astype(y_pred.dtype)
        return np.asarray((y_true.reshape(y_pred.shape) == side) & ~np.isnan(y_pred))


def resolve(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """Metric that an entry of ``compile(metrics=[...])`` stands for.

    ``"accuracy"`` (or ``"acc"``, in any case) becomes one of three by the shapes of labels and
    predictions, whatever the loss is; the metric keeps the name that the user wrote.

    Raises
    ------
    ValueError
        If the name is unknown.

    References
    ----------
    Keras, ``get_metric`` (trainers/compile_utils.py).
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    check_identifier(identifier)
    true_shape, pred_shape = np.shape(y_true), np.shape(y_pred)
    if identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()](identifier)
    if pred_shape[-1:] == (1,):
        return BinaryAccuracy(identifier)
    if len(true_shape) < len(pred_shape) or true_shape[-1:] == (1,):
        return SparseCategoricalAccuracy(identifier)
    return CategoricalAccuracy(identifier)


_BY_NAME: dict[str, type[Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
}


def check_identifier(identifier: Any) -> None:
    """Refuse what `resolve` could not interpret.

    Raises
    ------
    ValueError
        If it is neither a metric nor a known name.
    """
    if isinstance(identifier, Metric) or (
        isinstance(identifier, type) and issubclass(identifier, Metric)
    ):
        return
    known = ["accuracy", "acc", *_BY_NAME]
    if not isinstance(identifier, str) or identifier.lower() not in known:
        hint = did_you_mean(identifier, known) if isinstance(identifier, str) else ""
        msg = (
            f"Could not interpret metric identifier: {identifier!r}.{hint} Expected one of "
            f"{', '.join(known)}, or a Metric."
        )
        raise ValueError(msg)
