"""Every run for which equal bits are promised, beside Keras, recorded as one table.

Run with ``python -m minisgd.parity.full_bits`` (part of ``make parity-full``). Each part has a
process of its own: some need another setting of TensorFlow, which it reads when it is imported.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from minisgd import numerics
from minisgd.parity import oracle, side_by_side
from minisgd.parity.cases import GROUPS, Case
from minisgd.parity.environment import describe
from minisgd.parity.full import OUTPUT
from minisgd.parity.report import Ledger
from minisgd.parity.scripts import SCRIPTS

FORM = 1
MODULE = "minisgd.parity.full_bits"
COMMAND = f"python -m {MODULE}"
NAME = "parity_bits"
ORACLE = "accurate"
PAGE = Path("docs/reference/parity.md")
BEGIN, END = "<!-- recorded: begin -->", "<!-- recorded: end -->"
SEEDS = (0, 1, 42, 2024)
# (group, numerics, seeds): the promise itself on four seeds, the rest on one.
PARTS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("scripts", "avx512", SEEDS),
    ("options", "avx512", SEEDS),
    ("batches", "avx512", SEEDS[2:3]),
    ("other batches", "avx512", SEEDS[2:3]),
    ("networks", "avx512", SEEDS[2:3]),
    ("classes", "avx512", SEEDS[2:3]),
    ("layers", "avx512", SEEDS[2:3]),
    *(("settings", name, SEEDS[2:3]) for name in ("avx2", "eigen", "eigen_1_thread", "eigen_avx2")),
    ("not followed", "avx512", SEEDS[2:3]),
    (ORACLE, ORACLE, SEEDS[2:3]),
)


def run_part(
    group: str, name: str, seeds: Iterable[int], cases: Container[str] | None = None
) -> list[dict[str, Any]]:
    """Run one part in this process; TensorFlow's setting must be the part's.

    Parameters
    ----------
    group : str
        A group of `minisgd.parity.cases`, or "accurate".
    name : str
        Which numerics.
    seeds : iterable of int
        One after the other.
    cases : container of str, optional
        Names of the cases to run; default all of the group.

    Returns
    -------
    list of dict
        One a case and seed.
    """
    warnings.simplefilter("ignore")  # Keras's advice about the scripts
    found = []
    for seed in seeds:
        if group == ORACLE:
            for number, script in SCRIPTS.items():
                errors = oracle.sampled_errors(script, seed)
                figures = {tensor: e.as_dict() for tensor, e in errors.items()}
                found.append({"name": f"script {number}", "seed": seed, "errors": figures})
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
            continue
        for case in GROUPS[group]:
            if cases is not None and case.name not in cases:
                continue
            found.append(_record(case, seed, side_by_side.run(case, seed, name)))
            difference = found[-1]["differing"] or "equal"
            print(
                f"{group}, {name}, {case}, seed {seed}: {difference}", file=sys.stderr, flush=True
            )
    return found


def _record(case: Case, seed: int, ledger: Ledger) -> dict[str, Any]:
    """What one comparison found: counts, and for what differs the measured bound."""
    differing = {
        kind: {"values": s.differing, "of": s.compared, "relative": max(s.rel_frobenius)}
        for kind, s in ledger.summaries.items()
        if s.differing
    }
    return {
        "name": case.name,
        "seed": seed,
        "epochs": case.epochs,
        "compared": sum(s.compared for s in ledger.summaries.values()),
        "differing": differing,
    }


def markdown(record: dict[str, Any]) -> str:
    """Return the record as a page: what it ran on, and one row a case.

    Parameters
    ----------
    record : dict
        As written by `main`.
    """
    environment = record["environment"]
    versions = ", ".join(f"{name} {v}" for name, v in environment["versions"].items())
    lines = [
        "# Equal bits: every combination tried",
        "",
        f"Recorded {record['date']} by `{record['command']}` on {environment['cpu']} "
        f"({environment['instruction_set']}, {environment['cores']} cores), "
        f"{environment['system']}; {versions}. Regenerate it, do not edit it.",
        "",
        "Compared are weights and optimizer variables after every epoch, the logs of every batch, "
        "History, `evaluate` and `predict` on the 10,000 test images. What a case changes, and "
        "how many samples it has, is in `minisgd/parity/cases.py`.",
        "",
    ]
    for part in record["parts"]:
        lines += [f'## {part["group"].capitalize()}, numerics "{part["numerics"]}"', ""]
        rows = _oracle_rows(part) if part["group"] == ORACLE else _case_rows(part)
        lines += [
            *rows,
            "",
            f"This part took {part['seconds']} s on {environment['cores']} cores.",
            "",
        ]
    return "\n".join(lines)


def summary(record: dict[str, Any]) -> str:
    """Return one row a part: the table on the page "What parity promises".

    Parameters
    ----------
    record : dict
        As written by `main`.
    """
    lines = [
        "| runs of `fit` | numerics | runs | values compared | values that differ | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for part in record["parts"]:
        if part["group"] == ORACLE:
            continue
        compared = sum(run["compared"] for run in part["runs"])
        differing: dict[str, int] = {}
        for run in part["runs"]:
            for kind, found in run["differing"].items():
                differing[kind] = differing.get(kind, 0) + found["values"]
        result = ", ".join(f"{count:,} ({kind})" for kind, count in differing.items()) or "0"
        lines.append(
            f"| {part['group']} | {part['numerics']} | {len(part['runs'])} | {compared:,} "
            f"| {result} | {part['seconds'] / 60:.1f} |"
        )
    return "\n".join(lines)


def update_page(record: dict[str, Any]) -> None:
    """Put the summary into the page, between its two markers."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{summary(record)}\n{END}{after}", encoding="utf-8")


