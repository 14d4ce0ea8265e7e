"""Losses for targets that are numbers: each a mean over the last axis, (N, D) -> (N,)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd import numerics, ops
from minisgd.config import EPSILON
from minisgd.losses.loss import OwnLoss, as_pair
from minisgd.ops.normalization import normalized
from minisgd.ops.statistics import times_constant
from minisgd.tensor import Tensor


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``(y_pred - y_true)**2``; shape (N, D) -> (N,).

    References
    ----------
    Keras, ``keras.losses.mean_squared_error`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("mean_squared_error", y_true, y_pred)
    return ops.mean(ops.square(y_pred - y_true), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``|y_true - y_pred|``; shape (N, D) -> (N,).

    References
    ----------
    Keras, ``keras.losses.mean_absolute_error`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("mean_absolute_error", y_true, y_pred)
    return ops.mean(ops.absolute(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """``100 * mean(|(y_true - y_pred) / max(|y_true|, 1e-7)|)`` over the last axis.

    References
    ----------
    Keras, ``keras.losses.mean_absolute_percentage_error`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("mean_absolute_percentage_error", y_true, y_pred)
    share = (y_true - y_pred) / ops.maximum(ops.absolute(y_true), EPSILON)
    return times_constant(ops.mean(ops.absolute(share), axis=-1), 100.0)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``(log(y_pred + 1) - log(y_true + 1))**2``.

    Both are taken for 1e-7 where they are smaller.

    References
    ----------
    Keras, ``keras.losses.mean_squared_logarithmic_error`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("mean_squared_logarithmic_error", y_true, y_pred)
    first = _log_of_next(ops.maximum(y_pred, EPSILON))
    second = _log_of_next(ops.maximum(y_true, EPSILON))
    return ops.mean(ops.square(first - second), axis=-1)


def _log_of_next(x: Tensor) -> Tensor:
    """``log(x + 1)``, which TensorFlow's graph replaces by log1p."""
    return ops.log1p(x) if numerics.in_graph() else ops.log(x + 1.0)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Minus the cosine of the angle between labels and predictions: -1 for the same direction.

    References
    ----------
    Keras, ``keras.losses.cosine_similarity`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("cosine_similarity", y_true, y_pred)
    return -ops.sum(normalized(y_true, axis) * normalized(y_pred, axis), axis=axis)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """Mean over the last axis of ``e**2 / 2``, or ``delta * |e| - delta**2 / 2`` beyond `delta`.

    References
    ----------
    Keras, ``keras.losses.huber`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("huber", y_true, y_pred)
    width = ops.convert_to_tensor(delta, y_pred.dtype)
    error = y_pred - y_true
    size = ops.absolute(error)
    near, far = 0.5 * ops.square(error), width * size - 0.5 * ops.square(width)
    return ops.mean(ops.where(size <= width, near, far), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``log(cosh(e))``, as ``e + softplus(-2 * e) - log(2)``.

    References
    ----------
    Keras, ``keras.losses.log_cosh`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    log_2, bend = float(np.log(2.0)), ops.softplus(error * -2.0)
    # TensorFlow's graph takes the constant to the front.
    values = error - log_2 + bend if numerics.in_graph() else error + bend - log_2
    return ops.mean(values, axis=-1)


class MeanSquaredError(OwnLoss):
    """`mean_squared_error`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(OwnLoss):
    """`mean_absolute_error`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(OwnLoss):
    """`mean_absolute_percentage_error`, reduced over the batch; see `Loss`."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(OwnLoss):
    """`mean_squared_logarithmic_error`, reduced over the batch; see `Loss`."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class CosineSimilarity(OwnLoss):
    """`cosine_similarity`, reduced over the batch; see `Loss` for the reductions.

    The config names `axis` only where it is not -1: Keras's never does, and so loses it.
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return without(super().get_config(), axis=-1)


class Huber(OwnLoss):
    """`huber`, reduced over the batch; see `Loss` for the reductions.

    The config names `delta` only where it is not 1: Keras's never does, and so loses it.
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction, name, dtype, delta=delta)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return without(super().get_config(), delta=1.0)


class LogCosh(OwnLoss):
    """`log_cosh`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(log_cosh, reduction, name, dtype)


def without(config: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """A config less those entries that have these values."""
    return {k: v for k, v in config.items() if k not in defaults or v != defaults[k]}
