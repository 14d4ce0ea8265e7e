"""SGD's options in every combination, 20 steps each beside Keras, recorded.

Run with ``python -m minisgd.parity.full_sgd`` (part of ``make parity-full``). Nesterov's variant
without momentum is left out: it is plain SGD.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from minisgd.parity import sgd_cases
from minisgd.parity.environment import describe
from minisgd.parity.full import OUTPUT
from minisgd.parity.sides import keras_side, minisgd_side

FORM = 1
COMMAND = "python -m minisgd.parity.full_sgd"
NAME = "parity_full_sgd"
_CHUNK = 84  # cases for one process: TensorFlow keeps every compiled function


def cases() -> list[sgd_cases.Case]:
    """Every combination that is not another one in disguise."""
    every = sgd_cases.product()
    return [c for c in every if c.arguments["momentum"] or not c.arguments["nesterov"]]


def check(chunk: list[tuple[int, ...]]) -> list[str]:
    """Run some cases under both packages; one line for each that differs."""
    gradients = sgd_cases.gradients()
    found = []
    for choice in chunk:
        case = sgd_cases.Case(choice)
        ours, theirs = (sgd_cases.run(s, case, gradients) for s in (minisgd_side(), keras_side()))
        divergence = sgd_cases.first_divergence(ours, theirs)
        if divergence:
            found.append(f"{case}: {divergence}")
    return found


def main() -> None:
    """Run all cases and write the record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the record")
    options = parser.parse_args()
    choices = [case.choice for case in cases()]
    chunks = [choices[i : i + _CHUNK] for i in range(0, len(choices), _CHUNK)]
    began = time.perf_counter()
    differing: list[str] = []
    # Fresh processes, started anew: TensorFlow must not be forked, and its memory is given back.
    pool = ProcessPoolExecutor(options.processes, get_context("spawn"), max_tasks_per_child=1)
    with pool:
        for done, lines in enumerate(pool.map(check, chunks), start=1):
            differing += lines
            print(f"{done} of {len(chunks)} parts, {len(differing)} cases differ", flush=True)
    record: dict[str, Any] = {
        "form": FORM,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": COMMAND,
        "environment": describe().as_dict(),
        "steps": sgd_cases.STEPS,
        "cases": len(choices),
        "differing": differing,
        "seconds": round(time.perf_counter() - began),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    written = options.output / f"{NAME}.json"
    written.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written: {written}")


if __name__ == "__main__":
    main()
