"""Keras's random numbers from Keras's seeds: TensorFlow's Philox streams.

Keras mixes three sources, and `set_random_seed` seeds them all:

* Python's global `random` hands every initializer and every Dropout layer a seed of its own when
  it is constructed (so the order of construction matters, the order of building does not);
* such a seed picks a stateless stream, from which weights and masks are drawn;
* the seed itself picks the stream that shuffles the samples, the same in every epoch.

NumPy's generator is seeded for the user's own calls; nothing here draws from it.
"""

from __future__ import annotations

import math
import random as python_random
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.tensor import Array, Tensor, Variable
from minisgd.utils.unsupported import explain

__all__ = ["SeedGenerator", "dropout", "normal", "truncated_normal", "uniform"]

_MASK = 0xFFFFFFFF
# TensorFlow's stateless operations scramble a seed with Philox under this key
# (core/kernels/stateless_random_ops_v2.h, GetKeyCounter).
_SCRAMBLE_KEY = np.array([0x3EC8F720, 0x02461E29], np.uint32)
_MAX_INT32 = 2**31 - 1

Stream = tuple[Array, Array]


class _Global:
    """What `set_random_seed` sets besides Python's and NumPy's generators."""

    seed: int | None = None
    generator: SeedGenerator | None = None


def set_random_seed(seed: int) -> None:
    """Make everything that follows reproducible, and equal to Keras's with the same seed.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If `seed` is no Python int or out of range.

    References
    ----------
    Keras, ``keras.utils.set_random_seed`` (utils/rng_utils.py).
    """
    if not isinstance(seed, int):
        msg = (
            "Expected `seed` argument to be an integer (a Python int from 0 to 2**32 - 1). "
            f"Received: seed={seed} (of type {type(seed)})"
        )
        raise ValueError(msg)
    if not 0 <= seed < 2**32:
        msg = f"`seed`: Seed must be between 0 and 2**32 - 1. Received: seed={seed}"
        raise ValueError(msg)
    python_random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the user's calls of the legacy generator
    _Global.seed = int(seed)
    _Global.generator = None


def make_default_seed() -> int:
    """Seed for an initializer or a layer that was given none: from Python's global generator."""
    return python_random.randint(1, 10**9)


class SeedGenerator:
    """A counter that gives a new seed pair for each draw.

    Parameters
    ----------
    seed : int, optional
        By default drawn from Python's global generator.
    name : str, optional

    Attributes
    ----------
    state : Variable, shape (2,), int64
        ``[seed, number of draws so far]``.
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self._initial_seed = seed
        self.name = name or "seed_generator"
        start = make_default_seed() if seed is None else seed
        if not isinstance(start, int) or not -(2**63) <= start < 2**63:
            msg = f"Argument `seed` must be an integer (of 64 bits). Received: seed={seed}"
            raise ValueError(msg)
        self.state = Variable(
            np.array([start, 0], np.int64), name="seed_generator_state", trainable=False
        )

    def next(self, ordered: bool = True) -> Array:
        """The present state; then count on (``ordered=False``: Keras's scattered sequence)."""
        now = self.state.numpy()
        self.state.assign(now + [0, 1] if ordered else (now + 1) * 5387 % 933199)
        return now

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal generator."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """Generator with these arguments."""
        return cls(**config)


Seed = int | SeedGenerator | None


def _stream(seed: Seed) -> Stream:
    """Key and counter of the stateless stream that belongs to a seed."""
    if seed is None:
        if _Global.generator is None:
            _Global.generator = SeedGenerator()
        pair = _Global.generator.next(ordered=False)
    elif isinstance(seed, SeedGenerator):
        pair = seed.next()
    elif isinstance(seed, int):
        pair = np.array([seed, 0], object)
    else:
        msg = (
            "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
            f"Received: seed={seed} (of type {type(seed)})"
        )
        raise ValueError(msg)
    # Keras casts to int32 with a floor modulo (backend/tensorflow/random.py, _cast_seed).
    seed0, seed1 = (int(s) % (_MAX_INT32 - 1) for s in pair)
    counter = np.array([seed0, 0, seed1, 0], np.uint32)
    mix = kernels.philox_uint32(_SCRAMBLE_KEY, counter, 4)
    return mix[:2].copy(), np.array([0, 0, mix[2], mix[3]], np.uint32)


def _draw(kernel: Any, shape: Sequence[int], a: float, b: float, dtype: Any, seed: Seed) -> Tensor:
    key, counter = _stream(seed)
    values = kernel(key, counter, np.float32(a), np.float32(b), math.prod(shape))
    return Tensor(values.reshape(tuple(shape)).astype(dtype or np.float32, copy=False))


def uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: Seed = None,
) -> Tensor:
    """Uniform floats in ``[minval, maxval)``, with 23 random bits each.

    An int `seed` gives the same values at every call; float64 holds the float32 values.

    References
    ----------
    Keras, ``keras.random.uniform``; TensorFlow, ``tf.random.stateless_uniform``.
    """
    return _draw(kernels.philox_uniform, shape, minval, maxval, dtype, seed)


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Seed = None,
) -> Tensor:
    """Normally distributed floats, by Box and Muller's transform. See `uniform` for seeds."""
    return _draw(kernels.philox_normal, shape, mean, stddev, dtype, seed)


def truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Seed = None,
) -> Tensor:
    """Normally distributed floats within two standard deviations of the mean."""
    return _draw(kernels.philox_truncated_normal, shape, mean, stddev, dtype, seed)


