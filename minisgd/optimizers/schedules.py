"""Learning-rate schedules: the rate as a function of the step (Keras: optimizers.schedules).

A schedule is called with the number of updates made before this one, so that the first step sees
0. Those below take a vector of such numbers, too, and give a vector of the same rates.

All arithmetic is float32, and each expression rounds in the order in which TensorFlow runs it
inside `fit`. That is not always the order of the formula: compiling the step, TensorFlow turns
the division by a constant into a product with its reciprocal and multiplies constants with each
other first. The code below does the same, step by step; ``tf.pow``, ``tf.cos`` and ``tf.log`` are
the C library's, which the ``scalar_...`` kernels follow.

It goes further: where an optimizer multiplies the rate by a constant (weight decay, for one), that
constant is multiplied with the schedule's own first, if the schedule is a product. Hence `times`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd import saving
from minisgd.tensor import Tensor
from minisgd.utils.arguments import check_flag
from minisgd.utils.lookup import did_you_mean

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]

_f32 = np.float32
_ONE, _HALF, _PI = _f32(1), _f32(0.5), _f32(math.pi)
_TINY = np.finfo(np.float32).tiny


class LearningRateSchedule:
    """Base class: write ``__call__(step)``, and ``get_config()`` if it shall be saved.

    Examples
    --------
    >>> class Harmonic(LearningRateSchedule):
    ...     def __init__(self, initial_learning_rate):
    ...         self.initial_learning_rate = initial_learning_rate
    ...
    ...     def __call__(self, step):
    ...         return self.initial_learning_rate / (step + 1)
    >>> Harmonic(0.5)(1)
    0.25

    References
    ----------
    Keras, optimizers/schedules/learning_rate_schedule.py.
    """

    def __call__(self, step: Any) -> Any:
        """Learning rate of the update that comes after `step` others."""
        msg = (
            f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`."
        )
        raise NotImplementedError(msg)

    def times(self, factor: Any, step: Any) -> Tensor:
        """Learning rate times a constant; rounds in TensorFlow's order, which may differ."""
        return _result(_f32(factor) * np.asarray(self(step), np.float32))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        msg = (
            f"Learning rate schedule '{type(self).__name__}' must override `get_config()` in order "
            "to be serializable."
        )
        raise NotImplementedError(msg)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """Schedule with these arguments."""
        return cls(**config)


class _Configured(LearningRateSchedule):
    """A schedule that keeps each argument as an attribute of the same name."""

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}


class ExponentialDecay(_Configured):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps in which the rate is multiplied by `decay_rate` once; positive.
    decay_rate : float
        Not negative.
    staircase : bool
        Round ``step / decay_steps`` down: the rate falls at once every `decay_steps`.
    name : str

    Raises
    ------
    ValueError
        For an argument outside of its meaning.

    Examples
    --------
    >>> float(ExponentialDecay(0.5, decay_steps=10, decay_rate=0.25)(10))
    0.125
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.decay_rate = _rate(decay_rate, "decay_rate")
        self.staircase = check_flag(staircase, "staircase")
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """Learning rate at this step, shape ()."""
        return self.times(1, step)

    def times(self, factor: Any, step: Any) -> Tensor:
        """Learning rate at this step times a constant, which meets the initial rate first."""
        p = _as_float(step) * (_ONE / _f32(self.decay_steps))
        if self.staircase:
            p = np.floor(p)
        start = _f32(factor) * _f32(self.initial_learning_rate)
        return _result(start * _power(_f32(self.decay_rate), p))


class InverseTimeDecay(_Configured):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Positive.
    decay_rate : float
        Not negative.
    staircase : bool
        Round ``step / decay_steps`` down.
    name : str

    Raises
    ------
    ValueError
        For an argument outside of its meaning.

    Examples
    --------
    >>> float(InverseTimeDecay(0.5, decay_steps=10, decay_rate=3.0)(10))
    0.125
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.decay_rate = _rate(decay_rate, "decay_rate")
        self.staircase = check_flag(staircase, "staircase")
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """Learning rate at this step, shape ()."""
        t, reciprocal, rate = _as_float(step), _ONE / _f32(self.decay_steps), _f32(self.decay_rate)
        growth = rate * np.floor(t * reciprocal) if self.staircase else t * (rate * reciprocal)
        return _result(_f32(self.initial_learning_rate) / (_ONE + growth))


class PiecewiseConstantDecay(_Configured):
    """``values[i]`` for ``boundaries[i - 1] < step <= boundaries[i]``.

    Parameters
    ----------
    boundaries : list of int
        Strictly increasing.
    values : list of float
        One more than there are boundaries.
    name : str

    Raises
    ------
    ValueError
        If the lengths don't fit, or the boundaries don't increase (Keras takes those, and adds up
        several values).

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.25])
    >>> [float(schedule(step)) for step in (0, 10, 11, 20, 21)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        if len(boundaries) != len(values) - 1:
            msg = (
                "The length of boundaries should be 1 less than the length of values. Received: "
                f"boundaries={boundaries} of length {len(boundaries)}, and values={values} of "
                f"length {len(values)}."
            )
            raise ValueError(msg)
        if not boundaries:
            raise ValueError(f"`boundaries`: expected at least one step, received {boundaries}")
        if not all(a < b for a, b in zip(boundaries, boundaries[1:], strict=False)):
            msg = f"`boundaries`: expected strictly increasing steps, received {boundaries}"
            raise ValueError(msg)
        for value in values:
            _rate(value, "values")
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """Learning rate at this step, shape ()."""
        t = np.asarray(step)
        passed = sum((t > t.dtype.type(b)).astype(np.int64) for b in self.boundaries)
        return _result(np.array(self.values, np.float32)[passed])

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(_Configured):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Positive; later steps count as `decay_steps`.
    end_learning_rate : float
    power : float
        Not negative: the rate would grow without bound.
    cycle : bool
        Instead of staying at the end, start again with ``decay_steps * 2``, ``* 3``, ...
    name : str

    Raises
    ------
    ValueError
        For an argument outside of its meaning.

    Examples
    --------
    >>> float(PolynomialDecay(0.5, decay_steps=10, end_learning_rate=0.25)(5))
    0.375
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.end_learning_rate = _rate(end_learning_rate, "end_learning_rate")
        self.power = _rate(power, "power")
        self.cycle = check_flag(cycle, "cycle")
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """Learning rate at this step, shape ()."""
        start, end = _f32(self.initial_learning_rate), _f32(self.end_learning_rate)
        return _result(self._falling(start - end, step) + end)

    def times(self, factor: Any, step: Any) -> Tensor:
        """Learning rate at this step times a constant; with an end of 0 the rate is a product."""
        if self.end_learning_rate:
            return super().times(factor, step)
        return _result(self._falling(_f32(factor) * _f32(self.initial_learning_rate), step))

    def _falling(self, height: Any, step: Any) -> Any:
        """``height * (1 - p) ** power``."""
        t, steps = _as_float(step), _f32(self.decay_steps)
        reciprocal = _ONE / steps
        if self.cycle:
            cycles = np.maximum(np.ceil(t * reciprocal), _ONE)  # step 0 belongs to the first
            p = t / (steps * cycles)
        else:
            p = np.minimum(t, steps) * reciprocal
        rest = _ONE - p
        if self.power == 2:  # TensorFlow writes squares and cubes out
            return height * (rest * rest)
        if self.power == 3:
            return (height * rest) * (rest * rest)
        return height * _power(rest, _f32(self.power))


class CosineDecay(_Configured):
    """Half a cosine from the initial rate down to `alpha` times it; before it, a linear warm-up.

    With ``p = min(step, decay_steps) / decay_steps``::

        initial_learning_rate * ((1 - alpha) * 0.5 * (1 + cos(pi * p)) + alpha)

    With `warmup_target`, the first `warmup_steps` go from `initial_learning_rate` to the target
    in equal steps, and the cosine starts from the target after them.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Positive; the warm-up is not counted.
    alpha : float
        Share of the rate that is left at the end.
    name : str
    warmup_target : float, optional
    warmup_steps : int
        Not negative.

    Raises
    ------
    ValueError
        For an argument outside of its meaning.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> schedule = CosineDecay(0.0, decay_steps=10, warmup_target=0.5, warmup_steps=4)
    >>> [float(schedule(step)) for step in (0, 2, 4, 14)]
    [0.0, 0.25, 0.5, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.alpha = _rate(alpha, "alpha")
        self.name = name
        self.warmup_target = warmup_target
        if warmup_target is not None:
            _rate(warmup_target, "warmup_target")
        self.warmup_steps = _rate(warmup_steps, "warmup_steps")

    def __call__(self, step: Any) -> Tensor:
        """Learning rate at this step, shape ()."""
        if self.warmup_target is None:
            return self.times(1, step)
        # TensorFlow compiles the two branches apart, where the numbers of steps are no constants:
        # hence divisions.
        t, steps, warmup = _as_float(step), _f32(self.decay_steps), _f32(self.warmup_steps)
        start, target = _f32(self.initial_learning_rate), _f32(self.warmup_target)
        t = np.minimum(t, steps + warmup)
        falling = target * self._share(_PI * (np.maximum(t - warmup, _f32(0)) / steps))
        rising = (target - start) * (np.minimum(t, warmup) / (warmup or _ONE)) + start
        return _result(np.where(t < warmup, rising, falling))

    def times(self, factor: Any, step: Any) -> Tensor:
        """Learning rate at this step times a constant; without a warm-up the rate is a product."""
        if self.warmup_target is not None:
            return super().times(factor, step)
        steps = _f32(self.decay_steps)
        angle = np.minimum(_as_float(step), steps) * (_PI * (_ONE / steps))
        return _result((_f32(factor) * _f32(self.initial_learning_rate)) * self._share(angle))

    def _share(self, angle: Any) -> Any:
        """Share of the rate that is left at an angle from 0 to pi."""
        wave = _HALF * (_ONE + _cosine(angle))
        return _f32(1 - self.alpha) * wave + _f32(self.alpha)


class CosineDecayRestarts(_Configured):
    """Cosine decays one after the other, each `t_mul` times as long and `m_mul` times as high.

    In restart i, at the fraction p of it::

        initial_learning_rate * ((1 - alpha) * 0.5 * m_mul**i * (1 + cos(pi * p)) + alpha)

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Length of the first decay; positive.
    t_mul : float
        At least 1 (below it, Keras's formula ends in NaN).
    m_mul : float
        Not negative.
    alpha : float
        Share of the rate that is left at the end of a decay.
    name : str

    Raises
    ------
    ValueError
        For an argument outside of its meaning.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> schedule = CosineDecayRestarts(0.5, first_decay_steps=10)
    >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 20)]
    [0.5, 0.25, 0.5, 0.25]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.first_decay_steps = _positive(first_decay_steps, "first_decay_steps")
        if _rate(t_mul, "t_mul") < 1:
            msg = (
                f"Argument `t_mul` must be >= 1, received: t_mul={t_mul}. Shorter and shorter "
                "decays would end after a finite number of steps, in a learning rate of NaN."
            )
            raise ValueError(msg)
        self.t_mul = t_mul
        self.m_mul = _rate(m_mul, "m_mul")
        self.alpha = _rate(alpha, "alpha")
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """Learning rate at this step, shape ()."""
        return self.times(1, step)

    def times(self, factor: Any, step: Any) -> Tensor:
        """Learning rate at this step times a constant, which meets the initial rate first."""
        t_mul, alpha = _f32(self.t_mul), _f32(self.alpha)
        p = _as_float(step) * (_ONE / _f32(self.first_decay_steps))
        if t_mul == 1:
            restart = np.floor(p)
            p = p - restart
        else:
            shrink = _ONE - t_mul  # the decays' lengths are a geometric series
            restart = np.floor(_logarithm(_ONE - p * shrink) / _logarithm(t_mul))
            length = _power(t_mul, restart)
            p = (p - (_ONE - length) / shrink) / length
        start = _f32(factor) * _f32(self.initial_learning_rate)
        half, height = (_ONE - alpha) * _HALF, _power(_f32(self.m_mul), restart)
        wave = _ONE + _cosine(_PI * p)
        if not alpha:  # one product: all constants first
            return _result(((start * half) * height) * wave)
        return _result(start * ((half * height) * wave + alpha))


# --- float32 numbers, or vectors of them ---
def _power(x: Any, y: Any) -> Any:
    x, y = np.broadcast_arrays(x, y)
    return _each(kernels.scalar_power, x, y)


def _logarithm(x: Any) -> Any:
    return _each(kernels.scalar_logarithm, x)


def _cosine(x: Any) -> Any:
    return _each(kernels.scalar_cosine, x)


def _each(kernel: Any, *numbers: Any) -> Any:
    """A kernel for vectors, on arrays of one shape."""
    vectors = [np.array(x, np.float32).reshape(-1) for x in numbers]
    return kernel(*vectors).reshape(np.shape(numbers[0]))[()]


def _as_float(step: Any) -> Any:
    """A step (a number, or a tensor of one or many) as float32."""
    return np.asarray(step).astype(np.float32)[()]


def _result(rate: Any) -> Tensor:
    """The rate as a tensor; a denormal number is zero, as everywhere in TensorFlow."""
    return Tensor(np.where(np.abs(rate) < _TINY, _f32(0), rate))


# --- arguments ---
def _rate(value: Any, name: str) -> Any:
    """A finite number that is not negative.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        if 0 <= value <= np.finfo(np.float32).max:  # False for NaN
            return value
    msg = f"Argument `{name}`: expected a finite number >= 0, received: {name}={value!r}"
    raise ValueError(msg)


def _positive(value: Any, name: str) -> Any:
    """A finite number above zero.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        if 0 < value <= np.finfo(np.float32).max:
            return value
    msg = (
        f"Argument `{name}` must be > 0. Received: {name}={value!r}; expected the number of "
        "updates (batches, not epochs) that one decay takes."
    )
    raise ValueError(msg)


def is_own(rate: Any) -> bool:
    """Whether this is one of the schedules above itself: it depends on the step alone."""
    return type(rate) in _KNOWN.values()


# --- configurations ---
_KNOWN: dict[str, type[LearningRateSchedule]] = {
    schedule.__name__: schedule
    for schedule in (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """Schedule as a dict in Keras's form: module, class_name, config, registered_name."""
    return saving.serialize_keras_object(learning_rate_schedule)


def deserialize(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> LearningRateSchedule:
    """Schedule from the dict that `serialize` (ours or Keras's) wrote.

    Parameters
    ----------
    config : dict
        With "class_name" and "config".
    custom_objects : dict, optional
        Schedule classes of your own by name.

    Raises
    ------
    ValueError
        If the class is unknown.

    Examples
    --------
    >>> schedule = deserialize(serialize(PolynomialDecay(0.5, 10, 0.25)))
    >>> schedule.get_config()["end_learning_rate"]
    0.25
    """
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str) or (
        name not in _KNOWN and saving.own_class(config, custom_objects) is None
    ):
        known = [*_KNOWN, *(custom_objects or {})]
        hint = did_you_mean(name, known) if isinstance(name, str) else ""
        msg = (
            f"Could not deserialize a learning rate schedule: expected a dict whose 'class_name' "
            f"is one of {sorted(known)}, received {config!r}.{hint} Classes of your own go into "
            "`custom_objects`."
        )
        raise ValueError(msg)
    config = {"module": "keras.optimizers.schedules", "config": {}, **config}
    schedule: LearningRateSchedule = saving.deserialize_keras_object(config, custom_objects)
    return schedule
