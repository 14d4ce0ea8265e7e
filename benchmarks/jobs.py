"""Jobs: what to measure, and the processes that do it, one a peer, taking turns.

All workers of a comparison are started first, and each is stopped (SIGSTOP) whenever it is not its
turn, so that no waiting thread pool takes a processor from the one that is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.machine import OthersWatch

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600.0  # seconds after which a silent worker is ended
NEW_FOLDER = "(an empty folder)"


@dataclass(frozen=True)
class Job:
    """What one worker shall do.

    Attributes
    ----------
    peer : str
        Module in `benchmarks.peers`.
    package : str
        For `keras_fit`: "minisgd", "keras" or (to import only) "tensorflow".
    task : {"fit", "predict", "evaluate", "memory", "import", "cold"}
        All but "fit" are for `keras_fit` only.
    layers : tuple of int
        Inputs, hidden units, classes.
    batch_size, samples : int
    momentum : float
    pixels : {"raw", "standardised"}
    folder : str
        Where ``x.npy`` and ``y.npy`` are, to be memory-mapped; "" for MNIST.
    threads : int or None
        For ``minisgd.set_threads``; None leaves the package's default.
    cpus : int or None
        Processors to pin the process to; None leaves it all.
    steps_per_execution : int or "epoch"
    run_eagerly : bool
    mode : {"scan", "jit"}
        For `jax_scan`.
    without : tuple of {"fusion"}
        What minisgd's compiled step shall do without: fused kernels.
    """

    peer: str
    package: str = ""
    task: str = "fit"
    layers: tuple[int, ...] = (784, 128, 10)
    batch_size: int = 32
    samples: int = 60_000
    momentum: float = 0.0
    pixels: str = "raw"
    folder: str = ""
    threads: int | None = None
    cpus: int | None = None
    steps_per_execution: int | str = 1
    run_eagerly: bool = False
    mode: str = "scan"
    without: tuple[str, ...] = ()

    @property
    def library(self) -> str:
        """What is measured: "minisgd", "keras", "jax", "torch", "numpy", "autograd", "sklearn"."""
        return self.package or self.peer.partition("_")[0]


@dataclass
class Outcome:
    """What a job measured.

    Attributes
    ----------
    values : list of float
        Seconds per step, one a round (for other tasks what the task measures).
    facts : dict
        What the worker said of itself, and further figures of its last lap.
    missing : str
        Why there are no values; "" if there are.
    others : float or None
        Processor time that other processes took during the laps, as a share of all there is.
    """

    values: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    missing: str = ""
    others: float | None = None


class WorkerError(RuntimeError):
    """A worker can't do its job; the message says why."""


class Worker:
    """A process that runs one job, from its first line to its end.

    Parameters
    ----------
    job : Job
    environment : dict of str to str, optional
        Added to this process's environment.
    """

    def __init__(self, job: Job, environment: dict[str, str] | None = None):
        # A file, not a pipe: nobody reads it unless the worker fails, and a full pipe would block.
        self._errors = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")
        started = time.time()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker"],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._send(json.dumps({**asdict(job), "started": started}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process. It has nothing to save."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            with contextlib.suppress(OSError):  # what was written to a process that is gone
                stream.close()  # type: ignore[union-attr]

    def reply(self) -> dict[str, Any]:
        """Wait for the worker's next line.

        Raises
        ------
        WorkerError
            If the peer is missing, or failed, or said nothing in time.
        """
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        watchdog.cancel()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": self._last_words()}
        for kind in ("missing", "failed"):
            if kind in answer:
                raise WorkerError(f"{kind}: {answer[kind]}")
        return answer

    def lap(self) -> dict[str, Any]:
        """Let the worker run one lap; between laps it stands still."""
        self._signal("SIGCONT")
        self._send("")
        answer = self.reply()
        self.pause()
        return answer

    def pause(self) -> None:
        """Stop the process until its next lap."""
        self._signal("SIGSTOP")

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died: its reply will say so
            self.process.stdin.write(line + "\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):  # not on Windows: there all workers stay awake
            self.process.send_signal(getattr(signal, name))

    def _last_words(self) -> str:
        self.process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"ended with status {self.process.returncode}"


def alternate(
    jobs: dict[str, Job],
    rounds: int,
    seconds: float = float("inf"),
    ends: float = float("inf"),
) -> dict[str, Outcome]:
    """Measure jobs in turns: A B C, C B A, A B C, ... after one lap each to warm up.

    Parameters
    ----------
    jobs : dict of str to Job
        By the name under which each is reported.
    rounds : int
        Laps of each job that count.
    seconds : float
        Start no further round when they have taken that long (but always run one).
    ends : float
        The same for a moment of `time.monotonic`.

    Returns
    -------
    dict of str to Outcome
        In the order of `jobs`.
    """
    outcomes = {name: Outcome() for name in jobs}
    others = {name: OthersWatch() for name in jobs}

    def get_ready(name: str, worker: Worker) -> None:
        outcomes[name].facts = worker.reply()["ready"]
        worker.pause()

    def warm_up(name: str, worker: Worker) -> None:
        worker.lap()

    def measure(name: str, worker: Worker) -> None:
        with others[name].watching():
            answer = worker.lap()
            others[name].take_off(answer.pop("cpu_seconds"))
        outcomes[name].values.append(answer.pop("seconds") / answer.pop("steps"))
        outcomes[name].facts |= answer

    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(job)) for name, job in jobs.items()}

        def in_turn(act: Callable[[str, Worker], None], backwards: bool = False) -> None:
            for name in reversed(list(workers)) if backwards else list(workers):
                if outcomes[name].missing:
                    continue
                try:
                    act(name, workers[name])
                except WorkerError as error:
                    outcomes[name] = Outcome(missing=str(error))

        in_turn(get_ready)
        in_turn(warm_up)
        ends = min(ends, time.monotonic() + seconds)
        for number in range(rounds):
            if number and time.monotonic() > ends:
                break
            in_turn(measure, backwards=number % 2 == 1)
    for name, outcome in outcomes.items():
        outcome.others = others[name].share()
    return outcomes


def anew(
    jobs: dict[str, Job],
    figure: str,
    rounds: int,
    environments: dict[str, dict[str, str]] | None = None,
) -> dict[str, Outcome]:
    """Measure what takes a whole process (its start, its memory), in turns, a new one each time.

    Parameters
    ----------
    jobs : dict of str to Job
        With the task "import", "cold" or "memory".
    figure : {"import_seconds", "seconds", "peak_mib"}
        What to take from the worker's line.
    rounds : int
        Processes for each job.
    environments : dict, optional
        Environment variables by the job's name; `NEW_FOLDER` stands for an empty folder, another
        one for each process.
    """
    outcomes = {name: Outcome() for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            if outcomes[name].missing:
                continue
            with tempfile.TemporaryDirectory() as folder:
                wanted = (environments or {}).get(name, {})
                environment = {k: folder if v == NEW_FOLDER else v for k, v in wanted.items()}
                try:
                    with Worker(job, environment) as worker:
                        outcomes[name].values.append(worker.reply()[figure])
                except WorkerError as error:
                    outcomes[name] = Outcome(missing=str(error))
    return outcomes
