"""BackupAndRestore: a killed `fit` goes on where it was, to the same bits."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minisgd.callbacks import fit_state
from minisgd.callbacks.callback import Callback, Logs
from minisgd.callbacks.model_checkpoint import check_save_freq
from minisgd.saving.atomic import replacing

_FILE = "latest.npz"


class BackupAndRestore(Callback):
    """Keep the whole state of `fit` in a file; a later call that finds it goes on from there.

    Run the same script again after it was killed. What it ends with has the bits of a run that was
    never interrupted: weights, the optimizer's state, History, the file of a `CSVLogger`, what
    `EarlyStopping` and the like remember.

    Parameters
    ----------
    backup_dir : str or path-like
        A folder of its own, for one call of `fit`.
    save_freq : "epoch" or int, default "epoch"
        After each epoch, or after so many batches, counted through all epochs. With a number, `fit`
        runs one step at a time.
    double_checkpoint : bool, default False
        Keep the state before the last one too, and go on from it should the last one be damaged.
    delete_checkpoint : bool, default True
        Whether the file goes when training has ended.

    Raises
    ------
    TypeError, ValueError
        On construction, for arguments outside of their meaning.
    ValueError
        At the start of training, if the file is damaged, or belongs to another model or, in
        mid-epoch, to other data.
    OSError
        At the start of training, if the folder can't be made or written.

    Warns
    -----
    UserWarning
        If a state can't be written, for instance on a full disk: training goes on.

    Notes
    -----
    Keras 3.15 keeps weights, optimizer and the number of the epoch, in two files. Here one file,
    which is replaced as a whole, has besides: the batch within the epoch, the order of the samples,
    running metrics, all random generators (shuffling, Dropout, Python's and NumPy's global ones),
    and what the other callbacks return from ``backup_state``. So `fit` returns the whole History,
    where Keras returns that of the epochs since.

    Arrays and a `PyDataset` go on at their next batch. Of other sources the batches that were seen
    are taken and left out, with a warning: they must be the same ones.

    It is called after all other callbacks, wherever it stands in the list. An epoch that was
    interrupted begins with ``on_epoch_begin`` again; what that has changed in the model or the
    optimizer is then put back.

    The format is NumPy's ``.npz`` without pickle. On purpose `delete_checkpoint` takes away only
    what this callback wrote (Keras: the whole folder).

    References
    ----------
    Keras, ``keras/src/callbacks/backup_and_restore.py``.
    """

    comes_last = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError(
                "Empty `backup_dir` argument passed: expected the path of a folder, received "
                f"{backup_dir!r}"
            )
        if not isinstance(backup_dir, str | os.PathLike):
            raise TypeError(f"`backup_dir`: expected a str or a path, received {backup_dir!r}")
        check_save_freq(
            save_freq,
            f"Invalid value for argument `save_freq`. Received: save_freq={save_freq}. Expected "
            "either 'epoch' or an integer value.",
        )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.every_batch = save_freq != "epoch"
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._path = Path(self.backup_dir) / _FILE
        self._previous = Path(self.backup_dir) / f"{_FILE}.bkp"
        self._batches_since_saving = 0
        self._resumed: dict[str, Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Look for a state of an earlier call; if there is one, put it in place."""
        self._batches_since_saving = 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(self._path.parent, os.W_OK):
            raise PermissionError(f"`backup_dir`: {self.backup_dir} can't be written to.")
        for leftover in self._path.parent.glob(f".{_FILE}*.tmp"):  # of a killed process
            leftover.unlink(missing_ok=True)
        self._resumed = self._read()
        if self._resumed is None:
            return
        state, progress = self._resumed, self.model._progress
        # Another number of epochs is a new task: a run that was stopped early may go on.
        state["stop_training"] &= state["epochs"] == self._epochs()
        fit_state.restore(self.model, progress, state)
        if self.model.stop_training and not progress.iterator.in_epoch:
            progress.epoch = self._epochs()  # it was stopped, and killed on the way out

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """In an epoch that was begun before: undo what its second beginning has changed."""
        if self._resumed is not None and self._resumed["position"]["in_epoch"]:
            fit_state.restore(self.model, self.model._progress, self._resumed)
        self._resumed = None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Write the state, if it is time."""
        if self.save_freq == "epoch":
            return
        self._batches_since_saving += 1
        if self._batches_since_saving >= int(self.save_freq):
            self._batches_since_saving = 0
            self._save(in_epoch=True)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the state, if `save_freq` is "epoch"."""
        if self.save_freq == "epoch":
            self._save(in_epoch=False)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Take the file away: this training is over."""
        if not self.delete_checkpoint:
            return
        for path in (self._path, self._previous):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # something of the user's is in it
            self._path.parent.rmdir()

    def backup_state(self) -> Logs:
        """The batches since the last file."""
        return {"_batches_since_saving": self._batches_since_saving}

    def _epochs(self) -> Any:
        return (self.params or {}).get("epochs")

    def _save(self, in_epoch: bool) -> None:
        state = fit_state.capture(self.model, self.model._progress, in_epoch)
        arrays = fit_state.to_arrays({**state, "epochs": self._epochs()})
        try:
            if self.double_checkpoint and self._path.exists():
                with replacing(self._previous) as temporary:
                    shutil.copyfile(self._path, temporary)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as temporary, open(temporary, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            warnings.warn(
                f"BackupAndRestore: {self._path} could not be written ({error}). Training goes on; "
                "the state that was saved before stays as it is.",
                stacklevel=3,
            )

    def _read(self) -> dict[str, Any] | None:
        """The last state that can be read; None if there is none.

        Raises
        ------
        ValueError
            If there is one that can't be read.
        """
        problems = []
        for path in (self._path, self._previous):
            if not path.exists():
                continue
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    return fit_state.from_arrays(arrays)
            except Exception as error:  # whatever a damaged file makes zipfile or NumPy raise
                problems.append(f"{path} is damaged ({error})")
        if not problems:
            return None
        raise ValueError(
            f"BackupAndRestore: {'; '.join(problems)}. Delete it to train from the start, or pass "
            "another `backup_dir`; `double_checkpoint=True` keeps a second state."
        )
