"""Initial weights: Keras's initializers, the same values from the same seeds.

An initializer that is given no seed draws one from Python's global `random` when it is constructed,
not when it is called: with `minisgd.utils.set_random_seed` the weights depend on the order in which
layers are constructed (Keras, initializers/random_initializers.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minisgd import random, saving
from minisgd.tensor import Tensor
from minisgd.utils.lookup import look_up
from minisgd.utils.naming import to_snake_case
from minisgd.utils.unsupported import explain


class Initializer:
    """Base class: an initializer is called with a shape and returns a tensor."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        raise NotImplementedError("expected a subclass of Initializer to define __call__")

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Initializer with these arguments."""
        return cls(**config)

    def clone(self) -> Initializer:
        """Another one with the same arguments; without a seed of its own it draws a new one."""
        return type(self).from_config(self.get_config())


class Constant(Initializer):
    """Every element is `value`."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        return Tensor(np.full(tuple(shape), self.value, dtype or np.float32))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {"value": self.value}


class Zeros(Initializer):
    """Every element is 0: the default for biases."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        return Tensor(np.zeros(tuple(shape), dtype or np.float32))


class Ones(Initializer):
    """Every element is 1."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        return Tensor(np.ones(tuple(shape), dtype or np.float32))


class Identity(Initializer):
    """Matrix with `gain` on its diagonal and 0 elsewhere.

    Notes
    -----
    The configuration holds a `gain` other than 1, which Keras forgets to write but reads.

    References
    ----------
    Keras, initializers/constant_initializers.py (Identity).
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape.

        Raises
        ------
        ValueError
            If it has not two axes.
        """
        if len(shape) != 2:
            msg = (
                "Identity matrix initializer can only be used for 2D matrices. Received: "
                f"shape={tuple(shape)} of rank {len(shape)}. Use it for kernels, not for biases."
            )
            raise ValueError(msg)
        matrix = np.eye(*shape, dtype=dtype or np.float32)
        return Tensor(matrix * matrix.dtype.type(self.gain))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {} if self.gain == 1 else {"gain": self.gain}


class RandomInitializer(Initializer):
    """Base class of those that draw from a stream; the same object draws the same values again.

    Parameters
    ----------
    seed : int or SeedGenerator, optional
        By default drawn from Python's global `random`, here and now.
    """

    def __init__(self, seed: int | random.SeedGenerator | None = None) -> None:
        if isinstance(seed, dict):  # a generator in Keras's form, as in `get_config`
            seed = saving.deserialize_keras_object(seed)
        if seed is not None and not isinstance(seed, int | random.SeedGenerator):
            msg = (
                "`seed` argument should be an instance of `SeedGenerator` or an integer. "
                f"Received: seed={seed!r}"
            )
            raise ValueError(msg)
        self._init_seed = seed
        self.seed = random.make_default_seed() if seed is None else seed

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an initializer of this kind (an own seed is not among them)."""
        return {"seed": saving.serialize_keras_object(self._init_seed)}


class RandomUniform(RandomInitializer):
    """Uniform in ``[minval, maxval)``."""

    def __init__(
        self,
        minval: float = -0.05,
        maxval: float = 0.05,
        seed: int | random.SeedGenerator | None = None,
    ) -> None:
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an initializer of this kind."""
        return {"minval": self.minval, "maxval": self.maxval, **super().get_config()}


class RandomNormal(RandomInitializer):
    """Normal with this mean and standard deviation."""

    def __init__(
        self,
        mean: float = 0.0,
        stddev: float = 0.05,
        seed: int | random.SeedGenerator | None = None,
    ) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        return random.normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an initializer of this kind."""
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class TruncatedNormal(RandomNormal):
    """Normal, values beyond two standard deviations drawn again."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    """Numbers of inputs and of outputs of a weight of this shape.

    >>> compute_fans((784, 128))
    (784, 128)
    """
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    receptive_field = math.prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


# Standard deviation of a unit normal truncated at 2: 0.8796...
_TRUNCATED_STDDEV = 0.87962566103423978


# Keras can be told which axes are inputs and outputs; here it goes by their places.
_AXES = {"input_axes": None, "output_axes": None}


class VarianceScaling(RandomInitializer):
    """Variance ``scale / n``, n being the fan-in, the fan-out or their mean.

    Parameters
    ----------
    scale : float
        Positive.
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
    seed : int or SeedGenerator, optional
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | random.SeedGenerator | None = None,
    ) -> None:
        if not scale > 0:
            msg = f"Argument `scale` must be positive float. Received: scale={scale}"
            raise ValueError(msg)
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            msg = f"Invalid `mode` argument: {mode}. Please use one of {modes}"
            raise ValueError(msg)
        distribution = distribution.lower()
        if distribution == "normal":  # Keras's old name
            distribution = "truncated_normal"
        distributions = ("uniform", "truncated_normal", "untruncated_normal")
        if distribution not in distributions:
            msg = (
                f"Invalid `distribution` argument: {distribution}. "
                f"Please use one of {distributions}"
            )
            raise ValueError(msg)
        super().__init__(seed)
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape."""
        fan_in, fan_out = compute_fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        scale = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * scale)
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        if self.distribution == "truncated_normal":
            stddev = math.sqrt(scale) / _TRUNCATED_STDDEV
            return random.truncated_normal(shape, 0.0, stddev, dtype, self.seed)
        return random.normal(shape, 0.0, math.sqrt(scale), dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an initializer of this kind."""
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            **super().get_config(),
            **_AXES,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Initializer with these arguments."""
        return cls(**saving.drop_defaults(config, _AXES, cls.__name__))


class _Named(VarianceScaling):
    """A variance scaling with a name of its own; its only argument is the seed."""

    _settings: tuple[float, str, str]

    def __init__(self, seed: int | random.SeedGenerator | None = None) -> None:
        super().__init__(*self._settings, seed=seed)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an initializer of this kind."""
        return {**RandomInitializer.get_config(self), **_AXES}


