"""Callbacks beside those of Keras: the same calls into both lists, the same seen and printed."""

import contextlib
import io
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.utils import progbar as keras_progbar

import minisgd
from minisgd.callbacks.callback import HOOKS
from minisgd.utils import progbar as our_progbar

BOTH = (keras, minisgd)


def make_spy(namespace, calls):
    """Make a callback that writes down each call as (hook, epoch or batch, copy of the logs)."""

    def recorder(hook):
        def record(self, *args, logs=None):
            if args and (args[-1] is None or isinstance(args[-1], dict)):
                *args, logs = args
            calls.append((hook, *args, None if logs is None else list(logs.items())))

        return record

    spy = type("Spy", (namespace.callbacks.Callback,), {hook: recorder(hook) for hook in HOOKS})
    return spy()


def drive(hooks, epochs=2, steps=3):
    """Make the calls of a ``fit`` with validation."""
    logs = {}
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        for step in range(steps):
            hooks.on_train_batch_begin(step)
            hooks.on_train_batch_end(step, {"loss": 1.0 / (step + 1), "accuracy": np.float32(0.1)})
        hooks.on_test_begin()
        hooks.on_test_batch_begin(0)
        hooks.on_test_batch_end(0, {"loss": 2.0, "accuracy": 0})
        hooks.on_test_end({"loss": 2.0, "accuracy": 0})
        logs = {"loss": 5e-4, "accuracy": 0.9, "val_loss": float("nan"), "val_accuracy": -0.5}
        hooks.on_epoch_end(epoch, logs)
    hooks.on_train_end(logs)


@contextlib.contextmanager
def one_clock(monkeypatch):
    """Let both libraries read one clock, which goes on by 1/8 s with each epoch's first look."""
    clock = types.SimpleNamespace(now=1000.0)
    fake = types.SimpleNamespace(time=lambda: clock.now)
    with monkeypatch.context() as patch:
        patch.setattr(keras_progbar, "time", fake)
        patch.setattr(our_progbar, "perf_counter", lambda: clock.now)
        yield clock


def printed(run):
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        run()
    return stream.getvalue()


def plain(text):
    """What is left of Keras's redrawn bar on a screen: each line's last drawing, no colours."""
    text = re.sub(r"\x1b\[\d*m", "", text).replace("\b", "")
    return "\n".join(line.split("\r")[-1].rstrip() for line in text.split("\n"))


def test_lists_pass_on_the_same():
    seen = {}
    for namespace in BOTH:
        calls = seen[namespace] = []
        spies = [make_spy(namespace, calls), make_spy(namespace, calls)]
        model = types.SimpleNamespace(history=None)
        hooks = namespace.callbacks.CallbackList(
            spies, add_history=True, model=model, verbose=0, epochs=2, steps=3
        )
        drive(hooks)
        history = model.history
        calls.append((list(history.history), history.epoch, history.params))
    # As text: one value is NaN, which is equal to nothing.
    assert repr(seen[minisgd]) == repr(seen[keras])


@pytest.mark.parametrize("verbose", [1, 2, "auto", 0])
@pytest.mark.parametrize("steps", [3, None])
def test_lines(monkeypatch, verbose, steps):
    texts = {}
    for namespace in BOTH:
        with one_clock(monkeypatch) as clock:

            class Ticks(namespace.callbacks.Callback):
                def on_train_batch_begin(self, batch, logs=None):
                    clock.now += (1.5, 0.0625, 0.03125)[batch]  # noqa: B023

            hooks = namespace.callbacks.CallbackList(
                Ticks(), add_progbar=verbose != 0, verbose=verbose, epochs=2, steps=steps
            )
            texts[namespace] = plain(printed(lambda: drive(hooks)))  # noqa: B023
    assert texts[minisgd] == texts[keras]
    assert len(texts[minisgd].splitlines()) == (4 if verbose else 0)


@pytest.mark.parametrize("seconds", [1e-5, 9.4e-4, 0.0716, 0.5, 1.0, 7.3, 61.0, 4000.0])
@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_progbar_of_a_loop(monkeypatch, seconds, steps):
    texts = {}
    for namespace, progbar in zip(BOTH, (keras_progbar, our_progbar), strict=True):
        with one_clock(monkeypatch) as clock:

            def loop():
                bar = progbar.Progbar(steps, stateful_metrics=["last"])  # noqa: B023
                for step in range(1, steps + 1):
                    clock.now += seconds  # noqa: B023
                    bar.update(step, [("mean", step % 7 - 3.0), ("last", 1e-3 * step)])

            texts[namespace] = plain(printed(loop))
    assert texts[minisgd] == texts[keras]


