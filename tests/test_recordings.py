"""minisgd beside what live Keras once computed: no TensorFlow is needed here."""

from __future__ import annotations

import configparser
from pathlib import Path

import numpy as np
import pytest

from minisgd.parity import recordings, tolerances
from minisgd.parity.compare import compare
from minisgd.parity.sides import minisgd_side

ROOT = Path(__file__).resolve().parents[1]
RECORDED = recordings.load(ROOT)


@pytest.mark.parametrize("kind", recordings.EXACT)
def test_what_is_equal_everywhere_is_equal(kind: str) -> None:
    ours = recordings.EXACT[kind](minisgd_side())
    differing = {k: (ours.get(k), v) for k, v in RECORDED["exact"][kind].items() if ours[k] != v}
    assert ours.keys() == RECORDED["exact"][kind].keys()
    assert not differing


@pytest.mark.parametrize("number", recordings.SCRIPTS)
def test_losses_of_the_first_steps(number: int) -> None:
    """Equal if the recording was made on the reference setup, else within the loss's bound."""
    theirs = np.array(RECORDED["step_losses"][str(number)])
    ours = np.array(recordings.step_losses(minisgd_side(), number))
    bound = tolerances.EQUAL if RECORDED["reference_setup"] else tolerances.LOSS
    difference = compare("losses of the first steps", ours, theirs)
    assert bound.holds(bound.measured(difference)), str(difference)


def test_the_recording_is_of_the_pinned_reference() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pinned = config["options.extras_require"]["reference"]
    versions = RECORDED["environment"]["versions"]
    assert RECORDED["form"] == recordings.FORM
    assert f"keras =={versions['keras']}" in pinned
    assert f"tensorflow-cpu =={versions['tensorflow'].rsplit('.', 1)[0]}.*" in pinned
    assert all(len(losses) == recordings.STEPS for losses in RECORDED["step_losses"].values())