class GlorotUniform(_Named):
    """Uniform, variance 2 / (fan_in + fan_out): Dense's default (Glorot and Bengio, 2010)."""

    _settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Named):
    """Truncated normal, variance 2 / (fan_in + fan_out)."""

    _settings = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Named):
    """Uniform, variance 2 / fan_in (He et al., ICCV 2015)."""

    _settings = (2.0, "fan_in", "uniform")


class HeNormal(_Named):
    """Truncated normal, variance 2 / fan_in."""

    _settings = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Named):
    """Uniform, variance 1 / fan_in (LeCun et al., "Efficient BackProp", 1998)."""

    _settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Named):
    """Truncated normal, variance 1 / fan_in."""

    _settings = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """Orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al., ICLR 2014).

    The first factor of a QR decomposition of normal numbers, its columns' signs those of the
    second factor's diagonal. More than two axes count as a matrix with all but the last as rows.

    Notes
    -----
    The decomposition runs in float64. TensorFlow's runs in float32, and its last bits are its own:
    `minisgd.parity.tolerances` has the bound.

    References
    ----------
    Keras, initializers/random_initializers.py (Orthogonal).
    """

    def __init__(self, gain: float = 1.0, seed: int | random.SeedGenerator | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Values for a variable of this shape.

        Raises
        ------
        ValueError
            If it has fewer than two axes.
        """
        if len(shape) < 2:
            msg = (
                "The tensor to initialize must be at least two-dimensional. Received: "
                f"shape={tuple(shape)} of rank {len(shape)}. Use it for kernels, not for biases."
            )
            raise ValueError(msg)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        normal = np.asarray(random.normal(tall, 0.0, 1.0, dtype, self.seed))
        q, r = np.linalg.qr(normal.astype(np.float64))
        q = (q * np.sign(np.diag(r))).astype(normal.dtype)
        q = q.T if rows < columns else q
        return Tensor(np.ascontiguousarray(q).reshape(shape) * normal.dtype.type(self.gain))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an initializer of this kind."""
        return {**super().get_config(), "gain": self.gain}


IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal  # Keras's other names

_CLASSES: tuple[type[Initializer], ...] = (
    Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, Identity, LecunNormal,
    LecunUniform, Ones, Orthogonal, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling,
    Zeros,
)  # fmt: skip
_BY_NAME = {to_snake_case(c.__name__): c for c in _CLASSES} | {c.__name__: c for c in _CLASSES}
_ALIASES = tuple(to_snake_case(c.__name__) for c in _CLASSES)
_OLD_NAMES = {
    "normal": RandomNormal, "uniform": RandomUniform, "one": Ones, "zero": Zeros,
    "IdentityInitializer": Identity, "OrthogonalInitializer": Orthogonal,
}  # fmt: skip
# Keras lets the snake-case names stand for the classes: initializers.glorot_uniform(seed=1).
globals().update({name: _BY_NAME[name] for name in _ALIASES})


def get(identifier: Any) -> Any:
    """Initializer with a name or a configuration; an object or a function is itself.

    An array or a tensor stands for an initializer that returns its values; None stays None.

    Raises
    ------
    ValueError
        If there is none with that name.
    """
    if identifier is None:
        return None
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, Tensor | np.ndarray | np.generic):
        return _constant_values(np.array(identifier))
    if callable(identifier):
        return identifier
    return look_up(identifier, _BY_NAME | _OLD_NAMES, "initializer")()


def _constant_values(values: Any) -> Any:
    """Function that returns these values for a variable of their shape."""

    def initialize(shape: Sequence[int], dtype: Any = None) -> Tensor:
        if tuple(shape) != values.shape:
            msg = (
                f"Expected `shape` to be {values.shape} for direct tensor as initializer. "
                f"Received shape={tuple(shape)}"
            )
            raise ValueError(msg)
        return Tensor(values.astype(dtype or np.float32))

    return initialize


def serialize(initializer: Initializer) -> Any:
    """Initializer as a dict in Keras's form."""
    return saving.serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Initializer from the dict that `serialize` (ours or Keras's) wrote."""
    return saving.deserialize_keras_object(config, custom_objects)


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
