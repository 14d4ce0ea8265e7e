"""EarlyStopping: end training when a figure no longer improves."""

from __future__ import annotations

import warnings
from typing import Any

from minisgd.callbacks.callback import Logs
from minisgd.callbacks.monitor_callback import MonitorCallback, check_count
from minisgd.utils.progbar import write_line


class EarlyStopping(MonitorCallback):
    """Set ``model.stop_training`` once the watched figure has not improved for a while.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Key of the logs.
    min_delta : float, default 0
        A smaller change is no improvement.
    patience : int, default 0
        Epochs without improvement after which training ends; never after the first epoch.
    verbose : int, default 0
        1 prints a line when training is stopped, and one when weights are restored.
    mode : {"auto", "min", "max"}
        See `MonitorCallback`.
    baseline : float, optional
        Only an improvement on it makes the patience start anew.
    restore_best_weights : bool, default False
        Whether `fit` ends with the weights of the best epoch, also if it was not stopped.
    start_from_epoch : int, default 0
        Epochs before this one (counted from 0) are not looked at.

    Raises
    ------
    TypeError, ValueError
        On construction, for arguments outside of their meaning. A negative patience, which Keras
        takes for 0, is one.
    ValueError
        At the start of training, if mode is "auto" and no metric has that name (Keras: after the
        first epoch).

    Warns
    -----
    UserWarning
        After an epoch whose logs lack the figure.

    References
    ----------
    Keras, ``keras/src/callbacks/early_stopping.py``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        check_count(patience, "patience")
        check_count(start_from_epoch, "start_from_epoch")
        if baseline is not None:
            MonitorCallback(baseline=baseline)  # refuses what is no number
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.wait = 0
        self.stopped_epoch = 0
        self.restore_best_weights = restore_best_weights
        self.best_weights: list[Any] | None = None
        self.start_from_epoch = start_from_epoch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew, so that one object can serve several calls of ``fit``."""
        self._find_direction()
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare this epoch with the best one; perhaps stop."""
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)  # until one improves, the first epoch is the best

        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int) -> None:
        self.best_weights, self.best_epoch = self.model.get_weights(), epoch

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights, if asked to."""
        if self.stopped_epoch > 0 and self.verbose > 0:
            write_line(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                write_line(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs: Logs | None) -> Any:
        """The watched figure; None, with a warning, if `logs` lack it."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"Early stopping conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}",
                stacklevel=3,
            )
        return value

    def backup_state(self) -> dict[str, Any]:
        """The best epoch so far and how long ago it was."""
        names = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")
        return {name: getattr(self, name) for name in names}
