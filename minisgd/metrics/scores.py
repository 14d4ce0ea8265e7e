"""F-scores, and the coefficient of determination."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from minisgd import ops
from minisgd.config import EPSILON
from minisgd.losses.loss import squeeze_or_expand_to_same_rank
from minisgd.metrics.metric import Metric, count_up
from minisgd.tensor import Array, Tensor, as_kernel_array

_AVERAGES = (None, "micro", "macro", "weighted")
_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


def _two_axes(name: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Labels and predictions as float32 arrays (N, D)."""
    labels, scores = as_kernel_array(y_true, np.float32), as_kernel_array(y_pred, np.float32)
    if name == "R2Score":
        truth, tensor = squeeze_or_expand_to_same_rank(labels, Tensor(scores))
        labels, scores = np.asarray(truth), np.asarray(tensor)
    if labels.ndim != 2 or scores.ndim != 2:
        msg = (
            f"{name} expects 2D inputs with shape (batch_size, output_dim). Received input "
            f"shapes: y_pred.shape={scores.shape} and y_true.shape={labels.shape}."
        )
        raise ValueError(msg)
    if labels.shape != scores.shape:
        msg = (
            f"{name}: expected `y_true` and `y_pred` of the same shape, received {labels.shape} "
            f"and {scores.shape}"
        )
        raise ValueError(msg)
    return labels, scores


class FBetaScore(Metric):
    """``(1 + b**2) * precision * recall / (b**2 * precision + recall)`` for one-hot rows.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None: one score a class; "micro": of all classes' counts together; "macro": the mean over
        the classes; "weighted": weighted by the number of labels of each.
    beta : float
        How much more recall counts than precision.
    threshold : float, optional
        Above it a prediction is positive; by default the largest of each row is.
    name : str, optional
    dtype : {None, "float32"}
        Accepted as in Keras.

    References
    ----------
    Keras, ``keras.metrics.FBetaScore`` (metrics/f_score_metrics.py).
    """

    _direction = "up"

    _tp: Any
    _fp: Any
    _fn: Any
    _labels: Any

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        if average not in _AVERAGES:
            msg = (
                "Invalid `average` argument value. Expected one of: "
                f"{{None, 'micro', 'macro', 'weighted'}}. Received: average={average}"
            )
            raise ValueError(msg)
        if not isinstance(beta, float):
            msg = (
                "Invalid `beta` argument value. It should be a Python float. "
                f"Received: beta={beta} of type '{type(beta)}'"
            )
            raise ValueError(msg)
        if not beta > 0.0:
            msg = f"Invalid `beta` argument value. It should be > 0. Received: beta={beta}"
            raise ValueError(msg)
        if threshold is not None and not isinstance(threshold, float):
            msg = (
                "Invalid `threshold` argument value. It should be a Python float. "
                f"Received: threshold={threshold} of type '{type(threshold)}'"
            )
            raise ValueError(msg)
        if threshold is not None and not 0.0 < threshold <= 1.0:
            msg = (
                "Invalid `threshold` argument value. It should verify 0 < threshold <= 1. "
                f"Received: threshold={threshold}"
            )
            raise ValueError(msg)
        self.average, self.beta, self.threshold = average, beta, threshold
        self.axis = None if average == "micro" else 0
        FBetaScore.reset_state(self)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        labels, scores = _two_axes(type(self).__name__, y_true, y_pred)
        if self.threshold is None:
            chosen = (scores >= scores.max(-1, keepdims=True)) & (np.abs(scores) > 1e-9)
        else:
            chosen = scores > np.float32(self.threshold)
        positive, one = chosen.astype(np.float32), np.float32(1)
        weights = None
        if sample_weight is not None:
            weights = as_kernel_array(sample_weight, np.float32).reshape(-1, 1)

        def summed(values: Array) -> Array:
            return np.asarray(ops.sum(values if weights is None else values * weights, self.axis))

        self._tp = count_up(self._tp, summed(positive * labels))
        self._fp = count_up(self._fp, summed(positive * (one - labels)))
        self._fn = count_up(self._fn, summed((one - positive) * labels))
        self._labels = count_up(self._labels, summed(labels))

    def result(self) -> Tensor:
        """The score of each class, shape (C,), or their average."""
        f32 = np.float32
        tp, fp, fn = (np.asarray(c).astype(f32) for c in (self._tp, self._fp, self._fn))
        precision, recall = tp / (tp + fp + f32(EPSILON)), tp / (tp + fn + f32(EPSILON))
        square = self.beta**2
        if self.average == "micro":  # of single numbers TensorFlow's graph takes the constant first
            divisor = f32(square) * precision + f32(EPSILON) + recall
        else:
            divisor = f32(square) * precision + recall + f32(EPSILON)
        mean = precision * recall / divisor
        scores = np.asarray(mean * f32(1 + square))
        if self.average == "weighted":
            labels = np.asarray(self._labels).astype(f32)
            weights = labels / (np.asarray(ops.sum(labels)) + f32(EPSILON))
            return ops.sum(scores * weights)
        return Tensor(scores) if self.average is None else ops.mean(scores)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._tp = self._fp = self._fn = self._labels = np.float32(0)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        own = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **own}


