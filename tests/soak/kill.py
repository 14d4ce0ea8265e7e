"""Kill a run of `fit` with SIGKILL at random moments, resume it, and compare what it ends with.

``python tests/soak/kill.py --moments 200`` (`make soak`); the suite does the same with ten. Each
run saves weights, the whole model, a CSV log and a backup, after every epoch or (the backup) every
third step, compiled or not. After each kill every file that has a name must be whole, none may be
missing, and the resumed run must end with the bits of one that was never interrupted.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

# (save_freq of the backup, whether the steps are compiled)
KINDS = (("epoch", "eager"), ("3", "eager"), ("3", "compiled"))


def train(folder, save_freq, steps):
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
    compiled = steps == "compiled"
    model.compile(
        sgd, "categorical_crossentropy", metrics=["accuracy"], run_eagerly=not compiled,
        jit_compile=compiled,
    )  # fmt: skip
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
            callbacks.ModelCheckpoint(folder / "last.keras"),
        ],
    )
    digest = hashlib.sha256((folder / "log.csv").read_bytes())
    for variable in (*model.weights, *model.optimizer.variables):
        digest.update(variable.numpy().tobytes())
    digest.update(json.dumps([history.history, history.epoch]).encode())
    print(digest.hexdigest())


def start(folder, kind):
    """Start a run; returns when its `fit` begins."""
    command = [sys.executable, __file__, "--train", str(folder), *kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begins\n"
    return process


def finish(process):
    """Digest of a run that is left alone."""
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output.strip()


def check_files(folder, save_freq):
    """Every file that a reader could find is whole, and there; whether there is a model."""
    import minisgd as keras

    for path in folder.rglob("*"):
        if path.name.endswith(".tmp") or path.is_dir():
            continue  # never renamed: nobody's file
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                file.visititems(lambda _, item: item[()] if hasattr(item, "shape") else None)
        elif path.suffix == ".keras":
            assert keras.models.load_model(path).optimizer is not None
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                json.loads(arrays["state"].tobytes())
                assert all(arrays[name] is not None for name in arrays)
        else:
            text = path.read_bytes().decode()
            assert text == "" or text.endswith("\r\n")
            assert len({len(row) for row in csv.reader(text.splitlines())}) <= 1
    saved = [folder / "last.weights.h5", folder / "last.keras"]
    if save_freq == "epoch" and has_backup(folder):  # it is written after them
        assert all(path.exists() for path in saved), "a file is missing"
        assert (folder / "log.csv").read_bytes().count(b"\r\n") > 1, "lines are missing"
    return all(path.exists() for path in saved)


def has_backup(folder):
    """Whether a killed run has left one."""
    return (folder / "backup" / "latest.npz").exists()


def main(moments, seed):
    """Kill runs at so many moments; returns the figures."""
    rng = random.Random(seed)
    expected, seconds = set(), {}
    found = {"killed": 0, "with_backup": 0, "with_files": 0, "resumed_to_the_same_bits": 0}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in KINDS * 2:  # the first run may compile, the second shows the time
            folder = Path(scratch, f"{'_'.join(kind)}_{kind in seconds}")
            folder.mkdir()
            process, begin = start(folder, kind), time.perf_counter()
            expected.add(finish(process))
            seconds[kind] = time.perf_counter() - begin
        assert len(expected) == 1, "saving more often, or compiling, changed the result"
        moment = 0
        while found["killed"] < moments:  # a run that was over before does not count
            moment += 1
            kind = KINDS[moment % len(KINDS)]
            folder = Path(scratch, f"moment_{moment}")
            folder.mkdir()
            process = start(folder, kind)
            time.sleep(rng.uniform(0, 0.9 * seconds[kind]))
            process.kill()
            output, _ = process.communicate()
            with_files = check_files(folder, kind[0])
            if output:  # it was over: the next run would be a new one
                assert {output.strip()} == expected
                continue
            found["killed"] += 1
            found["with_files"] += with_files
            found["with_backup"] += has_backup(folder)
            assert {finish(start(folder, kind))} == expected, moment
            assert not (folder / "backup").exists()
            found["resumed_to_the_same_bits"] += 1
            shutil.rmtree(folder)
    print(f"{found['killed']} runs killed, {found['with_backup']} of them with a backup; 0 torn")
    return found | {"torn": 0, "missing": 0, "seed": seed}


if __name__ == "__main__":
    os.environ.setdefault("MINISGD_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--train", nargs=3, metavar=("FOLDER", "SAVE_FREQ", "STEPS"))
    options = parser.parse_args()
    if options.train:
        train(Path(options.train[0]), *options.train[1:])
        sys.exit()
    figures = main(options.moments, options.seed)
    if options.record:
        from recording import record

        record("kills", f"python tests/soak/kill.py --moments {options.moments} --record", figures)
