"""The process in which one peer is measured: ``python -m benchmarks.peers.worker``.

It speaks lines. In: one JSON job, then one empty line for each lap it shall run. Out: one JSON
object a line: ``{"ready": {...}}`` once the peer has data and model, then for each lap
``{"seconds", "steps", "cpu_seconds"}``. A job that needs a new process each time (its start, its
memory) says one line with its figures instead, unasked. In place of any of them
``{"missing": why}`` if the peer can't be imported, or ``{"failed": why}``. The end of the input
ends the process. What the peer prints goes to a terminal of its own that nobody reads: a progress
bar costs what it costs users.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NoReturn, TextIO


class Clock:
    """The worker's end of the conversation: waits for the word to run a lap, and reports it.

    Parameters
    ----------
    commands : TextIO
        Where lines come in.
    replies : TextIO
        Where JSON goes out.
    """

    def __init__(self, commands: TextIO, replies: TextIO):
        self._commands, self._replies = commands, replies
        self._began = self._cpu_began = 0.0

    def say(self, **reply: Any) -> None:
        """Send one reply."""
        print(json.dumps(reply), file=self._replies, flush=True)

    def ready(self, **facts: Any) -> None:
        """Report that data and model exist, and what only this process knows about itself."""
        self.say(ready=facts)

    def start(self) -> None:
        """Wait for the word, then start the watch. Leaves the process if there is no more to do."""
        if not self._commands.readline():
            leave()
        self._cpu_began, self._began = time.process_time(), time.perf_counter()

    def stop(self, steps: int) -> None:
        """Stop the watch and report the lap, which had `steps` steps."""
        seconds = time.perf_counter() - self._began
        cpu_seconds = time.process_time() - self._cpu_began
        self.say(seconds=seconds, steps=steps, cpu_seconds=cpu_seconds)

    @contextmanager
    def lap(self, steps: int) -> Iterator[None]:
        """Time the block as one lap."""
        self.start()
        yield
        self.stop(steps)


def leave() -> NoReturn:
    """End the process at once: libraries' threads and exit hooks are of no interest."""
    os._exit(0)


def pin(cpus: int) -> None:
    """Keep this process on its first `cpus` processors; the libraries count what is left."""
    if not hasattr(os, "sched_setaffinity"):
        raise ImportError("a process can't be pinned to processors on this system")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])


def private_stdout() -> TextIO:
    """Take standard output for the replies; the peers get a terminal in its place."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    try:
        import pty
        import threading

        master, terminal = pty.openpty()
    except (ImportError, OSError):
        terminal = os.open(os.devnull, os.O_WRONLY)
    else:

        def drain() -> None:
            while os.read(master, 65536):
                pass

        threading.Thread(target=drain, daemon=True).start()
    os.dup2(terminal, 1)
    return replies


def main() -> None:
    """Run the job that standard input describes."""
    clock = Clock(sys.stdin, private_stdout())
    job = SimpleNamespace(**json.loads(sys.stdin.readline()))
    try:
        if job.cpus is not None:
            pin(job.cpus)
        importlib.import_module(f"benchmarks.peers.{job.peer}").run(job, clock)
    except (ImportError, OSError) as error:
        clock.say(missing=f"{error}".strip().splitlines()[0])
    except Exception as error:
        clock.say(failed=f"{type(error).__name__}: {error}".strip().splitlines()[0])
        raise
    leave()


if __name__ == "__main__":
    main()
