"""TerminateOnNaN: end training when the loss is no number any more."""

from __future__ import annotations

import math

from minisgd.callbacks.callback import Callback, Logs
from minisgd.utils.progbar import write_line


class TerminateOnNaN(Callback):
    """End training after the first batch whose loss is NaN or infinite.

    Parameters
    ----------
    raise_error : bool, default False
        Raise an error instead of setting ``model.stop_training``: ``on_train_end`` of other
        callbacks is then not called, and a backup stays.

    Raises
    ------
    RuntimeError
        From `fit`, if `raise_error` and the loss is not finite.

    Notes
    -----
    It looks at every batch, so that `fit` runs one step at a time.

    References
    ----------
    Keras, ``keras/src/callbacks/terminate_on_nan.py``.
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        if not isinstance(raise_error, bool):
            raise TypeError(f"`raise_error`: expected True or False, received {raise_error!r}")
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss of `logs`."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. "
                f"Loss value: {loss}. Terminating training immediately."
            )
        write_line(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
