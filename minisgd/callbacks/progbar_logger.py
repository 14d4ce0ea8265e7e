"""ProgbarLogger: the progress bar of ``fit``, ``evaluate`` and ``predict``."""

from __future__ import annotations

from typing import Any

from minisgd.callbacks.callback import Callback, Logs
from minisgd.utils.progbar import Progbar, check_verbose, write_line


class ProgbarLogger(Callback):
    """Show each epoch's progress and metrics by a :class:`~minisgd.utils.progbar.Progbar`.

    ``fit`` adds one, last in the list, unless ``verbose=0``. ``verbose`` comes in with the
    parameters: 1 (or "auto") draws a bar, 2 prints one line an epoch, 0 prints nothing. Before
    each epoch stands "Epoch 1/10", if there is more than one.

    Notes
    -----
    The validation inside ``fit`` is silent, its metrics end the epoch's line. Unlike Keras, the
    count at the end of an epoch is that of the steps that were run: an epoch that was cut short
    by ``stop_training`` ends with "10/1875", not "1875/1875".

    References
    ----------
    Keras, ``keras/src/callbacks/progbar_logger.py``.
    """

    every_batch = False  # it draws now and then anyway

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.progbar: Progbar | None = None
        self.target: int | None = None
        self.verbose = 1
        self.epochs = 1
        self._in_fit = False

    def set_params(self, params: dict[str, Any]) -> None:
        """Read ``verbose``, ``epochs`` and ``steps`` (None: not known yet).

        Raises
        ------
        ValueError
            If ``verbose`` is not 0, 1, 2 or "auto".
        """
        super().set_params(params)
        self.verbose = check_verbose(params.get("verbose", 1))
        self.epochs = params.get("epochs", 1)
        self.target = params.get("steps")

    def close(self) -> None:
        """Take down a bar that is still drawn; for use in a ``finally``."""
        self._in_fit = False
        if self.progbar is not None:
            self.progbar.close()
            self.progbar = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Keep the validation within this ``fit`` silent."""
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Let a later ``evaluate`` with this same object be shown."""
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Print the number of the epoch and begin a new bar."""
        if self.verbose and self.epochs > 1:
            write_line(f"Epoch {epoch + 1}/{self.epochs}")
        self._begin()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Advance the bar."""
        self._advance(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Draw the epoch's final line."""
        self._end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Begin a bar, unless within ``fit``."""
        if not self._in_fit:
            self._begin()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Advance the bar, unless within ``fit``."""
        if not self._in_fit:
            self._advance(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Draw the final line, unless within ``fit``."""
        if not self._in_fit:
            self._end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Begin a bar."""
        self._begin()

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Advance the bar; the predictions are not shown."""
        self._advance(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Draw the final line."""
        self._end(None)

    def _begin(self) -> None:
        if self.progbar is not None:
            self.progbar.close()
        self.seen = 0
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())

    def _advance(self, batch: int, logs: Logs | None) -> None:
        self.seen = batch + 1
        # With verbose=2 the bar hears of no batch: as in Keras, its time a step is then the mean
        # over all steps, while that of verbose=1 leaves the first, slow one out.
        if self.verbose == 1 and self.progbar is not None and self.progbar.is_due(self.seen):
            self.progbar.update(self.seen, (logs or {}).items(), finalize=False)

    def _end(self, logs: Logs | None) -> None:
        if self.progbar is None:
            return
        if self.target is None:
            self.target = self.seen  # known from now on, also for the next epoch
        self.progbar.target = self.target
        # A loop of one's own may call the epoch hooks and no batch hooks.
        steps = self.seen or self.target
        self.progbar.update(steps, (logs or {}).items(), finalize=True)
        self.progbar = None
