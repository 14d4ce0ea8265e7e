"""Input: the shape that a Sequential takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minisgd import saving
from minisgd.layers.layer import Layer, Shape, checked_shape
from minisgd.tensor import Tensor

# Options of Keras's that are not supported, with the values that mean "without".
_OPTIONS = {"sparse": False, "ragged": False, "optional": False}


class InputLayer(Layer):
    """Says what shape of input a Sequential takes; computes nothing.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample; None for a length that may vary.
    batch_size : int, optional
    dtype : dtype, optional
    name : str, optional
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        name: str | None = None,
        batch_shape: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        if (shape is None) == (batch_shape is None):
            raise ValueError("You must pass a `shape` argument: expected e.g. Input(shape=(784,)).")
        if shape is not None:
            batch_shape = (batch_size, *checked_shape(shape))
        self.batch_shape: Shape = checked_shape(batch_shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The input itself."""
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        own = {"batch_shape": self.batch_shape, "dtype": self.dtype, "name": self.name}
        return own | _OPTIONS

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Layer with these arguments."""
        return cls(**saving.drop_defaults(config, _OPTIONS, cls.__name__))


def Input(  # noqa: N802  # Keras's name
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    batch_shape: Sequence[int | None] | None = None,
) -> InputLayer:
    """First element of a Sequential: the shape of its input. See `InputLayer`."""
    return InputLayer(shape, batch_size, dtype, name, batch_shape)