class F1Score(FBetaScore):
    """`FBetaScore` with a beta of 1: the harmonic mean of precision and recall.

    References
    ----------
    Keras, ``keras.metrics.F1Score`` (metrics/f_score_metrics.py).
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        config = super().get_config()
        del config["beta"]
        return config


class R2Score(Metric):
    """``1 - sum((y_true - y_pred)**2) / sum((y_true - mean(y_true))**2)``, per column.

    Parameters
    ----------
    class_aggregation : {None, "uniform_average", "variance_weighted_average"}
        None: one score a column.
    num_regressors : int
        Number of independent variables, for the adjusted score; 0 for the plain one.
    name : str, optional
    dtype : {None, "float32"}
        Accepted as in Keras.

    References
    ----------
    Keras, ``keras.metrics.R2Score`` (metrics/regression_metrics.py).
    """

    _direction = "up"

    _sum: Any
    _squares: Any
    _errors: Any
    _count: Any
    _samples: int

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        if class_aggregation not in _AGGREGATIONS:
            msg = (
                "Invalid value for argument `class_aggregation`. Expected one of "
                f"{_AGGREGATIONS}. Received: class_aggregation={class_aggregation}"
            )
            raise ValueError(msg)
        if num_regressors < 0:
            msg = (
                "Invalid value for argument `num_regressors`. Expected a value >= 0. "
                f"Received: num_regressors={num_regressors}"
            )
            raise ValueError(msg)
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        R2Score.reset_state(self)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        labels, predictions = _two_axes("R2Score", y_true, y_pred)
        weights = np.ones((), np.float32)
        if sample_weight is not None:
            weights = as_kernel_array(sample_weight, np.float32)
            weights = weights[:, None] if weights.ndim == 1 else weights
        weights = np.broadcast_to(weights, labels.shape)
        weighted, error = labels * weights, labels - predictions
        self._sum = self._sum + _columns(weighted)
        self._squares = self._squares + _columns(labels * weighted)
        self._errors = self._errors + _columns(error * error * weights)
        self._count = count_up(self._count, _columns(weights))
        self._samples += labels.size

    def result(self) -> Tensor:
        """The score, or one a column."""
        count = np.asarray(self._count).astype(np.float32)
        with np.errstate(all="ignore"):
            variance = self._squares - self._sum * (self._sum / count)
            scores = np.asarray(np.float32(1) - self._errors / variance)
            scores = np.where(np.isinf(scores), np.float32(0), scores)
            score = scores
            if self.class_aggregation == "uniform_average":
                score = np.asarray(ops.mean(scores))
            elif self.class_aggregation == "variance_weighted_average":
                weighted = np.asarray(ops.sum(variance * scores))
                score = np.asarray(weighted / np.asarray(ops.sum(variance)))
        return Tensor(self._adjusted(score))

    def _adjusted(self, score: Array) -> Array:
        """The score less what so many variables explain by chance."""
        free = self._samples - self.num_regressors - 1
        if not self.num_regressors:
            return score
        if free <= 0:
            what = (
                "Division by zero in Adjusted R2 score."
                if free == 0
                else "More independent predictors than datapoints in adjusted R2 score."
            )
            warnings.warn(f"{what} Falling back to standard R2 score.", stacklevel=3)
            return score
        one, n = np.float32(1), np.float32(self._samples)
        ratio = (one - score) * (n - one) / (n - np.float32(self.num_regressors) - one)
        return np.asarray(one - ratio)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sum = self._squares = self._errors = self._count = np.zeros(1, np.float32)
        self._samples = 0

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **own}


def _columns(values: Array) -> Array:
    """Sum of each column, in TensorFlow's order."""
    return np.asarray(ops.sum(np.ascontiguousarray(values), axis=0))
