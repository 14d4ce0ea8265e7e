"""The report: medians and ratios, and the same record as Markdown, JSON and SVG."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.jobs import Outcome
from benchmarks.machine import MISSING, QUIET
from benchmarks.plan import COLUMNS, FLOOR, FLOP_PER_SAMPLE, Column, Comparison

FORM = 1
NAME = "benchmarks"
LEFT_OUT = "–"
MICRO = 1e6
Record = dict[str, Any]


# --- arithmetic ---
def summary(values: list[float]) -> dict[str, float]:
    """Return median, min and max.

    Examples
    --------
    >>> summary([3.0, 1.0, 2.0])
    {'median': 2.0, 'min': 1.0, 'max': 3.0}
    """
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(theirs: list[float], ours: list[float]) -> dict[str, float]:
    """Return the ratio of the medians, and the smallest and largest ratio of a round.

    Parameters
    ----------
    theirs, ours : list of float
        One value a round; rounds that one of them lacks don't count towards the range.

    Examples
    --------
    >>> ratio([4.0, 6.0, 8.0], [2.0, 2.0, 4.0])
    {'median': 3.0, 'min': 2.0, 'max': 3.0}
    """
    rounds = [t / o for t, o in zip(theirs, ours, strict=False)]
    median = statistics.median(theirs) / statistics.median(ours)
    return {"median": median, "min": min(rounds), "max": max(rounds)}


def entry(comparison: Comparison, outcomes: dict[str, Outcome], unit: str) -> Record:
    """Return a comparison's outcomes as plain dictionaries.

    Parameters
    ----------
    comparison : Comparison
    outcomes : dict of str to Outcome
        May hold more than the comparison's.
    unit : str
        Of the values, e.g. "seconds per step".
    """
    ours = outcomes.get(comparison.ours, Outcome()).values
    found: Record = {}
    for name, job in comparison.jobs.items():
        outcome = outcomes[name]
        told: Record = {"library": job.library}
        if outcome.values:
            told |= {"values": outcome.values, **summary(outcome.values)}
            if ours and name != comparison.ours:
                told["ratio"] = ratio(outcome.values, ours)
        else:
            told["left_out"] = outcome.missing or "nothing was measured"
        told |= {"facts": outcome.facts, "others": outcome.others}
        found[name] = told
    return {
        "key": comparison.key,
        "title": comparison.title,
        "ours": comparison.ours,
        "unit": unit,
        "outcomes": found,
    }


def floor_shares(floor: Record, peak: dict[str, float]) -> dict[str, float]:
    """Return by job the dense compute floor divided by the median time of a step.

    Parameters
    ----------
    floor : dict
        The entry of `plan.FLOOR`.
    peak : dict of str to float
        GFLOP/s by number of threads.
    """
    shares = {}
    for name, told in floor["outcomes"].items():
        job = FLOOR.jobs[name]
        if "median" in told and str(job.threads) in peak:
            seconds = FLOP_PER_SAMPLE * job.batch_size / (1e9 * peak[str(job.threads)])
            shares[name] = seconds / told["median"]
    return shares


def failures(record: Record, library: str) -> list[str]:
    """Return why jobs of a library that were asked for have no figures.

    Parameters
    ----------
    record : dict
    library : str
        As in `jobs.Job.library`.
    """
    return [
        f"{one['title']}: {told['left_out']}"
        for one in (*record["rows"], *record["stages"], *record["extras"], *record["growth"])
        for told in one["outcomes"].values()
        if told["library"] == library and "left_out" in told
    ]


def remarks(record: Record) -> list[str]:
    """Return in sentences what a reader must know: what is missing, and whether it was quiet."""
    found, busy = [], []
    entries = [*record["rows"], *record["stages"], *record["extras"], *record["growth"]]
    left_out: dict[str, str] = {}
    facts: list[str] = []
    for one in entries:
        for name, told in one["outcomes"].items():
            if "left_out" in told:
                left_out.setdefault(name, told["left_out"])
            if isinstance(told["facts"].get("threads"), str):
                facts.append(told["facts"]["threads"])
            if told["others"] is not None:
                busy.append(told["others"])
    found += [f"{name} is left out: {why}." for name, why in left_out.items()]
    found += [f"{fact}." for fact in dict.fromkeys(facts)]
    found += [f"Not measured: {what}." for what in record["not_measured"]]
    if not busy:
        found.append("What other processes did meanwhile is not known on this system.")
    else:
        verdict = "quiet" if max(busy) <= QUIET else "NOT quiet: measure again"
        found.append(
            f"Other processes took {statistics.median(busy):.1%} of the processors while we "
            f"measured (at most {max(busy):.1%}): {verdict}."
        )
    return found


# --- Markdown ---
def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a Markdown table's lines.

    Examples
    --------
    >>> table(["a", "b"], [["1", "2"]])
    ['| a | b |', '|---|---|', '| 1 | 2 |']
    """
    first, *others = ("| " + " | ".join(cells) + " |" for cells in (head, *rows))
    return [first, "|" + "---|" * len(head), *others]


