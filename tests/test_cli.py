"""The command line: what it prints, saves and refuses, on a few images; once as a real process."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import minisgd
from minisgd import cli, datasets, runs
from minisgd.utils import curve

ROOT = Path(minisgd.__file__).parents[1]
IMAGES, TESTS = 200, 50


def tiny(*_):
    """A data set that can be learnt at once: each digit lights a row of its own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, IMAGES + TESTS, dtype=np.uint8)
    images = rng.integers(0, 64, (len(labels), 28, 28), dtype=np.uint8)
    images[np.arange(len(labels)), 2 * labels.astype(int)] = 255
    return (images[:IMAGES], labels[:IMAGES]), (images[IMAGES:], labels[IMAGES:])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command in an empty folder on the tiny data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINISGD_DATA", raising=False)
    monkeypatch.setattr(datasets.mnist, "load_data", tiny)

    def invoke(*arguments):
        return CliRunner().invoke(cli.main, [str(a) for a in arguments], catch_exceptions=False)

    return invoke


def only_run(folder=Path("runs")):
    (found,) = folder.iterdir()
    return found


def test_a_run_prints_its_results_and_saves_them(run):
    result = run("train", "--epochs", 3, "--seed", 7, "--hidden", 16, "--momentum", 0.9)
    assert result.exit_code == 0
    folder = only_run()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "history.csv",
        "model.keras",
        "model.weights.h5",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert config["options"] == {
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "nesterov": False,
        "hidden": 16,
        "seed": 7,
        "data": "mnist",
        "verbose": 1,
    }
    results = config["results"]
    assert results["epochs_completed"] == 3 and not results["interrupted"]
    assert config["versions"]["minisgd"] == minisgd.__version__
    assert config["cpu"]["name"]
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])

    accuracy = f"Test accuracy  {100 * results['test_accuracy']:.2f} % of 50 images"
    for text in (
        "MNIST: 200 images, 784-16-10 network, 3 epochs in batches of 32",
        "SGD with learning rate 0.01 and momentum 0.9, seed 7",
        "Epoch 3/3",
        accuracy,
        "images per second",
        "Training loss",
        f"Saved in {folder}",
    ):
        assert text in result.output
    assert "\x1b" not in result.output, "escape codes without a terminal"
    assert result.output.isascii() or "━" in result.output


def test_the_saved_weights_give_the_printed_accuracy(run):
    run("train", "--epochs", 2, "--hidden", 16, "--verbose", 0)
    folder = only_run()
    model = minisgd.Sequential(
        [
            minisgd.layers.Dense(16, "relu", input_shape=(784,)),
            minisgd.layers.Dense(10, "softmax"),
        ]
    )
    model.load_weights(folder / "model.weights.h5")
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    _, (x, y) = tiny()
    x = x.reshape(-1, 784).astype("float32") / 255
    found = model.evaluate(x, minisgd.utils.to_categorical(y, 10), verbose=0)
    results = json.loads((folder / "config.json").read_text())["results"]
    assert found == [results["test_loss"], results["test_accuracy"]]


def test_the_printed_seed_repeats_a_run(run):
    first = run("train", "--epochs", 1, "--verbose", 0, "--runs", "a")
    seed = re.search(r"seed (\d+)$", first.output, re.MULTILINE)[1]
    run("train", "--epochs", 1, "--verbose", 0, "--runs", "b", "--seed", seed)
    run("train", "--epochs", 1, "--verbose", 0, "--runs", "c", "--seed", (int(seed) + 1) % 2**32)

    def losses(name):
        lines = (only_run(Path(name)) / "history.csv").read_text().splitlines()
        return [line.rsplit(",", 1)[0] for line in lines]  # without the seconds

    assert losses("a") == losses("b") != losses("c")


def test_save_writes_the_model_where_it_is_told(run):
    result = run("train", "--epochs", 1, "--hidden", 16, "--no-save", "--save", "own.keras")
    assert result.exit_code == 0
    assert "Saved the model: own.keras" in result.output
    assert not Path("runs").exists()
    model = minisgd.models.load_model("own.keras")
    assert model.output_shape == (None, 10)
    assert model.optimizer.iterations.numpy() == 7


