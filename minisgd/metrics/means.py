"""Means of what the losses compute: regression, probabilities, hinge (Keras: the same names)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd import losses, ops
from minisgd.losses.loss import as_pair
from minisgd.losses.regression import without
from minisgd.metrics.metric import Mean
from minisgd.metrics.reduction import OwnMean
from minisgd.ops.normalization import normalized
from minisgd.tensor import Tensor


class MeanSquaredError(OwnMean):
    """Mean of `minisgd.losses.mean_squared_error` over all samples so far."""

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(OwnMean):
    """Mean of `minisgd.losses.mean_absolute_error` over all samples so far."""

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(OwnMean):
    """Mean of `minisgd.losses.mean_absolute_percentage_error` over all samples so far."""

    def __init__(
        self, name: str | None = "mean_absolute_percentage_error", dtype: Any = None
    ) -> None:
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(OwnMean):
    """Mean of `minisgd.losses.mean_squared_logarithmic_error` over all samples so far."""

    def __init__(
        self, name: str | None = "mean_squared_logarithmic_error", dtype: Any = None
    ) -> None:
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(OwnMean):
    """Mean of `minisgd.losses.log_cosh` over all samples so far."""

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(losses.log_cosh, name, dtype)


class RootMeanSquaredError(Mean):
    """Square root of the mean of ``(y_pred - y_true)**2``.

    References
    ----------
    Keras, ``keras.metrics.RootMeanSquaredError`` (metrics/regression_metrics.py).
    """

    _direction = "down"

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # type: ignore[override]  # as in Keras
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take in one batch of labels and predictions."""
        y_true, y_pred = as_pair("root_mean_squared_error", y_true, y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    def result(self) -> Tensor:
        """The root, shape ()."""
        return Tensor(np.sqrt(super().result()._array))


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Cosine of the angle between labels and predictions; the loss of this name is minus that.

    References
    ----------
    Keras, ``cosine_similarity`` (metrics/regression_metrics.py).
    """
    y_true, y_pred = as_pair("cosine_similarity", y_true, y_pred)
    return ops.sum(normalized(y_true, axis) * normalized(y_pred, axis), axis=axis)


class CosineSimilarity(OwnMean):
    """Mean of the cosine of the angle between labels and predictions: 1 for the same direction.

    The config names `axis` only where it is not -1: Keras's never does, and so loses it.
    """

    _direction = "up"

    def __init__(
        self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return without(super().get_config(), axis=-1)


class KLDivergence(OwnMean):
    """Mean of `minisgd.losses.kl_divergence` over all samples so far."""

    def __init__(self, name: str | None = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(losses.kl_divergence, name, dtype)


class Poisson(OwnMean):
    """Mean of `minisgd.losses.poisson` over all samples so far."""

    def __init__(self, name: str | None = "poisson", dtype: Any = None) -> None:
        super().__init__(losses.poisson, name, dtype)


class BinaryCrossentropy(OwnMean):
    """Mean of `minisgd.losses.binary_crossentropy` over all samples so far."""

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        settings = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(losses.binary_crossentropy, name, dtype, **settings)


class CategoricalCrossentropy(OwnMean):
    """Mean of `minisgd.losses.categorical_crossentropy` over all samples so far."""

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        settings = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(losses.categorical_crossentropy, name, dtype, **settings)


class SparseCategoricalCrossentropy(OwnMean):
    """Mean of `minisgd.losses.sparse_categorical_crossentropy` over all samples so far."""

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        settings = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, **settings)


class Hinge(OwnMean):
    """Mean of `minisgd.losses.hinge` over all samples so far."""

    def __init__(self, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(OwnMean):
    """Mean of `minisgd.losses.squared_hinge` over all samples so far."""

    def __init__(self, name: str | None = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(OwnMean):
    """Mean of `minisgd.losses.categorical_hinge` over all samples so far."""

    def __init__(self, name: str | None = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(losses.categorical_hinge, name, dtype)
