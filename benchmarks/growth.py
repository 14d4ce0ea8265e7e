"""How time grows: one axis at a time from 784-128-10, beside Keras and JAX."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.jobs import Job
from benchmarks.peers import data
from benchmarks.plan import KERAS, MINISGD, OURS, Comparison

PEERS = {OURS: MINISGD, "Keras": KERAS, "JAX lax.scan": Job("jax_scan")}
# Steps of a lap, where the axis does not say how many. Not fewer: starting an epoch costs Keras
# some hundredths of a second, which would be drawn as its steps.
STEPS = 1000


@dataclass(frozen=True)
class Axis:
    """One thing that grows.

    Attributes
    ----------
    key, title : str
    points : tuple of int
    unit : {"step", "epoch"}
        What takes the time that is shown.
    """

    key: str
    title: str
    points: tuple[int, ...]
    unit: str = "step"

    def comparison(self, point: int, folder: str = "") -> Comparison:
        """Return what to measure at one point.

        Parameters
        ----------
        point : int
        folder : str
            For the axis "samples": where the memory-mapped arrays are.
        """
        changes: dict[str, Any] = {"samples": STEPS * MINISGD.batch_size}
        if self.key == "width":
            changes["layers"] = (784, point, 10)
        elif self.key == "depth":
            changes["layers"] = (784, *[128] * point, 10)
        elif self.key == "batch":
            changes = {"batch_size": point, "samples": min(STEPS * point, 60_000)}
        else:
            changes = {"samples": point, "folder": folder}
        jobs = {name: replace(job, **changes) for name, job in PEERS.items()}
        return Comparison(f"{self.key}={point}", f"{self.title}: {point:,}", jobs)

    def factor(self, point: int) -> float:
        """Return what turns seconds per step into what is drawn.

        That is microseconds per step, or seconds per epoch.
        """
        return 1e6 if self.unit == "step" else -(-point // MINISGD.batch_size)


AXES = (
    Axis("width", "hidden units", (32, 64, 128, 256, 512, 1024, 2048, 4096)),
    Axis("depth", "hidden layers of 128", (1, 2, 4, 8)),
    Axis("batch", "batch size", (1, 4, 32, 256, 2048, 16_384, 60_000)),
    Axis("samples", "samples", (1_000, 10_000, 100_000, 600_000), unit="epoch"),
)


@contextmanager
def mapped(samples: int, distinct: int = 60_000) -> Iterator[str]:
    """Write the first `distinct` images of MNIST, repeated, as two .npy files; yields their folder.

    They are larger than any other file here (600,000 samples: 1.9 GB), and gone afterwards.
    """
    with tempfile.TemporaryDirectory() as folder:
        x, y = data.load(SimpleNamespace(folder="", pixels="raw", samples=min(samples, distinct)))
        for name, array in (("x.npy", x), ("y.npy", y)):
            file = np.lib.format.open_memmap(
                Path(folder, name), "w+", array.dtype, (samples, array.shape[1])
            )
            for first in range(0, samples, len(array)):
                part = file[first : first + len(array)]
                part[:] = array[: len(part)]
            file.flush()
            del file
        yield folder
