"""SwapEMAWeights: evaluate with the moving averages of the weights."""

from __future__ import annotations

from typing import Any

from minisgd.callbacks.callback import Callback, Logs


class SwapEMAWeights(Callback):
    """Exchange weights and their moving averages before an evaluation, and back after it.

    For optimizers with ``use_ema=True``.

    Parameters
    ----------
    swap_on_epoch : bool, default False
        Exchange them at the end of every epoch, and back at the start of the next one, so that
        callbacks behind this one (a `ModelCheckpoint`) see the averages.

    Raises
    ------
    TypeError
        If `swap_on_epoch` is no bool.
    ValueError
        At the start, if the optimizer keeps no averages, or has none yet: before the first update.

    Notes
    -----
    As Keras does on TensorFlow, the exchange goes by sums, ``w += a; a = w - a; w -= a``, in place:
    a weight that comes back may have lost its last bits. Keras's `predict` forgets to put the
    weights back; this does not.

    References
    ----------
    Keras, ``keras/src/callbacks/swap_ema_weights.py``.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        if not isinstance(swap_on_epoch, bool):
            raise TypeError(f"`swap_on_epoch`: expected True or False, received {swap_on_epoch!r}")
        self.swap_on_epoch = swap_on_epoch
        self._ema_weights_in_model = False

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Arrays of each weight and its average, about to be changed."""
        optimizer = self._checked_optimizer()
        if not optimizer._iterations:
            raise ValueError(
                "SwapEMAWeights: expected an optimizer that has made an update, received one "
                "without averages yet: call `fit` first."
            )
        return [
            (variable.array_inplace(), average.array_inplace())
            for variable, average in zip(optimizer._trained, optimizer._averages, strict=True)
        ]

    def _checked_optimizer(self) -> Any:
        optimizer = self.model.optimizer
        if optimizer is None or not optimizer.use_ema:
            received = "no optimizer" if optimizer is None else f"use_ema={optimizer.use_ema}"
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. "
                f"Received: {received}"
            )
        return optimizer

    def _swap(self, averages_in_model: bool) -> None:
        if self._ema_weights_in_model == averages_in_model:
            return
        for w, a in self._pairs():
            w += a
            a[...] = w - a
            w -= a
        self._ema_weights_in_model = averages_in_model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Refuse an optimizer without averages before any weight has moved."""
        self._checked_optimizer()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """With `swap_on_epoch`, put the weights back."""
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """With `swap_on_epoch`, put the averages into the model."""
        if not self.swap_on_epoch or self._ema_weights_in_model:
            return
        self._swap(True)
        # `fit` is about to put the averages into the model itself: let them be there.
        if epoch == (self.params or {})["epochs"] - 1:
            for w, a in self._pairs():
                a[...] = w

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Put the averages into the model."""
        self._swap(True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Put the weights back."""
        self._swap(False)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Put the averages into the model."""
        self._swap(True)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Put the weights back."""
        self._swap(False)

    def backup_state(self) -> dict[str, Any]:
        """Whether the averages are in the model."""
        return {"_ema_weights_in_model": self._ema_weights_in_model}