def ratio_cell(one: Record, column: Column) -> str:
    """Return the ratio in one cell of the table, with its range.

    Parameters
    ----------
    one : dict
        The row's entry.
    column : Column
    """
    measured = [
        one["outcomes"][name] for name in column.forms if "ratio" in one["outcomes"].get(name, {})
    ]
    if not measured:
        return LEFT_OUT
    if column.fastest:
        measured = [min(measured, key=lambda told: float(told["median"]))]
    shown = [told["ratio"] for told in measured]
    return " / ".join(f"**{r['median']:.2f}** ({r['min']:.2f}-{r['max']:.2f})" for r in shown)


def spread(told: Record, factor: float = 1.0, digits: int = 1) -> str:
    """Return "median (min-max)" in another unit."""
    if "median" not in told:
        return LEFT_OUT
    median, low, high = (f"{factor * told[k]:,.{digits}f}" for k in ("median", "min", "max"))
    return f"{median} ({low}-{high})"


def markdown(record: Record) -> str:
    """Return the record as a page.

    Parameters
    ----------
    record : dict
        As made by `benchmarks.run`.
    """
    machine, peak = record["machine"], record["peak"]
    versions = ", ".join(f"{n} {v}" for n, v in machine["versions"].items() if v != MISSING)
    threads = ", ".join(f"{n}={v}" for n, v in machine["thread_settings"].items()) or "default"
    lines = [
        "# minisgd beside its peers",
        "",
        f"Recorded {record['date']} by `{record['command']}`. Regenerate it, do not edit it. "
        "What is measured, and how: `benchmarks/README.md`.",
        "",
        f"- Machine: {machine['cpu']['name']} ({machine['cpu']['instruction_set']}), "
        f"{machine['cores']} cores, {machine['system']}",
        f"- Versions: Python {machine['python']}, {versions}",
        f"- Threads set in the environment: {threads}; load average at the start: "
        f"{machine['load_average']}, at the end: {record['load_average_after']}",
        "- Peak, GFLOP/s by threads: "
        + (", ".join(f"{n}: {g:.0f}" for n, g in peak.items()) or "not measured"),
        *(f"- {remark}" for remark in record["remarks"]),
    ]
    if record["rows"]:
        lines += ["", "## The peer's time divided by minisgd's", ""]
        columns = [c for c in COLUMNS if _anywhere(c, record["rows"])]
        lines += [
            "A step of `fit` on 784-128-10 and MNIST. Above 1: minisgd is faster. In brackets the "
            "smallest and the largest ratio of a round.",
            "",
            *table(
                ["", *(c.title for c in columns)],
                [[r["title"], *(ratio_cell(r, c) for c in columns)] for r in record["rows"]],
            ),
            "",
            "## Microseconds per step: median (min-max)",
            "",
        ]
        names = list(dict.fromkeys(name for r in record["rows"] for name in r["outcomes"]))
        lines += table(
            ["", *names],
            [
                [r["title"], *(spread(r["outcomes"].get(n, {}), MICRO) for n in names)]
                for r in record["rows"]
            ],
        )
        lines += _picture(record, "steps.svg", "Microseconds per step of each peer in each row")
    for one in record["stages"]:
        lines += ["", "## What each optimisation brings", "", f"{one['title'].capitalize()}.", ""]
        lines += table(
            ["with all above it", "microseconds: median (min-max)", "times the last one's"],
            [
                [
                    name,
                    spread(told, MICRO),
                    f"{told['ratio']['median']:.2f}" if "ratio" in told else "",
                ]
                for name, told in one["outcomes"].items()
            ],
        )
        lines += _picture(record, "stages.svg", "Microseconds per step after each optimisation")
    if record["extras"]:
        lines += ["", "## Beyond the step", ""]
        lines += table(
            ["", "", "median (min-max)", "divided by minisgd's"],
            [cells for one in record["extras"] for cells in _extra_rows(one, record)],
        )
    if record["kernels"]:
        lines += ["", "## Compute kernels, on the network's shapes, one thread", ""]
        lines += table(
            ["kernel", "shapes", "microseconds: median (min-max)", "GFLOP/s", "share of the peak"],
            [_kernel_row(kernel) for kernel in record["kernels"]],
        )
    if record["growth"]:
        lines += ["", "## Growth, one axis at a time"]
        lines += _picture(record, "growth.svg", "Time against width, depth, batch and samples")
        names = list(dict.fromkeys(name for r in record["growth"] for name in r["outcomes"]))
        lines += ["", *table(["microseconds per step", *names], [
            [r["title"], *(spread(r["outcomes"].get(n, {}), MICRO) for n in names)]
            for r in record["growth"]
        ])]  # fmt: skip
    return "\n".join([*lines, ""])


