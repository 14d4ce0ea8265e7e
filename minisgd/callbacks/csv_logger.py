"""CSVLogger: the logs of every epoch as a line of a CSV file."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minisgd.callbacks.callback import Callback, Logs
from minisgd.saving.atomic import replacing


class CSVLogger(Callback):
    """Write ``epoch`` and the logs of each epoch into a CSV file, as soon as it has ended.

    The first epoch's keys, sorted, are the columns; without validation there, ``val_*`` columns
    follow that hold NA. Values that are missing later are NA too.

    Parameters
    ----------
    filename : str or path-like
    separator : str, default ","
        One character.
    append : bool, default False
        Keep what is in the file and go on behind it; otherwise it is replaced.

    Raises
    ------
    TypeError
        If `filename` is no path or `separator` no single character.
    OSError
        At the start of training, if the file can't be written.

    Warns
    -----
    UserWarning
        If it can't be written later, for instance on a full disk. Training goes on, and the next
        epoch writes the missing lines too.

    Notes
    -----
    Each epoch replaces the file as a whole, so that no line is ever torn, whenever the process is
    killed. What is no ordinary file, such as ``/dev/stdout``, is written to directly.

    References
    ----------
    Keras, ``keras/src/callbacks/csv_logger.py``.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(filename, str | os.PathLike):
            raise TypeError(f"`filename`: expected a str or a path, received {filename!r}")
        if not isinstance(separator, str) or len(separator) != 1:
            raise TypeError(
                '"delimiter" must be a 1-character string: `separator`: expected one character '
                f"such as ',', received {separator!r}"
            )
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.keys: list[str] | None = None
        self._before = b""  # what the file held when training began
        self._lines = ""  # what this training has added
        self._special = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Make the file."""
        path = Path(self.filename)
        self.keys, self._lines = None, ""
        self._special = path.exists() and not (path.is_file() or path.is_dir())
        if self.append and path.exists() and not self._special:
            self._before = path.read_bytes()
        else:
            self._before = b""
        self._write()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the line of this epoch."""
        logs = logs or {}
        lines = io.StringIO(newline="")
        writer = csv.writer(lines, delimiter=self.sep)  # lines end with \r\n, as in Keras
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]
            if not self._before:
                writer.writerow(["epoch", *self.keys])
        writer.writerow([epoch, *(_text(logs.get(key, "NA")) for key in self.keys)])
        self._lines += lines.getvalue()
        try:
            self._write(lines.getvalue())
        except OSError as error:
            warnings.warn(
                f"CSVLogger: {self.filename} could not be written ({error}). Training goes on; the "
                "next epoch will try to write the missing lines too.",
                stacklevel=2,
            )

    def _write(self, new: str = "") -> None:
        if self._special:
            with open(self.filename, "ab") as file:
                file.write(new.encode())
            return
        with replacing(self.filename) as temporary:
            temporary.write_bytes(self._before + self._lines.encode())

    def backup_state(self) -> Logs:
        """The lines so far, and how long the file was before them."""
        return {"keys": self.keys, "length": len(self._before), "lines": self._lines}

    def restore_state(self, state: Logs) -> None:
        """Put these lines back; those of epochs that will run again are dropped."""
        self.keys, self._lines = state["keys"], state["lines"]
        self._before = self._before[: state["length"]]
        self._write()


def _text(value: Any) -> Any:
    """Value for a cell: texts and numbers as they are, other sequences as "[1, 2]"."""
    zero_dimensions = isinstance(value, np.ndarray) and value.ndim == 0
    if isinstance(value, Iterable) and not isinstance(value, str) and not zero_dimensions:
        return f'"[{", ".join(map(str, value))}]"'
    return value
