"""Callbacks' decisions beside Keras's: on scripted logs, and in whole runs of `fit` to the bit."""

import contextlib
import io
import itertools
import types
import warnings

import keras
import numpy as np
import pytest

import minisgd

BOTH = (keras, minisgd)
SERIES = {
    "falls": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
    "plateau": [0.9, 0.5, 0.5, 0.5001, 0.49995, 0.5, 0.5, 0.2],
    "rises": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "waves": [0.5, 0.4, 0.6, 0.39999, 0.7, 0.3, 0.31, 0.32, 0.33],
    "below float32": [0.5, 0.5 - 1e-9, 0.5 - 2e-9, 0.5 - 3e-8, 0.4],
    "NaN": [float("nan"), 0.5, float("nan"), 0.4, float("inf"), 0.6, 0.7],
    "ends": [0.3, None, 0.2, None, 0.4, 0.5],
}


class Rate:
    """Stores the learning rate as both packages' optimizers do."""

    iterations = 0

    def __init__(self, rate):
        self.learning_rate = rate

    def __setattr__(self, name, value):
        super().__setattr__(name, np.float32(value))


def script(callback, values, key="val_loss"):
    """Drive a callback through epochs with these values; returns all that it did."""
    counter = itertools.count()
    saved = []
    model = types.SimpleNamespace(
        optimizer=Rate(0.1),
        stop_training=False,
        metrics=[],
        get_weights=lambda: f"weights {next(counter)}",
        set_weights=lambda weights: saved.append(weights),
        save_weights=lambda path, overwrite=True: saved.append(path),
    )
    callback.set_model(model)
    seen = []
    with (
        contextlib.redirect_stdout(io.StringIO()) as printed,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        callback.on_train_begin()
        for epoch, value in enumerate(values):
            logs = {"loss": 1.0} | ({} if value is None else {key: value})
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, logs)
            seen.append((model.stop_training, float(model.optimizer.learning_rate), list(logs)))
        callback.on_train_end()
    said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return seen, saved, printed.getvalue(), said


@pytest.mark.parametrize("values", SERIES.values(), ids=SERIES)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"patience": 2, "restore_best_weights": True, "verbose": 1},
        {"patience": 1, "min_delta": 1e-4, "mode": "min"},
        {"patience": 1, "min_delta": -0.05, "mode": "max", "verbose": 1},
        {"patience": 2, "baseline": 0.45, "restore_best_weights": True, "verbose": 1},
        {"start_from_epoch": 3, "patience": 1, "restore_best_weights": True},
    ],
    ids=str,
)
def test_early_stopping(arguments, values):
    ours, theirs = (
        script(n.callbacks.EarlyStopping(**arguments), values) for n in (minisgd, keras)
    )
    assert ours == theirs


@pytest.mark.parametrize("values", SERIES.values(), ids=SERIES)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"patience": 1, "factor": 0.5, "verbose": 1},
        {"patience": 0, "factor": 0.3, "min_lr": 0.01, "verbose": 1},
        {"patience": 2, "cooldown": 2, "min_delta": 0},
        {"patience": 1, "mode": "max", "cooldown": 1},
    ],
    ids=str,
)
def test_reduce_lr_on_plateau(arguments, values):
    ours, theirs = (
        script(n.callbacks.ReduceLROnPlateau(**arguments), values) for n in (minisgd, keras)
    )
    assert ours == theirs


@pytest.mark.parametrize("values", SERIES.values(), ids=SERIES)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"save_best_only": True, "verbose": 1},
        {"save_best_only": True, "mode": "max", "initial_value_threshold": 0.35, "verbose": 1},
    ],
    ids=str,
)
def test_model_checkpoint(tmp_path, arguments, values):
    path = str(tmp_path / "{epoch:02d}.weights.h5")
    ours, theirs = (
        script(n.callbacks.ModelCheckpoint(path, save_weights_only=True, **arguments), values)
        for n in (minisgd, keras)
    )
    assert ours[:3] == theirs[:3]
    for our, their in zip(ours[3], theirs[3], strict=True):
        assert our.startswith(their)


@pytest.mark.parametrize("epochs", [["loss"], ["loss", "val_loss"], ["loss", "lists"]], ids=str)
@pytest.mark.parametrize("arguments", [{}, {"separator": ";"}, {"append": True}], ids=str)
def test_csv_files_are_the_same_bytes(tmp_path, arguments, epochs):
    files = []
    values = {"loss": 0.1 + 0.2, "val_loss": 1e-30, "lists": np.arange(3)}
    for namespace in BOTH:
        path = tmp_path / namespace.__name__
        for _ in range(2):
            logger = namespace.callbacks.CSVLogger(path, **arguments)
            logger.on_train_begin()
            for epoch in range(3):
                keys = epochs if epoch < 2 else epochs[:1]
                logger.on_epoch_end(epoch, {key: values[key] for key in keys})
            logger.on_train_end()
        files.append(path.read_bytes())
    assert files[0] == files[1]


