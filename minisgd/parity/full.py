"""Ten epochs of the three scripts on three seeds, both packages, recorded with every figure.

Run with ``python -m minisgd.parity.full``. Each run has a process of its own, so that wall
time and peak memory are the package's alone; the two packages take turns in going first. The
results are written as JSON and as a Markdown table.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from minisgd.parity.compare import compare
from minisgd.parity.environment import describe
from minisgd.parity.scripts import (
    BATCH_SIZE,
    EPOCHS,
    SCRIPTS,
    keras_scheduler,
    load_data,
    numpy_scheduler,
)
from minisgd.parity.sides import WEIGHTS, keras_side, minisgd_side

FORM = 1
MODULE = "minisgd.parity.full"
COMMAND = f"python -m {MODULE}"
SEEDS = (0, 1, 42)
SIDES = ("keras", "minisgd")
OUTPUT = Path("docs/reference/recorded")
NAME = "parity_full"


def run_one(side_name: str, script_number: int, seed: int, epochs: int, weights: Path) -> Any:
    """Train one script on one side in this process and measure it.

    Parameters
    ----------
    side_name : str
        "keras" or "minisgd".
    script_number : int
        1, 2 or 3.
    seed : int
        Seeds weights and order.
    epochs : int
        How many.
    weights : Path
        Where to save the trained weights (``.npz``).

    Returns
    -------
    dict
        history, test_loss, test_accuracy, fit_seconds, peak_mib, weights_sha256.
    """
    side = keras_side() if side_name == "keras" else minisgd_side()
    script, data = SCRIPTS[script_number], load_data(side.ns)
    model = script.start(side.ns, seed)
    # Keras takes a float only; minisgd's process stays free of TensorFlow. The value is one.
    scheduler = keras_scheduler if side_name == "keras" else numpy_scheduler
    began = time.perf_counter()
    history = model.fit(
        data.x_train,
        data.y_train,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        verbose=0,
        callbacks=script.callbacks(side.ns, scheduler),
    )
    fit_seconds = time.perf_counter() - began
    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    arrays = [np.asarray(array) for array in model.get_weights()]
    named: dict[str, Any] = dict(zip(WEIGHTS, arrays, strict=True))
    np.savez(weights, **named)
    return {
        "history": {key: [float(v) for v in values] for key, values in history.history.items()},
        "test_loss": float(loss),
        "test_accuracy": float(accuracy),
        "fit_seconds": round(fit_seconds, 2),
        "peak_mib": round(_peak_mib(), 1),
        "weights_sha256": hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest(),
    }


def run_pair(script_number: int, seed: int, epochs: int, first: int) -> dict[str, Any]:
    """Run both sides, each in a process of its own, and compare what they report.

    Parameters
    ----------
    script_number, seed, epochs : int
        What to run.
    first : int
        Index in `SIDES` of the side that goes first.

    Returns
    -------
    dict
        script, seed, sides, weights_differing, accuracy_gap_points.

    Raises
    ------
    subprocess.CalledProcessError
        If a side fails; its own message is on stderr.
    """
    sides: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (SIDES[first], SIDES[1 - first]):
            weights = Path(folder, f"{name}.npz")
            arguments = [name, str(script_number), str(seed), str(epochs), str(weights)]
            began = time.perf_counter()
            done = subprocess.run(
                # Keras advises against the `input_shape=` of the scripts.
                [sys.executable, "-W", "ignore:Do not pass an", "-m", MODULE, "--one"] + arguments,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            sides[name] = json.loads(done.stdout.splitlines()[-1])
            sides[name]["process_seconds"] = round(time.perf_counter() - began, 2)
        with (
            np.load(Path(folder, "minisgd.npz")) as ours,
            np.load(Path(folder, "keras.npz")) as theirs,
        ):
            differing = sum(compare(name, ours[name], theirs[name]).differing for name in WEIGHTS)
    gap = 100 * (sides["minisgd"]["test_accuracy"] - sides["keras"]["test_accuracy"])
    return {
        "script": script_number,
        "seed": seed,
        "sides": {name: sides[name] for name in SIDES},
        "weights_differing": differing,
        "accuracy_gap_points": round(gap, 4),
    }


def markdown(record: dict[str, Any]) -> str:
    """Return the record as a page: what it ran on, and one row a run.

    Parameters
    ----------
    record : dict
        As written by `main`.
    """
    environment = record["environment"]
    versions = ", ".join(f"{name} {v}" for name, v in environment["versions"].items())
    lines = [
        "# Ten epochs beside Keras",
        "",
        f"Recorded {record['date']} by `{record['command']}`: {record['epochs']} epochs, batch "
        f"{record['batch_size']}, 60,000 MNIST images, on {environment['cpu']} "
        f"({environment['instruction_set']}, {environment['cores']} cores), "
        f"{environment['system']}; {versions}. Regenerate it, do not edit it.",
        "",
        "Seconds are those of the whole process (of `fit` alone); memory is its peak.",
        "",
        "| script | seed | test accuracy: Keras | minisgd | gap (points) | weights that differ "
        "| seconds: Keras | minisgd | MiB: Keras | minisgd |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in record["runs"]:
        keras, ours = run["sides"]["keras"], run["sides"]["minisgd"]
        lines.append(
            f"| {run['script']} | {run['seed']} | {keras['test_accuracy']:.2%} "
            f"| {ours['test_accuracy']:.2%} | {run['accuracy_gap_points']:+.2f} "
            f"| {run['weights_differing']:,} of 101,770 "
            f"| {keras['process_seconds']:.1f} ({keras['fit_seconds']:.1f}) "
            f"| {ours['process_seconds']:.1f} ({ours['fit_seconds']:.1f}) "
            f"| {keras['peak_mib']:.0f} | {ours['peak_mib']:.0f} |"
        )
    scripts = [f"Script {number}: {script.title}." for number, script in SCRIPTS.items()]
    return "\n".join([*lines, "", *scripts, ""])


def main(arguments: list[str] | None = None) -> None:
    """Run everything and write the record.

    Parameters
    ----------
    arguments : list of str, optional
        Command-line arguments; default those of the process.
    """
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--scripts", type=int, nargs="+", default=list(SCRIPTS))
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the record")
    parser.add_argument("--one", nargs=5, metavar="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        name, number, seed, epochs, weights = options.one
        print(json.dumps(run_one(name, int(number), int(seed), int(epochs), Path(weights))))
        return

    runs: list[dict[str, Any]] = []
    for number in options.scripts:
        for seed in options.seeds:
            runs.append(run_pair(number, seed, options.epochs, first=len(runs) % 2))
            print(one_line(runs[-1]), flush=True)
    record = {
        "form": FORM,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": COMMAND,
        "epochs": options.epochs,
        "batch_size": BATCH_SIZE,
        "environment": describe().as_dict(),
        "runs": runs,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    written = options.output / f"{NAME}.json"
    written.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    written.with_suffix(".md").write_text(markdown(record), encoding="utf-8")
    print(f"written: {written} and {written.with_suffix('.md')}")


def one_line(run: dict[str, Any]) -> str:
    """Return one run in one line.

    Parameters
    ----------
    run : dict
        As returned by `run_pair`.
    """
    parts = [f"script {run['script']}, seed {run['seed']}:"]
    for name, side in run["sides"].items():
        parts.append(
            f"{name} {side['test_accuracy']:.2%} in {side['process_seconds']:.1f} s, "
            f"{side['peak_mib']:.0f} MiB;"
        )
    return " ".join([*parts, f"{run['weights_differing']:,} weights differ"])


def _peak_mib() -> float:
    """Peak resident memory of this process, in MiB."""
    try:
        # Not getrusage: after an exec its peak still includes the parent's memory.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
