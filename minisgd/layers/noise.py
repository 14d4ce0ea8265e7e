"""Layers that disturb their inputs in training: Keras's noise besides `Dropout`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minisgd import ops, random
from minisgd.layers.layer import Layer, Shape
from minisgd.tensor import Tensor


def _share(value: Any, argument: str) -> float:
    """`value`, a number from 0 to 1.

    Raises
    ------
    ValueError
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        msg = (
            f"Invalid value received for argument `{argument}`. Expected a float value between 0 "
            f"and 1. Received: {argument}={value!r}"
        )
        raise ValueError(msg)
    return value


class _Noise(Layer):
    """A layer with a seed generator of its own, drawn from once a call in training."""

    def __init__(self, strength: float, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if strength > 0 else None
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The inputs themselves, unless in training."""
        if not training or self.seed_generator is None:
            return inputs
        return self._disturbed(inputs)

    def _disturbed(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape


class GaussianNoise(_Noise):
    """In training, add normally distributed noise of mean 0.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, from 0 to 1.
    seed : int, optional
        By default drawn from Python's global `random` here, if ``stddev > 0``.

    References
    ----------
    Keras, ``keras.layers.GaussianNoise`` (layers/regularization/gaussian_noise.py).
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(_share(stddev, "stddev"), seed, **kwargs)
        self.stddev = stddev

    def _disturbed(self, inputs: Tensor) -> Tensor:
        return inputs + random.normal(inputs.shape, 0.0, self.stddev, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(_Noise):
    """In training, multiply by normally distributed noise of mean 1.

    Its standard deviation is ``sqrt(rate / (1 - rate))``, that of `Dropout`'s mask.

    Parameters
    ----------
    rate : float
        From 0 to 1, 1 excluded.
    seed : int, optional
        By default drawn from Python's global `random` here, if ``rate > 0``.

    Notes
    -----
    Keras takes a rate of 1, and divides by zero in training.

    References
    ----------
    Srivastava et al., JMLR 15 (2014); Keras, ``keras.layers.GaussianDropout``
    (layers/regularization/gaussian_dropout.py).
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(_share(rate, "rate"), seed, **kwargs)
        if rate == 1:
            raise ValueError(
                "Invalid value received for argument `rate`. Expected a float value between 0 and "
                "1, and less than 1: the noise's variance is rate / (1 - rate). Received: "
                f"rate={rate!r}"
            )
        self.rate = rate

    def _disturbed(self, inputs: Tensor) -> Tensor:
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * random.normal(inputs.shape, 1.0, stddev, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


_ALPHA_P = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946  # selu's floor


class AlphaDropout(_Noise):
    """In training, set a fraction `rate` to selu's lowest value, and keep mean and variance.

    What is left is ``a * x + b``, with ``a`` and ``b`` such that inputs of mean 0 and variance 1
    stay so.

    Parameters
    ----------
    rate : float
        From 0 to 1, 1 excluded.
    noise_shape : tuple of int, optional
        Shape of the mask, broadcast to the inputs'; None stands for the input's own length.
    seed : int, optional
        By default drawn from Python's global `random` here, if ``rate > 0``.

    Notes
    -----
    Keras takes a rate of 1, and divides by zero in training.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017; Keras,
    ``keras.layers.AlphaDropout`` (layers/regularization/alpha_dropout.py).
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(_share(rate, "rate"), seed, **kwargs)
        if rate == 1:
            raise ValueError(
                "Invalid value received for argument `rate`. Expected a float value between 0 and "
                f"1, and less than 1: something has to be kept. Received: rate={rate!r}"
            )
        self.rate = rate
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def _disturbed(self, inputs: Tensor) -> Tensor:
        lengths = zip(inputs.shape, self.noise_shape or inputs.shape, strict=True)
        shape = [own if given is None else given for own, given in lengths]
        uniform = random.uniform(shape, seed=self.seed_generator)
        kept = ops.cast(ops.greater_equal(uniform, float(self.rate)), inputs.dtype)
        a = ((1 - self.rate) * (1 + self.rate * _ALPHA_P**2)) ** -0.5
        b = -a * _ALPHA_P * self.rate
        masked = inputs * kept + _ALPHA_P * (1 - kept)
        return ops.add(ops.multiply(masked, a), b)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }
