"""Callbacks in `fit`: arguments, files, interruptions. What Keras decides is compared elsewhere."""

import csv
import errno
import os
import signal
import sys
import threading
import types

import numpy as np
import pytest

import minisgd as keras
from minisgd import callbacks
from minisgd.utils.interrupts import WholeSteps


def model_and_data(**options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(3, activation="softmax", input_shape=(4,))])
    model.compile(
        keras.optimizers.SGD(0.1, **options), "categorical_crossentropy", metrics=["accuracy"]
    )
    rng = np.random.default_rng(0)
    x = rng.random((20, 4), dtype=np.float32)
    return model, x, np.eye(3, dtype=np.float32)[rng.integers(0, 3, 20)]


def fit(*hooks, epochs=3, model=None, **arguments):
    own, x, y = model_and_data()
    model = model or own
    return model.fit(x, y, 4, epochs, verbose=0, callbacks=list(hooks), **arguments)


# --- arguments ---
WRONG = {
    "monitor": (TypeError, lambda: callbacks.EarlyStopping(monitor=3)),
    "min_delta": (ValueError, lambda: callbacks.EarlyStopping(min_delta=float("nan"))),
    "min_delta ": (TypeError, lambda: callbacks.EarlyStopping(min_delta="small")),
    "patience": (ValueError, lambda: callbacks.EarlyStopping(patience=-1)),
    "patience ": (TypeError, lambda: callbacks.EarlyStopping(patience=1.5)),
    "start_from_epoch": (ValueError, lambda: callbacks.EarlyStopping(start_from_epoch=-2)),
    "baseline": (ValueError, lambda: callbacks.EarlyStopping(baseline=float("nan"))),
    "factor": (ValueError, lambda: callbacks.ReduceLROnPlateau(factor=0)),
    "factor ": (ValueError, lambda: callbacks.ReduceLROnPlateau(factor=float("nan"))),
    "cooldown": (ValueError, lambda: callbacks.ReduceLROnPlateau(cooldown=-1)),
    "min_lr": (ValueError, lambda: callbacks.ReduceLROnPlateau(min_lr=-0.1)),
    "epsilon": (TypeError, lambda: callbacks.ReduceLROnPlateau(epsilon=0.1)),
    "filepath": (TypeError, lambda: callbacks.ModelCheckpoint(None)),
    "filepath ": (ValueError, lambda: callbacks.ModelCheckpoint("{epoch.keras")),
    "save_freq": (ValueError, lambda: callbacks.ModelCheckpoint("a.keras", save_freq=0)),
    "save_freq ": (ValueError, lambda: callbacks.BackupAndRestore("a", save_freq=False)),
    "backup_dir": (TypeError, lambda: callbacks.BackupAndRestore(3)),
    "filename": (TypeError, lambda: callbacks.CSVLogger(3)),
    "separator": (TypeError, lambda: callbacks.CSVLogger("a", separator=", ")),
    "raise_error": (TypeError, lambda: callbacks.TerminateOnNaN(raise_error="yes")),
    "swap_on_epoch": (TypeError, lambda: callbacks.SwapEMAWeights(swap_on_epoch=2)),
    "on_epoch_end": (TypeError, lambda: callbacks.LambdaCallback(on_epoch_end=3)),
    "on_epoch_ned": (ValueError, lambda: callbacks.LambdaCallback(on_epoch_ned=print)),
}


@pytest.mark.parametrize("argument", WRONG)
def test_wrong_arguments_are_named(argument):
    kind, make = WRONG[argument]
    with pytest.raises(kind, match=f"(?i)({argument.strip()}|received)") as error:
        make()
    assert argument.strip() in str(error.value)


def test_an_unknown_mode_warns_and_is_auto():
    with pytest.warns(UserWarning, match="mode 'mxa' is unknown, fallback to auto mode.*'max'"):
        assert callbacks.EarlyStopping(mode="mxa").mode == "auto"


def test_an_unknown_hook_gets_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'on_epoch_end'"):
        callbacks.LambdaCallback(on_epoch_ned=print)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: callbacks.EarlyStopping("val_acuracy"),
        lambda path: callbacks.ReduceLROnPlateau("val_acuracy"),
        lambda path: callbacks.ModelCheckpoint(path, "val_acuracy", save_weights_only=True),
    ],
)
def test_a_monitor_that_nothing_can_decide_is_refused_before_any_step(tmp_path, make):
    model, *_ = model_and_data()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"mode='max'.*Did you mean 'accuracy'"):
        fit(make(tmp_path / "a.weights.h5"), model=model)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_row_f_37_callbacks_that_are_none():
    model, *_ = model_and_data()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"`callbacks` expected a `Callback` instance.*received"):
        fit(lambda epoch: None, model=model)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_row_f_49_fit_within_a_callback():
    model, x, y = model_and_data()

    def once_more(epoch, logs):
        if epoch == 0:
            model.fit(x, y, epochs=2, verbose=0)

    history = model.fit(
        x, y, epochs=3, verbose=0, callbacks=callbacks.LambdaCallback(on_epoch_end=once_more)
    )
    assert history.epoch == [0, 1, 2]
    assert model._progress is None


