"""Keep comparisons in the order of computation; name the first divergence."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from minisgd.parity import tolerances
from minisgd.parity.compare import TensorDifference, compare
from minisgd.parity.tolerances import EQUAL, Tolerance


@dataclass(frozen=True)
class Divergence:
    """The first comparison that failed.

    Attributes
    ----------
    where : str
        The step, for example "step 17".
    difference : TensorDifference
        The comparison.
    tolerance : Tolerance
        The bound that it broke.
    last_agreed : str
        The last tensor before it that was within its bounds, with its step.
    cause : str
        The likely cause in words (see `minisgd.parity.causes`); "" if it was not looked for.
    """

    where: str
    difference: TensorDifference
    tolerance: Tolerance
    last_agreed: str
    cause: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the divergence as plain values, for JSON."""
        d = self.difference
        return {
            "where": self.where,
            "tensor": d.name,
            "compared": d.size,
            "differing": d.differing,
            "worst_index": None if d.index is None else list(d.index),
            "ours": d.ours,
            "theirs": d.theirs,
            "ulp": d.ulp,
            "max_abs": d.max_abs,
            "max_rel": d.max_rel,
            "max_ulp": d.max_ulp,
            "broke": str(self.tolerance),
            "last_agreed": self.last_agreed,
            "cause": self.cause,
        }

    def __str__(self) -> str:
        """Return several lines: where, what, by how much, and what still agreed."""
        return (
            f"first divergence at {self.where}, tensor {self.difference.name}\n"
            f"  {self.difference}\n"
            f"  broke: {self.tolerance}\n"
            f"  last that agreed: {self.last_agreed}"
            + (f"\n  likely cause: {self.cause}" if self.cause else "")
        )


@dataclass
class Summary:
    """What all comparisons of one kind of tensor found together."""

    compared: int = 0
    differing: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: int = 0
    scaled_max: float = 0.0
    rel_frobenius: list[float] = field(default_factory=list)

    def add(self, difference: TensorDifference) -> None:
        """Take one comparison in, in place."""
        self.compared += difference.size
        self.differing += difference.differing
        self.max_abs = max(self.max_abs, difference.max_abs)
        self.max_rel = max(self.max_rel, difference.max_rel)
        self.max_ulp = max(self.max_ulp, difference.max_ulp)
        self.scaled_max = max(self.scaled_max, difference.scaled_max)
        self.rel_frobenius.append(difference.rel_frobenius)

    @property
    def median(self) -> float:
        """Median over the comparisons of the relative Frobenius difference."""
        return statistics.median(self.rel_frobenius)


@dataclass
class Ledger:
    """All comparisons of a run.

    Attributes
    ----------
    bits : bool
        Whether every comparison demands equality, whatever its tolerances.
    summaries : dict of str to Summary
        One a kind of tensor, in the order of the first comparison.
    divergence : Divergence or None
        The first comparison that failed.
    failures : list of str
        Failures that are not one comparison's: a median, too many mask mismatches.
    events : list of str
        What is worth telling although it is no failure, such as a ReLU mask mismatch.
    """

    bits: bool
    summaries: dict[str, Summary] = field(default_factory=dict)
    divergence: Divergence | None = None
    failures: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    last_agreed: str = "none"

    def check(
        self,
        where: str,
        name: str,
        ours: npt.ArrayLike,
        theirs: npt.ArrayLike,
        bounds: tuple[Tolerance, ...] = (EQUAL,),
    ) -> TensorDifference:
        """Compare two arrays, take the result in, and remember the first that fails.

        Parameters
        ----------
        where : str
            The step, for the message.
        name : str
            The kind of tensor.
        ours, theirs : array_like
            minisgd's and Keras's values.
        bounds : tuple of Tolerance
            What must hold where the ledger does not demand equality.

        Returns
        -------
        TensorDifference
            The comparison.

        Raises
        ------
        ValueError
            If the shapes or the dtypes differ.
        """
        difference = compare(name, ours, theirs)
        self.summaries.setdefault(name, Summary()).add(difference)
        broken = [
            bound
            for bound in ((EQUAL,) if self.bits else bounds)
            if not bound.holds(bound.measured(difference))
        ]
        if not broken:
            self.last_agreed = f"{name} ({where})"
        elif self.divergence is None:
            self.divergence = Divergence(where, difference, broken[0], self.last_agreed)
        return difference

    def explain(self, cause: str) -> None:
        """Add the likely cause to the first divergence, in place."""
        if self.divergence is not None:
            self.divergence = replace(self.divergence, cause=cause)

    def require(self, tolerance: Tolerance, measured: float, what: str) -> None:
        """Record a failure unless `measured` is within the tolerance."""
        if not tolerance.holds(measured):
            self.failures.append(f"{what}: {measured:.3g}, expected {tolerance}")

    def check_medians(self) -> None:
        """Require the median over the steps of each gradient's difference."""
        if self.bits:
            return
        for name, summary in self.summaries.items():
            if tolerances.GRADIENT in tolerances.STEP.get(name, ()):
                self.require(tolerances.GRADIENT_MEDIAN, summary.median, f"{name}, median")

    @property
    def passed(self) -> bool:
        """Whether everything was within its bounds."""
        return self.divergence is None and not self.failures

    def table(self) -> str:
        """Return one line a kind of tensor, as aligned text."""
        width = max((len(name) for name in self.summaries), default=6)
        lines = [
            f"{'tensor':{width}}  {'compared':>12} {'differ':>10} {'max |d|':>9} {'max rel':>9} "
            f"{'max ulp':>10} {'/max|k|':>9} {'rel norm':>9} {'median':>9}"
        ]
        lines.extend(
            f"{name:{width}}  {s.compared:>12,} {s.differing:>10,} {s.max_abs:>9.2g} "
            f"{s.max_rel:>9.2g} {s.max_ulp:>10,} {s.scaled_max:>9.2g} "
            f"{max(s.rel_frobenius):>9.2g} {s.median:>9.2g}"
            for name, s in self.summaries.items()
        )
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return the first divergence, other failures, events, and the table."""
        parts = [str(self.divergence)] if self.divergence else []
        parts.extend(self.failures)
        parts.extend(self.events)
        parts.append(self.table())
        return "\n".join(parts)
