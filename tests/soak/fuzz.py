"""Load 10,000 damaged files: each must load rightly or be refused by a ValueError, in a second.

Run by ``make soak``; ``python tests/soak/fuzz.py --files 10000``. The files are
loaded in a process of its own, so that a crash inside HDF5's C code is seen, with the case that
caused it. Exit code 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

WORKER = Path(__file__).resolve().parents[1] / "damage.py"
LIMIT = 1.0  # seconds a file


def fuzz(folder: Path, count: int, first: int = 0) -> tuple[dict[str, int], list[str]]:
    """Results with their numbers, and what is wrong, a line each."""
    process = subprocess.run(
        [sys.executable, str(WORKER), str(folder), str(first), str(count)],
        capture_output=True,
        text=True,
        timeout=300 + count,
        check=False,
    )
    records = [json.loads(line) for line in process.stdout.splitlines()]
    begun = {r["case"]: r for r in records if "result" not in r}
    wrong, results, slowest = [], collections.Counter[str](), 0.0
    for record in records:
        if "result" not in record:
            continue
        results[record["result"].partition(":")[0]] += 1
        slowest = max(slowest, record["seconds"])
        if record["result"] not in ("loaded", "refused") or record["seconds"] > LIMIT:
            wrong.append(f"{begun[record['case']]}: {record}")
    if process.returncode or sum(results.values()) != count:
        last = records[-1] if records else "no case"
        wrong.append(f"process ended with {process.returncode} at {last}: {process.stderr[-2000:]}")
    return {**results, "slowest, ms": round(slowest * 1000)}, wrong


def main() -> int:
    """Fuzz and report; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results, wrong = fuzz(Path(folder), options.files, options.first)
    print(f"{options.files} damaged files: {results}")
    print(*wrong, sep="\n")
    if options.record:
        from recording import record

        figures = {
            "files": options.files,
            "loaded": results.get("loaded", 0),
            "refused": results.get("refused", 0),
            "wrong": len(wrong),
            "slowest_ms": results["slowest, ms"],
        }
        record("fuzz", f"python tests/soak/fuzz.py --files {options.files} --record", figures)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
