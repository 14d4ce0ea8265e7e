"""Kill a run of `fit` with SIGKILL at random moments, resume it, and compare what it ends with.

``python tests/soak/kill.py --moments 200`` (`make soak`); the suite does the same with ten. Each
run saves weights, a CSV log and a backup, after every epoch or every third step. After each kill
every file that has a name must be whole, and the resumed run must end with the bits of one that
was never interrupted.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

FREQUENCIES = ("epoch", "3")


def train(folder, save_freq):
    """One run, which resumes what it finds in `folder`; prints a digest of all that it leaves."""
    import minisgd as keras
    from minisgd import callbacks

    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    x = rng.random((100, 6), dtype=np.float32)
    y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 100)]
    model = keras.Sequential(
        [
            keras.layers.Dense(8, activation="relu", input_shape=(6,)),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    print("begins", flush=True)
    history = model.fit(
        x,
        y,
        batch_size=8,
        epochs=8,
        validation_split=0.2,
        verbose=0,
        reshuffle_each_epoch=True,
        callbacks=[
            callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.9),
            callbacks.BackupAndRestore(
                folder / "backup", save_freq if save_freq == "epoch" else int(save_freq)
            ),
            callbacks.CSVLogger(folder / "log.csv"),
            callbacks.ReduceLROnPlateau(patience=1, factor=0.5),
            callbacks.EarlyStopping(patience=6, restore_best_weights=True),
            callbacks.ModelCheckpoint(folder / "last.weights.h5", save_weights_only=True),
        ],
    )
    digest = hashlib.sha256((folder / "log.csv").read_bytes())
    for variable in (*model.weights, *model.optimizer.variables):
        digest.update(variable.numpy().tobytes())
    digest.update(json.dumps([history.history, history.epoch]).encode())
    print(digest.hexdigest())


def start(folder, save_freq):
    """Start a run; returns when its `fit` begins."""
    command = [sys.executable, __file__, "--train", str(folder), save_freq]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begins\n"
    return process


def finish(process):
    """Digest of a run that is left alone."""
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output.strip()


def check_files(folder):
    """Every file that a reader could find is whole."""
    for path in folder.rglob("*"):
        if path.name.endswith(".tmp") or path.is_dir():
            continue  # never renamed: nobody's file
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                file.visititems(lambda _, item: item[()] if hasattr(item, "shape") else None)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                json.loads(arrays["state"].tobytes())
                assert all(arrays[name] is not None for name in arrays)
        else:
            text = path.read_bytes().decode()
            assert text == "" or text.endswith("\r\n")
            assert len({len(row) for row in csv.reader(text.splitlines())}) <= 1


def main(moments, seed):
    """Kill runs at so many moments; prints the figures."""
    rng = random.Random(seed)
    expected, seconds, killed, resumed = {}, {}, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for frequency in FREQUENCIES:
            folder = Path(scratch, frequency)
            folder.mkdir()
            process, begin = start(folder, frequency), time.perf_counter()
            expected[frequency] = finish(process)
            seconds[frequency] = time.perf_counter() - begin
        assert len(set(expected.values())) == 1, "saving more often changed the result"
        moment = 0
        while killed < moments:  # a run that was over before does not count
            moment += 1
            frequency = FREQUENCIES[moment % 2]
            folder = Path(scratch, f"moment_{moment}")
            folder.mkdir()
            process = start(folder, frequency)
            time.sleep(rng.uniform(0, 0.9 * seconds[frequency]))
            process.kill()
            output, _ = process.communicate()
            killed += not output
            check_files(folder)
            resumed += (folder / "backup" / "latest.npz").exists()
            if output:  # it was over: the next run would be a new one
                assert output.strip() == expected[frequency]
            else:
                assert finish(start(folder, frequency)) == expected[frequency], moment
                assert not (folder / "backup").exists()
    print(f"{killed} runs killed, {resumed} of them with a backup; 0 torn")
    return killed, resumed


if __name__ == "__main__":
    os.environ.setdefault("MINISGD_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", nargs=2, metavar=("FOLDER", "SAVE_FREQ"))
    options = parser.parse_args()
    if options.train:
        train(Path(options.train[0]), options.train[1])
    else:
        main(options.moments, options.seed)
