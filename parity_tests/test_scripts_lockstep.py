"""The three scripts step by step, each compared step from Keras's own weights."""

from __future__ import annotations

import pytest

from minisgd.parity import lockstep
from minisgd.parity.probe import Mode
from minisgd.parity.scripts import SCRIPTS


@pytest.mark.slow
@pytest.mark.step
@pytest.mark.parametrize("number", SCRIPTS)
def test_every_tensor_of_the_compared_steps(number: int, mode: Mode) -> None:
    """200 steps and then every 100th: forward, loss, gradients, velocities, weights, logs."""
    ledger = lockstep.run(SCRIPTS[number], seed=42, bits=mode.bits)
    print(ledger)
    assert ledger.passed, str(ledger)
    assert ledger.summaries["z1"].compared == 217 * 32 * 128
