"""The hinge losses: labels are -1 and 1, and predictions want to be beyond them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd import numerics, ops
from minisgd.losses.loss import OwnLoss, as_pair
from minisgd.tensor import Tensor


def _signs(y_true: Tensor) -> Tensor:
    """Labels 0 and 1 as -1 and 1; others stay, also where 0 and 1 are among them."""
    values = y_true._array
    return 2.0 * y_true - 1.0 if np.all((values == 0) | (values == 1)) else y_true


def _shortfall(name: str, y_true: Any, y_pred: Any) -> Tensor:
    """``max(1 - y_true * y_pred, 0)``: what is missing to the right side, by a margin of 1."""
    y_true, y_pred = as_pair(name, y_true, y_pred)
    return ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``max(1 - y_true * y_pred, 0)``; shape (N, D) -> (N,).

    If a batch has no other labels than 0 and 1, they are taken for -1 and 1.

    References
    ----------
    Keras, ``keras.losses.hinge`` (losses/losses.py).
    """
    return ops.mean(_shortfall("hinge", y_true, y_pred), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``max(1 - y_true * y_pred, 0)**2``; see `hinge`.

    References
    ----------
    Keras, ``keras.losses.squared_hinge`` (losses/losses.py).
    """
    return ops.mean(ops.square(_shortfall("squared_hinge", y_true, y_pred)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """``max(neg - pos + 1, 0)`` for one-hot rows; shape (N, C) -> (N,).

    Here ``pos = sum(y_true * y_pred)`` and ``neg = max((1 - y_true) * y_pred)``.

    References
    ----------
    Keras, ``keras.losses.categorical_hinge`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("categorical_hinge", y_true, y_pred)
    pos = ops.sum(y_true * y_pred, axis=-1)
    neg = ops.max((1.0 - y_true) * y_pred, axis=-1)
    # TensorFlow's graph takes the constant to the other place.
    margin = neg - (pos - 1.0) if numerics.in_graph() else neg - pos + 1.0
    return ops.maximum(margin, 0.0)


class Hinge(OwnLoss):
    """`hinge`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(OwnLoss):
    """`squared_hinge`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(OwnLoss):
    """`categorical_hinge`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(categorical_hinge, reduction, name, dtype)
