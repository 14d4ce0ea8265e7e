"""Layers that keep the shape of their input: activation functions, Identity, Rescaling."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from minisgd import activations, constraints, initializers, ops, regularizers, saving
from minisgd.layers.layer import Layer, Shape
from minisgd.tensor import Tensor


class Elementwise(Layer):
    """Base class of layers whose output has the shape of their input."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape


class Activation(Elementwise):
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


class Identity(Elementwise):
    """The input itself."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The input itself."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return super().get_config()


class ReLU(Elementwise):
    """``max(x, 0)``, with a slope below, a limit above and a threshold, if wanted.

    Parameters
    ----------
    max_value : float, optional
        Largest value that is returned.
    negative_slope : float
        Slope below `threshold`.
    threshold : float
        `x` up to here counts as too small.

    Raises
    ------
    ValueError
        For a negative argument.

    References
    ----------
    Keras, ``keras.layers.ReLU`` (layers/activations/relu.py).
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_value is not None and not max_value >= 0.0:
            msg = (
                "max_value of a ReLU layer cannot be a negative value. Received: "
                f"max_value={max_value}"
            )
            raise ValueError(msg)
        for name, value in (("negative_slope", negative_slope), ("threshold", threshold)):
            if value is None or not value >= 0.0:
                msg = (
                    f"{name} of a ReLU layer cannot be None or a negative value. Received: "
                    f"{name}={value}"
                )
                raise ValueError(msg)
        self.max_value, self.negative_slope = max_value, negative_slope
        self.threshold = threshold
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The function of the inputs."""
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(Elementwise):
    """``x`` where positive, else ``negative_slope * x``.

    Parameters
    ----------
    negative_slope : float
        Not negative. (Keras 2 called it ``alpha``, and so may you.)

    Raises
    ------
    ValueError
        If it is.

    References
    ----------
    Keras, ``keras.layers.LeakyReLU`` (layers/activations/leaky_relu.py).
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
            warnings.warn(
                "Argument `alpha` is deprecated. Use `negative_slope` instead.", stacklevel=2
            )
        super().__init__(**kwargs)
        if negative_slope is None or not negative_slope >= 0:
            msg = (
                "The negative_slope value of a Leaky ReLU layer cannot be None or negative value. "
                f"Expected a float. Received: negative_slope={negative_slope}"
            )
            raise ValueError(msg)
        self.negative_slope = negative_slope
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The function of the inputs."""
        return activations.leaky_relu(inputs, self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(Elementwise):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``; Keras: layers/activations/elu.py."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The function of the inputs."""
        return activations.elu(inputs, self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(Elementwise):
    """``exp(x) / sum(exp(x))`` along an axis, or over several.

    Parameters
    ----------
    axis : int or list of int

    References
    ----------
    Keras, ``keras.layers.Softmax`` (layers/activations/softmax.py), without its mask.
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The function of the inputs."""
        if isinstance(self.axis, int):
            return activations.softmax(inputs, self.axis)
        if len(self.axis) == 1:
            return activations.softmax(inputs, self.axis[0])
        return ops.exp(inputs - ops.logsumexp(inputs, axis=self.axis, keepdims=True))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "axis": self.axis}


class PReLU(Elementwise):
    """``x`` where positive, else ``alpha * x`` with a learnt `alpha` for each feature.

    Parameters
    ----------
    alpha_initializer, alpha_regularizer, alpha_constraint : optional
        Strings, objects or callables.
    shared_axes : int or list of int, optional
        Axes (the batch is axis 0) along which all features have the same `alpha`.

    Attributes
    ----------
    alpha : Variable, shape (features, ...)

    References
    ----------
    He et al., ICCV 2015; Keras, ``keras.layers.PReLU`` (layers/activations/prelu.py).
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else list(axes)

    def build(self, input_shape: Shape) -> None:
        """Make `alpha`."""
        shape: list[Any] = list(input_shape[1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            shape, self.alpha_initializer, name="alpha",
            regularizer=self.alpha_regularizer, constraint=self.alpha_constraint,
        )  # fmt: skip

    def check_input(self, shape: Shape) -> None:
        """Refuse inputs of another shape than `alpha` was made for."""
        if not self.built or len(shape) == self.alpha.ndim + 1 and all(
            ours in (1, theirs) for ours, theirs in zip(self.alpha.shape, shape[1:], strict=True)
        ):  # fmt: skip
            return
        msg = (
            f"Input 0 of layer '{self.name}' is incompatible with the layer: expected shape="
            f"{(None, *self.alpha.shape)}, found shape={shape}"
        )
        raise ValueError(msg)

    def call(self, inputs: Tensor) -> Tensor:
        """``relu(x) - alpha * relu(-x)``."""
        below = ops.negative(self.alpha) * activations.relu(ops.negative(inputs))
        return activations.relu(inputs) + below

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class Rescaling(Elementwise):
    """``x * scale + offset``, also of whole numbers such as the bytes of images.

    Parameters
    ----------
    scale, offset : float or array_like
        Arrays broadcast to the input.

    Examples
    --------
    >>> import numpy as np
    >>> from minisgd import layers
    >>> layers.Rescaling(1 / 255)(np.array([[0, 255]], np.uint8)).numpy()
    array([[0., 1.]], dtype=float32)

    References
    ----------
    Keras, ``keras.layers.Rescaling`` (layers/preprocessing/rescaling.py).
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (("scale", scale), ("offset", offset)):
            if np.asarray(value).dtype.kind not in "fiub":
                msg = f"`{name}`: expected a number or an array of numbers, received {value!r}"
                raise ValueError(msg)
        self.scale, self.offset = scale, offset
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """``inputs * scale + offset``."""
        scale, offset = (ops.convert_to_tensor(v, self._dtype) for v in (self.scale, self.offset))
        return inputs * scale + offset

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "scale": saving.serialize_keras_object(self.scale),
            "offset": saving.serialize_keras_object(self.offset),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Layer with these arguments."""
        arrays = {k: saving.deserialize_keras_object(config[k]) for k in ("scale", "offset")}
        return cls(**{**config, **arrays})


class ActivityRegularization(Elementwise):
    """The input itself, with a penalty on it: ``l1 * sum(|x|) + l2 * sum(x**2)`` a sample.

    Parameters
    ----------
    l1, l2 : float

    References
    ----------
    Keras, ``keras.layers.ActivityRegularization`` (layers/regularization).
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The input itself."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        config = super().get_config()
        del config["activity_regularizer"]
        return {**config, "l1": self.l1, "l2": self.l2}
