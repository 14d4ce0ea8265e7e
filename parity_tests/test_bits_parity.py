"""Whole runs of `fit` from the seed alone, one option at a time: equal bits on the reference setup.

`make parity-full` runs every case on four seeds and 60,000 images; here each option has one seed
and 600 steps, schedules all 1,875 of an epoch, and batches, networks and class counts are sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from minisgd.parity import side_by_side
from minisgd.parity.cases import (
    BATCHES,
    CLASS_COUNTS,
    LAYERS,
    NETWORKS,
    OPTIONS,
    OTHER_BATCHES,
    SCHEDULES,
    Case,
)
from minisgd.parity.probe import Mode

pytestmark = [pytest.mark.run, pytest.mark.slow]
SEED = 42


def sampled() -> Iterator[Case]:
    """Each option, and some of the shapes: a short last batch for each size, and the extremes."""
    for case in OPTIONS:
        yield case if case.name in SCHEDULES else replace(case, samples=19_200)
    sizes = sorted({case.batch_size for case in BATCHES})
    for number, size in enumerate(sizes):
        of_size = [case for case in BATCHES if case.batch_size == size]
        yield of_size[1 + number % (len(of_size) - 1)]
    for case in OTHER_BATCHES:
        if case.batch_size in (1, 2, 5, 12, 400, 1000, 10_000):
            yield replace(case, samples=min(case.samples, 1000 * case.batch_size))
    yield from NETWORKS[::5]
    yield from CLASS_COUNTS[::4]
    yield from LAYERS


@pytest.mark.parametrize("case", list(sampled()), ids=str)
def test_a_run_has_kerass_bits(case: Case, mode: Mode) -> None:
    """Weights, optimizer, batch logs, History, evaluate and predict."""
    ledger = side_by_side.run(case, SEED, bits=mode.bits)
    assert ledger.passed, str(ledger)
    steps = -(-case.samples // case.batch_size) * case.epochs
    if "validation_split" not in case.fit:
        assert ledger.summaries["batch log loss"].compared == steps
    if mode.bits:
        assert ledger.summaries["predict"].compared == 10_000 * case.classes