def _anywhere(column: Column, rows: list[Record]) -> bool:
    return any("median" in r["outcomes"].get(n, {}) for r in rows for n in column.forms)


def _picture(record: Record, name: str, text: str) -> list[str]:
    return ["", f"![{text}]({name})"] if name in record["plots"] else []


def _extra_rows(one: Record, record: Record) -> list[list[str]]:
    factor, digits = (MICRO, 1) if one["unit"] == "seconds per step" else (1.0, 2)
    unit = "µs per step" if factor == MICRO else one["unit"]
    rows = []
    for name, told in one["outcomes"].items():
        last = f"{told['ratio']['median']:.2f}" if "ratio" in told else ""
        if one["key"] == FLOOR.key:
            share = record["floor_shares"].get(name)
            last = LEFT_OUT if share is None else f"{share:.0%} of the floor's speed"
        rows.append([one["title"], name, f"{spread(told, factor, digits)} {unit}", last])
    return rows


def _kernel_row(kernel: Record) -> list[str]:
    gflops, share = kernel.get("gflops"), kernel.get("share_of_peak")
    return [
        f"`{kernel['name']}`",
        kernel["shapes"],
        spread(kernel, MICRO),
        LEFT_OUT if gflops is None else f"{gflops:.2f}",
        LEFT_OUT if share is None else f"{share:.1%}",
    ]


def write(record: Record, folder: Path) -> list[Path]:
    """Write the record as JSON, Markdown and, where matplotlib is installed, SVG.

    Parameters
    ----------
    record : dict
        Gains ``plots``, ``floor_shares`` and ``remarks``.
    folder : Path
        Is made if need be.

    Returns
    -------
    list of Path
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    floors = [one for one in record["extras"] if one["key"] == FLOOR.key]
    record["floor_shares"] = floor_shares(floors[0], record["peak"]) if floors else {}
    record["remarks"] = remarks(record)
    try:
        from benchmarks import plots
    except ImportError as error:
        record["plots"] = []
        record["remarks"].append(f"The plots are left out: {error}.")
    else:
        record["plots"] = plots.draw(record, folder)
    written = [folder / f"{NAME}.json", folder / f"{NAME}.md"]
    written[0].write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    written[1].write_text(markdown(record), encoding="utf-8")
    return [*written, *(folder / name for name in record["plots"])]
