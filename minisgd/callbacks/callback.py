"""Callback, the base class of everything that ``fit`` calls back, and the list that calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

Logs = dict[str, Any]

HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_test_begin",
    "on_test_end",
    "on_predict_begin",
    "on_predict_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)


class Callback:
    """Base class: override the hooks that you need; the others do nothing.

    The order within ``fit``, for each epoch ``e`` and batch ``i``::

        on_train_begin()
            on_epoch_begin(e)
                on_train_batch_begin(i)     the step      on_train_batch_end(i, logs)
                on_test_begin()   on_test_batch_*   on_test_end(logs)     if there is validation
            on_epoch_end(e, logs)
        on_train_end(logs)

    ``logs`` maps metric names to Python floats. In ``on_train_batch_end`` they are running means
    since the start of the epoch; in ``on_epoch_end`` the validation metrics follow, as ``val_*``.
    All callbacks of a list receive the same dict, one after another, so that one may add a key
    which a later one (:class:`~minisgd.callbacks.History` comes last but one) records.

    Attributes
    ----------
    params : dict or None
        ``{"verbose": ..., "epochs": ..., "steps": ...}`` of the running call; ``steps`` is None
        if the number of batches is not known.
    model : object
        The model that is trained. Set ``model.stop_training = True`` to end training.
    every_batch : bool
        Not in Keras: whether the batch hooks, if overridden, must hear of every batch. With False
        a compiled `fit` runs some hundredths of a second between two calls: ``batch`` then skips
        numbers, and the logs are those of the last batch that was run.
    calls_users_code : bool
        Not in Keras: whether it runs functions that somebody else wrote, which may change anything,
        the data in place too. A class that is not minisgd's own always counts as one.
    comes_last : bool
        Not in Keras: whether it is called after all others of its list, History and the progress
        bar included, wherever it stands (`BackupAndRestore` keeps what they have done).

    Examples
    --------
    >>> class Spy(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs)
    >>> CallbackList(Spy()).on_epoch_end(0, {"loss": 0.5, "accuracy": 1})
    0 {'accuracy': 1.0, 'loss': 0.5}

    References
    ----------
    Keras, ``keras/src/callbacks/callback.py``.
    """

    every_batch = True
    calls_users_code = False
    comes_last = False

    # On the class as well, so that a subclass which forgets super().__init__() still has them.
    params: dict[str, Any] | None = None
    _model: Any = None

    def __init__(self) -> None:
        self.params = None
        self._model = None

    @property
    def model(self) -> Any:
        """The model that is trained, evaluated or asked to predict; None before any call."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Store `params`; called once, before the first hook."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Store `model`; called once, before the first hook."""
        self._model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Do nothing; override to act at the start of ``fit``. `logs` is empty."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Do nothing; override to act at the end of ``fit``. `logs` are the last epoch's."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Do nothing; override to act at the start of ``evaluate`` or of a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Do nothing; override to act at the end of ``evaluate`` or of a validation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Do nothing; override to act at the start of ``predict``."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Do nothing; override to act at the end of ``predict``."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Do nothing; override to act before epoch `epoch`, counted from 0. `logs` is empty."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Do nothing; override to act after epoch `epoch` and its validation."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do nothing; override it instead of ``on_train_batch_begin``: an older name."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do nothing; override it instead of ``on_train_batch_end``: an older name."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call ``on_batch_begin``; override to act before training batch `batch`."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call ``on_batch_end``; override to act after training batch `batch`."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do nothing; override to act before batch `batch` of ``evaluate`` or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do nothing; override to act after batch `batch` of ``evaluate`` or validation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do nothing; override to act before batch `batch` of ``predict``."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do nothing; override to act after batch `batch` of ``predict``."""

    def backup_state(self) -> Logs:
        """What a resumed `fit` must hand back to this callback; not in Keras.

        Returns
        -------
        dict
            Attributes by name: numbers, texts, arrays, and lists and dicts of them.
            `BackupAndRestore` writes them with the model.
        """
        return {}

    def restore_state(self, state: Logs) -> None:
        """Take back what `backup_state` returned, after ``on_train_begin``; not in Keras."""
        for name, value in state.items():
            setattr(self, name, value)


def _python_logs(logs: Logs | None) -> Logs:
    """Copy `logs`, sorted by key, every number as a Python float; None gives an empty dict.

    The copy is what all callbacks share. It is taken here, and not handed in, so that a key which
    a callback adds reaches the later callbacks and yet never the training loop's own dict.
    """
    result: Logs = {}
    for key, value in sorted((logs or {}).items()):
        if type(value) is float:
            result[key] = value
        elif isinstance(value, dict):
            result.update(_python_logs(value))
        else:
            try:
                result[key] = float(value)
            except (TypeError, ValueError):
                result[key] = value  # an array or a text passes through unchanged
    return result


