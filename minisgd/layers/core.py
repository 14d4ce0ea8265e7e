"""The layers of a multi-layer perceptron: Dense, Activation, Flatten, Dropout, Input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minisgd import activations, initializers, ops, random, saving
from minisgd.layers.layer import DENSE_OPTIONS, INPUT_OPTIONS, Layer, Shape, _checked_shape
from minisgd.tensor import Tensor, Variable
from minisgd.utils.arguments import check_flag


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
            batch_shape = (batch_size, *_checked_shape(shape))
        self.batch_shape: Shape = _checked_shape(batch_shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The input itself."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        own = {"batch_shape": self.batch_shape, "dtype": self.dtype, "name": self.name}
        return own | INPUT_OPTIONS


def Input(  # noqa: N802  # Keras's name
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    batch_shape: Sequence[int | None] | None = None,
) -> InputLayer:
    """First element of a Sequential: the shape of its input. See `InputLayer`."""
    return InputLayer(shape, batch_size, dtype, name, batch_shape)


class Dense(Layer):
    """Fully connected layer: ``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Size of the output.
    activation : str or callable, optional
        By default none (linear).
    use_bias : bool
    kernel_initializer, bias_initializer : str, Initializer or callable
        The former draws its seed here, in the constructor.

    Attributes
    ----------
    kernel : Variable, shape (D_in, units)
    bias : Variable, shape (units,), or None

    References
    ----------
    Keras, ``keras.layers.Dense`` (layers/core/dense.py).
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        if not isinstance(units, int) or isinstance(units, bool) or units <= 0:
            msg = (
                "Received an invalid value for `units`, expected a positive integer. "
                f"Received: units={units!r}"
            )
            raise ValueError(msg)
        super().__init__(**kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = check_flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias: Variable | None = None
        self._features: int | None = None

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias."""
        features = input_shape[-1]
        if not features:
            msg = f"layer '{self.name}': expected a last length of at least 1 in {input_shape}"
            raise ValueError(msg)
        self._features = features
        self.kernel = self.add_weight(
            (features, self.units), self.kernel_initializer, name="kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer, name="bias")

    def check_input(self, shape: Shape) -> None:
        """Refuse inputs of another width than the kernel's, or without a width."""
        start = f"Input 0 of layer '{self.name}' is incompatible with the layer: expected "
        if len(shape) < 2:
            msg = f"{start}min_ndim=2, found ndim={len(shape)}. Full shape received: {shape}"
            raise ValueError(msg)
        if self._features is not None and shape[-1] != self._features:
            msg = (
                f"{start}axis -1 of input shape to have value {self._features}, but received input "
                f"with shape {shape}"
            )
            raise ValueError(msg)

    def call(self, inputs: Tensor) -> Tensor:
        """``activation(inputs @ kernel + bias)``."""
        x = inputs if inputs.ndim == 2 else ops.reshape(inputs, (-1, inputs.shape[-1]))
        if self.bias is None:
            z = ops.matmul(x, self.kernel)
        else:
            z = ops.dense(x, self.kernel, self.bias)
        if inputs.ndim != 2:
            z = ops.reshape(z, (*inputs.shape[:-1], self.units))
        return self.activation(z)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `units` as its last length."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": saving.serialize_keras_object(self.kernel_initializer),
            "bias_initializer": saving.serialize_keras_object(self.bias_initializer),
            **DENSE_OPTIONS,
        }


class Activation(Layer):
    """An activation function as a layer of its own."""

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The function of the inputs."""
        return self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class Flatten(Layer):
    """Each sample as one row: (N, 28, 28) becomes (N, 784)."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last"):
            msg = f"`data_format`: expected 'channels_last' or None, received {data_format!r}"
            raise ValueError(msg)
        self.data_format = "channels_last"

    def call(self, inputs: Tensor) -> Tensor:
        """The same elements, two axes."""
        return ops.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Batch and the product of the other lengths."""
        lengths = input_shape[1:]
        known = [n for n in lengths if n is not None]
        return (input_shape[0], math.prod(known) if len(known) == len(lengths) else None)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "data_format": self.data_format}


class Dropout(Layer):
    """In training, zero a fraction `rate` of the inputs and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    rate : float
        From 0 to 1.
    noise_shape : tuple of int, optional
        Shape of the mask, broadcast to the inputs'; None stands for the input's own length.
    seed : int, optional
        By default drawn from Python's global `random` here, if ``rate > 0``.

    References
    ----------
    Srivastava et al., JMLR 15 (2014); Keras, layers/regularization/dropout.py.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            msg = (
                f"Invalid value received for argument `rate`. Expected a float value between 0 "
                f"and 1. Received: rate={rate!r}"
            )
            raise ValueError(msg)
        self.rate = rate
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if rate > 0 else None
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The inputs themselves, unless in training."""
        if not training or self.seed_generator is None:
            return inputs
        return random.dropout(inputs, self.rate, self.noise_shape, self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }
