"""What the table holds: its rows, its columns, and the further comparisons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.jobs import Job

OURS = "minisgd"
MINISGD = Job("keras_fit", "minisgd")
KERAS = Job("keras_fit", "keras")
SPE = "steps_per_execution"


@dataclass(frozen=True)
class Column:
    """A column of the table: a peer, maybe in several forms.

    Attributes
    ----------
    title : str
    forms : dict of str to Job
        By the name that the detailed table uses.
    fastest : bool
        True: the form with the smallest median counts. False: all are shown, "a / b".
    """

    title: str
    forms: dict[str, Job]
    fastest: bool = True


@dataclass(frozen=True)
class Comparison:
    """Jobs that are measured in turns.

    Attributes
    ----------
    key : str
        Short name, for ``--rows``.
    title : str
    jobs : dict of str to Job
        By the name under which each is reported.
    ours : str
        The one by whose time the others' are divided.
    """

    key: str
    title: str
    jobs: dict[str, Job] = field(default_factory=dict)
    ours: str = OURS

    def only(self, libraries: Iterable[str] | None) -> Comparison:
        """Return the comparison without the jobs of other libraries."""
        if libraries is None:
            return self
        kept = {name: job for name, job in self.jobs.items() if job.library in set(libraries)}
        return replace(self, jobs=kept)

    def with_steps(self, limit: int) -> Comparison:
        """Return the comparison with at most `limit` steps an epoch."""
        jobs = {
            name: replace(job, samples=min(job.samples, limit * job.batch_size))
            for name, job in self.jobs.items()
        }
        return replace(self, jobs=jobs)


COLUMNS = (
    Column(
        "Keras `fit` default (all CPUs / pinned to 1)",
        {"Keras": KERAS, "Keras, 1 CPU": replace(KERAS, cpus=1)},
        fastest=False,
    ),
    Column(
        f"Keras, best {SPE}",
        {
            f"Keras, {SPE}=100": replace(KERAS, steps_per_execution=100),
            f"Keras, {SPE}=epoch": replace(KERAS, steps_per_execution="epoch"),
        },
    ),
    Column(
        "JAX lax.scan",
        {"JAX lax.scan": Job("jax_scan"), "JAX jit step": Job("jax_scan", mode="jit")},
    ),
    Column("PyTorch eager", {"PyTorch eager": Job("torch_eager")}),
    Column("NumPy out=", {"NumPy out=": Job("numpy_out")}),
    Column("HIPS autograd", {"HIPS autograd": Job("autograd_numpy")}),
    Column("scikit-learn", {"scikit-learn": Job("sklearn_mlp")}),
)
# Forms and columns that only some rows have.
ONLY_IN = {
    "JAX jit step": {"b1024"},
    "HIPS autograd": {"b32-raw-2t"},
    "scikit-learn": {"b32-raw-2t"},
}
ALL_EPOCH = 60_000


def row(key: str, title: str, threads: int = 2, **changes: Any) -> Comparison:
    """Return a row of the table: minisgd and every column, with the same `changes` to all jobs.

    `threads` is minisgd's. The peers are free to use every processor in every row.
    """
    jobs = {OURS: replace(MINISGD, threads=threads, **changes)}
    for column in COLUMNS:
        for name, job in column.forms.items():
            if key in ONLY_IN.get(name, {key}):
                jobs[name] = replace(job, **changes)
    return Comparison(key, title, jobs)


ROWS = (
    row("b32-raw-2t", "B=32, SGD, raw pixels, 2 threads"),
    row("b32-raw-1t", "B=32, SGD, raw pixels, 1 thread", threads=1),
    row("b32-standardised", "B=32, SGD, standardised pixels, 2 threads", pixels="standardised"),
    row("b32-momentum", "B=32, momentum 0.9, raw pixels, 2 threads", momentum=0.9),
    row("b1", "B=1, SGD, raw pixels, 2 threads", batch_size=1, samples=6_000),
    row("b128", "B=128, SGD, raw pixels, 2 threads", batch_size=128),
    row("b1024", "B=1024, SGD, raw pixels, 2 threads", batch_size=1024),
    row("full-batch", "full batch of 60,000, SGD, raw pixels, 2 threads", batch_size=ALL_EPOCH),
)
QUICK_ROWS = ("b32-raw-2t", "b1", "b1024")

EAGER = "minisgd, run_eagerly"
EXTRAS = (
    Comparison(
        "eager",
        "`fit` without a compiled step, B=32",
        {EAGER: replace(MINISGD, run_eagerly=True), "Keras": KERAS},
        ours=EAGER,
    ),
    *(
        Comparison(
            task,
            f"`{task}` on 10,000 images, B=32",
            {
                OURS: replace(MINISGD, task=task, samples=10_000),
                "Keras": replace(KERAS, task=task, samples=10_000),
            },
        )
        for task in ("predict", "evaluate")
    ),
)

# From Keras to the fastest step: each one has what the one before it has.
_NO_ZEROS = replace(MINISGD, pixels="standardised", threads=1)  # nothing can be skipped
STAGES = Comparison(
    "stages",
    "what each optimisation brings: a step of `fit`, B=32, SGD, pixels without zeros at first",
    {
        "Keras `fit`": replace(KERAS, pixels="standardised"),
        "eager: kernels called from Python": replace(_NO_ZEROS, run_eagerly=True),
        "printed: the same kernels, called by one compiled loop": replace(
            _NO_ZEROS, without=("fusion",)
        ),
        "fused: no array between neighbouring kernels": _NO_ZEROS,
        "zeros skipped (raw pixels)": replace(MINISGD, threads=1),
        "two threads": replace(MINISGD, threads=2),
    },
    ours="two threads",
)

# 2 flop a fused multiply-add: three products with W1's or W2's size a step, but no gradient for
# the data: 784*128*2 + 128*10*3.
FLOP_PER_SAMPLE = 409_088
FLOOR = Comparison(
    "floor",
    "share of the dense compute floor, B=32, standardised pixels",
    {
        f"minisgd, {n} thread{'s' if n > 1 else ''}": replace(
            MINISGD, pixels="standardised", threads=n
        )
        for n in (1, 2)
    },
    ours="minisgd, 1 thread",
)

IMPORTS = Comparison(
    "import",
    "import, seconds",
    {
        OURS: replace(MINISGD, task="import"),
        "TensorFlow": replace(KERAS, task="import", package="tensorflow"),
        "Keras": replace(KERAS, task="import"),
    },
)
NO_CACHE = "minisgd, no compiled kernels kept"
_FIRST_STEP = "process start to first trained step, seconds"
COLD = Comparison(
    "cold",
    _FIRST_STEP,
    {OURS: replace(MINISGD, task="cold"), "Keras": replace(KERAS, task="cold")},
)
COLD_NO_CACHE = Comparison(
    "cold-no-cache",
    _FIRST_STEP,
    {NO_CACHE: replace(MINISGD, task="cold"), "Keras": COLD.jobs["Keras"]},
    ours=NO_CACHE,
)
MEMORY = Comparison(
    "memory",
    "peak memory of a run of 10 epochs, B=32, MiB",
    {OURS: replace(MINISGD, task="memory"), "Keras": replace(KERAS, task="memory")},
)
