"""The machine: what it is, and what else it was doing while we measured."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import minisgd
from minisgd.compiler.threads import processors
from minisgd.utils import machine

# Name in the report -> distributions that may hold it.
DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "numba": ("numba",),
    "llvmlite": ("llvmlite",),
    "keras": ("keras",),
    "tensorflow": ("tensorflow-cpu", "tensorflow"),
    "jax": ("jax",),
    "jaxlib": ("jaxlib",),
    "torch": ("torch",),
    "autograd": ("autograd",),
    "scikit-learn": ("scikit-learn",),
}
MISSING = "missing"
QUIET = 0.05  # other processes' share of the processors up to which a machine counts as quiet


def describe() -> dict[str, Any]:
    """Describe processor, system, versions and load, importing none of the peers."""
    return {
        "cpu": machine.cpu(),
        "cores": processors(),
        "system": machine.system(),
        "python": platform.python_version(),
        "versions": {
            "minisgd": minisgd.__version__,
            **{name: _version(*names) for name, names in DISTRIBUTIONS.items()},
        },
        "thread_settings": {
            name: value for name, value in sorted(os.environ.items()) if "_NUM_THREADS" in name
        },
        "load_average": load_average(),
    }


def load_average() -> list[float] | None:
    """Load of the last 1, 5 and 15 minutes; None where the system keeps none."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


def busy_seconds() -> float | None:
    """Processor time that all processes have taken since the machine started; None if unknown."""
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(n) for n in first[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class OthersWatch:
    """Adds up the processor time that processes other than ours took while we measured."""

    def __init__(self) -> None:
        self._others = self._all = 0.0
        self._known = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs; in it, `take_off` what is ours."""
        busy, own, began = busy_seconds(), time.process_time(), time.perf_counter()
        yield
        after = busy_seconds()
        if busy is None or after is None:
            self._known = False
            return
        self._others += after - busy - (time.process_time() - own)
        self._all += (time.perf_counter() - began) * (os.cpu_count() or 1)

    def take_off(self, seconds: float) -> None:
        """Leave out processor time that was the measured process's own."""
        self._others -= seconds

    def share(self) -> float | None:
        """Return the others' share of all processor time, in [0, 1]; None if not known."""
        if not self._known or not self._all:
            return None
        return min(max(self._others / self._all, 0.0), 1.0)


def _version(*distributions: str) -> str:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return MISSING
