"""TensorBoard: figures and histograms of weights as event files, through tensorboardX."""

from __future__ import annotations

import os
import time
from typing import Any

from minisgd.callbacks.callback import Callback, Logs
from minisgd.callbacks.monitor_callback import check_count


class TensorBoard(Callback):
    """Write logs, learning rate and histograms of the weights for TensorBoard.

    Needs tensorboardX: ``pip install "minisgd[tensorboard]"``.

    Parameters
    ----------
    log_dir : str or path-like, default "logs"
        Its folders ``train`` and ``validation`` get the event files.
    histogram_freq : int, default 0
        Every so many epochs, a histogram of each weight; 0: none.
    write_graph : bool, default True
        Accepted as in Keras; nothing is written.
    write_images : bool, default False
        With histograms, each weight as an image.
    write_steps_per_second : bool, default False
        Log the steps a second of each epoch, and of batches where `update_freq` logs them.
    update_freq : "epoch", "batch" or int, default "epoch"
        Besides every epoch, log the running figures every so many batches ("batch": each); `fit`
        then runs one step at a time.
    profile_batch : int, default 0
        Only 0: there is no profiler.
    embeddings_freq : int, default 0
        Only 0: there are no embeddings.
    embeddings_metadata : None

    Raises
    ------
    ImportError
        On construction, if tensorboardX is missing.
    TypeError, ValueError
        On construction, for arguments outside of their meaning.

    Notes
    -----
    Names and steps are Keras's: ``epoch_loss`` and ``epoch_learning_rate`` by epoch, ``batch_loss``
    by batches since the start, ``evaluation_loss_vs_iterations`` by updates, and
    ``sequential/dense/kernel/histogram``.

    References
    ----------
    Keras, ``keras/src/callbacks/tensorboard.py``.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | str | tuple[int, int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: None = None,
    ) -> None:
        super().__init__()
        if not isinstance(log_dir, str | os.PathLike):
            raise TypeError(f"`log_dir`: expected a str or a path, received {log_dir!r}")
        check_count(histogram_freq, "histogram_freq")
        if update_freq not in ("epoch", "batch"):
            if isinstance(update_freq, str):
                raise ValueError(
                    "`update_freq`: expected 'epoch', 'batch' or a number of batches, received "
                    f"{update_freq!r}"
                )
            check_count(update_freq, "update_freq", 1)
        if profile_batch:
            raise ValueError(
                "Profiling is not yet available with the minisgd backend. Received: "
                f"profile_batch={profile_batch} (must be 0)"
            )
        if embeddings_freq or embeddings_metadata is not None:
            raise ValueError(
                "`embeddings_freq`, `embeddings_metadata`: expected 0 and None, since minisgd has "
                f"no Embedding layers; received {embeddings_freq!r}, {embeddings_metadata!r}"
            )
        self._make_writer = _writer_class()
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.every_batch = update_freq != "epoch"
        self._writers: dict[str, Any] = {}
        self._batches = 0
        self._batch_start = self._epoch_start = 0.0
        self._iterations_before = 0

    def _writer(self, name: str) -> Any:
        """Writer into the folder "train" or "validation", made when first needed."""
        if name not in self._writers:
            self._writers[name] = self._make_writer(os.path.join(self.log_dir, name))
        return self._writers[name]

    def _iterations(self) -> int:
        return int(self.model.optimizer.iterations)

    # --- hooks ---
    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Count batches from 0."""
        self._batches = 0

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Log an evaluation, or a validation, by the optimizer's updates."""
        if self.model.optimizer is None:
            return
        writer = self._writer("validation")
        for name, value in (logs or {}).items():
            writer.add_scalar(f"evaluation_{name}_vs_iterations", value, self._iterations())
        writer.flush()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock of this epoch."""
        if self.write_steps_per_second:
            self._iterations_before, self._epoch_start = self._iterations(), time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Count; start the clock of this batch."""
        self._batches += 1
        self._batch_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Log the running figures, if it is time."""
        if self.update_freq == "epoch" or self._batches % int(self.update_freq):
            return
        figures = dict(logs or {})
        if self.write_steps_per_second:
            figures = {"steps_per_second": self._rate(1, self._batch_start), **figures}
        for name, value in figures.items():
            self._writer("train").add_scalar(f"batch_{name}", value, self._batches)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Log the epoch's figures and, if it is time, the weights."""
        if logs:
            self._log_epoch(epoch, logs)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._log_weights(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _log_epoch(self, epoch: int, logs: Logs) -> None:
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        if self.model.optimizer is not None:
            train["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            steps = self._iterations() - self._iterations_before
            train["steps_per_second"] = self._rate(steps, self._epoch_start)
        for name, value in train.items():
            self._writer("train").add_scalar(f"epoch_{name}", value, epoch)
        for name, value in logs.items():
            if name.startswith("val_"):
                tag = f"epoch_{name.removeprefix('val_')}"
                self._writer("validation").add_scalar(tag, value, epoch)

    def _log_weights(self, epoch: int) -> None:
        writer = self._writer("train")
        for layer in self.model.layers:
            for weight in layer.weights:
                name, values = weight.path.replace(":", "_"), weight.numpy()
                writer.add_histogram(f"{name}/histogram", values, epoch)
                image = values.squeeze()
                if self.write_images and image.ndim in (1, 2):
                    image = image.reshape(len(image), -1)
                    # Keras lays a kernel on its side, and a bias upright.
                    lies = values.ndim > 1 and image.shape[0] > image.shape[1]
                    image = image.T if lies else image
                    writer.add_image(f"{name}/image", image, epoch, dataformats="HW")

    def _rate(self, steps: int, since: float) -> float:
        return steps / max(time.perf_counter() - since, 1e-9)


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ImportError(
            "TensorBoard needs the package tensorboardX, which is not installed. Install it with "
            '`pip install "minisgd[tensorboard]"`.'
        ) from None
    return SummaryWriter
