"""Loss, the base class: from one value per sample to one number per batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minisgd import ops, saving
from minisgd.ops.statistics import weighted
from minisgd.tensor import Array, Tensor
from minisgd.utils.dtypes import check_dtype
from minisgd.utils.naming import auto_name

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Loss:
    """A loss: subclasses define ``call(y_true, y_pred)``, one value per sample.

    Parameters
    ----------
    name : str, optional
    reduction : str or None
        ``"sum_over_batch_size"`` (= ``"mean"``): the sum divided by the number of samples in this
        batch, weighted or not; ``"sum"``; ``"mean_with_sample_weight"``: divided by the sum of the
        weights; None or ``"none"``: one value per sample.
    dtype : {None, "float32"}
        Accepted as in Keras.

    References
    ----------
    Keras, ``keras.losses.Loss`` (losses/loss.py).
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        if reduction not in _REDUCTIONS:
            msg = (
                "Invalid value for argument `reduction`. Expected one of "
                f"{_REDUCTIONS}. Received: reduction={reduction!r}"
            )
            raise ValueError(msg)
        self.name = name or auto_name(type(self).__name__)
        self.reduction = reduction
        self.dtype = check_dtype(dtype)

    def call(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """One value per sample."""
        raise NotImplementedError(f"expected {type(self).__name__} to define call(y_true, y_pred)")

    def check_targets(self, y_true: Array, outputs: int) -> None:
        """Refuse labels that no batch could use, before training starts.

        Parameters
        ----------
        y_true : numpy.ndarray, shape (N, ...)
            All labels of a run.
        outputs : int
            Size of the model's output.
        """

    def doubtful_targets(self, y_true: Array) -> tuple[int, str] | None:
        """The first row of labels for which the loss has no meaning, and why; None if all are well.

        Parameters
        ----------
        y_true : numpy.ndarray, shape (N, ...)
        """
        return None

    def labels(self, y_true: Any, y_pred: Tensor) -> Any:
        """The labels as `call` is to have them: of the predictions' dtype, as in Keras."""
        return ops.convert_to_tensor(y_true, y_pred.dtype)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Loss of a batch, reduced.

        Parameters
        ----------
        y_true : array_like, shape (N, ...)
        y_pred : Tensor, shape (N, ...)
        sample_weight : array_like, shape (N,), optional

        Returns
        -------
        Tensor, shape ()
            Shape (N,) without a reduction.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        values = ops.convert_to_tensor(self.call(self.labels(y_true, y_pred), y_pred))
        weights = None
        if sample_weight is not None:
            weights = ops.convert_to_tensor(sample_weight, values.dtype)
            if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
                weights = ops.reshape(weights, weights.shape[:-1])
            if weights.shape not in ((), values.shape) and not _repeats(weights, values):
                msg = (
                    f"`sample_weight`: expected one weight a sample, shape {values.shape}, "
                    f"received {weights.shape}"
                )
                raise ValueError(msg)
            # A mean over the batch has a divisor that a graph may know; the others haven't.
            by_count = self.reduction in ("sum_over_batch_size", "mean")
            values = (weighted if by_count else ops.multiply)(values, weights)
        if self.reduction in (None, "none") or values.ndim == 0:
            return values
        total = ops.sum(values)
        if self.reduction == "sum":
            return total
        divisor: Any = values.size
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            divisor = ops.sum(weights)
        if not float(divisor):  # 0 / 0 is 0 here, as in Keras
            return ops.multiply(total, 0.0)
        return ops.divide(total, divisor)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Loss with these arguments."""
        return cls(**config)


def _repeats(weights: Tensor, values: Tensor) -> bool:
    """Whether each sample of several values has one weight for all of them: (N, 1) for (N, T)."""
    return weights.ndim == values.ndim > 1 and weights.shape == (len(values), 1)


class LossFunctionWrapper(Loss):
    """A function ``fn(y_true, y_pred, **kwargs)`` as a loss.

    Labels (N,) and predictions (N, 1), or the reverse, are brought to one shape first.

    References
    ----------
    Keras, ``LossFunctionWrapper`` (losses/losses.py).
    """

    def __init__(
        self,
        fn: Callable[..., Tensor],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """One value per sample."""
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss; the function by its name."""
        fn = saving.serialize_keras_object(self.fn)
        return {**super().get_config(), "fn": fn, **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Loss with these arguments."""
        from minisgd.losses.lookup import deserialize  # which knows this class

        if "fn" in config and not callable(config["fn"]):
            config = {**config, "fn": deserialize(config["fn"])}
        return cls(**config)


class OwnLoss(LossFunctionWrapper):
    """One of minisgd's functions as a loss: what it is given besides stands in its config.

    Its function converts the labels itself.
    """

    def labels(self, y_true: Any, y_pred: Tensor) -> Any:
        """The labels as they are."""
        return y_true

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**Loss.get_config(self), **self._fn_kwargs}


def squeeze_or_expand_to_same_rank(y_true: Any, y_pred: Tensor) -> tuple[Any, Tensor]:
    """Give labels (N,) beside predictions (N, 1) a last axis of 1, or the reverse.

    With more axes the last axis of 1 is taken away instead.

    References
    ----------
    Keras, ``squeeze_or_expand_to_same_rank`` (losses/loss.py).
    """
    true_rank, pred_rank = np.ndim(y_true), y_pred.ndim
    if true_rank == pred_rank + 1 and np.shape(y_true)[-1] == 1:
        if pred_rank == 1:
            return y_true, ops.expand_dims(y_pred, -1)
        return ops.squeeze(y_true, -1), y_pred
    if pred_rank == true_rank + 1 and y_pred.shape[-1] == 1:
        if true_rank == 1:
            return ops.expand_dims(y_true, -1), y_pred
        return y_true, ops.squeeze(y_pred, -1)
    return y_true, y_pred


def as_pair(name: str, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Labels and predictions as tensors of one shape and dtype.

    Raises
    ------
    ValueError
        If the shapes differ. (Keras repeats what it can, so that labels of another width or order
        of axes give some loss or other.)
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, y_pred.dtype)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        msg = (
            f"{name}: expected `y_true` and `y_pred` of the same shape, received "
            f"{y_true.shape} and {y_pred.shape}"
        )
        raise ValueError(msg)
    return y_true, y_pred
