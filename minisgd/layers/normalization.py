"""BatchNormalization, LayerNormalization, RMSNormalization and UnitNormalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minisgd import constraints, initializers, ops, regularizers, saving
from minisgd.layers.layer import Layer, Shape
from minisgd.ops.normalization import normalized, update_moving_average
from minisgd.tensor import Tensor, Variable
from minisgd.utils.arguments import check_flag

_OBJECTS = (
    "beta_initializer", "gamma_initializer", "beta_regularizer", "gamma_regularizer",
    "beta_constraint", "gamma_constraint",
)  # fmt: skip
# Options of Keras's that are not supported, with the values that mean "without".
_RENORM = {
    "synchronized": False,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
_RMS = {"rms_scaling": False}


class _Normalization(Layer):
    """What both have: a scale gamma and an offset beta, each of them optional."""

    _without: dict[str, Any]

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        penalties: Sequence[Any],
        options: dict[str, Any],
    ) -> None:
        super().__init__(**saving.drop_defaults(options, self._without, type(self).__name__))
        self.epsilon = _number("epsilon", epsilon, 0.0, None)
        self.center = check_flag(center, "center")
        self.scale = check_flag(scale, "scale")
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer, self.gamma_regularizer = map(regularizers.get, penalties[:2])
        self.beta_constraint, self.gamma_constraint = map(constraints.get, penalties[2:])
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self._expected: Shape | None = None

    def _make_scale_and_offset(self, shape: tuple[int, ...]) -> None:
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, name="gamma",
                regularizer=self.gamma_regularizer, constraint=self.gamma_constraint,
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, name="beta",
                regularizer=self.beta_regularizer, constraint=self.beta_constraint,
            )  # fmt: skip

    def _lengths(self, axes: Sequence[int], input_shape: Shape) -> tuple[int, ...]:
        """Lengths along some axes, which must be known; remembered for `check_input`."""
        lengths = []
        for axis in axes:
            if not -len(input_shape) <= axis < len(input_shape):
                msg = (
                    f"Axis {axis} is out of bounds for input shape {tuple(input_shape)}. "
                    f"Received: axis={self.axis}"  # type: ignore[attr-defined]
                )
                raise ValueError(msg)
            length = input_shape[axis]
            if length is None:
                msg = (
                    f"layer '{self.name}': expected the length of axis {axis} of "
                    f"{tuple(input_shape)} to be known"
                )
                raise ValueError(msg)
            lengths.append(length)
        normalized = {axis % len(input_shape) for axis in axes}
        self._expected = tuple(n if a in normalized else None for a, n in enumerate(input_shape))
        return tuple(lengths)

    def check_input(self, shape: Shape) -> None:
        """Refuse inputs of other lengths than the weights' along the layer's axes."""
        if self._expected is None:
            return
        start = f"Input 0 of layer '{self.name}' is incompatible with the layer: expected "
        if len(shape) != len(self._expected):
            msg = (
                f"{start}ndim={len(self._expected)}, found ndim={len(shape)}. "
                f"Full shape received: {shape}"
            )
            raise ValueError(msg)
        for axis, (expected, length) in enumerate(zip(self._expected, shape, strict=True)):
            if expected is not None and length is not None and length != expected:
                shown = axis - len(shape) if axis == len(shape) - 1 else axis
                msg = (
                    f"{start}axis {shown} of input shape to have value {expected}, but received "
                    f"input with shape {shape}"
                )
                raise ValueError(msg)

    def _config(self, axis: Any, between: dict[str, Any]) -> dict[str, Any]:
        """Keras's configuration: base, axis, what is `between`, the common part."""
        return {
            **super().get_config(),
            "axis": axis,
            **between,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **{name: saving.serialize_keras_object(getattr(self, name)) for name in _OBJECTS},
            **self._without,
        }


