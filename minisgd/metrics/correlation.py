"""How far labels and predictions rise and fall together: Pearson's and the concordance coefficient.

Both are means over the samples of a coefficient within each sample, so a sample needs several
outputs; with one the result is NaN, or 0, as in Keras.
"""

from __future__ import annotations

from typing import Any

from minisgd import ops
from minisgd.config import EPSILON
from minisgd.losses.loss import as_pair
from minisgd.metrics.reduction import OwnMean
from minisgd.tensor import Tensor


def _deviations(x: Tensor, axis: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Mean along some axes, what is left of `x`, and the variance of that."""
    mean = ops.mean(x, axis=axis, keepdims=True)
    rest = x - mean
    # The variance of deviations, whose mean is subtracted once more, as in Keras.
    again = rest - ops.mean(rest, axis=axis, keepdims=True)
    return mean, rest, ops.mean(ops.square(again), axis=axis, keepdims=True)


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Pearson's correlation of labels and predictions along an axis, from -1 to 1.

    References
    ----------
    Keras, ``keras.metrics.pearson_correlation`` (metrics/correlation_metrics.py).
    """
    y_true, y_pred = as_pair("pearson_correlation", y_true, y_pred)
    scaled = []
    for x in (y_true, y_pred):
        _, rest, variance = _deviations(x, axis)
        scaled.append(rest / ops.sqrt(variance))
    return ops.mean(scaled[0] * scaled[1], axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Lin's coefficient along an axis: Pearson's, less where means or variances differ.

    References
    ----------
    Lin, Biometrics 45 (1989); Keras, ``keras.metrics.concordance_correlation``
    (metrics/correlation_metrics.py).
    """
    y_true, y_pred = as_pair("concordance_correlation", y_true, y_pred)
    true_mean, _, true_variance = _deviations(y_true, axis)
    mean, rest, variance = _deviations(y_pred, axis)
    covariance = (y_true - mean) * rest  # from the same mean: the sum of `rest` is 0
    norm = true_variance + variance + ops.square(true_mean - mean)
    return ops.mean(2.0 * covariance / (norm + EPSILON), axis=axis)


class PearsonCorrelation(OwnMean):
    """Mean of `pearson_correlation` over all samples so far."""

    _direction = "up"

    def __init__(
        self, name: str | None = "pearson_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(OwnMean):
    """Mean of `concordance_correlation` over all samples so far."""

    _direction = "up"

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
