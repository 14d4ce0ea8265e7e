"""Train for long, and train many models: memory stays flat, and so does the pace.

``python tests/soak/memory.py`` (`make soak`): 200 epochs of one `fit`, and 200 models that are
built, trained and dropped, each compiled and not, each in a process of its own. The suite does the
same with fewer. Exit code 1 if memory grows by 1 MiB after the first five.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT_KIB = 1024
WARM = 5
SOAKS = {
    "epochs, compiled": ("epochs", True),
    "epochs, eager": ("epochs", False),
    "models, compiled": ("models", True),
    "models, eager": ("models", False),
}


def private_kib():
    """Memory that is this process's alone."""
    gc.collect()
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    raise RuntimeError("expected a line Private_Dirty in /proc/self/smaps_rollup")


def make_model(compiled):
    """The network of the readme, with Dropout, momentum and a schedule."""
    import minisgd as keras

    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Dense(128, activation="relu", input_shape=(784,)),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.9)
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9), "categorical_crossentropy",
        metrics=["accuracy"], run_eagerly=not compiled, jit_compile=compiled,
    )  # fmt: skip
    return model


def soak(kind, compiled, count):
    """Memory after each of `count` epochs or models, and the seconds that each took.

    The seconds are the processor's, in one thread: what else the machine does counts less.
    """
    import numpy as np

    import minisgd as keras

    rng = np.random.default_rng(0)
    x = rng.random((640, 784), dtype=np.float32)
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 640)]
    memory, seconds, since = [], [], [time.process_time()]

    def note(*_):
        now = time.process_time()
        seconds.append(now - since[0])
        memory.append(private_kib())
        since[0] = time.process_time()

    if kind == "epochs":
        model = make_model(compiled)
        fit(model, x, y, count, [keras.callbacks.LambdaCallback(on_epoch_end=note)])
    else:
        for _ in range(count):
            model = make_model(compiled)
            fit(model, x, y, 2)
            model.predict(x[:64], verbose=0)
            del model
            note()
    return memory, seconds


def fit(model, x, y, epochs, callbacks=None):
    """With validation, so that both kinds of step run."""
    model.fit(
        x, y, batch_size=32, epochs=epochs, verbose=0, validation_split=0.2, callbacks=callbacks
    )


def figures(memory, seconds):
    """Growth after the first five, medians of the first and the last tenth."""
    warm = seconds[WARM:]
    tenth = max(1, len(warm) // 10)

    def pace(some):
        return round(statistics.median(some) * 1000, 2)

    return {
        "growth_kib": memory[-1] - memory[WARM - 1],
        "first_tenth_ms": pace(warm[:tenth]),
        "last_tenth_ms": pace(warm[-tenth:]),
    }


def main(count, names):
    """All soaks; their figures."""
    found = {}
    for name in names:
        output = subprocess.run(
            [sys.executable, __file__, "--count", str(count), "--one", name],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        found[name] = json.loads(output)
        print(f"{name}, {count}: {found[name]}", flush=True)
    return found


if __name__ == "__main__":
    os.environ.setdefault("MINISGD_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", choices=SOAKS, action="append")
    parser.add_argument("--one", choices=SOAKS, help="in this process; prints JSON")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(figures(*soak(*SOAKS[options.one], options.count))))
        sys.exit()
    rows = main(options.count, options.only or SOAKS)
    if options.record:
        from recording import record

        command = f"python tests/soak/memory.py --count {options.count} --record"
        record("memory", command, {"count": options.count, "soaks": rows})
    sys.exit(any(row["growth_kib"] >= LIMIT_KIB for row in rows.values()))
