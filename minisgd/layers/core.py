"""The layers of the lesson: Dense and Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minisgd import activations, constraints, initializers, ops, random, regularizers, saving
from minisgd.layers.layer import Layer, Shape
from minisgd.tensor import Tensor, Variable
from minisgd.utils.arguments import check_flag

# Options of Keras's that are not supported, with the values that mean "without".
_OPTIONS = {"quantization_config": None}


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
    kernel_regularizer, bias_regularizer, activity_regularizer : optional
        Penalties on kernel, bias and output: strings, `Regularizer` objects or callables.
    kernel_constraint, bias_constraint : str, Constraint or callable, optional
        What replaces kernel and bias after each update.

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
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(units, int) or isinstance(units, bool) or units <= 0:
            msg = (
                "Received an invalid value for `units`, expected a positive integer. "
                f"Received: units={units!r}"
            )
            raise ValueError(msg)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = check_flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
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
            (features, self.units), self.kernel_initializer, name="kernel",
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, name="bias",
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

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
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            **_OPTIONS,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Layer with these arguments."""
        return cls(**saving.drop_defaults(config, _OPTIONS, cls.__name__))


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

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }
