"""Checks of the optimizers' arguments: nothing that would spoil a training run is accepted."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, NoReturn

import numpy as np

from minisgd.utils.arguments import check_flag as check_flag  # for the optimizers, too

_LARGEST = float(np.finfo(np.float32).max)


def refuse_unknown(kwargs: dict[str, Any], kind: type) -> None:
    """Raise for keyword arguments that an optimizer class has not.

    Raises
    ------
    ValueError
        If any is left besides `decay`, which Keras ignores with a warning.
    """
    if kwargs.pop("decay", None) is not None:
        message = "Argument `decay` is no longer supported and will be ignored."
        warnings.warn(message, stacklevel=4)
    if kwargs:
        hint = " (`lr` is now `learning_rate`)" if "lr" in kwargs else ""
        known = [name for name in inspect.signature(kind).parameters if name != "kwargs"]
        msg = f"Argument(s) not recognized: {kwargs}. Expected {', '.join(known)}{hint}."
        raise ValueError(msg)


def check_momentum(momentum: Any) -> float:
    """A Python float from 0 to 1."""
    if isinstance(momentum, float) and 0 <= momentum <= 1:
        return momentum
    msg = f"`momentum` must be a float between [0, 1]. Received: momentum={momentum!r}"
    raise ValueError(msg)


def check_rate(rate: float, source: str = "`learning_rate`") -> float:
    """A learning rate that can train: not negative, and finite as a float32."""
    if 0 <= rate <= _LARGEST:  # False for NaN
        return rate
    msg = f"{source}: expected a number >= 0 that float32 can hold, received {rate}"
    raise ValueError(msg)


def as_rate(value: Any, source: str = "`learning_rate`") -> Any:
    """One number, of any kind, as a float32 that can train; see `check_rate`."""
    try:
        if isinstance(value, str) or np.ndim(value):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{source}: expected one number, received {value!r}") from None
    return np.float32(check_rate(number, source))


def refuse_rate(rate: Any) -> NoReturn:
    """Raise for what is neither a float nor a schedule nor a function."""
    hint = f" (write {float(rate)})" if isinstance(rate, int | np.number) else ""
    msg = (
        f"Argument `learning_rate` should be float{hint}, or an instance of LearningRateSchedule, "
        "or a callable (that takes no arguments and returns the learning rate to use). "
        f"Received instead: learning_rate={rate!r}"
    )
    raise ValueError(msg)


def check_number(value: Any, name: str, *, above_zero: bool) -> Any:
    """None, which means off, or a finite number: not negative, or above zero."""
    if value is None:
        return None
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if number and 0 <= value <= _LARGEST and not (above_zero and value == 0):
        return value
    msg = (
        f"`{name}`: expected a finite number {'> 0' if above_zero else '>= 0'}, or None to turn it "
        f"off, received {value!r}"
    )
    raise ValueError(msg)


def check_clipping(clipnorm: Any, clipvalue: Any, global_clipnorm: Any) -> None:
    """At most one way of clipping, with a limit above zero."""
    limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
    if sum(limit is not None for limit in limits.values()) > 1:
        received = ", ".join(f"{name}={limit}" for name, limit in limits.items())
        msg = (
            "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
            f"{received}"
        )
        raise ValueError(msg)
    for name, limit in limits.items():
        check_number(limit, name, above_zero=True)


def check_count(value: Any, name: str, smallest: int) -> int | None:
    """None, which means off, or a whole number from `smallest` on."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value is None or (whole and value >= smallest):
        return None if value is None else int(value)
    msg = f"`{name}` must be an integer >= {smallest} or None. Received: {name}={value!r}"
    raise ValueError(msg)


def check_ema_momentum(value: Any) -> Any:
    """A number from 0 to 1."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if number and 0 <= value <= 1:
        return value
    msg = f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={value!r}"
    raise ValueError(msg)
