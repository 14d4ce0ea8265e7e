"""Decide by measurement whether the suite demands equal bits here."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from minisgd.parity.environment import describe
from minisgd.parity.lockstep import bits_after
from minisgd.parity.scripts import SCRIPTS
from minisgd.parity.sides import keras_side, minisgd_side

STEPS = 50


@dataclass(frozen=True)
class Mode:
    """Equality or tolerances.

    Attributes
    ----------
    bits : bool
        Whether equality is demanded.
    reason : str
        What the probe found.
    """

    bits: bool
    reason: str

    def __str__(self) -> str:
        """Return the mode and why."""
        return f"bits ({self.reason})" if self.bits else f"tolerances ({self.reason})"


@functools.cache
def measured_mode(seed: int = 0) -> Mode:
    """Train both packages for 50 steps of script 2 and compare the bits of their states.

    One step would not be enough: an exponential that rounds differently once in a thousand
    values shows only after about ten.

    Parameters
    ----------
    seed : int
        Seeds both.

    Returns
    -------
    Mode
        What to demand.
    """
    deviations = ", ".join(describe().deviations()) or "the reference setup"
    difference = bits_after(SCRIPTS[2], seed, STEPS, minisgd_side(), keras_side())
    if difference:
        return Mode(False, f"{deviations}; after {STEPS} steps {difference}")
    return Mode(True, f"{deviations}; {STEPS} steps are equal")
