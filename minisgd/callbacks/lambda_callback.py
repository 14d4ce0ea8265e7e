"""LambdaCallback: a callback out of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minisgd.callbacks.callback import HOOKS, Callback
from minisgd.utils.lookup import did_you_mean

Function = Callable[..., Any]


class LambdaCallback(Callback):
    """Call functions at the hooks of the same names.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        ``f(epoch, logs)``.
    on_train_begin, on_train_end : callable, optional
        ``f(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        ``f(batch, logs)``.
    **kwargs
        Functions for the other hooks, e.g. ``on_test_end``.

    Raises
    ------
    TypeError
        If a function is none.
    ValueError
        If there is no hook of that name (Keras never calls such a function, and does not say so).

    Examples
    --------
    >>> hook = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> hook.on_epoch_end(0, {"loss": 0.5})
    0 0.5

    References
    ----------
    Keras, ``keras/src/callbacks/lambda_callback.py``.
    """

    calls_users_code = True

    def __init__(
        self,
        on_epoch_begin: Function | None = None,
        on_epoch_end: Function | None = None,
        on_train_begin: Function | None = None,
        on_train_end: Function | None = None,
        on_train_batch_begin: Function | None = None,
        on_train_batch_end: Function | None = None,
        **kwargs: Function,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        known = [*HOOKS, "on_batch_begin", "on_batch_end", "set_params", "set_model"]
        for name, function in (given | kwargs).items():
            if name not in known:
                raise ValueError(
                    f"LambdaCallback received `{name}`, which is no hook of a Callback."
                    f"{did_you_mean(name, known)} Expected one of {', '.join(known)}."
                )
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"`{name}`: expected a function, received {function!r}")
            setattr(self, name, function)
