"""Measure minisgd beside its peers and write the report: ``python -m benchmarks.run``."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks import plan, report
from benchmarks.growth import AXES, mapped
from benchmarks.jobs import NEW_FOLDER, ROOT, Outcome, alternate, anew
from benchmarks.machine import describe, load_average
from benchmarks.plan import Comparison

PARTS = ("peak", "table", "stages", "extras", "cold", "memory", "kernels", "growth")
QUICK_PARTS = ("peak", "table", "extras", "cold")
PEERS = ("minisgd", "keras", "tensorflow", "jax", "torch", "numpy", "autograd", "sklearn")
OUTPUT = Path("runs/benchmarks")
STEP = "seconds per step"
GROWTH_SECONDS, GROWTH_ROUNDS = 600, 3  # for all axes together
POINT_SECONDS = 10  # no further round of a point after so long


class Benchmarks:
    """One run of the command: what it was asked for, and what it has found.

    Parameters
    ----------
    options : argparse.Namespace
        As parsed by `main`.
    """

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.ends = time.monotonic() + options.seconds
        self.record: dict[str, Any] = {
            "form": report.FORM,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "command": " ".join(["python -m benchmarks.run", *options.given]),
            "machine": describe(),
            "peak": {},
            "rows": [],
            "stages": [],
            "extras": [],
            "kernels": [],
            "growth": [],
            "not_measured": [],
        }

    def run(self) -> None:
        """Measure all parts that were asked for."""
        for part in PARTS:
            if part in self.options.parts:
                getattr(self, part)()
        self.record["load_average_after"] = load_average()

    def peak(self) -> None:
        """The machine's FMA peak, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.peak"],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.record["peak"] = json.loads(done.stdout)
        print(f"peak, GFLOP/s by threads: {self.record['peak']}", flush=True)

    def table(self) -> None:
        """The rows of the table."""
        for row in plan.ROWS:
            if row.key in self.options.rows:
                self._compare("rows", row)

    def stages(self) -> None:
        """What each optimisation brings."""
        self._compare("stages", plan.STAGES)

    def extras(self) -> None:
        """Eager mode, predict, evaluate, and the share of the dense compute floor."""
        for comparison in (*plan.EXTRAS, plan.FLOOR):
            self._compare("extras", comparison)

    def cold(self) -> None:
        """Imports and first steps, each in new processes."""
        rounds = 1 if self.options.quick else self.options.rounds
        self._anew(plan.IMPORTS, "import_seconds", "seconds", rounds)
        warm, bare = (c.only(self.options.peers) for c in (plan.COLD, plan.COLD_NO_CACHE))
        if self._too_late(warm.title):
            return
        with tempfile.TemporaryDirectory() as kept:
            environments = {
                plan.OURS: {"NUMBA_CACHE_DIR": kept},
                plan.NO_CACHE: {"NUMBA_CACHE_DIR": NEW_FOLDER},
            }
            # Fills the cache, and brings all files into memory.
            anew(warm.jobs, "seconds", 1, environments)
            outcomes = anew({**warm.jobs, **bare.jobs}, "seconds", rounds, environments)
        for comparison in (warm, bare):
            self._add("extras", comparison, outcomes, "seconds")

    def memory(self) -> None:
        """Peak memory."""
        self._anew(plan.MEMORY.with_steps(self.options.steps), "peak_mib", "MiB", 1)

    def kernels(self) -> None:
        """The micro-benchmark of each kernel, by pytest-benchmark."""
        if self._too_late("the compute kernels"):
            return
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder, "kernels.json")
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "benchmarks/test_kernels_speed.py", "-q"]
                + ["-p", "no:cacheprovider", "--benchmark-quiet", f"--benchmark-json={found}"]
                + ["--benchmark-max-time=0.2"],
                cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            print(done.stdout.strip().splitlines()[-1], flush=True)
            if done.returncode or not found.exists():
                last = done.stdout.strip().splitlines()[-1]
                self.record["not_measured"].append(f"the compute kernels ({last})")
                return
            for one in json.loads(found.read_text(encoding="utf-8"))["benchmarks"]:
                times = {key: one["stats"][key] for key in ("median", "min", "max")}
                self.record["kernels"].append({**one["extra_info"], **times})

    def growth(self) -> None:
        """One axis at a time."""
        self.ends = min(self.ends, time.monotonic() + GROWTH_SECONDS)
        for axis in AXES:
            for point in axis.points:
                if self._too_late(f"{axis.title} {point:,}"):
                    continue
                with mapped(point) if axis.key == "samples" else nullcontext("") as folder:
                    comparison = axis.comparison(point, folder)
                    added = self._compare("growth", comparison, GROWTH_ROUNDS, POINT_SECONDS)
                if added is not None:
                    added |= {"axis": axis.key, "point": point, "factor": axis.factor(point)}

    def _compare(
        self,
        where: str,
        comparison: Comparison,
        rounds: int | None = None,
        seconds: float = float("inf"),
    ) -> dict[str, Any] | None:
        """Measure in turns; append to the record and return what was found."""
        comparison = comparison.only(self.options.peers)
        if where != "growth":
            comparison = comparison.with_steps(self.options.steps)
        if self._too_late(comparison.title):
            return None
        rounds = rounds or self.options.rounds
        outcomes = alternate(comparison.jobs, rounds, seconds, self.ends)
        return self._add(where, comparison, outcomes, STEP)

    def _anew(self, comparison: Comparison, figure: str, unit: str, rounds: int) -> None:
        """Measure in processes of their own; append to the record."""
        comparison = comparison.only(self.options.peers)
        if not self._too_late(comparison.title):
            outcomes = anew(comparison.jobs, figure, rounds)
            self._add("extras", comparison, outcomes, unit)

    def _add(
        self, where: str, comparison: Comparison, outcomes: dict[str, Outcome], unit: str
    ) -> dict[str, Any]:
        added = report.entry(comparison, outcomes, unit)
        self.record[where].append(added)
        print(one_line(added), flush=True)
        return added

    def _too_late(self, title: str) -> bool:
        late = time.monotonic() > self.ends
        if late:
            self.record["not_measured"].append(f"{title} (no time left)")
        return late


