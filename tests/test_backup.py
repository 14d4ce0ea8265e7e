"""BackupAndRestore: a run that was interrupted anywhere ends with the bits of one that was not."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minisgd as keras
from minisgd import callbacks
from minisgd.callbacks import BackupAndRestore, fit_state

SOAK = Path(__file__).with_name("soak") / "kill.py"


class Interrupt(callbacks.Callback):
    """Raise at the given step, counted through all epochs."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("interrupted")


def run(
    folder, at=None, save_freq="epoch", options=None, more=(), epochs=4, compiled=False, **arguments
):
    """One run from one seed; returns all that must have the same bits, None if interrupted."""
    keras.utils.set_random_seed(11)
    rng = np.random.default_rng(1)
    x = rng.random((50, 5), dtype=np.float32)
    y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 50)]
    model = keras.Sequential(
        [
            keras.layers.Dense(6, activation="relu", input_shape=(5,)),
            keras.layers.Dropout(0.4),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    sgd = keras.optimizers.SGD(**{"learning_rate": 0.1, "momentum": 0.9, **(options or {})})
    speed = {"jit_compile": True} if compiled else {"run_eagerly": True}
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"], **speed)
    backup = BackupAndRestore(folder / "backup", save_freq, delete_checkpoint=False)
    hooks = [backup, callbacks.CSVLogger(folder / "log.csv"), *[make() for make in more]]
    if at is not None:
        hooks.append(Interrupt(at))
    try:
        history = model.fit(
            x, y, 8, epochs, verbose=0, callbacks=hooks, validation_split=0.2, **arguments
        )
    except RuntimeError:
        return None
    assert not compiled or "Not in use" not in model.compiled_source()
    variables = [v.numpy().tolist() for v in (*model.weights, *model.optimizer.variables)]
    generator = model.layers[1].seed_generator
    seeds = None if generator is None else generator.state.numpy().tolist()
    log = (folder / "log.csv").read_bytes()
    return variables, seeds, history.history, history.epoch, log, model.stop_training


CASES = {
    "plain": {},
    "schedule": {"options": {"learning_rate": keras.optimizers.schedules.CosineDecay(0.2, 15)}},
    "averages": {
        "options": {"use_ema": True, "ema_momentum": 0.8},
        "more": [lambda: callbacks.SwapEMAWeights(swap_on_epoch=True)],
    },
    "accumulation": {"options": {"gradient_accumulation_steps": 3}},
    "callbacks": {
        "more": [
            lambda: callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.9),
            lambda: callbacks.ReduceLROnPlateau("loss", 0.5, patience=0),
            lambda: callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True),
        ]
    },
    "stopped": {"more": [lambda: callbacks.EarlyStopping("loss", baseline=0.0, patience=2)]},
    "reshuffled": {"reshuffle_each_epoch": True},
    "steps": {"steps_per_epoch": 4},
    "batchwise": {"shuffle": "batch"},
    # All of it together: the schedule, Dropout, momentum and a new order in every epoch.
    "compiled": {
        "compiled": True,
        "reshuffle_each_epoch": True,
        "options": {"learning_rate": keras.optimizers.schedules.CosineDecay(0.2, 15)},
    },
}


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_resumed_run_has_the_same_bits(tmp_path, case, save_freq):
    (tmp_path / "whole").mkdir()
    expected = run(tmp_path / "whole", **case)
    for at in (2, 5, 8, 13):
        folder = tmp_path / str(at)
        folder.mkdir()
        if run(folder, at, save_freq, **case) is None:
            assert run(folder, 3, save_freq, **case) in (None, expected)  # and once more
            assert run(folder, None, save_freq, **case) == expected
    if save_freq != "epoch":
        state = BackupAndRestore(tmp_path / "8" / "backup")._read()
        assert state["position"]["in_epoch"]


def test_a_compiled_run_resumes_to_the_bits_of_an_eager_one(tmp_path):
    for kind in ("eager", "compiled"):
        (tmp_path / kind).mkdir()
    case = CASES["compiled"]
    assert run(tmp_path / "compiled", 12, 5, **case) is None
    assert run(tmp_path / "eager", **{**case, "compiled": False}) == run(
        tmp_path / "compiled", None, 5, **case
    )


