"""``compile(loss_weights=...)``: a loss times a number."""

from __future__ import annotations

from typing import Any

from minisgd import ops
from minisgd.losses.loss import Loss
from minisgd.tensor import Array, Tensor


class TimesWeight(Loss):
    """A loss whose reduced value is multiplied by a weight.

    Parameters
    ----------
    loss : Loss
    weight : float

    Notes
    -----
    The model's weights have Keras's bits wherever the loss by itself gives them. The loss in the
    History may be two units off where TensorFlow knows the length of a batch: for the mean, its
    graph multiplies the weight by that length first.

    References
    ----------
    Keras, ``CompileLoss.call`` (trainers/compile_utils.py).
    """

    def __init__(self, loss: Loss, weight: float) -> None:
        super().__init__(loss.name, loss.reduction)
        self.loss, self.weight = loss, weight

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Loss of a batch times the weight; see `Loss.__call__`."""
        return ops.multiply(self.loss(y_true, y_pred, sample_weight), self.weight)

    def check_targets(self, y_true: Array, outputs: int) -> None:
        """What the loss refuses."""
        self.loss.check_targets(y_true, outputs)

    def doubtful_targets(self, y_true: Array) -> tuple[int, str] | None:
        """What the loss doubts."""
        return self.loss.doubtful_targets(y_true)


def times_weight(loss: Loss | None, loss_weights: Any) -> Loss | None:
    """The loss of a model with one output, weighted as ``compile(loss_weights=...)`` says.

    Parameters
    ----------
    loss : Loss or None
        Without a loss nothing is weighted.
    loss_weights : float, list, tuple or dict of one number, or None
        The keys of a dict are not looked at, as in Keras, since there is one loss.

    Raises
    ------
    ValueError
        If it is of another type (an int by itself, too), has not one element, or that is no number.

    References
    ----------
    Keras, ``CompileLoss`` (trainers/compile_utils.py).
    """
    if loss_weights is None:
        return loss
    # A falsy value passes in Keras whatever its type; here only one that could be meant.
    number = type(loss_weights) is int and loss_weights == 0
    if not number and not isinstance(loss_weights, float | list | tuple | dict):
        msg = (
            "Expected `loss_weights` argument to be a float (single output case) or a list, tuple, "
            "or dict (multiple output case). Received instead: "
            f"loss_weights={loss_weights} of type {type(loss_weights)}; write e.g. "
            "loss_weights=[2.0]."
        )
        raise ValueError(msg)
    if loss is None:
        return None
    flat = _flat(loss_weights)
    if len(flat) != 1:
        msg = (
            "`loss_weights` must match the number of losses, got 1 losses and "
            f"{len(flat)} weights. A Sequential has one output and one loss."
        )
        raise ValueError(msg)
    (weight,) = flat
    if weight is None:
        return loss
    try:
        return TimesWeight(loss, float(weight + 0))
    except TypeError as error:
        msg = f"`loss_weights`: expected a number, received {weight!r} of type {type(weight)}"
        raise ValueError(msg) from error


def _flat(weights: Any) -> list[Any]:
    """The elements of nested lists, tuples and dicts."""
    if isinstance(weights, dict):
        weights = list(weights.values())
    if not isinstance(weights, list | tuple):
        return [weights]
    return [element for one in weights for element in _flat(one)]
