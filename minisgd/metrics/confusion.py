"""Counts of true and false positives and negatives at thresholds, and their quotients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd import ops
from minisgd.config import EPSILON
from minisgd.losses.loss import squeeze_or_expand_to_same_rank
from minisgd.metrics.metric import Metric, count_up, quotient
from minisgd.tensor import Array, Tensor, as_kernel_array

_NEVER = -1e10  # what predictions outside of the top k count as


# --- one batch ---
@dataclass
class Counts:
    """What a batch adds at each threshold, shape (T,), or (T, labels) with `multi_label`."""

    tp: Array
    fp: Array
    tn: Array
    fn: Array


def count(
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    sample_weight: Any = None,
    *,
    top_k: int | None = None,
    class_id: int | None = None,
    multi_label: bool = False,
    label_weights: Array | None = None,
) -> Counts:
    """Count a batch: a prediction is positive if it is above the threshold, a label unless it is 0.

    Without weights the counts are whole numbers; with weights they are sums in float32, in
    TensorFlow's order.

    Parameters
    ----------
    y_true, y_pred : shape (N,) or (N, L)
    thresholds : sequence of float
    sample_weight : shape (N,) or (N, L), optional
    top_k : int, optional
        Only the `top_k` largest predictions of a row can be positive.
    class_id : int, optional
        Count this column alone.
    multi_label : bool
        Count each column by itself.
    label_weights : shape (L,), optional
        Weight of each column, without `multi_label`.

    Raises
    ------
    ValueError
        If the shapes don't fit.

    References
    ----------
    Keras, ``update_confusion_matrix_variables`` (metrics/metrics_utils.py).
    """
    truth, tensor = squeeze_or_expand_to_same_rank(
        as_kernel_array(y_true, np.float32), Tensor(as_kernel_array(y_pred, np.float32))
    )
    labels, scores = np.asarray(truth), np.asarray(tensor)
    if labels.shape != scores.shape:
        msg = (
            "expected `y_true` and `y_pred` of the same shape, received "
            f"{labels.shape} and {scores.shape}"
        )
        raise ValueError(msg)
    if top_k is not None:
        scores = _top_k_alone(scores, top_k)
    if class_id is not None:
        if scores.ndim == 1:
            msg = (
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, "
                f"num_classes), found shape: {scores.shape}"
            )
            raise ValueError(msg)
        labels, scores = labels[..., class_id, None], scores[..., class_id, None]
    weights = _weights(sample_weight, label_weights, scores.shape)
    columns = scores.shape[-1] if multi_label else 1
    positive, scores = (labels != 0).reshape(-1, columns), scores.reshape(-1, columns)
    weights = None if weights is None else weights.reshape(-1, columns)
    method = _by_bucket if is_even(thresholds) else _by_comparison
    levels = np.asarray(thresholds, np.float64)
    found = [
        method(positive[:, i], scores[:, i], levels, None if weights is None else weights[:, i])
        for i in range(columns)
    ]
    return Counts(*(np.stack(c, -1) if multi_label else c[0] for c in zip(*found, strict=True)))


def is_even(thresholds: Sequence[float]) -> bool:
    """Whether there are at least three, evenly spread from 0 to 1 (up to 1e-7)."""
    n = len(thresholds)
    even = np.arange(n, dtype=np.float32) / max(n - 1, 1)
    return n >= 3 and bool(np.allclose(thresholds, even, atol=EPSILON))


def _top_k_alone(scores: Array, k: int) -> Array:
    """The largest `k` of each row (the first of equal ones); the others far below any threshold."""
    best = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    chosen = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(chosen, best, True, -1)
    return np.where(chosen, scores, np.float32(_NEVER))


def _weights(sample: Any, label: Array | None, shape: tuple[int, ...]) -> Array | None:
    """Weight of each element, or None if all are 1."""
    if sample is None and label is None:
        return None
    weights: Array = np.ones((), np.float32)
    if sample is not None:
        weights = as_kernel_array(sample, np.float32)
        if weights.ndim == len(shape) - 1:
            weights = weights[..., None]
        elif weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
    if label is not None:
        weights = weights * label
    return np.broadcast_to(weights, shape)


_Four = tuple[Array, Array, Array, Array]


def _by_comparison(label: Array, score: Array, thresholds: Array, weight: Array | None) -> _Four:
    """Compare every prediction with every threshold."""
    positive = score > thresholds.astype(np.float32)[:, None]
    cases = (label & positive, ~label & positive, ~label & ~positive, label & ~positive)
    if weight is None:
        tp, fp, tn, fn = (np.count_nonzero(case, axis=-1) for case in cases)
    else:
        zero = np.float32(0)
        tp, fp, tn, fn = (np.asarray(ops.sum(np.where(c, weight, zero), -1)) for c in cases)
    return tp, fp, tn, fn


def _by_bucket(label: Array, score: Array, thresholds: Array, weight: Array | None) -> _Four:
    """Sort predictions into the intervals between even thresholds, then sum from the top.

    A NaN lies above no threshold.
    """
    n = len(thresholds)
    intervals = np.float32(n - 1)
    bucket = np.ceil(np.clip(score, 0, 1) * intervals) - np.float32(1)
    if thresholds[0] < 0 or thresholds[-1] > 1:  # then 0 lies above the first
        bucket = np.where(bucket < 0, np.float32(0), bucket)
    bucket = np.where(np.isnan(bucket), np.float32(-1), bucket).astype(np.int64)
    above, totals = [], []
    for kind in (label, ~label):
        if weight is None:
            sums = np.bincount(bucket[kind & (bucket >= 0)], minlength=n)
            totals.append(np.asarray(np.count_nonzero(kind)))
        else:
            values = np.where(kind, weight, np.float32(0))
            known = bucket >= 0
            sums = kernels.scatter_add(values[known], bucket[known], n)
            totals.append(np.asarray(ops.sum(values)))
        above.append(np.cumsum(sums[::-1], dtype=sums.dtype)[::-1])
    return above[0], above[1], totals[1] - above[1], totals[0] - above[0]


# --- metrics ---
def as_thresholds(thresholds: Any, default: float = 0.5) -> list[float]:
    """A number or several as a list.

    Raises
    ------
    ValueError
        If one is not from 0 to 1.
    """
    if thresholds is None:
        return [default]
    found = list(thresholds) if isinstance(thresholds, list | tuple) else [thresholds]
    wrong = [t for t in found if t is None or not 0 <= t <= 1]
    if wrong:
        msg = f"Threshold values must be in [0, 1]. Received: {wrong}"
        raise ValueError(msg)
    return found


class Confusion(Metric):
    """What the metrics here share: counters of the four kinds, exact also beyond 2**24."""

    true_positives: Any
    false_positives: Any
    true_negatives: Any
    false_negatives: Any

    def __init__(self, dtype: Any, name: str | None, thresholds: Any, default: float = 0.5) -> None:
        super().__init__(dtype, name)
        self.init_thresholds = thresholds
        self.thresholds = as_thresholds(thresholds, default)
        Confusion.reset_state(self)

    def add(self, counts: Counts) -> None:
        """Take in the counts of a batch."""
        self.true_positives = count_up(self.true_positives, counts.tp)
        self.false_positives = count_up(self.false_positives, counts.fp)
        self.true_negatives = count_up(self.true_negatives, counts.tn)
        self.false_negatives = count_up(self.false_negatives, counts.fn)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        self.add(count(y_true, y_pred, self.thresholds, sample_weight))

    def single(self, values: Any) -> Tensor:
        """A figure for each threshold, or the only one."""
        values = np.asarray(values, np.float32)
        return Tensor(values[0] if len(self.thresholds) == 1 else values)

    def reset_state(self) -> None:
        """Forget all batches."""
        zeros = np.zeros(len(self.thresholds), np.float32)
        self.true_positives = self.false_positives = zeros
        self.true_negatives = self.false_negatives = zeros

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class _Count(Confusion):
    """One of the four counters."""

    _counter = ""

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, name, thresholds)

    def result(self) -> Tensor:
        """The count at each threshold, shape () for a single one."""
        return self.single(getattr(self, self._counter))


class TruePositives(_Count):
    """Number, or weight, of positives found.

    Parameters
    ----------
    thresholds : float or list of float, optional
        From 0 to 1; 0.5 by default.

    References
    ----------
    Keras, ``keras.metrics.TruePositives`` (metrics/confusion_metrics.py); so the other three.
    """

    _counter = "true_positives"


class FalsePositives(_Count):
    """Number, or weight, of negatives taken for positives; see `TruePositives`."""

    _counter = "false_positives"


class TrueNegatives(_Count):
    """Number, or weight, of negatives found; see `TruePositives`."""

    _counter = "true_negatives"


class FalseNegatives(_Count):
    """Number, or weight, of positives taken for negatives; see `TruePositives`."""

    _counter = "false_negatives"


class _OfPositives(Confusion):
    """True positives among other positives: true ones, or those predicted."""

    _direction = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name, thresholds, 0.5 if top_k is None else _NEVER)
        self.top_k, self.class_id = top_k, class_id

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        chosen = {"top_k": self.top_k, "class_id": self.class_id}
        self.add(count(y_true, y_pred, self.thresholds, sample_weight, **chosen))  # type: ignore[arg-type]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**super().get_config(), "top_k": self.top_k, "class_id": self.class_id}


class Precision(_OfPositives):
    """``true positives / predicted positives``, 0 where there are none.

    Parameters
    ----------
    thresholds : float or list of float, optional
        From 0 to 1; 0.5 by default, and none with `top_k`.
    top_k : int, optional
        Only the `top_k` largest predictions of a sample can be positive.
    class_id : int, optional
        Count this class alone.

    References
    ----------
    Keras, ``keras.metrics.Precision`` (metrics/confusion_metrics.py).
    """

    def result(self) -> Tensor:
        """The share at each threshold, shape () for a single one."""
        predicted = self.true_positives + self.false_positives
        return self.single(quotient(self.true_positives, predicted))


class Recall(_OfPositives):
    """``true positives / positive labels``, 0 where there are none; arguments of `Precision`.

    References
    ----------
    Keras, ``keras.metrics.Recall`` (metrics/confusion_metrics.py).
    """

    def result(self) -> Tensor:
        """The share at each threshold, shape () for a single one."""
        positives = self.true_positives + self.false_negatives
        return self.single(quotient(self.true_positives, positives))
