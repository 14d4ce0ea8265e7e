"""History: what ``fit`` returns."""

from __future__ import annotations

from typing import Any

from minisgd.callbacks.callback import Callback, Logs


class History(Callback):
    """Record the logs of every epoch. ``fit`` makes one, and returns it.

    Attributes
    ----------
    history : dict of str to list of float
        One list per key of the logs, one entry per epoch: ``accuracy``, ``loss``, ``val_accuracy``,
        ``val_loss``, then what callbacks added, such as ``learning_rate``.
    epoch : list of int
        The epochs that ended, counted from 0; the first one is ``initial_epoch``.
    params : dict
        ``verbose``, ``epochs`` and ``steps`` of the ``fit``.
    model : object
        The model that was trained.

    Notes
    -----
    As in Keras, a History object that is passed to a second ``fit`` goes on appending to
    ``history`` while ``epoch`` starts afresh. Leave it to ``fit`` to make a new one.

    ``loss`` is the mean over an epoch in which the weights move, ``val_loss`` belongs to the
    weights at its end: the two are not comparable early on.

    References
    ----------
    Keras, ``keras/src/callbacks/history.py``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Empty ``epoch`` (a new list: one that was handed out stays as it is)."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append `epoch` and every entry of `logs`, and set ``model.history``."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
        if self.model is not None:
            self.model.history = self

    def backup_state(self) -> Logs:
        """The epochs so far."""
        return {"history": self.history, "epoch": self.epoch}