# --- ModelCheckpoint ---
def test_row_s_32_a_place_that_cannot_be_written_is_refused_before_any_step(tmp_path):
    model, *_ = model_and_data()
    before = model.get_weights()
    (tmp_path / "file").write_text("")
    for path in ("/proc/nope/a.weights.h5", tmp_path / "file" / "a.weights.h5"):
        with pytest.raises(OSError, match="nope|file"):
            fit(callbacks.ModelCheckpoint(path, save_weights_only=True), model=model)
    (tmp_path / "a.weights.h5").mkdir()
    with pytest.raises(OSError, match="Please specify a non-directory filepath"):
        fit(callbacks.ModelCheckpoint(tmp_path / "a.weights.h5", save_weights_only=True))
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch):
    model, *_ = model_and_data()

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(model, "save_weights", full, raising=False)
    hook = callbacks.ModelCheckpoint(tmp_path / "a.weights.h5", save_weights_only=True)
    with pytest.warns(UserWarning, match="No space left on device.*Training goes on"):
        assert len(fit(hook, model=model).epoch) == 3


def test_whole_models_are_left_to_save_and_missing_save_is_refused(tmp_path):
    class Saves(keras.Sequential):
        def save(self, filepath, *_, **__):
            saved.append(str(filepath))

    saved = []
    keras.utils.set_random_seed(0)
    model = Saves([keras.layers.Dense(3, input_shape=(4,))])
    model.compile("sgd", "mse")
    fit(callbacks.ModelCheckpoint(tmp_path / "new" / "{epoch:02d}.keras"), model=model)
    assert [os.path.basename(path) for path in saved] == ["01.keras", "02.keras", "03.keras"]
    model.save = None
    with pytest.raises(ValueError, match="save_weights_only=True"):
        fit(callbacks.ModelCheckpoint(tmp_path / "a.keras"), model=model)


def test_save_freq_in_steps_counts_through_epochs(tmp_path):
    path = tmp_path / "{epoch}-{batch}-{loss:.1f}.weights.h5"
    fit(callbacks.ModelCheckpoint(path, save_weights_only=True, save_freq=4))
    steps = sorted(p.name.rsplit("-", 1)[0] for p in tmp_path.iterdir())
    assert steps == ["1-4", "2-3", "3-2"]
    with pytest.raises(ValueError, match=r"Failed to format this callback filepath.*'val_loss'"):
        fit(callbacks.ModelCheckpoint(tmp_path / "{val_loss}.weights.h5", save_weights_only=True))


# --- CSVLogger ---
def test_csv_lines_are_there_as_soon_as_an_epoch_has_ended(tmp_path):
    seen = []
    path = tmp_path / "log.csv"
    look = callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(path.read_bytes()))
    fit(callbacks.CSVLogger(path), look)
    assert [data.count(b"\r\n") for data in seen] == [2, 3, 4]
    fit(callbacks.CSVLogger(path, append=True), epochs=1)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "0"]
    assert {row["val_loss"] for row in rows} == {"NA"}


def test_lines_that_a_full_disk_refused_come_later(tmp_path, monkeypatch):
    from minisgd.callbacks import csv_logger

    path = tmp_path / "log.csv"
    whole = csv_logger.replacing
    logger = callbacks.CSVLogger(path)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def on_epoch_begin(epoch, logs):
        monkeypatch.setattr(csv_logger, "replacing", full if epoch == 1 else whole)

    with pytest.warns(UserWarning, match="log.csv could not be written"):
        fit(logger, callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin))
    assert [row["epoch"] for row in csv.DictReader(path.read_text().splitlines())] == list("012")
    with pytest.raises(OSError, match="No space left"):
        monkeypatch.setattr(csv_logger, "replacing", full)
        fit(callbacks.CSVLogger(path))


def test_what_is_no_file_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    keep = os.open(pipe, os.O_RDWR)
    reader = threading.Thread(target=lambda: read.append(os.read(keep, 10_000)))
    fit(callbacks.CSVLogger(pipe), epochs=1)
    reader.start()
    reader.join(10)
    os.close(keep)
    assert read[0].startswith(b"epoch,accuracy,loss")


# --- the others ---
@pytest.mark.filterwarnings("ignore::minisgd.data.NumericsWarning")
def test_nan_ends_training_at_its_batch():
    model, x, y = model_and_data()
    x[9] = np.nan
    seen = []
    spy = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    hooks = [callbacks.TerminateOnNaN(), spy]
    model.fit(x, y, 4, 3, verbose=0, shuffle=False, callbacks=hooks)
    assert seen == [0, 1, 2]
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered at batch 2"):
        model, *_ = model_and_data()
        hook = callbacks.TerminateOnNaN(raise_error=True)
        model.fit(x, y, 4, verbose=0, shuffle=False, callbacks=hook)


