"""Losses for probabilities, besides the categorical cross-entropies."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd import numerics, ops
from minisgd.config import EPSILON
from minisgd.losses.loss import OwnLoss, as_pair
from minisgd.losses.losses import check_smoothing, smoothed
from minisgd.losses.targets import Doubt, first_no_distribution, first_no_probability
from minisgd.ops.activation import sigmoid_alone
from minisgd.ops.classification import check_labels
from minisgd.tensor import Array, Tensor


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """Sum over the last axis of ``y_true * log(y_true / y_pred)``; shape (N, C) -> (N,).

    Both are clipped to [1e-7, 1].

    References
    ----------
    Keras, ``keras.losses.kl_divergence`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("kl_divergence", y_true, y_pred)
    y_true, y_pred = ops.clip(y_true, EPSILON, 1), ops.clip(y_pred, EPSILON, 1)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``y_pred - y_true * log(y_pred + 1e-7)``; (N, D) -> (N,).

    References
    ----------
    Keras, ``keras.losses.poisson`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("poisson", y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + EPSILON), axis=-1)


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Mean over an axis of the cross-entropy of yes-or-no labels, in nats; (N, D) -> (N,).

    Parameters
    ----------
    y_true : shape (N, D)
        From 0 to 1.
    y_pred : Tensor, shape (N, D)
        Probabilities; behind a sigmoid the loss goes back to the logits, as in Keras.
    from_logits : bool
        Whether `y_pred` are logits.
    label_smoothing : float
        From 0 to 1: labels become ``y * (1 - a) + a / 2``.
    axis : int

    References
    ----------
    Keras, ``keras.losses.binary_crossentropy`` (losses/losses.py).
    """
    y_true, y_pred = _yes_or_no(y_true, y_pred, label_smoothing)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`binary_crossentropy` times ``(1 - p)**gamma``, p the probability of the label.

    Parameters
    ----------
    apply_class_balancing : bool
        Whether to weight label 1 with `alpha` and label 0 with ``1 - alpha``.
    alpha, gamma : float

    References
    ----------
    Keras, ``keras.losses.binary_focal_crossentropy`` (losses/losses.py). Lin et al., ICCV 2017.
    """
    y_true, y_pred = _yes_or_no(y_true, y_pred, label_smoothing)
    logits = y_pred if from_logits else y_pred.logits

    def factor() -> Tensor:
        p = y_pred if logits is None else sigmoid_alone(logits)
        return ops.power(_of_the_other(y_true, p), gamma)

    # The gradient of what is recorded last is added first. TensorFlow's graph sorts the summands by
    # the names of their operations: the loss's own sigmoid comes before its cross-entropy.
    if from_logits and numerics.in_graph():
        values = ops.binary_crossentropy(y_true, y_pred, from_logits)
        values = factor() * values
    else:
        values = factor() * ops.binary_crossentropy(y_true, y_pred, from_logits)
    if apply_class_balancing:
        values = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * values
    return ops.mean(values, axis=axis)


def _of_the_other(y_true: Tensor, p: Tensor) -> Tensor:
    """The probability of the label that is not the sample's: ``1 - (y p + (1 - y) (1 - p))``."""
    if_no = (1.0 - y_true) * (1.0 - p)
    if_yes = y_true * p
    # TensorFlow's graph takes the constant to the front.
    return (1.0 - if_no) - if_yes if numerics.in_graph() else 1.0 - (if_yes + if_no)


def _yes_or_no(y_true: Any, y_pred: Any, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """Predictions, and labels of their dtype, smoothed."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, y_pred.dtype)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return y_true, y_pred


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """``sum(-y * log(p) * (1 - p)**gamma * alpha)`` over the classes; (N, C) -> (N,).

    Always from the probabilities p, which are normalised and clipped to [1e-7, 1 - 1e-7].

    Parameters
    ----------
    alpha : float or list of float
        A weight for all classes, or one each.
    gamma : float

    References
    ----------
    Keras, ``keras.losses.categorical_focal_crossentropy`` (losses/losses.py).
    """
    y_true, y_pred = as_pair("categorical_focal_crossentropy", y_true, y_pred)
    y_true = smoothed(y_true, label_smoothing)
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    p = ops.clip(y_pred / ops.sum(y_pred, axis=axis, keepdims=True), EPSILON, 1.0 - EPSILON)
    weight = ops.power(1.0 - p, gamma) * ops.convert_to_tensor(alpha, p.dtype)
    return ops.sum(weight * (-y_true * ops.log(p)), axis=axis)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """``(1 - p**q) / q`` for the probability p of the true class; (N, C) -> (N,).

    Between the cross-entropy (`q` near 0) and the mean absolute error (`q` near 1), which wrong
    labels disturb less.

    Parameters
    ----------
    y_true : array_like of int, shape (N,) or (N, 1)
        Class numbers. (Keras takes (N, 1) too, but pairs each label with all samples.)
    y_pred : Tensor, shape (N, C)
        Probabilities.
    q : float
        Between 0 and 1.

    References
    ----------
    Zhang and Sabuncu, NeurIPS 2018; Keras, ``keras.losses.categorical_generalized_cross_entropy``
    (losses/losses.py).
    """
    y_pred = ops.convert_to_tensor(y_pred)
    labels = np.asarray(y_true).astype(np.int64).reshape(-1, 1)
    one_hot = (labels == np.arange(y_pred.shape[-1])).astype(y_pred.dtype)
    p = ops.sum(y_pred * one_hot, axis=-1)
    return (1.0 - ops.power(p, q)) / q


class KLDivergence(OwnLoss):
    """`kl_divergence`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(OwnLoss):
    """`poisson`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(poisson, reduction, name, dtype)


class BinaryCrossentropy(OwnLoss):
    """`binary_crossentropy`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        check_smoothing(label_smoothing)
        super().__init__(
            binary_crossentropy, reduction, name, dtype,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip

    def doubtful_targets(self, y_true: Array) -> Doubt | None:
        """The first row with a label outside of [0, 1]."""
        return first_no_probability(y_true)


class BinaryFocalCrossentropy(OwnLoss):
    """`binary_focal_crossentropy`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        check_smoothing(label_smoothing)
        super().__init__(
            binary_focal_crossentropy, reduction, name, dtype,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
            apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma,
        )  # fmt: skip

    def doubtful_targets(self, y_true: Array) -> Doubt | None:
        """The first row with a label outside of [0, 1]."""
        return first_no_probability(y_true)


class CategoricalFocalCrossentropy(OwnLoss):
    """`categorical_focal_crossentropy`, reduced over the batch; see `Loss`."""

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        check_smoothing(label_smoothing)
        super().__init__(
            categorical_focal_crossentropy, reduction, name, dtype,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
            alpha=alpha, gamma=gamma,
        )  # fmt: skip

    def doubtful_targets(self, y_true: Array) -> Doubt | None:
        """The first row that is no distribution."""
        return first_no_distribution(y_true)


class CategoricalGeneralizedCrossEntropy(OwnLoss):
    """`categorical_generalized_cross_entropy`, reduced over the batch; see `Loss`."""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(f"q must be in the interval (0, 1), received {q}")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)

    def check_targets(self, y_true: Array, outputs: int) -> None:
        """Refuse class numbers outside of the model's classes."""
        check_labels(y_true, outputs)
