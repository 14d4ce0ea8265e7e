"""ReduceLROnPlateau: a smaller learning rate when a figure no longer improves."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from minisgd.callbacks.callback import Logs
from minisgd.callbacks.monitor_callback import MonitorCallback, check_count, check_number
from minisgd.utils.progbar import write_line


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by `factor` once the watched figure has not improved for a while.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Key of the logs.
    factor : float, default 0.1
        From 0 (excluded) to 1 (excluded): ``new rate = max(rate * factor, min_lr)``.
    patience : int, default 10
        Epochs without improvement after which the rate is reduced.
    verbose : int, default 0
        1 prints a line when the rate is reduced.
    mode : {"auto", "min", "max"}
        See `MonitorCallback`.
    min_delta : float, default 1e-4
        A smaller change is no improvement.
    cooldown : int, default 0
        Epochs after a reduction in which none is counted.
    min_lr : float, default 0.0
        The rate is not reduced below it.

    Raises
    ------
    TypeError, ValueError
        On construction, for arguments outside of their meaning. Keras refuses a factor of 1 or more
        and takes others of 0, below 0, or NaN.
    TypeError
        When the rate is to be reduced, if the optimizer has a schedule for it.

    Warns
    -----
    UserWarning
        After an epoch whose logs lack the figure.

    Notes
    -----
    ``on_epoch_end`` adds ``learning_rate``, the rate of that epoch, to the logs.

    References
    ----------
    Keras, ``keras/src/callbacks/reduce_lr_on_plateau.py``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        check_number(factor, "factor")
        if factor >= 1.0:
            raise ValueError(
                "ReduceLROnPlateau does not support a factor >= 1.0. "
                f"Received factor={factor}; `factor`: expected a number between 0 and 1."
            )
        if factor <= 0:
            raise ValueError(f"`factor`: expected a number between 0 and 1, received {factor!r}")
        if kwargs:
            raise TypeError(
                f"ReduceLROnPlateau got unexpected arguments {sorted(kwargs)}: expected monitor, "
                "factor, patience, verbose, mode, min_delta, cooldown, min_lr. (`epsilon` is "
                "today's `min_delta`.)"
            )
        check_count(patience, "patience")
        check_count(cooldown, "cooldown")
        check_number(min_lr, "min_lr", 0)
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew, so that one object can serve several calls of ``fit``."""
        self._find_direction()
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the rate into `logs`; compare this epoch with the best one; perhaps reduce."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not "
                f"available. Available metrics are: {','.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch: int) -> bool:
        """Set the smaller rate; False if it is as small as may be."""
        optimizer = self.model.optimizer
        old = float(optimizer.learning_rate)
        if old <= np.float32(self.min_lr):
            return False
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose > 0:
            write_line(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
        return True

    def in_cooldown(self) -> bool:
        """Whether the last reduction was less than ``cooldown`` epochs ago."""
        return self.cooldown_counter > 0

    def backup_state(self) -> dict[str, Any]:
        """The best figure so far and how long ago it was."""
        names = ("best", "wait", "cooldown_counter")
        return {name: getattr(self, name) for name in names}
