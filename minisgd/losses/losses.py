"""The losses themselves, as functions of a batch: one value per sample."""

from __future__ import annotations

from typing import Any

from minisgd import ops
from minisgd.losses.loss import LossFunctionWrapper, register
from minisgd.ops.classification import check_labels
from minisgd.tensor import Array, Tensor


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
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

    Returns
    -------
    Tensor, shape (N,)

    References
    ----------
    Keras, ``keras.losses.categorical_crossentropy`` (losses/losses.py).
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, y_pred.dtype)
    if label_smoothing and y_true.ndim:
        classes = y_true.shape[-1]
        share = y_true.dtype.type(label_smoothing) / y_true.dtype.type(classes)
        y_true = y_true * (1.0 - label_smoothing) + Tensor(share)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits)


def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Tensor:
    """`categorical_crossentropy` for class numbers of shape (N,) or (N, 1); returns (N,).

    References
    ----------
    Keras, ``keras.losses.sparse_categorical_crossentropy`` (losses/losses.py).
    """
    return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits)


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """Mean over the last axis of ``(y_pred - y_true)**2``; shape (N, D) -> (N,).

    References
    ----------
    Keras, ``keras.losses.mean_squared_error`` (losses/losses.py).
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, y_pred.dtype)
    if y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    if y_true.shape != y_pred.shape:
        msg = (
            "mean_squared_error: expected `y_true` and `y_pred` of the same shape, received "
            f"{y_true.shape} and {y_pred.shape}"
        )
        raise ValueError(msg)
    return ops.mean(ops.square(y_pred - y_true), axis=-1)


@register("categorical_crossentropy")
class CategoricalCrossentropy(LossFunctionWrapper):
    """`categorical_crossentropy`, reduced over the batch.

    Parameters
    ----------
    from_logits : bool
    label_smoothing : float
        From 0 to 1.
    axis : int
        Only the last one.
    reduction : str or None
        See `Loss`.
    name : str
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        if axis != -1:
            msg = f"`axis`: expected -1 (classes last), received {axis}"
            raise ValueError(msg)
        if not 0.0 <= label_smoothing <= 1.0:
            msg = f"`label_smoothing`: expected a number from 0 to 1, received {label_smoothing}"
            raise ValueError(msg)
        super().__init__(
            categorical_crossentropy,
            name=name,
            reduction=reduction,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )


@register("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """`sparse_categorical_crossentropy`, reduced over the batch; see `CategoricalCrossentropy`."""

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        if ignore_class is not None:
            msg = f"`ignore_class`: only None is supported, received {ignore_class}"
            raise NotImplementedError(msg)
        super().__init__(
            sparse_categorical_crossentropy,
            name=name,
            reduction=reduction,
            from_logits=from_logits,
        )

    def check_targets(self, y_true: Array, outputs: int) -> None:
        """Refuse class numbers outside of the model's classes."""
        check_labels(y_true, outputs)


@register("mean_squared_error", "mse", "MSE")
class MeanSquaredError(LossFunctionWrapper):
    """`mean_squared_error`, reduced over the batch; see `Loss` for the reductions."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_error",
    ) -> None:
        super().__init__(mean_squared_error, name=name, reduction=reduction)