def dropout(
    inputs: Any, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Seed = None
) -> Tensor:
    """Zero a fraction `rate` of the elements, and scale the rest by ``1 / (1 - rate)``.

    The scale keeps the expected sum, so that inference needs no factor.

    References
    ----------
    Srivastava et al., "Dropout", JMLR 15 (2014); Keras, ``keras.random.dropout``.
    """
    from minisgd import ops  # ops is a room above: only this function needs it

    x = ops.convert_to_tensor(inputs)
    if rate == 0:
        return x
    if rate == 1:
        return Tensor(np.zeros_like(x._array))
    shape = [n if m is None else m for n, m in zip(x.shape, noise_shape or x.shape, strict=True)]
    keep = uniform(shape, seed=seed).numpy() >= np.float32(rate)
    return ops.where(np.broadcast_to(keep, x.shape), x * (1.0 / (1.0 - rate)), 0.0)


def _shuffle_stream(epoch: int) -> Stream:
    """Key and counter of the stream that shuffles; seeded, TensorFlow does not scramble here."""
    if _Global.seed is None:
        return np.frombuffer(secrets.token_bytes(8), np.uint32).copy(), np.frombuffer(
            secrets.token_bytes(16), np.uint32
        ).copy()
    seed, operation = _Global.seed % _MAX_INT32, epoch % _MAX_INT32
    if (seed, operation) == (0, 0):
        operation = _MAX_INT32
    return np.array([seed, 0], np.uint32), np.array([0, 0, operation, 0], np.uint32)


def epoch_order(n: int, epoch: int = 0) -> Array:
    """Order in which an epoch of `fit` visits `n` samples, int64.

    Seeded, Keras draws the same order in every epoch (each epoch starts a new iterator with the
    same seeds), which is ``epoch=0`` here; other values are minisgd's own
    ``fit(reshuffle_each_epoch=True)``. Unseeded, every call gives another order.

    References
    ----------
    Keras, trainers/data_adapters/array_data_adapter.py; TensorFlow,
    core/kernels/random_shuffle_op.cc.
    """
    key, counter = _shuffle_stream(epoch)
    order: Array = kernels.philox_shuffle(key, counter, n)
    return order


def batchwise_order(n: int, batch_size: int, epoch: int = 0) -> Array:
    """Order of ``fit(shuffle="batch")``: batches in place, each shuffled within; int64.

    One stream serves the whole epoch: every batch goes on where the one before it stopped, at the
    next full block of four words.
    """
    key, counter = _shuffle_stream(epoch)
    order = np.empty(n, np.int64)
    blocks = int(counter[0]) | int(counter[1]) << 32
    for start in range(0, n, batch_size):
        size = min(batch_size, n - start)
        counter[:2] = blocks & _MASK, blocks >> 32 & _MASK
        order[start : start + size] = start + kernels.philox_shuffle(key, counter, size)
        blocks += -(-(size - 1) // 4)
    return order


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
