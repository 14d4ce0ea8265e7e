"""Keras's `fit`, `predict` and `evaluate`, and minisgd's: one script, two packages."""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.peers.worker import Clock

FOREVER = 1_000_000
MEMORY_EPOCHS = 10


def run(job: SimpleNamespace, clock: Clock) -> None:
    """Do ``job.task`` with ``job.package``: fit, predict, evaluate, memory, import or cold."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if job.task in ("import", "cold"):
        clock.say(**start_cold(job))
        return
    keras = importlib.import_module(job.package)
    facts = set_threads(keras, job)
    switch_off(job.without)
    from benchmarks.peers import data

    x, y = data.load(job)
    model = build(keras, job)
    steps = data.steps(job, len(x))
    if job.task == "memory":
        model.fit(x, y, batch_size=job.batch_size, epochs=MEMORY_EPOCHS, verbose=1)
        clock.say(peak_mib=peak_mib())
        return
    clock.ready(**facts)
    if job.task == "predict":
        while True:
            with clock.lap(steps):
                model.predict(x, batch_size=job.batch_size)
    if job.task == "evaluate":
        while True:
            with clock.lap(steps):
                model.evaluate(x, y, batch_size=job.batch_size)
    watch = epoch_watch(keras, clock, steps)
    model.fit(x, y, batch_size=job.batch_size, epochs=FOREVER, verbose=1, callbacks=[watch])


def build(keras: Any, job: SimpleNamespace) -> Any:
    """Return the compiled network."""
    keras.utils.set_random_seed(0)
    inputs, *hidden, classes = job.layers
    model = keras.Sequential()
    for number, units in enumerate(hidden):
        shape = {} if number else {"input_shape": (inputs,)}
        model.add(keras.layers.Dense(units, activation="relu", **shape))
    model.add(keras.layers.Dense(classes, activation="softmax"))
    spe = job.steps_per_execution
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.01, momentum=job.momentum),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        run_eagerly=job.run_eagerly,
        steps_per_execution=math.ceil(job.samples / job.batch_size) if spe == "epoch" else spe,
    )
    return model


def epoch_watch(keras: Any, clock: Clock, steps: int) -> Any:
    """Return a callback that makes each epoch of one long `fit` a lap."""

    class EpochWatch(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            clock.start()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            clock.stop(steps)

    return EpochWatch()


def set_threads(keras: Any, job: SimpleNamespace) -> dict[str, Any]:
    """Choose the number of minisgd's threads, if it has a choice; returns what to report."""
    if job.threads is None:
        return {}
    if not hasattr(keras, "set_threads"):
        return {"threads": f"{job.package}.set_threads does not exist: threads as they come"}
    keras.set_threads(job.threads)
    return {"threads": job.threads}


def switch_off(optimisations: list[str]) -> None:
    """Let minisgd's compiled steps do without some optimisations, to see what each one brings."""
    from minisgd.compiler import trace

    def refuse(step: Any) -> Any:
        raise trace.NotFusableError("switched off")

    if "fusion" in optimisations:
        trace.fuse = refuse  # type: ignore[assignment]


def start_cold(job: SimpleNamespace) -> dict[str, float]:
    """Time the import, and for "cold" the way to the first trained step, from process start."""
    begun = time.time()
    package = importlib.import_module(job.package)
    imported = time.time()
    if job.task == "cold":
        import numpy as np

        x = np.random.default_rng(0).random((job.batch_size, job.layers[0]), dtype=np.float32)
        y = np.eye(job.layers[-1], dtype=np.float32)[np.arange(job.batch_size) % job.layers[-1]]
        build(package, job).fit(x, y, batch_size=job.batch_size, epochs=1, verbose=0)
    return {"import_seconds": imported - begun, "seconds": time.time() - job.started}


def peak_mib() -> float:
    """Peak resident memory of this process, in MiB."""
    try:
        # Not getrusage: after an exec its peak still includes the parent's memory.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