def _flatten(callbacks: Any) -> list[Callback]:
    """List the callbacks in `callbacks`, nested lists and lists of callbacks opened, in order.

    Raises
    ------
    ValueError
        If something in it is no callback.
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return list(callbacks.callbacks)
    if isinstance(callbacks, list | tuple):
        return [callback for item in callbacks for callback in _flatten(item)]
    expected = "`callbacks` expected a `Callback` instance, or a list of them"
    if isinstance(callbacks, type):
        name = callbacks.__name__
        raise ValueError(
            f"{expected}, received the class `{name}`. Make an instance of it: `{name}(...)`."
        )
    missing = [
        name
        for name in ("set_params", "set_model", *HOOKS)
        if not callable(getattr(callbacks, name, None))
    ]
    if missing:
        raise ValueError(
            f"{expected}, received {callbacks!r} of type `{type(callbacks).__name__}`, which has "
            f"no method `{missing[0]}`. Derive its class from `minisgd.callbacks.Callback`; a "
            "function can be wrapped by overriding one hook in a subclass."
        )
    return [cast(Callback, callbacks)]


def does_nothing(callback: Callback, hook: str) -> bool:
    """Whether `hook` of `callback` is the default, so that a loop need not call it."""
    if getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook):
        return False
    # The default on_train_batch_* are calls of on_batch_*.
    return "train" not in hook or does_nothing(callback, hook.replace("train_", ""))


class CallbackList(Callback):
    """Several callbacks behind the interface of one; each hook is passed on in order.

    The order is: the callbacks given, then History, then ProgbarLogger. Each call makes one dict
    of Python floats, sorted by key, out of the `logs` it gets, and that one object goes to every
    callback in turn.

    Parameters
    ----------
    callbacks : Callback, nested list or tuple of Callback, CallbackList, or None
        Any object with all the hooks will do, such as one of Keras's own callbacks. The callbacks
        of a CallbackList inside a list are taken out of it.
    add_history, add_progbar : bool
        Append a History or a ProgbarLogger if `callbacks` has none.
    model : object, optional
        Handed to every callback; its attribute ``history`` is set to the History.
    **params
        ``verbose``, ``epochs``, ``steps``: handed to every callback, if there are any.

    Attributes
    ----------
    callbacks : list of Callback
    history : History or None
        The list's History, which is what ``fit`` returns. Unlike ``model.history`` it is not
        replaced by a second ``fit`` of the same model inside a callback.

    Raises
    ------
    ValueError
        If something in `callbacks` is no callback (Keras: AttributeError), or if ``verbose`` is
        not 0, 1, 2 or "auto" and there is a ProgbarLogger (Keras prints half of its output).

    References
    ----------
    Keras, ``keras/src/callbacks/callback_list.py``.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        # Both derive from Callback, hence from this file: only here can they be imported.
        from minisgd.callbacks.history import History
        from minisgd.callbacks.progbar_logger import ProgbarLogger

        super().__init__()
        self.callbacks = _flatten(callbacks)
        self._batch_hooks: dict[str, list[Callable[..., None]]] = {}
        self.history: History | None = None
        has_progbar = False
        for callback in self.callbacks:
            if isinstance(callback, History):
                self.history = callback
            has_progbar = has_progbar or isinstance(callback, ProgbarLogger)
        if self.history is None and add_history:
            self.history = History()
            self.callbacks.append(self.history)
        if add_progbar and not has_progbar:
            self.callbacks.append(ProgbarLogger())
        self.callbacks.sort(key=lambda callback: getattr(callback, "comes_last", False))
        # Parameters first: they may be refused, and then no model has been touched.
        self.set_params(params)
        self.set_model(model)

    def close(self) -> None:
        """Take down any progress bar that is still drawn, and give the terminal back.

        Whoever made the list calls this in a ``finally``: an exception or Ctrl-C in the middle of
        an epoch skips the hooks that would have ended the bar. Calling it again does no harm.
        """
        from minisgd.callbacks.progbar_logger import ProgbarLogger

        for callback in self.callbacks:
            if isinstance(callback, ProgbarLogger):
                callback.close()

    def set_params(self, params: dict[str, Any]) -> None:
        """Hand `params` to every callback, unless they are empty."""
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Hand `model` to every callback and set its ``history``, unless it is None."""
        if model is None:
            return
        super().set_model(model)
        if self.history is not None:
            model.history = self.history
        for callback in self.callbacks:
            callback.set_model(model)

    def _pass_on(self, hook: str, logs: Logs | None, *epoch: int) -> None:
        """Call `hook` of each callback with one shared copy of `logs`."""
        self._batch_hooks.clear()
        shared = _python_logs(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(*epoch, shared)

    def _pass_on_batch(self, hook: str, batch: int, logs: Logs | None) -> None:
        """Call `hook` of each callback; as in Keras, ``logs`` goes by keyword here.

        Batches are many and short: the methods are looked up once an epoch, those that do nothing
        are left out, and logs that nobody will see are not copied.
        """
        methods = self._batch_hooks.get(hook)
        if methods is None:
            methods = self._batch_hooks[hook] = [
                getattr(callback, hook)
                for callback in self.callbacks
                if not does_nothing(callback, hook)
            ]
        if methods:
            shared = _python_logs(logs) if logs else {}
            for method in methods:
                method(batch, logs=shared)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_train_end", logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_test_end", logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_predict_begin", logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_predict_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_epoch_begin", logs, epoch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on("on_epoch_end", logs, epoch)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_batch_begin", batch, logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_batch_end", batch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_train_batch_end", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Pass it on to each callback."""
        self._pass_on_batch("on_predict_batch_end", batch, logs)


@contextmanager
def called(
    callbacks: Any,
    model: Any,
    verbose: str | int,
    epochs: int,
    steps: int | None,
    history: bool = False,
) -> Iterator[CallbackList]:
    """The callback list of one call of `fit` or the like; then the terminal is as it was."""
    if isinstance(callbacks, CallbackList):
        yield callbacks
        return
    hooks = CallbackList(
        callbacks, add_history=history, add_progbar=verbose != 0, model=model, verbose=verbose,
        epochs=epochs, steps=steps,
    )  # fmt: skip
    try:
        yield hooks
    finally:
        hooks.close()
