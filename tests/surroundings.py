"""What the tests of hostile surroundings share: a run with a known end, and other processes."""

import os
import subprocess
import sys
import threading

# What every process here trains, compiled; it prints a digest of weights, velocities and History.
TRAIN = """
import hashlib, json, sys
import numpy as np
import minisgd as keras

def data():
    rng = np.random.default_rng(0)
    x = rng.random((100, 6), dtype=np.float32)
    return x, np.eye(3, dtype=np.float32)[rng.integers(0, 3, 100)]

def make(jit=True, seed=3):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential()
    model.add(keras.layers.Dense(8, activation="relu", input_shape=(6,)))
    model.add(keras.layers.Dropout(0.2))
    model.add(keras.layers.Dense(3, activation="softmax"))
    sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"], jit_compile=jit)
    return model

def fit(model, verbose=0, **arguments):
    x, y = data()
    history = model.fit(x, y, 8, 2, verbose, validation_split=0.2, **arguments)
    digest = hashlib.sha256(json.dumps(history.history).encode())
    for variable in (*model.weights, *model.optimizer.variables):
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
"""
names = {}
exec(TRAIN, names)
data, make, fit = names["data"], names["make"], names["fit"]


def start(code, *options, without=(), **environment):
    """A process with some of its own environment; PYTHONWARNINGS is not inherited."""
    env = {k: v for k, v in os.environ.items() if k not in (*without, "PYTHONWARNINGS")}
    env |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    env |= {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [sys.executable, *options, "-c", code],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process):
    """What a process prints, and what it complains of."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return output.decode().strip(), errors.decode()


def in_threads(*functions):
    """What each returns or raises, all at once."""
    results = [None] * len(functions)
    gate = threading.Barrier(len(functions))

    def run(number):
        gate.wait(60)
        try:
            results[number] = functions[number]()
        except Exception as error:
            results[number] = error

    threads = [
        threading.Thread(target=run, args=(n,), name=f"worker {n}") for n in range(len(functions))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


# A run with few kernels, for processes that find no compiled code.
TINY = """
import hashlib
import numpy as np
import minisgd as keras
model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, None, True, "zeros")])
model.compile("sgd", "mse", run_eagerly=True)
x = np.arange(12, dtype="f4").reshape(4, 3)
model.fit(x, x[:, :2], verbose=0, shuffle=False)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""
