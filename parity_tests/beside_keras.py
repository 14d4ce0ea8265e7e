"""How runs of minisgd and Keras from one seed are compared; what several parity tests share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minisgd.parity.compare import compare
from minisgd.parity.probe import measured_mode
from minisgd.parity.tolerances import SHORT_RUN_WEIGHTS


def check_same(ours: Any, theirs: Any) -> None:
    """Equal bits where the reference setup promises them, else nearly equal weights.

    Parameters
    ----------
    ours, theirs : tuple
        Weights, the History's dict, and other figures.
    """
    (weights, history, results), (expected, reference, figures) = ours, theirs
    if measured_mode().bits:
        for mine, value in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(mine.view(np.uint32), value.view(np.uint32))
        assert history == reference
        assert results == figures
    nearly_equal(weights, expected)


def nearly_equal(ours: Iterable[Any], theirs: Iterable[Any]) -> None:
    """Arrays that differ by no more than another order of adding explains."""
    for mine, value in zip(ours, theirs, strict=True):
        difference = compare("of a run", np.float32(mine), np.float32(value))
        assert SHORT_RUN_WEIGHTS.holds(SHORT_RUN_WEIGHTS.measured(difference)), SHORT_RUN_WEIGHTS