class BatchNormalization(_Normalization):
    """Normalize each feature over the batch, then scale and shift it.

    In training (of a trainable layer) mean and variance are the batch's, and moving averages of
    them are kept; else the moving averages take their place. They change by
    ``average = average * momentum + value * (1 - momentum)``; the variance is the mean squared
    deviation, divided by N and not by N - 1.

    Parameters
    ----------
    axis : int
        The features' axis; over all others mean and variance are taken.
    momentum : float
        From 0 to 1.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there are a beta and a gamma.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer
        Strings, `Initializer` objects or callables.
    beta_regularizer, gamma_regularizer : str, Regularizer or callable, optional
        Penalties that are added to the loss.
    beta_constraint, gamma_constraint : str, Constraint or callable, optional
        What replaces the weights after each update.

    Attributes
    ----------
    gamma, beta : Variable, shape (features,), or None
    moving_mean, moving_variance : Variable, shape (features,)
        Not trainable.

    Notes
    -----
    ``trainable = False`` means inference as well: the moving averages are used and left alone.

    References
    ----------
    Ioffe and Szegedy, ICML 2015; Keras, layers/normalization/batch_normalization.py.
    """

    _without = _RENORM

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        penalties = (beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint)
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, penalties, kwargs
        )
        if not isinstance(axis, int) or isinstance(axis, bool):
            msg = f"Expected an int for the argument 'axis', but received: {axis!r}"
            raise TypeError(msg)
        self.axis = axis
        self.momentum = _number("momentum", momentum, 0.0, 1.0)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def build(self, input_shape: Shape) -> None:
        """Make gamma, beta and the moving averages."""
        shape = self._lengths([self.axis], input_shape)
        self._make_scale_and_offset(shape)
        self.moving_mean = self.add_weight(
            shape, self.moving_mean_initializer, name="moving_mean", trainable=False
        )
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, name="moving_variance", trainable=False
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The normalized inputs; in training the moving averages change."""
        mean: Tensor = self.moving_mean
        variance: Tensor = self.moving_variance
        if training and self.trainable:
            others = [a for a in range(inputs.ndim) if a != self.axis % inputs.ndim]
            mean, variance = ops.moments(inputs, others)
            update_moving_average(self.moving_mean, mean, self.momentum)
            update_moving_average(self.moving_variance, variance, self.momentum)
        return ops.batch_normalization(
            inputs, mean, variance, self.axis, self.beta, self.gamma, self.epsilon
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        config = self._config(self.axis, {"momentum": self.momentum})
        for name in ("moving_mean_initializer", "moving_variance_initializer"):
            config[name] = saving.serialize_keras_object(getattr(self, name))
        return config


class LayerNormalization(_Normalization):
    """Normalize each sample over its features, then scale and shift them.

    Parameters
    ----------
    axis : int or list of int
        What mean and variance are taken over.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there are a beta and a gamma.
    beta_initializer, gamma_initializer
        Strings, `Initializer` objects or callables.
    beta_regularizer, gamma_regularizer : str, Regularizer or callable, optional
        Penalties that are added to the loss.
    beta_constraint, gamma_constraint : str, Constraint or callable, optional
        What replaces the weights after each update.

    Attributes
    ----------
    gamma, beta : Variable, of the input's lengths along `axis`, or None

    References
    ----------
    Ba, Kiros and Hinton, 2016; Keras, layers/normalization/layer_normalization.py.
    """

    _without = _RMS

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        penalties = (beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint)
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, penalties, kwargs
        )
        axes = list(axis) if isinstance(axis, list | tuple) else [axis]
        if not axes or not all(isinstance(a, int) and not isinstance(a, bool) for a in axes):
            msg = (
                "Expected an int or a list/tuple of ints for the argument 'axis', but received: "
                f"{axis!r}"
            )
            raise TypeError(msg)
        self.axis: Any = axes if isinstance(axis, list | tuple) else axis

    def build(self, input_shape: Shape) -> None:
        """Make gamma and beta; `axis` becomes a sorted list, as in Keras."""
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        self._make_scale_and_offset(self._lengths(self.axis, input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        """The normalized inputs."""
        return ops.layer_normalization(inputs, self.gamma, self.beta, self.axis, self.epsilon)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return self._config(self.axis, {})


class RMSNormalization(Layer):
    """``x * rsqrt(mean(x**2) + epsilon) * scale``: each sample's root mean square becomes 1.

    Parameters
    ----------
    axis : int or list of int
        What the mean is taken over.
    epsilon : float
        Added to the mean.

    Attributes
    ----------
    scale : Variable, of the input's lengths along `axis`

    References
    ----------
    Zhang and Sennrich, NeurIPS 2019; Keras, layers/normalization/rms_normalization.py.
    """

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis: Any = axis
        self.epsilon = _number("epsilon", epsilon, 0.0, None)

    def build(self, input_shape: Shape) -> None:
        """Make the scale; `axis` becomes a sorted list, as in Keras."""
        self.axis = sorted(self.axis) if isinstance(self.axis, list | tuple) else [self.axis]
        shape = tuple(input_shape[axis] or 0 for axis in self.axis)
        self.scale = self.add_weight(shape, "ones", name="scale")

    def call(self, inputs: Tensor) -> Tensor:
        """The normalized inputs, scaled."""
        squares = ops.mean(ops.square(inputs), axis=self.axis, keepdims=True)
        return inputs * ops.rsqrt(squares + self.epsilon) * self.scale

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Layer):
    """Each sample divided by its length, ``sqrt(sum(x**2))``, which is 1e-12 or more.

    Parameters
    ----------
    axis : int or list of int
        What the sum is taken over.

    Raises
    ------
    TypeError
        For another `axis`.

    References
    ----------
    Keras, ``keras.layers.UnitNormalization`` (layers/normalization/unit_normalization.py).
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axis, int | list | tuple):
            msg = (
                "Invalid value for `axis` argument: expected an int or a list/tuple of ints. "
                f"Received: axis={axis}"
            )
            raise TypeError(msg)
        self.axis: Any = axis if isinstance(axis, int) else list(axis)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The inputs, of length 1 each."""
        return normalized(inputs, self.axis, 1e-12)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "axis": self.axis}


def _number(name: str, value: Any, low: float, high: float | None) -> float:
    """`value` as a float between two bounds.

    Raises
    ------
    ValueError
        If it is no number, or beyond a bound.
    """
    number = float(value)
    if not (number >= low and number < float("inf") and (high is None or number <= high)):
        upto = "or more" if high is None else f"to {high}"
        raise ValueError(f"`{name}`: expected a number of {low} {upto}, received {value!r}")
    return number