def _case_rows(part: dict[str, Any]) -> list[str]:
    setting = numerics.get(part["numerics"]).setting
    rows = [
        f"TensorFlow: {setting}.",
        "",
        "| run | seeds | values compared | result |",
        "|---|---|---|---|",
    ]
    cases: dict[str, list[dict[str, Any]]] = {}
    for run in part["runs"]:
        cases.setdefault(run["name"], []).append(run)
    for name, runs in cases.items():
        seeds = ", ".join(str(run["seed"]) for run in runs)
        compared = sum(run["compared"] for run in runs)
        worst: dict[str, float] = {}
        for run in runs:
            for kind, found in run["differing"].items():
                worst[kind] = max(worst.get(kind, 0.0), found["relative"])
        result = ", ".join(f"{kind} differ by {bound:.1e}" for kind, bound in worst.items())
        rows.append(f"| {name} | {seeds} | {compared:,} | {result or 'equal'} |")
    return rows


def _oracle_rows(part: dict[str, Any]) -> list[str]:
    rows = [
        "Relative error of each gradient against float64, every 25th step of ten epochs, from "
        "Keras's own weights.",
        "",
        "| run | gradient | steps | steps at which minisgd's is larger | median: minisgd | "
        "TensorFlow | ratio | largest: minisgd | TensorFlow |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in part["runs"]:
        for tensor, e in run["errors"].items():
            rows.append(
                f"| {run['name']} | {tensor} | {e['steps']} | {e['worse']} | {e['median'][0]:.1e} "
                f"| {e['median'][1]:.1e} | {e['ratio']:.1f} | {e['max'][0]:.1e} "
                f"| {e['max'][1]:.1e} |"
            )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run all parts and write the record.

    Parameters
    ----------
    arguments : list of str, optional
        Command-line arguments; default those of the process.
    """
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the record")
    parser.add_argument(
        "--groups", nargs="+", help="record only these anew; what was recorded of the others stays"
    )
    parser.add_argument("--one", nargs="+", metavar="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        group, name, *seeds = options.one
        print(json.dumps(run_part(group, name, [int(seed) for seed in seeds])))
        return
    written = options.output / f"{NAME}.json"
    kept = json.loads(written.read_text(encoding="utf-8"))["parts"] if options.groups else []
    parts = []
    for group, name, seeds in PARTS:
        if options.groups and group not in options.groups:
            parts += [p for p in kept if (p["group"], p["numerics"]) == (group, name)]
            continue
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", MODULE, "--one", group, name, *map(str, seeds)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **numerics.get(name).environment},
        )
        runs = json.loads(done.stdout.splitlines()[-1])
        seconds = round(time.perf_counter() - began)
        parts.append({"group": group, "numerics": name, "seconds": seconds, "runs": runs})
    record = {
        "form": FORM,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": COMMAND,
        "environment": describe().as_dict(),
        "parts": parts,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    written.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    written.with_suffix(".md").write_text(markdown(record), encoding="utf-8")
    if options.output == OUTPUT:
        update_page(record)
    print(f"written: {written} and {written.with_suffix('.md')}")


if __name__ == "__main__":
    main()
