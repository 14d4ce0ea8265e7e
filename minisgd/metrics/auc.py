"""AUC: the area under a curve of true against false positives, or of precision against recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd import ops
from minisgd.config import EPSILON
from minisgd.metrics.confusion import Confusion, count
from minisgd.metrics.metric import quotient
from minisgd.tensor import Array, Tensor

_CURVES = ("ROC", "PR", "PRGAIN")
_METHODS = ("interpolation", "majoring", "minoring")


class AUC(Confusion):
    """Area under the ROC or precision-recall curve, from counts at many thresholds.

    Parameters
    ----------
    num_thresholds : int
        At least 2.
    curve : {"ROC", "PR", "PRGAIN"}
    summation_method : {"interpolation", "majoring", "minoring"}
        What stands for the height between two thresholds: the mean (for PR: Davis and Goadrich's
        interpolation), the larger or the smaller.
    name : str, optional
    dtype : {None, "float32"}
        Accepted as in Keras.
    thresholds : list of float, optional
        Instead of evenly spread ones; -1e-7 and 1 + 1e-7 are added.
    multi_label : bool
        Whether to take the mean of the areas of each column.
    num_labels : int, optional
        Number of columns; found out if it is not given.
    label_weights : list of float, optional
        Weight of each column.
    from_logits : bool
        Whether predictions are logits, of which the sigmoid is taken.

    References
    ----------
    Keras, ``keras.metrics.AUC`` (metrics/confusion_metrics.py).
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        if thresholds is not None:
            inner = sorted(thresholds)
        elif num_thresholds <= 1:
            msg = (
                "Argument `num_thresholds` must be an integer > 1. "
                f"Received: num_thresholds={num_thresholds}"
            )
            raise ValueError(msg)
        else:
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        if num_labels and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self.curve = _choice(curve, _CURVES, "AUC curve")
        self.summation_method = _choice(summation_method, _METHODS, "AUC summation method")
        super().__init__(dtype, name, inner)
        self.thresholds = [-EPSILON, *self.thresholds, 1 + EPSILON]
        self._given_thresholds = thresholds is not None
        self.num_thresholds = len(self.thresholds)
        self.multi_label, self.num_labels = multi_label, num_labels
        self.label_weights = (
            None if label_weights is None else np.asarray(label_weights, np.float32)
        )
        self.from_logits = from_logits
        self.reset_state()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        if self.multi_label and np.ndim(y_pred) != 2:
            msg = (
                "`y_pred` must have rank 2 when `multi_label=True`. Found rank "
                f"{np.ndim(y_pred)}. Full shape received for `y_pred`: {np.shape(y_pred)}"
            )
            raise ValueError(msg)
        scores = ops.sigmoid(y_pred) if self.from_logits else y_pred
        if self.multi_label and not np.shape(self.true_positives)[1:]:
            self._spread(np.shape(y_pred)[1])
        columns = None if self.multi_label else self.label_weights
        self.add(
            count(
                y_true, scores, self.thresholds, sample_weight,
                multi_label=self.multi_label, label_weights=columns,
            )
        )  # fmt: skip

    def _spread(self, labels: int) -> None:
        """Counters for so many columns."""
        zeros = np.zeros((self.num_thresholds, labels), np.float32)
        self.true_positives = self.false_positives = zeros
        self.true_negatives = self.false_negatives = zeros

    def result(self) -> Tensor:
        """The area, shape ()."""
        tp, fp, tn, fn = (
            np.asarray(c).astype(np.float32)
            for c in (
                self.true_positives,
                self.false_positives,
                self.true_negatives,
                self.false_negatives,
            )
        )
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._mean_of_labels(_interpolated_pr(tp, fp, fn))
        x, y = _points(self.curve, tp, fp, tn, fn)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / np.float32(2)
        elif self.summation_method == "minoring":
            heights = np.minimum(y[:-1], y[1:])
        else:
            heights = np.maximum(y[:-1], y[1:])
        return self._mean_of_labels((x[:-1] - x[1:]) * heights)

    def _mean_of_labels(self, pieces: Array) -> Tensor:
        """The area of each column summed, and their mean."""
        if not self.multi_label or pieces.ndim == 1:
            return ops.sum(pieces)
        areas = ops.sum(pieces, axis=0)
        if self.label_weights is None:
            return ops.mean(areas)
        weights = Tensor(self.label_weights)
        return Tensor(np.asarray(quotient(ops.sum(areas * weights), ops.sum(weights))))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        config = {
            "name": self.name,
            "dtype": self.dtype,
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else self.label_weights.tolist(),
            "from_logits": self.from_logits,
        }
        return config | ({"thresholds": self.thresholds[1:-1]} if self._given_thresholds else {})


def _choice(value: Any, known: tuple[str, ...], what: str) -> str:
    """One of the known names, in Keras's spellings: "pr" and "PR", "majoring" and "Majoring"."""
    for name in known:
        if value in (name, name.lower() if name.isupper() else name.capitalize()):
            return name
    msg = f'Invalid {what} value: "{value}". Expected values are {list(known)}'
    raise ValueError(msg)


def _points(curve: str, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Any, Any]:
    """The curve's points, one a threshold."""
    if curve == "ROC":
        return quotient(fp, fp + tn), quotient(tp, tp + fn)
    if curve == "PR":
        return quotient(tp, tp + fn), quotient(tp, tp + fp)
    one, zero = np.float32(1), np.float32(0)
    scale = quotient(tp + fn, tn + fp)  # Flach and Kull, NIPS 2015
    recall_gain = np.where(tp == 0, zero, one - scale * quotient(fn, tp))
    precision_gain = np.where(tp == 0, one, one - scale * quotient(fp, tp))
    return np.maximum(recall_gain, zero), precision_gain


def _interpolated_pr(tp: Array, fp: Array, fn: Array) -> Array:
    """Pieces of the area under the precision-recall curve (Davis and Goadrich, ICML 2006)."""
    gained, positives = tp[:-1] - tp[1:], tp + fp
    slope = quotient(gained, np.maximum(positives[:-1] - positives[1:], np.float32(0)))
    intercept = tp[1:] - slope * positives[1:]
    both = (positives[:-1] > 0) & (positives[1:] > 0)
    ratio = np.where(both, quotient(positives[:-1], positives[1:]), np.float32(1))
    logarithm = np.asarray(ops.log(ratio))
    pieces: Array = quotient(
        slope * (gained + intercept * logarithm), np.maximum(tp[1:] + fn[1:], np.float32(0))
    )
    return pieces