def test_averages_are_asked_for_before_any_step():
    with pytest.raises(ValueError, match=r"`use_ema=True` is set.*Received: use_ema=False"):
        fit(callbacks.SwapEMAWeights())
    model, x, y = model_and_data(use_ema=True)
    with pytest.raises(ValueError, match="call `fit` first"):
        model.evaluate(x, y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
    model.fit(x, y, verbose=0)
    weights = model.get_weights()[0]
    model.predict(x, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
    np.testing.assert_allclose(model.get_weights()[0], weights, rtol=1e-6)


class Writer:
    """Stands for tensorboardX.SummaryWriter."""

    def __init__(self, folder):
        self.name = os.path.basename(folder)

    def add_scalar(self, tag, value, step):
        EVENTS.append((self.name, tag, step, value))

    def add_histogram(self, tag, values, step):
        EVENTS.append((self.name, tag, step, values.shape))

    def add_image(self, tag, values, step, dataformats):
        EVENTS.append((self.name, tag, step, values.shape))

    def flush(self):
        pass

    def close(self):
        EVENTS.append((self.name, "closed"))


EVENTS = []


def test_tensorboard_writes_keras_names(monkeypatch):
    stub = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "tensorboardX", stub)
    EVENTS.clear()
    hook = callbacks.TensorBoard(
        "runs", histogram_freq=2, write_images=True, update_freq=2, write_steps_per_second=True
    )
    history = fit(hook, validation_split=0.2).history
    found = {event[:3]: event[-1] for event in EVENTS}
    for epoch in range(3):
        assert found["train", "epoch_loss", epoch] == history["loss"][epoch]
        assert found["validation", "epoch_loss", epoch] == history["val_loss"][epoch]
        assert found["train", "epoch_learning_rate", epoch] == np.float32(0.1)
        assert found["train", "epoch_steps_per_second", epoch] > 0
        name = "evaluation_accuracy_vs_iterations"
        assert found["validation", name, 4 * epoch + 4] == history["val_accuracy"][epoch]
    steps = [event[2] for event in EVENTS if event[1] == "batch_accuracy"]
    assert steps == [2, 4, 6, 8, 10, 12]
    histograms = {e[1:] for e in EVENTS if e[1].endswith("/kernel/histogram")}
    assert {(step, shape) for _, step, shape in histograms} == {(0, (4, 3)), (2, (4, 3))}
    assert {e[-1] for e in EVENTS if e[1].endswith("/kernel/image")} == {(3, 4)}
    assert EVENTS[-1][1] == "closed"


def test_tensorboard_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "minisgd\[tensorboard\]"'):
        callbacks.TensorBoard()
    for arguments in ({"profile_batch": 2}, {"embeddings_freq": 1}, {"update_freq": "step"}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            callbacks.TensorBoard(**arguments)


# --- interruptions ---
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end", "on_test_end"])
def test_an_exception_in_a_callback_keeps_the_history(error, hook):
    model, *_ = model_and_data()
    count = {"on_train_batch_end": 6, "on_epoch_end": 2, "on_test_end": 2}[hook]
    left = [count]

    def stop(*_, logs=None):
        left[0] -= 1
        if not left[0]:
            raise error("stop")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(error, match="stop"):
        fit(callbacks.LambdaCallback(**{hook: stop}), model=model, validation_split=0.2)
    assert len(model.history.history["loss"]) == 1
    assert model.history.epoch == [0]
    assert signal.getsignal(signal.SIGINT) is before
    assert model._progress is None


def test_ctrl_c_within_a_step_waits_for_its_end():
    """The signal comes after the first of two variables has moved."""
    model, *_ = model_and_data(momentum=0.9)
    model.run_eagerly = True
    update = type(model.optimizer).update_step
    whole = model_and_data(momentum=0.9)[0]
    whole.run_eagerly = True

    def interrupted(gradient, variable, lr, index):
        update(model.optimizer, gradient, variable, lr, index)
        if index == 0 and int(model.optimizer.iterations) == 6:
            signal.raise_signal(signal.SIGINT)

    model.optimizer.update_step = interrupted
    with pytest.raises(KeyboardInterrupt):
        fit(model=model)
    assert int(model.optimizer.iterations) == 7
    stop = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(
            whole, "stop_training", int(whole.optimizer.iterations) == 7
        )
    )
    fit(stop, model=whole)
    for our, their in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(our, their)
    assert model.history.epoch == [0]


def test_a_second_ctrl_c_does_not_wait_and_other_handlers_are_kept():
    with pytest.raises(KeyboardInterrupt), WholeSteps() as steps, steps.one():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    calls = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        with WholeSteps() as steps:
            with steps.one():
                signal.raise_signal(signal.SIGINT)
                assert not calls
            assert calls == [signal.SIGINT]
            signal.raise_signal(signal.SIGINT)
        assert len(calls) == 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_handle_no_signals():
    before, failures = signal.getsignal(signal.SIGINT), []

    def train():
        try:
            fit(epochs=1)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join(60)
    assert not failures
    assert signal.getsignal(signal.SIGINT) is before
