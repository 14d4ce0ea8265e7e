"""MonitorCallback: what callbacks that watch one figure of the logs have in common."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from minisgd.callbacks.callback import Callback
from minisgd.utils.lookup import did_you_mean


class MonitorCallback(Callback):
    """Decides whether the watched figure has improved; not for direct use.

    Parameters
    ----------
    monitor : str
        Key of the logs, e.g. ``"val_loss"``.
    mode : {"auto", "min", "max"}
        Whether a smaller or a larger figure is better; "auto" asks the metric of that name.
    baseline : float, optional
        What the first figure must improve on; None: any will do.
    min_delta : float
        A smaller change is no improvement; the sign does not count.

    Raises
    ------
    TypeError
        If `monitor` is no str or `min_delta` no number.
    ValueError
        If `min_delta` or `baseline` is NaN: no figure would ever compare with it.

    Warns
    -----
    UserWarning
        If `mode` is none of the three: "auto" is taken, as in Keras.

    Notes
    -----
    Keras compares in float32, and so does this: a float64 of the logs that differs by less from the
    best one is no improvement.

    References
    ----------
    Keras, ``keras/src/callbacks/monitor_callback.py``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if not isinstance(monitor, str):
            raise TypeError(
                f"`monitor`: expected a key of the logs such as 'val_loss', received {monitor!r}"
            )
        if mode not in ("auto", "min", "max"):
            hint = did_you_mean(str(mode), ["auto", "min", "max"])
            warnings.warn(
                f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode. `mode`: "
                f"expected 'auto', 'min' or 'max'.{hint}",
                stacklevel=3,
            )
            mode = "auto"
        check_number(min_delta, "min_delta")
        if baseline is not None:
            check_number(baseline, "baseline")
        self.monitor = monitor
        self.mode = mode
        self.best: Any = baseline
        self.min_delta = abs(min_delta)
        self._larger_is_better: bool | None = None

    def _find_direction(self) -> None:
        """Decide by `mode`, or by the metric's name, what an improvement is; once.

        Raises
        ------
        ValueError
            If mode is "auto" and no metric of that name tells.
        """
        if self._larger_is_better is not None:
            return
        if self.mode != "auto":
            self._larger_is_better = self.mode == "max"
            return
        name = self.monitor.removeprefix("val_")
        metrics = list(getattr(self.model, "metrics", ()))
        directions = {m.name: getattr(m, "_direction", None) for m in metrics}
        if name == "loss":
            self._larger_is_better = False
        elif directions.get(name) is not None:
            self._larger_is_better = directions[name] == "up"
        else:
            raise ValueError(
                f"{type(self).__name__} callback received monitor={self.monitor}, but Keras isn't "
                "able to automatically determine whether that metric should be maximized or "
                "minimized. Pass `mode='max'` in order to monitor based on the highest metric "
                "value, or pass `mode='min'` in order to use the lowest value. "
                f"The model's metrics are: {', '.join(directions) or 'none'}."
                f"{did_you_mean(name, list(directions))}"
            )

    def _is_improvement(self, value: Any, reference: Any) -> bool:
        """Whether `value` is better than `reference` by more than ``min_delta``; NaN never is."""
        self._find_direction()
        if reference is None:
            return True
        if self._larger_is_better:
            return bool(_float32(value - self.min_delta) > _float32(reference))
        return bool(_float32(value + self.min_delta) < _float32(reference))


def _float32(value: Any) -> Any:
    """A Python number as the float32 that Keras makes of it; other numbers as they are."""
    return np.float32(value) if isinstance(value, int | float) else value


def check_number(value: Any, argument: str, least: float | None = None) -> None:
    """Refuse what is no real number, or smaller than `least`.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is NaN or too small.
    """
    wanted = "a number" if least is None else f"a number >= {least}"
    msg = f"`{argument}`: expected {wanted}, received {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(msg)
    if np.isnan(value) or (least is not None and value < least):
        raise ValueError(msg)


def check_count(value: Any, argument: str, least: int = 0) -> None:
    """Refuse what is no whole number of at least `least`.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is too small.
    """
    msg = f"`{argument}`: expected an int >= {least}, received {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(msg)
    if value < least:
        raise ValueError(msg)