def test_no_save_leaves_nothing_behind(run, tmp_path):
    result = run("train", "--epochs", 1, "--no-save")
    assert result.exit_code == 0
    assert "Not saved" in result.output
    assert list(tmp_path.iterdir()) == []


def test_one_epoch_makes_no_curve(run):
    output = run("train", "--epochs", 1, "--no-save").output
    assert re.search(r"^Training loss  \d\.\d{4} ", output, re.MULTILINE)
    assert "+---" not in output


def test_verbose_0_prints_no_epochs_and_2_a_line_each(run):
    assert "200/200" not in run("train", "--epochs", 2, "--no-save", "--verbose", 0).output
    lines = run("train", "--epochs", 2, "--no-save", "--verbose", 2).output.splitlines()
    assert [line.split(" - ")[0] for line in lines if line.startswith("7/7")] == ["7/7", "7/7"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "'--epochs': 0 is not in the range"),
        (["--epochs", "x"], "'--epochs'"),
        (["--batch-size", "-1"], "'--batch-size'"),
        (["--learning-rate", "nan"], "'--learning-rate'"),
        (["--learning-rate", "inf"], "'--learning-rate'"),
        (["--learning-rate", "1e39"], "'--learning-rate'"),
        (["--learning-rate", "-1"], "'--learning-rate'"),
        (["--momentum", "1.1"], "'--momentum'"),
        (["--momentum", "nan"], "'--momentum'"),
        (["--hidden", "0"], "'--hidden'"),
        (["--seed", "4294967296"], "'--seed'"),
        (["--verbose", "3"], "'--verbose'"),
        (["--nesterov"], "--momentum"),
        (["--frobnicate"], "--frobnicate"),
        (["--runs", __file__], "'--runs'"),
        (["--save", "model.h5"], "ends in .keras, received model.h5"),
        (["--save", "nowhere/model.keras"], "no folder nowhere"),
        (["--runs", f"{__file__}/below"], "'--runs'"),
        (["surplus"], "surplus"),
    ],
)
def test_bad_options_get_one_line_and_exit_code_2(run, arguments, words, tmp_path):
    result = run("train", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("minisgd train: ") or result.stderr.startswith("main train: ")
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == [], "nothing was made"


def test_an_unknown_command_gets_one_line(run):
    result = run("frobnicate")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_missing_data_is_explained(run, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.fashion_mnist, "_DEBIAN_FOLDER", tmp_path / "nowhere")
    result = run("train", "--data", "fashion-mnist")
    assert result.exit_code == 1
    assert "apt install dataset-fashion-mnist" in result.stderr
    assert result.stderr.count("\n") == 1


def test_data_files(run, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    result = run("train", "--data", "missing.npz")
    assert result.exit_code == 2
    assert "no file missing.npz" in result.stderr
    Path("broken.npz").write_text("no archive")
    result = run("train", "--data", "broken.npz")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "broken.npz" in result.stderr

    (x, y), (x_test, y_test) = tiny()
    np.savez("own.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    result = run("train", "--data", "own.npz", "--epochs", 1, "--no-save")
    assert result.exit_code == 0
    assert "own.npz: 200 images" in result.output


class Interrupting(minisgd.callbacks.Callback):
    """Press Ctrl-C in the 10th step of training, which has 7 an epoch."""

    steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.steps += 1
        if self.steps == 10:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_after_the_step_and_saves(run, monkeypatch):
    fit = minisgd.Sequential.fit

    def interrupted_fit(self, *args, callbacks=None, **kwargs):
        return fit(self, *args, callbacks=[Interrupting(), *(callbacks or [])], **kwargs)

    monkeypatch.setattr(minisgd.Sequential, "fit", interrupted_fit)
    before = signal.getsignal(signal.SIGINT)
    result = run("train", "--epochs", 5)
    assert result.exit_code == 130
    assert "Interrupted in epoch 2 of 5, step 10" in result.output
    assert "Saved in" in result.output
    assert signal.getsignal(signal.SIGINT) is before
    config = json.loads((only_run() / "config.json").read_text())
    assert config["results"]["interrupted"]
    assert config["results"]["steps"] == 10
    assert len((only_run() / "history.csv").read_text().splitlines()) == 1 + 2


def test_ctrl_c_before_training_says_that_nothing_is_saved(run, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.mnist, "load_data", interrupt)
    result = run("train")
    assert result.exit_code == 130
    assert "nothing was saved" in result.output
    assert not Path("runs").exists()


def test_an_error_in_training_leaves_no_empty_run(run, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(minisgd.Sequential, "fit", fail)
    result = run("train")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "not enough memory" in result.stderr
    assert list(Path("runs").iterdir()) == []


def test_a_full_disk_is_reported(run, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "write_history", fail)
    result = run("train", "--epochs", 1)
    assert result.exit_code == 1
    assert "could not be saved" in result.stderr


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::minisgd.data.NumericsWarning")
def test_a_diverging_run_is_named_and_its_config_is_json(run):
    result = run("train", "--epochs", 2, "--learning-rate", 1e30)
    assert result.exit_code == 0
    assert "diverged" in result.output
    config = json.loads((only_run() / "config.json").read_text())
    assert config["results"]["test_loss"] is None


def test_runs_of_one_second_get_folders_of_their_own(tmp_path):
    now = datetime(2026, 1, 31, 18, 5, 59)
    names = [runs.create_folder(tmp_path / "runs", now).name for _ in range(3)]
    assert names == ["2026-01-31_18-05-59", "2026-01-31_18-05-59-2", "2026-01-31_18-05-59-3"]


def test_explain_shows_a_step_twice(run):
    result = run("explain", "--hidden", 5, "--momentum", 0.9)
    assert result.exit_code == 0
    assert "forward   t2 = relu(t1)" in result.output
    assert "update    momentum_inplace(dense_kernel, dense_kernel_momentum, t17" in result.output
    assert "def train_steps(" in result.output
    assert "t2 (n, 5)" in result.output


def test_info_and_version(run):
    result = run("info")
    assert result.exit_code == 0
    for name in ("minisgd", "python", "numba", "keras", "cpu name", "numerics", "kernel cache"):
        assert re.search(rf"^{name} +\S", result.output, re.MULTILINE), name
    assert result.output.isascii()
    found = json.loads(run("info", "--json").output)
    assert found["minisgd"] == minisgd.__version__
    assert found["threads"] == minisgd.get_threads()
    assert found["numerics"].startswith("avx512 ")
    assert found["cpu_instruction_set"]
    assert found["kernel_cache_MB"] >= 0
    assert run("--version").output == f"minisgd {minisgd.__version__}\n"
    assert run().exit_code == 0
    assert "train" in run().output


def test_a_process_of_its_own(tmp_path):
    (x, y), (x_test, y_test) = tiny()
    np.savez(tmp_path / "é.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    done = subprocess.run(
        [sys.executable, "-m", "minisgd", "train", "--epochs", "2", "--data", "é.npz"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
            "PYTHONIOENCODING": "ascii",  # neither the file's name nor the bar can be encoded
        },
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert b"Saved in" in done.stdout
    assert b"Traceback" not in done.stderr
    assert (only_run(tmp_path / "runs") / "model.weights.h5").is_file()


# --- the curve ---
@pytest.mark.parametrize("braille", [False, True])
@pytest.mark.parametrize(
    "values",
    [[1.0], [1.0, 1.0], [3.0, 2.0, 1.0], [1e-9, 2e-9], [1e9, -1e9], [1.0, np.nan, 0.5, np.inf]],
)
def test_the_curve_keeps_its_width(values, braille):
    for width in (20, 40, 72):
        lines = curve.draw_curve(values, "loss", "epoch", width, 9, braille).splitlines()
        assert len(lines) == 1 + 9 + 2
        assert max(map(len, lines)) <= width
        assert braille or all(line.isascii() for line in lines)


def test_the_curve_begins_high_and_ends_low():
    lines = curve.draw_curve([2.0, 1.0], width=40, height=5).splitlines()
    assert lines[0].startswith("2.00 | *")
    assert lines[4].startswith("1.00 | ")
    assert lines[4].endswith("*")


def test_no_finite_value():
    assert curve.draw_curve([np.nan], "loss") == "loss: no finite value to draw"


def test_braille_only_where_it_can_be_shown(monkeypatch):
    class Terminal:
        encoding = "utf-8"

        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert curve.can_draw_braille()
    terminal.encoding = "latin-1"
    assert not curve.can_draw_braille()
    terminal.encoding = "utf-8"
    monkeypatch.setenv("TERM", "linux")
    assert not curve.can_draw_braille()