def test_the_test_would_notice_what_is_not_restored(tmp_path, monkeypatch):
    """Without the random state, or the metrics, or the order, the results differ."""
    (tmp_path / "whole").mkdir()
    expected = run(tmp_path / "whole", reshuffle_each_epoch=True)
    for number, name in enumerate(["seeds", "metrics", "optimizer", "callbacks"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        run(folder, 8, 1, reshuffle_each_epoch=True)
        with monkeypatch.context() as patch:
            whole = BackupAndRestore._read
            fresh = {"callbacks": {}}.get(name, [])

            def crippled(self, whole=whole, name=name, fresh=fresh):
                return {**whole(self), name: fresh}

            patch.setattr(BackupAndRestore, "_read", crippled)
            if name == "callbacks":
                assert run(folder, None, 1, reshuffle_each_epoch=True) != expected
            else:
                with pytest.raises(ValueError, match="belongs to another model"):
                    run(folder, None, 1, reshuffle_each_epoch=True)


def test_more_epochs_go_on_after_an_early_end(tmp_path):
    more = CASES["stopped"]["more"]
    first = run(tmp_path, more=more)
    assert first[-1]
    assert len(first[3]) < 4
    assert run(tmp_path, more=more)[:-1] == first[:-1], "the same call has nothing left to do"
    with pytest.warns(UserWarning, match="EarlyStopping_1, that this `fit` has not"):
        longer = run(tmp_path, more=(), epochs=6)
    assert longer[3] == list(range(6))


def test_another_model_or_other_data_are_refused_and_untouched(tmp_path):
    run(tmp_path, 3, 1)
    model = keras.Sequential([keras.layers.Dense(3, input_shape=(5,))])
    model.compile("sgd", "mse")
    before = model.get_weights()
    x = np.zeros((10, 5), np.float32)
    with pytest.raises(ValueError, match=r"another model.*expected weights of shapes"):
        model.fit(
            x, x[:, :3], verbose=0, callbacks=BackupAndRestore(tmp_path / "backup", save_freq=1)
        )
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    with pytest.raises(ValueError, match=r"other data: expected steps_per_epoch=None, received 2"):
        run(tmp_path, None, 1, steps_per_epoch=2)


def damage(path, kind):
    data = path.read_bytes()
    if kind == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        at = len(data) // 3
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])


@pytest.mark.parametrize("kind", ["cut", "empty", "flipped"])
def test_a_damaged_backup_is_named_and_a_second_one_steps_in(tmp_path, kind):
    backup = BackupAndRestore(tmp_path, double_checkpoint=True)
    backup.set_params({"epochs": 9})
    model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
    model.compile("sgd", "mse")
    backup.set_model(model)
    x = np.ones((4, 3), np.float32)
    model.fit(x, x[:, :2], epochs=2, verbose=0, callbacks=[backup, Keep(tmp_path)])
    damage(tmp_path / "latest.npz", kind)
    assert backup._read()["epoch"] == 1
    damage(tmp_path / "latest.npz.bkp", kind)
    with pytest.raises(ValueError, match=r"latest.npz is damaged .* Delete it"):
        backup.on_train_begin()


class Keep(callbacks.Callback):
    """Leave a copy of the backup, which `fit` takes away when it ends."""

    comes_last = True

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_train_begin(self, logs=None):
        self.files = {}

    def on_epoch_end(self, epoch, logs=None):
        self.files = {p: p.read_bytes() for p in self.folder.iterdir()}

    def on_train_end(self, logs=None):
        self.folder.mkdir(exist_ok=True)
        for path, data in self.files.items():
            path.write_bytes(data)


def test_the_backup_goes_in_the_end_and_nothing_else(tmp_path):
    for folder, files in ((tmp_path / "a", []), (tmp_path / "b", ["mine.txt"])):
        folder.mkdir()
        for name in files:
            (folder / name).write_text("")
        (folder / ".latest.npz.0123.tmp").write_text("of a killed process")
        model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        model.compile("sgd", "mse")
        x = np.ones((4, 3), np.float32)
        model.fit(x, x[:, :2], verbose=0, callbacks=[BackupAndRestore(folder)])
        assert folder.exists() == bool(files)
        assert not files or os.listdir(folder) == files


def test_a_full_disk_costs_the_backup_and_not_the_run(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("minisgd.callbacks.backup_and_restore.np.savez", full)
    with pytest.warns(UserWarning, match="No space left on device.*Training goes on"):
        result = run(tmp_path, epochs=1)
    assert result is not None
    assert not list((tmp_path / "backup").iterdir())


def test_a_state_comes_back_as_it_was():
    state = {
        "floats": [0.1, float("inf"), -0.0, 1e-320],
        "array": np.arange(3, dtype=np.float32),
        "scalar": np.float32(0.1),
        "nested": [{"a": None, "b": True, "c": "text", "d": 2**70}],
    }
    back = fit_state.from_arrays(fit_state.to_arrays(state))
    assert back["floats"] == state["floats"]
    assert back["array"].tolist() == [0, 1, 2]
    assert type(back["scalar"]) is np.float32
    assert back["nested"] == state["nested"]
    with pytest.warns(UserWarning, match="can't hold"):
        arrays = fit_state.to_arrays({"object": np.array([object()])})
    assert not any(array.dtype.hasobject for array in arrays.values())


def test_nothing_is_pickled(tmp_path):
    run(tmp_path, epochs=1)
    with np.load(tmp_path / "backup" / "latest.npz", allow_pickle=False) as arrays:
        assert json.loads(arrays["state"].tobytes())["epoch"] == 1
        assert all(arrays[name].dtype.kind in "fiu" for name in arrays)


@pytest.mark.slow
def test_row_s_31_ten_kills_tear_nothing_and_change_no_bit():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    result = subprocess.run(
        [sys.executable, str(SOAK), "--moments", "10"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "; 0 torn" in result.stdout
