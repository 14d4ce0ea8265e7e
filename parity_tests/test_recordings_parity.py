"""The recording is still what live Keras computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minisgd.parity import recordings, tolerances
from minisgd.parity.compare import compare
from minisgd.parity.environment import describe
from minisgd.parity.sides import keras_side

RECORDED = recordings.load(Path(__file__).resolve().parents[1])


@pytest.mark.parametrize("kind", recordings.EXACT)
def test_live_keras_repeats_the_exact_part(kind: str) -> None:
    assert recordings.EXACT[kind](keras_side()) == RECORDED["exact"][kind]


@pytest.mark.step
def test_live_keras_repeats_the_losses() -> None:
    """Equal on the processor that it was recorded on, else within the loss's bound."""
    ours = np.array(recordings.step_losses(keras_side(), 2))
    difference = compare("losses", ours, np.array(RECORDED["step_losses"]["2"]))
    same = describe().as_dict() | {"versions": {}} == RECORDED["environment"] | {"versions": {}}
    bound = tolerances.EQUAL if same else tolerances.LOSS
    assert bound.holds(bound.measured(difference)), str(difference)
