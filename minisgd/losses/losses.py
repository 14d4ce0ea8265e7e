"""The categorical cross-entropies, as functions of a batch: one value per sample."""

from __future__ import annotations

from typing import Any

from minisgd import ops
from minisgd.losses.loss import OwnLoss
from minisgd.losses.targets import (
    Doubt,
    first_no_distribution,
    is_valid,
    unless_ignored,
    weights_of_valid,
)
from minisgd.ops.classification import check_labels
from minisgd.tensor import Array, Tensor


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Cross-entropy between distributions (one-hot rows) and predictions, in nats.

    Parameters
    ----------
    y_true : shape (N, C)
    y_pred : Tensor, shape (N, C)
        Probabilities; behind a softmax the loss goes back to the logits, as in Keras.
    from_logits : bool
        Whether `y_pred` are logits.
    label_smoothing : float
        From 0 to 1: labels become ``y * (1 - a) + a / C``.
    axis : int
        The classes' axis: only the last.

    Returns
    -------
    Tensor, shape (N,)

    References
    ----------
    Keras, ``keras.losses.categorical_crossentropy`` (losses/losses.py).
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = smoothed(ops.convert_to_tensor(y_true, y_pred.dtype), label_smoothing)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


def smoothed(y_true: Tensor, label_smoothing: float) -> Tensor:
    """Labels moved towards the even distribution: ``y * (1 - a) + a / C``."""
    if not label_smoothing or not y_true.ndim:
        return y_true
    share = y_true.dtype.type(label_smoothing) / y_true.dtype.type(y_true.shape[-1])
    return y_true * (1.0 - label_smoothing) + Tensor(share)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """`categorical_crossentropy` for class numbers of shape (N,) or (N, 1); returns (N,).

    Samples of the class `ignore_class` have a loss of 0.

    References
    ----------
    Keras, ``keras.losses.sparse_categorical_crossentropy`` (losses/losses.py).
    """
    if ignore_class is not None:
        return unless_ignored(y_true, y_pred, from_logits, ignore_class, axis)
    return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)


def check_smoothing(label_smoothing: float) -> None:
    """Refuse a share of smoothing that is none."""
    if not 0.0 <= label_smoothing <= 1.0:
        msg = f"`label_smoothing`: expected a number from 0 to 1, received {label_smoothing}"
        raise ValueError(msg)


class CategoricalCrossentropy(OwnLoss):
    """`categorical_crossentropy`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        if axis not in (-1, 1):
            msg = f"`axis`: expected -1 (classes last), received {axis}"
            raise ValueError(msg)
        check_smoothing(label_smoothing)
        settings = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(categorical_crossentropy, reduction, name, dtype, **settings)

    def doubtful_targets(self, y_true: Array) -> Doubt | None:
        """The first row that is no distribution."""
        return first_no_distribution(y_true)


class SparseCategoricalCrossentropy(OwnLoss):
    """`sparse_categorical_crossentropy`, reduced; samples of `ignore_class` do not count."""

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        settings = {"from_logits": from_logits, "ignore_class": ignore_class}
        fn = sparse_categorical_crossentropy if ignore_class is None else unless_ignored
        super().__init__(fn, reduction, name, dtype, **settings)
        self.ignore_class = ignore_class

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Loss of a batch, reduced over the samples that count."""
        if self.ignore_class is not None:
            valid = is_valid(y_true, ops.convert_to_tensor(y_pred), self.ignore_class)
            sample_weight = weights_of_valid(valid, self.reduction, sample_weight)
        return super().__call__(y_true, y_pred, sample_weight)

    def check_targets(self, y_true: Array, outputs: int) -> None:
        """Refuse class numbers outside of the model's classes."""
        counting = y_true if self.ignore_class is None else y_true[y_true != self.ignore_class]
        check_labels(counting, outputs)
