"""LearningRateScheduler: a learning rate for every epoch, from a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minisgd.callbacks.callback import Callback, Logs


def _takes_learning_rate(schedule: Callable[..., Any]) -> bool:
    """Tell ``schedule(epoch, lr)`` (True) from the older ``schedule(epoch)`` (False).

    Asked of the signature, once: calling it and catching TypeError would hide a TypeError that
    comes from inside the function.
    """
    try:
        signature = inspect.signature(schedule)
    except ValueError:  # some functions written in C do not tell
        return True
    for arguments in ((0, 0.1), (0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise TypeError(
        "`schedule` expected a function of two arguments, `schedule(epoch, lr)`, "
        f"received {schedule!r} with the signature {signature}."
    )


def _learning_rate(value: Any, schedule: Callable[..., Any], epoch: int) -> float:
    """Return `value`, the result of `schedule`, as a float that an optimizer can use.

    Raises
    ------
    ValueError
        If `value` is not one real number, or if it is NaN, infinite, negative, or beyond the
        largest float32.
    """
    source = f"Received from `{getattr(schedule, '__name__', schedule)}` for epoch {epoch}:"
    refusal = (
        f"The output of the `schedule` function should be a float. {source} {value!r} of type "
        f"`{type(value).__name__}`. Expected one real number: a Python or NumPy scalar, an array "
        "of no dimensions, or a scalar tensor."
    )
    if isinstance(value, bool | np.bool_ | str | bytes) or value is None:
        raise ValueError(refusal)
    try:
        if hasattr(value, "__array__"):
            # float() alone would take an array of shape (1,), a flag and a complex number too.
            array = np.asarray(value)
            if array.ndim != 0 or array.dtype.kind in "bcmMOSU":
                raise ValueError(refusal)
        result = float(value)
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        raise ValueError(refusal) from None
    if not 0.0 <= result <= float(np.finfo(np.float32).max):
        raise ValueError(
            "The output of the `schedule` function should be a float that is finite in float32 "
            f"and not negative. {source} {result}. A learning rate of NaN or infinity destroys "
            "every weight in one step, and a negative one climbs the loss; 0.0 pauses training."
        )
    return result


class LearningRateScheduler(Callback):
    """Set the optimizer's learning rate at the start of every epoch.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, lr) -> new lr``. `epoch` counts from 0; `lr` is the present rate as a
        Python float, that of the float32 the optimizer stores: 0.01 arrives as
        0.009999999776482582. A function of the epoch alone is taken too.
    verbose : int, default 0
        1 prints one line an epoch.

    Raises
    ------
    TypeError
        On construction, if `schedule` cannot be called with ``(epoch, lr)`` nor with ``(epoch)``.
    ValueError
        At the start of an epoch, if the result is not one real number (bool, None, a string and
        an array with dimensions are none), or if it is NaN, infinite or negative.

    Notes
    -----
    Keras 3.15 takes only ``float``, ``np.float32`` and ``np.float64``, and so refuses
    ``lr * tf.math.exp(-0.1)``, the example of its own earlier manuals. Here any real scalar is
    taken by its float value: Python and NumPy numbers, arrays of no dimensions, minisgd's and
    TensorFlow's tensors. Such a tensor is float32, so that its result can be an ulp away from
    that of ``lr * math.exp(-0.1)``. Keras also accepts NaN and negative rates, silently.

    ``on_epoch_end`` adds ``learning_rate``, the rate of that epoch, to the logs; the History
    records it, since it comes later in the list.

    Examples
    --------
    >>> import math
    >>> def schedule(epoch, lr):
    ...     return lr if epoch < 5 else lr * math.exp(-0.1)
    >>> callback = LearningRateScheduler(schedule)

    References
    ----------
    Keras, ``keras/src/callbacks/learning_rate_scheduler.py``.
    """

    calls_users_code = True

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                "`schedule` expected a function, `schedule(epoch, lr)`, "
                f"received {schedule!r} of type `{type(schedule).__name__}`."
            )
        self.schedule = schedule
        self.verbose = verbose
        self._two_arguments = _takes_learning_rate(schedule)
        self._epoch: int | None = None  # the epoch whose rate is set
        self._resumed = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Ask the schedule and set ``model.optimizer.learning_rate``."""
        if self._resumed and epoch == self._epoch:
            return  # its rate came with the backup: `schedule` may build on the rate it is given
        self._epoch, self._resumed = epoch, False
        optimizer = self.model.optimizer
        if not hasattr(optimizer, "learning_rate"):
            raise ValueError(
                'Optimizer must have a "learning_rate" attribute. '
                f"Received: {optimizer!r}. Call `compile(optimizer=...)` first."
            )
        if self._two_arguments:
            value = self.schedule(epoch, float(optimizer.learning_rate))
        else:
            value = self.schedule(epoch)
        new = _learning_rate(value, self.schedule, epoch)
        optimizer.learning_rate = new
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {new}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the rate of this epoch into `logs`, which later callbacks share."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    def backup_state(self) -> Logs:
        """The epoch whose rate is set."""
        return {"_epoch": self._epoch}

    def restore_state(self, state: Logs) -> None:
        """Keep the rate of that epoch, should training go on in its middle."""
        super().restore_state(state)
        self._resumed = True
