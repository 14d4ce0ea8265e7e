"""ModelCheckpoint: the model or its weights in a file, every so often."""

from __future__ import annotations

import os
import string
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from minisgd.callbacks.callback import Logs
from minisgd.callbacks.monitor_callback import MonitorCallback
from minisgd.utils.progbar import write_line


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after every epoch or every so many batches.

    Parameters
    ----------
    filepath : str or path-like
        Ends in ``.weights.h5`` with `save_weights_only`, else in ``.keras``. It may hold fields
        such as ``{epoch:02d}`` (counted from 1), ``{batch}`` (with `save_freq` in batches, from 1)
        and ``{val_loss:.2f}``. Folders that are missing are made.
    monitor : str, default "val_loss"
        What `save_best_only` compares.
    verbose : int, default 0
        1 prints a line when it saves, or decides not to.
    save_best_only : bool, default False
        Save only if the figure has improved.
    save_weights_only : bool, default False
        ``model.save_weights`` instead of ``model.save``.
    mode : {"auto", "min", "max"}
        See `MonitorCallback`.
    save_freq : "epoch" or int, default "epoch"
        Save at the end of each epoch, or after so many batches, counted through all epochs; `fit`
        then runs one step at a time.
    initial_value_threshold : float, optional
        What the first figure must improve on.

    Raises
    ------
    ValueError
        On construction, for another ending, a `save_freq` outside of its meaning, or braces that
        are no format. At the start of training, if mode is "auto" and no metric has that name, or
        the model can't be saved as a whole. When saving, if the logs lack a field of `filepath`
        (Keras: KeyError).
    OSError
        At the start of training, if the folder can't be made or written, or `filepath` is a folder.

    Warns
    -----
    UserWarning
        If the logs lack the figure (it saves then), and if a file can't be written in the course of
        training, for instance on a full disk: training goes on, the last file stays. (Keras ends
        with the OSError.)

    References
    ----------
    Keras, ``keras/src/callbacks/model_checkpoint.py``.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        if not isinstance(filepath, str | os.PathLike):
            raise TypeError(f"`filepath`: expected a str or a path, received {filepath!r}")
        self.verbose = verbose
        self.filepath = os.fspath(filepath)
        try:
            list(string.Formatter().parse(self.filepath))
        except ValueError as error:
            raise ValueError(
                f"`filepath`: expected fields like {{epoch:02d}}, received {filepath!r}: {error}"
            ) from None
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.every_batch = save_freq != "epoch"
        self._batches_since_saving = 0
        self._current_epoch = 0
        check_save_freq(
            save_freq,
            f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer "
            "values",
        )
        if save_weights_only and not self.filepath.endswith(".weights.h5"):
            raise ValueError(
                "When using `save_weights_only=True` in `ModelCheckpoint`, the filepath provided "
                "must end in `.weights.h5` (Keras weights format). Received: "
                f"filepath={self.filepath}"
            )
        if not save_weights_only and not self.filepath.endswith((".keras", ".h5")):
            raise ValueError(
                "The filepath provided must end in `.keras` (Keras model format). Received: "
                f"filepath={self.filepath}; for weights alone pass `save_weights_only=True` and a "
                "name that ends in `.weights.h5`."
            )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Refuse what could only fail at the end of an epoch."""
        self._find_direction()
        if not self.save_weights_only and not callable(getattr(self.model, "save", None)):
            raise ValueError(
                "ModelCheckpoint saves the whole model: expected one with a method `save`, "
                f"received {type(self.model).__name__}. Pass `save_weights_only=True` and a "
                "`filepath` that ends in `.weights.h5`."
            )
        if "{" not in self.filepath:
            _refuse_folder(self.filepath)
        folder = Path(self.filepath.partition("{")[0] + "_").parent
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(
                f"`filepath`: the folder {folder} can't be written to. Received: "
                f"filepath={self.filepath}"
            )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch."""
        self._current_epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save, if it is time."""
        if self.save_freq == "epoch":
            return
        self._batches_since_saving += 1
        if self._batches_since_saving >= int(self.save_freq):
            self._batches_since_saving = 0
            self._save_model(self._current_epoch, batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if `save_freq` is "epoch"."""
        if self.save_freq == "epoch":
            self._save_model(epoch, None, logs)

    def _save_model(self, epoch: int, batch: int | None, logs: Logs | None) -> None:
        path = self._file_path(epoch, batch, logs or {})
        if not self._should_save(epoch, logs or {}, path):
            return
        _refuse_folder(path)
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if self.save_weights_only:
                self.model.save_weights(path)
            else:
                self.model.save(path)
        except OSError as error:
            warnings.warn(
                f"ModelCheckpoint: {path} could not be written ({error}). Training goes on; what "
                "was saved before stays as it is.",
                stacklevel=3,
            )
            return
        if self.verbose > 0:
            write_line(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _should_save(self, epoch: int, logs: Logs, path: str) -> bool:
        """Whether to save now; says so, if verbose."""
        if not self.save_best_only:
            self._say(f"\nEpoch {epoch + 1}: saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Can save best model only with {self.monitor} available. The logs have: "
                f"{','.join(logs)}.",
                stacklevel=4,
            )
            return True
        if np.ndim(current):
            warnings.warn(
                f"Can save best model only when `monitor` is a scalar value. Received: {current}. "
                "Falling back to `save_best_only=False`.",
                stacklevel=4,
            )
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if self._is_improvement(current, self.best):
            self._say(
                f"\nEpoch {epoch + 1}: {self.monitor} improved from {best} to {current:.5f}, "
                f"saving model to {path}"
            )
            self.best = current
            return True
        self._say(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {best}")
        return False

    def _say(self, text: str) -> None:
        if self.verbose > 0:
            write_line(text)

    def _file_path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        """`filepath` with its fields filled in."""
        fields = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}. '
                f"`filepath`: expected fields of {', '.join(fields)}."
            ) from None

    def backup_state(self) -> dict[str, Any]:
        """The best figure so far, and the batches since the last file."""
        return {"best": self.best, "_batches_since_saving": self._batches_since_saving}


def check_save_freq(save_freq: Any, complaint: str) -> None:
    """Refuse a `save_freq` that is neither "epoch" nor a whole number of batches.

    Raises
    ------
    ValueError
        Which begins with `complaint`.
    """
    if isinstance(save_freq, str) and save_freq == "epoch":
        return
    if isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1:
        raise ValueError(f"{complaint}; `save_freq`: a number of batches is at least 1.")


def _refuse_folder(path: str) -> None:
    if Path(path).is_dir():
        raise IsADirectoryError(
            "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an "
            f"existing directory: {path}"
        )
