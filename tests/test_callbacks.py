"""Callbacks without a model: a stand-in plays the part of ``fit``."""

import decimal
import fractions
import math
import re
import sys
import types

import numpy as np
import pytest

from minisgd.callbacks import (
    Callback,
    CallbackList,
    History,
    LearningRateScheduler,
    ProgbarLogger,
)
from minisgd.callbacks.callback import HOOKS
from minisgd.tensor import Tensor


class Optimizer:
    """Stores the learning rate as float32, as the real one does."""

    def __init__(self, learning_rate=0.01):
        self.learning_rate = learning_rate

    @property
    def learning_rate(self):
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._rate = np.asarray(value, np.float32)


class Model:
    def __init__(self, learning_rate=0.01):
        self.optimizer = Optimizer(learning_rate)
        self.history = None


class Spy(Callback):
    """Writes down every hook that is called, and the dict it gets."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls
        for hook in HOOKS:
            setattr(self, hook, self.recorder(hook))

    def recorder(self, hook):
        def record(*args, logs=None):
            if logs is None:
                *args, logs = args
            self.calls.append((hook, *args, logs))

        return record


def fit(callbacks=None, model=None, epochs=2, steps=3, validate=False, **params):
    """Call the hooks in the order in which ``fit`` does."""
    params = {"verbose": 0, **params}
    hooks = CallbackList(
        callbacks,
        add_history=True,
        add_progbar=params["verbose"] != 0,
        model=model or Model(),
        epochs=epochs,
        steps=steps,
        **params,
    )
    try:
        logs = {}
        hooks.on_train_begin()
        for epoch in range(epochs):
            hooks.on_epoch_begin(epoch)
            for step in range(steps):
                hooks.on_train_batch_begin(step)
                hooks.on_train_batch_end(step, {"loss": 1.0, "accuracy": 0.5})
            logs = {"loss": 0.3 / (epoch + 1), "accuracy": 0.9}
            if validate:
                hooks.on_test_begin()
                hooks.on_test_batch_begin(0)
                hooks.on_test_batch_end(0, {"loss": 2.0, "accuracy": 0.25})
                hooks.on_test_end({"loss": 2.0, "accuracy": 0.25})
                logs |= {"val_loss": 2.0, "val_accuracy": 0.25}
            hooks.on_epoch_end(epoch, logs)
        hooks.on_train_end(logs)
    finally:
        hooks.close()
    return hooks


def test_hook_order():
    calls = []
    fit(Spy(calls), epochs=1, steps=2, validate=True)
    assert [call[:-1] for call in calls] == [
        ("on_train_begin",),
        ("on_epoch_begin", 0),
        ("on_train_batch_begin", 0),
        ("on_train_batch_end", 0),
        ("on_train_batch_begin", 1),
        ("on_train_batch_end", 1),
        ("on_test_begin",),
        ("on_test_batch_begin", 0),
        ("on_test_batch_end", 0),
        ("on_test_end",),
        ("on_epoch_end", 0),
        ("on_train_end",),
    ]
    assert all(call[-1] == {} for call in calls if "begin" in call[0])


def test_predict_hooks():
    calls = []
    hooks = CallbackList(Spy(calls), verbose=0, epochs=1, steps=1)
    hooks.on_predict_begin()
    hooks.on_predict_batch_begin(0)
    hooks.on_predict_batch_end(0, {"outputs": np.zeros((2, 10))})
    hooks.on_predict_end()
    assert [call[0] for call in calls] == [
        "on_predict_begin",
        "on_predict_batch_begin",
        "on_predict_batch_end",
        "on_predict_end",
    ]
    assert calls[2][-1]["outputs"].shape == (2, 10)


def test_list_order_and_one_shared_dict():
    calls = []
    model = Model()
    first, second = Spy(calls), Spy(calls)
    hooks = CallbackList([first, (second,)], True, True, model=model, verbose=1, epochs=1, steps=1)
    assert [type(item) for item in hooks.callbacks] == [Spy, Spy, History, ProgbarLogger]
    given = {"loss": np.float32(0.5), "accuracy": 1, "note": "text"}
    hooks.on_test_end(given)
    assert calls[0][-1] is calls[1][-1] is not given
    assert list(calls[0][-1].items()) == [("accuracy", 1.0), ("loss", 0.5), ("note", "text")]
    assert type(calls[0][-1]["loss"]) is float
    hooks.on_train_batch_end(0, {"loss": 1.0})
    assert calls[2][-1] is calls[3][-1]
    assert all(item.model is model for item in hooks.callbacks)
    assert first.params == {"verbose": 1, "epochs": 1, "steps": 1}


def test_added_key_reaches_history_and_not_the_caller():
    class Adds(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["extra"] = 7

    hooks = CallbackList(Adds(), add_history=True, model=Model())
    logs = {"loss": 1.0}
    hooks.on_train_begin()
    hooks.on_epoch_end(0, logs)
    assert hooks.history.history == {"loss": [1.0], "extra": [7]}
    assert logs == {"loss": 1.0}


def test_history_and_progbar_are_not_doubled():
    history, bar = History(), ProgbarLogger()
    hooks = CallbackList([bar, history], True, True, verbose=0, epochs=1, steps=1)
    assert hooks.callbacks == [bar, history]
    assert hooks.history is history
    assert CallbackList([CallbackList([bar]), history]).callbacks == [bar, history]
    assert CallbackList(None).callbacks == CallbackList([]).callbacks == []


def test_old_batch_hooks_and_hooks_set_later():
    seen = []

    class Old(Callback):
        def on_batch_begin(self, batch, logs=None):
            seen.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            seen.append(("end", batch))

    plain = Callback()
    hooks = CallbackList([Old(), plain])
    hooks.on_train_batch_begin(3)
    hooks.on_train_batch_end(3)
    hooks.on_batch_end(4)
    assert seen == [("begin", 3), ("end", 3), ("end", 4)]
    plain.on_train_batch_end = lambda batch, logs: seen.append("set")
    hooks.on_epoch_begin(0)
    hooks.on_train_batch_end(5)
    assert seen[-2:] == [("end", 5), "set"]


def test_duck_typed_callback():
    duck = types.SimpleNamespace(
        **{name: lambda *args, **logs: None for name in ("set_params", "set_model", *HOOKS)}
    )
    assert fit(duck).callbacks[0] is duck


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([1], "received 1 of type `int`, which has no method `set_params`"),
        ([[print]], "builtin_function_or_method"),
        ("callback", "of type `str`"),
        ({"a": Callback()}, "of type `dict`"),
        (0, "of type `int`"),
        (History, "received the class `History`. Make an instance of it: `History"),
    ],
)
def test_no_callback(callbacks, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        CallbackList(callbacks)


@pytest.mark.parametrize("verbose", ["loud", 7, -1, 1.5, None])
def test_bad_verbose_before_the_model_is_touched(verbose):
    model = Model()
    with pytest.raises(ValueError, match="`verbose` expected 0"):
        CallbackList(None, True, True, model=model, verbose=verbose, epochs=1, steps=1)
    assert model.history is None


def test_history():
    model = Model()
    hooks = fit([LearningRateScheduler(lambda epoch, lr: lr / 2)], model, validate=True)
    history = model.history
    assert history is hooks.history
    assert list(history.history) == [
        "accuracy",
        "loss",
        "val_accuracy",
        "val_loss",
        "learning_rate",
    ]
    assert history.history["loss"] == [0.3, 0.15]
    assert history.epoch == [0, 1]
    assert history.params == {"verbose": 0, "epochs": 2, "steps": 3}
    assert history.model is model
    assert fit(model=model, epochs=0).history.history == {}


def test_outer_history_survives_an_inner_fit():
    model = Model()

    class FitsAgain(Callback):
        def on_train_end(self, logs=None):
            fit(model=self.model, epochs=1)

    hooks = fit(FitsAgain(), model)
    assert hooks.history.epoch == [0, 1]
    assert model.history.epoch == [0]


def rate_of(schedule, epoch=0, start=0.01, **options):
    callback = LearningRateScheduler(schedule, **options)
    model = Model(start)
    callback.set_model(model)
    callback.on_epoch_begin(epoch)
    logs = {}
    callback.on_epoch_end(epoch, logs)
    assert logs == {"learning_rate": float(model.optimizer.learning_rate)}
    return logs["learning_rate"]


def test_scheduler_gets_and_stores_float32():
    seen = []

    def schedule(epoch, lr):
        seen.append((epoch, lr, type(lr)))
        return lr * math.exp(-0.1)

    assert rate_of(schedule, epoch=4) == 0.009048374369740486
    assert seen == [(4, 0.009999999776482582, float)]


class ScalarTensor:
    """What minisgd's and TensorFlow's tensors have in common."""

    def __init__(self, value):
        self.array = np.asarray(value, np.float32)

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)

    def __float__(self):
        return float(self.array)


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        np.float32(0.5),
        np.float64(0.5),
        np.float16(0.5),
        np.array(0.5),
        ScalarTensor(0.5),
        Tensor(np.array(0.5, np.float32)),
        fractions.Fraction(1, 2),
        decimal.Decimal("0.5"),
    ],
)
def test_scheduler_takes_any_real_scalar(value):
    assert rate_of(lambda epoch, lr: value) == 0.5


@pytest.mark.parametrize("value", [1, np.int64(1), np.array(1, np.uint8)])
def test_scheduler_takes_integers(value):
    assert rate_of(lambda epoch, lr: value) == 1.0
    assert rate_of(lambda epoch, lr: 0 * value) == 0.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        np.True_,
        np.array(True),
        "0.1",
        b"0.1",
        np.array("0.1"),
        1j,
        np.complex64(1),
        [0.1],
        np.array([0.1]),
        np.array([0.1, 0.2]),
        ScalarTensor([0.1]),
        Tensor(np.ones(2, np.float32)),
        {},
        10**400,
        math.nan,
        math.inf,
        -math.inf,
        np.float32("nan"),
        -0.1,
        1e39,
    ],
    ids=lambda value: type(value).__name__,  # not the repr: it holds an address
)
def test_scheduler_refuses(value):
    def constant(epoch, lr):
        return value

    callback = LearningRateScheduler(constant)
    callback.set_model(Model())
    with pytest.raises(ValueError, match="The output of the `schedule` function should be a float"):
        callback.on_epoch_begin(2)
    with pytest.raises(ValueError, match="`constant` for epoch 2"):
        callback.on_epoch_begin(2)
    assert float(callback.model.optimizer.learning_rate) == np.float32(0.01)


def test_scheduler_signatures():
    assert rate_of(lambda epoch: 0.25) == 0.25
    assert rate_of(lambda epoch, factor=3: factor) == np.float32(0.01)
    assert rate_of(lambda *args: len(args)) == 2
    assert rate_of(max, start=0.5) == 0.5  # a builtin that has no signature
    for schedule in (lambda: 0.1, lambda a, b, c: 0.1, 0.1, None):
        with pytest.raises(TypeError, match="`schedule` expected a function"):
            LearningRateScheduler(schedule)


def test_type_error_inside_the_schedule_surfaces():
    callback = LearningRateScheduler(lambda epoch, lr: lr + "1")
    callback.set_model(Model())
    with pytest.raises(TypeError, match="unsupported operand"):
        callback.on_epoch_begin(0)


def test_scheduler_without_learning_rate():
    callback = LearningRateScheduler(lambda epoch, lr: lr)
    callback.set_model(types.SimpleNamespace(optimizer=None))
    with pytest.raises(ValueError, match='must have a "learning_rate" attribute'):
        callback.on_epoch_begin(0)


def test_scheduler_verbose(capsys):
    fit(LearningRateScheduler(lambda epoch, lr: lr / 2, verbose=1), epochs=2, verbose=2)
    out = capsys.readouterr().out
    line = "\nEpoch 1: LearningRateScheduler setting learning rate to 0.004999999888241291.\n"
    assert out.startswith(line + "Epoch 1/2\n3/3 - 0s - ")
    assert out.endswith(" - learning_rate: 0.0025\n")


NUMBER = r"\d+\.\d{4}"
TIME = r"\d+(s|ms|us)/step"
METRICS = f"accuracy: {NUMBER} - loss: {NUMBER} - val_accuracy: {NUMBER} - val_loss: {NUMBER}"


def test_verbose_2(capsys):
    fit(verbose=2, validate=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["Epoch 1/2", "Epoch 2/2"]
    for line in lines[1::2]:
        assert re.fullmatch(f"3/3 - 0s - {TIME} - {METRICS}", line)


@pytest.mark.parametrize("verbose", [1, "auto", True])
def test_plain_lines(capsys, verbose):
    fit(verbose=verbose, validate=True, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["Epoch 1/2", "Epoch 2/2"]
    for line in lines[1::2]:
        assert re.fullmatch(f"3/3 ━{{20}} 0s {TIME} - {METRICS}", line)
    fit(verbose=verbose, epochs=1)
    assert "Epoch" not in capsys.readouterr().out


def test_verbose_0(capsys):
    fit(verbose=0)
    fit(ProgbarLogger(), verbose=0)
    assert capsys.readouterr().out == ""


def test_unknown_number_of_steps(capsys):
    hooks = CallbackList(None, add_progbar=True, verbose=1, epochs=2, steps=None)
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        for step in range(4):
            hooks.on_train_batch_end(step, {"loss": 1.0})
        hooks.on_epoch_end(epoch, {"loss": 1.0})
    out = capsys.readouterr().out
    assert out.count("4/4 ━━━━━━━━━━━━━━━━━━━━ 0s") == 2
    assert out.count("loss: 1.0000\n") == 2


def test_epoch_cut_short_shows_the_steps_that_were_run(capsys):
    hooks = CallbackList(None, add_progbar=True, verbose=2, epochs=1, steps=1875)
    hooks.on_epoch_begin(0)
    hooks.on_train_batch_end(9, {"loss": 1.0})
    hooks.on_epoch_end(0, {"loss": 1.0})
    assert capsys.readouterr().out.startswith("  10/1875 - 0s")


def test_evaluate_and_predict_lines(capsys):
    bar = ProgbarLogger()
    fit(bar, epochs=1, verbose=2, validate=True)
    assert capsys.readouterr().out.count("\n") == 1  # validation is silent
    hooks = CallbackList(bar, verbose=2, epochs=1, steps=1)
    hooks.on_test_begin()
    hooks.on_test_batch_end(0, {"loss": 1.0})
    hooks.on_test_end({"loss": 1.0})
    assert re.fullmatch(rf"1/1 - 0s - {TIME} - loss: 1.0000\n", capsys.readouterr().out)
    hooks.on_predict_begin()
    hooks.on_predict_batch_end(0, {"outputs": np.zeros(3)})
    hooks.on_predict_end({"outputs": np.zeros(3)})
    assert re.fullmatch(rf"1/1 - 0s - {TIME}\n", capsys.readouterr().out)


def test_error_in_a_callback_surfaces_and_close_is_harmless():
    class Fails(Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    stdout = sys.stdout
    with pytest.raises(KeyboardInterrupt):
        fit(Fails(), verbose=1)
    assert sys.stdout is stdout