@pytest.mark.parametrize("seconds", [1e-5, 0.0716, 1.0, 60.0, 61.0, 3600.0, 4000.0])
def test_unfinished_line(monkeypatch, seconds):
    """A running bar: as Keras's, but for the lighter stroke of what is left of it."""
    with one_clock(monkeypatch) as clock:
        bars = [keras_progbar.Progbar(40), our_progbar.Progbar(40)]
        clock.now += seconds
        values = [("loss", 0.25)]
        keras_line = plain(printed(lambda: bars[0].update(7, values))).rstrip("\n")
        bars[1].update(7, values)
        spans = bars[1]._spans(7, clock.now, seconds / 7, False)
    assert our_progbar._plain(spans).replace("─", "━") == keras_line


@pytest.mark.parametrize(
    "factor",
    [
        lambda lr: lr * np.exp(-0.1),
        lambda lr: np.float32(lr * 0.5),
        lambda lr: float(lr * tf.math.exp(-0.1)),
    ],
)
def test_scheduler_as_keras(factor):
    def schedule(epoch, lr):
        return factor(lr)

    logs, texts = {}, {}
    for namespace in BOTH:
        optimizer = keras.optimizers.SGD(0.01)
        callback = namespace.callbacks.LearningRateScheduler(schedule, verbose=1)
        callback.set_model(types.SimpleNamespace(optimizer=optimizer))
        logs[namespace] = [{"loss": 0.5} for _ in range(4)]
        for epoch, epoch_logs in enumerate(logs[namespace]):
            texts[namespace] = printed(lambda: callback.on_epoch_begin(epoch))  # noqa: B023
            callback.on_epoch_end(epoch, epoch_logs)
    assert logs[minisgd] == logs[keras]
    prefix = "\nEpoch 4: LearningRateScheduler setting learning rate to 0.00"
    assert all(text.startswith(prefix) for text in texts.values())


def test_scheduler_takes_a_tensorflow_tensor():
    rates = []
    for schedule in (
        lambda epoch, lr: lr * tf.math.exp(-0.1),
        lambda epoch, lr: float(lr * tf.math.exp(-0.1)),
    ):
        optimizer = keras.optimizers.SGD(0.01)
        callback = minisgd.callbacks.LearningRateScheduler(schedule)
        callback.set_model(types.SimpleNamespace(optimizer=optimizer))
        callback.on_epoch_begin(0)
        rates.append(float(optimizer.learning_rate))
    assert rates[0] == rates[1]
    for bad in (tf.constant([0.1]), tf.constant(True), tf.constant("0.1"), tf.constant(1j)):
        callback = minisgd.callbacks.LearningRateScheduler(lambda epoch, lr, bad=bad: bad)
        callback.set_model(types.SimpleNamespace(optimizer=keras.optimizers.SGD(0.01)))
        with pytest.raises(ValueError, match="The output of the `schedule` function"):
            callback.on_epoch_begin(0)


def test_keras_callback_in_our_list():
    calls = []
    drive(minisgd.callbacks.CallbackList(make_spy(keras, calls), verbose=0, epochs=2, steps=3))
    assert len(calls) == 2 + 2 * (2 + 2 * 3 + 4)


def test_fit_calls_the_hooks_in_the_same_order():
    x = np.random.default_rng(0).random((20, 4), np.float32)
    y = np.eye(3, dtype=np.float32)[np.arange(20) % 3]
    seen = {}
    for namespace in BOTH:
        calls = seen[namespace] = []
        namespace.utils.set_random_seed(0)
        model = namespace.Sequential(
            [namespace.Input((4,)), namespace.layers.Dense(3, activation="softmax")]
        )
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
        options = {"verbose": 0, "callbacks": [make_spy(namespace, calls)]}
        model.fit(x, y, batch_size=8, epochs=2, validation_split=0.25, **options)
        model.evaluate(x, y, batch_size=8, **options)
        model.predict(x, batch_size=8, **options)

    def shape_of(calls):
        return [
            (*call[:-1], None if call[-1] is None else [k for k, _ in call[-1]]) for call in calls
        ]

    # Keras hands the predictions to on_predict_batch_end: only that there are logs is compared.
    assert shape_of(seen[minisgd]) == shape_of(seen[keras])
