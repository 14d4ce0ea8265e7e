"""Penalties on weights and outputs, which are added to the loss (Keras: ``keras.regularizers``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minisgd import numerics, ops, saving
from minisgd.ops.normalization import normalized
from minisgd.tensor import Tensor
from minisgd.utils.lookup import get_object
from minisgd.utils.unsupported import explain


class Regularizer:
    """Base class: a function of a tensor whose value, shape (), is added to the loss."""

    def __call__(self, x: Tensor) -> Any:
        """Penalty for a weight or an output; none here."""
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Regularizer with these arguments."""
        return cls(**config)


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x**2)``.

    Parameters
    ----------
    l1, l2 : float
        Not negative.

    Raises
    ------
    ValueError
        For a negative or infinite factor, or one that is no number.

    References
    ----------
    Keras, ``keras.regularizers.L1L2`` (regularizers/regularizers.py).
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _checked(l1, "l1", 0.0)
        self.l2 = _checked(l2, "l2", 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        """The penalty, shape ()."""
        x = ops.convert_to_tensor(x)
        if numerics.in_graph():
            # TensorFlow's graph adds the two gradients first, and then to others of `x`.
            x = ops.reshape(x, x.shape)
        penalty = ops.convert_to_tensor(0.0, x.dtype)
        if self.l1 != 0.0:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2 != 0.0:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """``l1 * sum(|x|)``: pulls every weight towards 0 by the same step.

    Parameters
    ----------
    l1 : float
        Not negative; rounded to float32 as in Keras.

    Raises
    ------
    ValueError
        For a negative or infinite factor, or one that is no number.

    Examples
    --------
    >>> from minisgd.regularizers import L1
    >>> float(L1(0.5)([1.0, -2.0]))
    1.5

    References
    ----------
    Tibshirani, J. R. Stat. Soc. B 58 (1996); Keras, ``keras.regularizers.L1``
    (regularizers/regularizers.py).
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = ops.convert_to_tensor(_checked(l1, "l1", 0.01))

    def __call__(self, x: Tensor) -> Tensor:
        """The penalty, shape ()."""
        return float(self.l1) * ops.sum(ops.absolute(x))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"l1": float(self.l1)}


class L2(Regularizer):
    """``l2 * sum(x**2)``: pulls every weight towards 0 in proportion to its size.

    Parameters
    ----------
    l2 : float
        Not negative.

    Raises
    ------
    ValueError
        For a negative or infinite factor, or one that is no number.

    References
    ----------
    Hoerl and Kennard, Technometrics 12 (1970); Keras, ``keras.regularizers.L2``
    (regularizers/regularizers.py).
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _checked(l2, "l2", 0.01)

    def __call__(self, x: Tensor) -> Tensor:
        """The penalty, shape ()."""
        return self.l2 * ops.sum(ops.square(x))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """``factor * mean(|cos|)`` over all pairs of rows, or of columns: 0 if they are orthogonal.

    Parameters
    ----------
    factor : float
        Not negative; kept as a float32, as in Keras.
    mode : {"rows", "columns"}

    Raises
    ------
    ValueError
        For a negative or infinite factor, another mode, or weights that are no matrix.

    Notes
    -----
    Steps with it run eagerly.

    References
    ----------
    Keras, ``keras.regularizers.OrthogonalRegularizer`` (regularizers/regularizers.py).
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if factor is None:
            raise ValueError("Invalid value for argument factor: expected a float, received None")
        self.factor = float(np.float32(_checked(factor, "factor", 0.01)))
        if mode not in ("rows", "columns"):
            msg = (
                "Invalid value for argument `mode`. Expected one of "
                f'{{"rows", "columns"}}. Received: mode={mode}'
            )
            raise ValueError(msg)
        self.mode = mode

    def __call__(self, x: Tensor) -> Tensor:
        """The penalty, shape ()."""
        if x.ndim != 2:
            msg = "Inputs to OrthogonalRegularizer must have rank 2. Received: "
            raise ValueError(f"{msg}inputs.shape={x.shape}")
        by_rows = self.mode == "rows"
        x = normalized(x, 1 if by_rows else 0)
        product = ops.matmul(x, ops.transpose(x)) if by_rows else ops.matmul(ops.transpose(x), x)
        size = len(product)
        between = ops.multiply(product, 1.0 - np.eye(size, dtype=x.dtype))
        pairs = size * (size - 1.0) / 2.0
        return self.factor * 0.5 * ops.sum(ops.absolute(between)) / pairs

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"factor": self.factor, "mode": self.mode}


l1, l2, l1_l2 = L1, L2, L1L2  # Keras has both names
orthogonal_regularizer = OrthogonalRegularizer

_BY_NAME: dict[str, Any] = {
    "Regularizer": Regularizer, "L1": L1, "L2": L2, "L1L2": L1L2,
    "regularizer": Regularizer, "l1": L1, "l2": L2, "l1l2": L1L2,
    "OrthogonalRegularizer": OrthogonalRegularizer,
    "orthogonal_regularizer": OrthogonalRegularizer,
}  # fmt: skip


def get(identifier: Any) -> Any:
    """Regularizer with a name or configuration; a class is called, None and functions stay.

    Raises
    ------
    ValueError
        If there is none with that name, or it is no function.
    """
    # Keras's documentation has this name, though its `get` refuses it.
    if isinstance(identifier, str) and identifier == "l1_l2":
        return L1L2(l1=0.01, l2=0.01)
    return get_object(identifier, _BY_NAME, "regularizer", deserialize)


def serialize(regularizer: Any) -> Any:
    """Regularizer as a dict in Keras's form."""
    return saving.serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Regularizer from the dict that `serialize` (ours or Keras's) wrote."""
    return saving.deserialize_keras_object(config, custom_objects)


def _checked(value: Any, name: str, default: float) -> float:
    """A factor as a float; None is the default."""
    value = default if value is None else value
    if not isinstance(value, float | int) or not math.isfinite(value) or value < 0:
        msg = (
            f"Invalid value for argument {name}: expected a non-negative float."
            f"Received: {name}={value}"
        )
        raise ValueError(msg)
    return float(value)


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