# --- whole runs ---
def run(namespace, folder, make, momentum=0.9, **options):
    """A run from one seed with callbacks of either package."""
    namespace.utils.set_random_seed(5)
    rng = np.random.default_rng(2)
    x = rng.random((200, 12), dtype=np.float32)
    y = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 200)]
    model = namespace.Sequential(
        [
            namespace.layers.Dense(16, activation="relu", input_shape=(12,)),
            namespace.layers.Dropout(0.2),
            namespace.layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(
        namespace.optimizers.SGD(0.3, momentum=momentum, **options),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    folder = folder / namespace.__name__
    folder.mkdir(exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        history = model.fit(
            x,
            y,
            epochs=8,
            validation_split=0.2,
            verbose=0,
            callbacks=make(namespace.callbacks, folder),
        )
    files = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix == ".csv"}
    return model.get_weights(), history.history, history.epoch, printed.getvalue(), files, folder


RUNS = {
    "EarlyStopping": lambda c, _: [
        c.EarlyStopping("val_accuracy", patience=1, restore_best_weights=True, verbose=1)
    ],
    "ReduceLROnPlateau": lambda c, _: [c.ReduceLROnPlateau("loss", 0.4, patience=0, verbose=1)],
    "CSVLogger": lambda c, folder: [c.ReduceLROnPlateau(), c.CSVLogger(folder / "log.csv")],
    "LambdaCallback": lambda c, _: [
        c.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: print(epoch, logs),
            on_test_end=lambda logs: print(sorted(logs)),
        )
    ],
}


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
def test_whole_runs_end_with_the_same_bits(tmp_path, mode, make):
    if not mode.bits:
        pytest.skip("bits are compared on the reference setup only")
    theirs, ours = (run(namespace, tmp_path, make) for namespace in BOTH)
    for our, their in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_array_equal(our, their)
    assert ours[1:5] == theirs[1:5]


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swapped_averages_have_the_same_bits(tmp_path, mode, swap_on_epoch):
    if not mode.bits:
        pytest.skip("bits are compared on the reference setup only")

    def make(callbacks, _):
        return [callbacks.SwapEMAWeights(swap_on_epoch)]

    theirs, ours = (run(n, tmp_path, make, use_ema=True, ema_momentum=0.9) for n in BOTH)
    for our, their in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_array_equal(our, their)
    assert ours[1:3] == theirs[1:3]


@pytest.mark.parametrize("save_freq", ["epoch", 7])
def test_checkpoints_of_the_same_steps(tmp_path, mode, save_freq):
    if not mode.bits:
        pytest.skip("bits are compared on the reference setup only")

    def make(callbacks, folder):
        name = "{epoch}.weights.h5" if save_freq == "epoch" else "{epoch}-{batch}.weights.h5"
        path = str(folder / name)
        return [
            callbacks.ModelCheckpoint(path, "loss", save_weights_only=True, save_freq=save_freq)
        ]

    theirs, ours = (run(namespace, tmp_path, make)[-1] for namespace in BOTH)
    names = sorted(path.name for path in theirs.iterdir())
    assert sorted(path.name for path in ours.iterdir()) == names
    assert len(names) == (8 if save_freq == "epoch" else 40 // 7)
    model = minisgd.Sequential(
        [
            minisgd.layers.Dense(16, input_shape=(12,)),
            minisgd.layers.Dropout(0.2),
            minisgd.layers.Dense(4),
        ]
    )
    for name in names:
        loaded = []
        for folder in (theirs, ours):
            model.load_weights(folder / name)
            loaded.append(model.get_weights())
        for our, their in zip(*loaded, strict=True):
            np.testing.assert_array_equal(our, their)


def test_terminate_on_nan_stops_at_the_same_batch():
    said = []
    for namespace in BOTH:
        callback = namespace.callbacks.TerminateOnNaN()
        model = types.SimpleNamespace(stop_training=False)
        callback.set_model(model)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            for batch, loss in enumerate([1.0, 0.0, float("inf"), float("nan")]):
                callback.on_train_batch_end(batch, logs={"loss": loss})
        with pytest.raises(RuntimeError) as error:
            namespace.callbacks.TerminateOnNaN(raise_error=True).on_train_batch_end(
                4, logs={"loss": float("nan")}
            )
        said.append((printed.getvalue(), model.stop_training, str(error.value)))
    assert said[0] == said[1]


WRONG = [
    (ValueError, lambda c: c.ReduceLROnPlateau(factor=1.0)),
    (ValueError, lambda c: c.ModelCheckpoint("a.keras", save_freq="batch")),
    (ValueError, lambda c: c.ModelCheckpoint("a.keras", save_weights_only=True)),
    (ValueError, lambda c: c.ModelCheckpoint("a.txt")),
    (ValueError, lambda c: c.BackupAndRestore("")),
    (ValueError, lambda c: c.BackupAndRestore("a", save_freq="batch")),
]


@pytest.mark.parametrize(("kind", "make"), WRONG)
def test_messages_contain_keras_wording(kind, make):
    with pytest.raises(kind) as theirs:
        make(keras.callbacks)
    with pytest.raises(kind) as ours:
        make(minisgd.callbacks)
    assert str(theirs.value).rstrip(".") in str(ours.value)


def test_a_monitor_without_direction_is_refused_in_keras_words():
    messages = []
    for namespace in BOTH:
        callback = namespace.callbacks.EarlyStopping("val_acuracy")
        callback.set_model(types.SimpleNamespace(metrics=[types.SimpleNamespace(name="accuracy")]))
        with pytest.raises(ValueError, match="val_acuracy") as error:
            callback.on_epoch_end(0, {"val_acuracy": 1.0})
        messages.append(str(error.value))
    assert messages[0] in messages[1]
    assert "Did you mean 'accuracy'?" in messages[1]


def test_better_is_the_same_direction_for_every_metric():
    """What mode="auto" goes by."""
    found = {}
    for name, ours in vars(minisgd.metrics).items():
        theirs = getattr(keras.metrics, name, None)
        if isinstance(ours, type) and theirs is not None and name not in ("Metric",):
            wanted_share = (0.5,) if "At" in name else ()  # PrecisionAtRecall and its kin
            arguments = {"MeanMetricWrapper": (len,)}.get(name, wanted_share)
            wanted = getattr(theirs(*arguments), "_direction", None)
            found[name] = (getattr(ours, "_direction", None), wanted)
    assert len(found) > 30
    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}
