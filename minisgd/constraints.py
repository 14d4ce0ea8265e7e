"""What weights must be after every update: functions of weights (Keras: ``keras.constraints``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minisgd import ops, saving
from minisgd.config import EPSILON
from minisgd.tensor import Tensor
from minisgd.utils.lookup import get_object
from minisgd.utils.unsupported import explain

Axis = int | Sequence[int] | None


class Constraint:
    """Base class: a function from a weight to what replaces it; here the weight itself."""

    def __call__(self, w: Tensor) -> Any:
        """What replaces the weight, in its shape."""
        return w

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Constraint with these arguments."""
        return cls(**config)


class MaxNorm(Constraint):
    """Scale weights whose norm is larger down to it: ``w * (min(norm, max) / (1e-7 + norm))``.

    Parameters
    ----------
    max_value : float
        Largest norm.
    axis : int or list of int
        Along which the norm is taken: 0 is one norm a unit of a dense layer.

    Raises
    ------
    ValueError
        For a negative `max_value` (Keras would turn the weights round).

    References
    ----------
    Srivastava et al., JMLR 15 (2014), section 5.1; Keras, ``keras.constraints.MaxNorm``
    (constraints/constraints.py).
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value, self.axis = _limit(max_value, "max_value"), axis

    def __call__(self, w: Tensor) -> Tensor:
        """The weights, scaled where their norm is too large."""
        w = ops.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        desired = ops.clip(norms, 0, self.max_value)
        return ops.multiply(w, desired / (EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """``max(w, 0)``."""

    def __call__(self, w: Tensor) -> Tensor:
        """The weights, 0 where they were negative."""
        return ops.maximum(w, 0)


class UnitNorm(Constraint):
    """``w / (1e-7 + norm)``.

    Parameters
    ----------
    axis : int or list of int
        Along which the norm is taken: 0 is one norm a unit of a dense layer.

    References
    ----------
    Keras, ``keras.constraints.UnitNorm`` (constraints/constraints.py).
    """

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Tensor) -> Tensor:
        """The weights, scaled."""
        w = ops.convert_to_tensor(w)
        return w / (EPSILON + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Bring norms into an interval, or by a share `rate` of the way nearer to it.

    Parameters
    ----------
    min_value, max_value : float
        Smallest and largest norm.
    rate : float
        1: all the way.
    axis : int or list of int
        Along which the norm is taken: 0 is one norm a unit of a dense layer.

    Raises
    ------
    ValueError
        For a limit that is negative or no number.

    References
    ----------
    Keras, ``keras.constraints.MinMaxNorm`` (constraints/constraints.py).
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Axis = 0,
    ) -> None:
        self.min_value = _limit(min_value, "min_value")
        self.max_value = _limit(max_value, "max_value")
        self.rate, self.axis = _limit(rate, "rate"), axis

    def __call__(self, w: Tensor) -> Tensor:
        """The weights, scaled where their norm is outside of the interval."""
        w = ops.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        inside = ops.clip(norms, self.min_value, self.max_value)
        desired = self.rate * inside + (1 - self.rate) * norms
        return ops.multiply(w, desired / (EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


# Keras has both names.
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

_BY_NAME: dict[str, Any] = {
    "Constraint": Constraint, "MaxNorm": MaxNorm, "MinMaxNorm": MinMaxNorm, "NonNeg": NonNeg,
    "UnitNorm": UnitNorm, "constraint": Constraint, "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm,
}  # fmt: skip


def get(identifier: Any) -> Any:
    """Constraint with a name or configuration; a class is called, None and functions stay.

    Raises
    ------
    ValueError
        If there is none with that name, or it is no function.
    """
    return get_object(identifier, _BY_NAME, "constraint", deserialize)


def serialize(constraint: Any) -> Any:
    """Constraint as a dict in Keras's form."""
    return saving.serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Constraint from the dict that `serialize` (ours or Keras's) wrote."""
    return saving.deserialize_keras_object(config, custom_objects)


def _norms(w: Tensor, axis: Axis) -> Tensor:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


def _limit(value: Any, name: str) -> Any:
    """A number that is not negative, as it is."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not value >= 0:
        msg = f"`{name}`: expected a number that is not negative, received {value!r}"
        raise ValueError(msg)
    return value


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
