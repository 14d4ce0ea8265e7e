"""Loss, the base class: from one value per sample to one number per batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from minisgd import ops, saving
from minisgd.tensor import Array, Tensor
from minisgd.utils.lookup import look_up
from minisgd.utils.naming import auto_name

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)

C = TypeVar("C", bound="type[Loss]")
_BY_NAME: dict[str, Callable[[], Loss]] = {}


class Loss:
    """A loss: subclasses define ``call(y_true, y_pred)``, one value per sample.

    Parameters
    ----------
    name : str, optional
    reduction : str or None
        ``"sum_over_batch_size"`` (= ``"mean"``): the sum divided by the number of samples in this
        batch, weighted or not; ``"sum"``; ``"mean_with_sample_weight"``: divided by the sum of the
        weights; None or ``"none"``: one value per sample.

    References
    ----------
    Keras, ``keras.losses.Loss`` (losses/loss.py).
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size"
    ) -> None:
        if reduction not in _REDUCTIONS:
            msg = (
                "Invalid value for argument `reduction`. Expected one of "
                f"{_REDUCTIONS}. Received: reduction={reduction!r}"
            )
            raise ValueError(msg)
        self.name = name or auto_name(type(self).__name__)
        self.reduction = reduction

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
        values = self.call(y_true, ops.convert_to_tensor(y_pred))
        weights = None
        if sample_weight is not None:
            weights = ops.convert_to_tensor(sample_weight, values.dtype)
            if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
                weights = ops.reshape(weights, weights.shape[:-1])
            if weights.shape not in ((), values.shape):
                msg = (
                    f"`sample_weight`: expected one weight a sample, shape {values.shape}, "
                    f"received {weights.shape}"
                )
                raise ValueError(msg)
            values = ops.multiply(values, weights)
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


class LossFunctionWrapper(Loss):
    """A function ``fn(y_true, y_pred, **kwargs)`` as a loss."""

    def __init__(
        self,
        fn: Callable[..., Tensor],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), reduction)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """One value per sample."""
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), **self._fn_kwargs}


def register(*names: str) -> Callable[[C], C]:
    """Make a loss class known to `get` by these names and by its own."""

    def add(loss: C) -> C:
        for name in (*names, loss.__name__):
            _BY_NAME[name] = loss
        return loss

    return add


def get(identifier: Any) -> Loss:
    """Loss with a name, e.g. ``"categorical_crossentropy"``; a function is wrapped.

    Raises
    ------
    ValueError
        If there is none with that name.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if isinstance(identifier, dict):
        return get(saving.deserialize_keras_object(identifier))
    if callable(identifier):
        return LossFunctionWrapper(identifier)
    return look_up(identifier, _BY_NAME, "loss")()