def one_line(one: dict[str, Any]) -> str:
    """Return a comparison in one line, to follow the run by."""
    factor, digits = (report.MICRO, 1) if one["unit"] == STEP else (1.0, 2)
    parts = [
        f"{name} {report.spread(told, factor, digits)}" for name, told in one["outcomes"].items()
    ]
    return f"{one['title']}: " + "; ".join(parts)


def parse(arguments: Iterable[str]) -> argparse.Namespace:
    """Return the options; what was not given depends on ``--quick``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    keys = [row.key for row in plan.ROWS]
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer rows and rounds: under 3 minutes")
    add("--rows", nargs="+", choices=keys, metavar="ROW", help=f"rows: {', '.join(keys)}")
    add("--parts", nargs="+", choices=PARTS, metavar="PART", help=f"parts: {', '.join(PARTS)}")
    add("--peers", nargs="+", choices=PEERS, metavar="PEER", help=f"only: {', '.join(PEERS)}")
    add("--rounds", type=int, help="laps of each peer that count (7; quick: 3)")
    add("--steps", type=int, help="at most so many steps a lap (an epoch; quick: 600)")
    add("--seconds", type=float, help="begin nothing more after so long (quick: 130)")
    add("--output", type=Path, default=OUTPUT, help="folder for the report (%(default)s)")
    given = list(arguments)
    options = parser.parse_args(given)
    options.given = given
    quick = options.quick
    options.rows = options.rows or (list(plan.QUICK_ROWS) if quick else keys)
    options.parts = options.parts or list(QUICK_PARTS if quick else PARTS)
    options.rounds = options.rounds or (3 if quick else 7)
    options.steps = options.steps or (600 if quick else plan.ALL_EPOCH)
    options.seconds = options.seconds or (130.0 if quick else float("inf"))
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run everything and write the report.

    Parameters
    ----------
    arguments : list of str, optional
        Command-line arguments; default those of the process.
    """
    benchmarks = Benchmarks(parse(sys.argv[1:] if arguments is None else arguments))
    benchmarks.run()
    for path in report.write(benchmarks.record, benchmarks.options.output):
        print(f"written: {path}")
    failures = report.failures(benchmarks.record, "minisgd")
    if failures:
        sys.exit("minisgd itself could not be measured: " + "; ".join(failures))


if __name__ == "__main__":
    main()
