"""SGD's update computed in the wrong ways that are known, to recognise a wrong update by its bits.

Every candidate starts from our own weights, velocities, gradients and learning rate, so that it
does not matter whether Keras's are equal; NumPy rounds every operation to float32, as the update
must.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity.compare import compare
from minisgd.parity.evidence import Evidence

Array = npt.NDArray[Any]
FLOAT64_RATE = "a learning rate that was not float32: with {rate!r} in float64 our bits come out"
FUSED = "FMA in the update: a product and a sum rounded once instead of twice give our bits"
FLOAT64_UPDATE = "an update computed in float64 and rounded at its end gives our bits"
OUTSIDE = "the learning rate outside the velocity, as in PyTorch, gives our bits"
ISOLATED = "one element"
OLD_VELOCITY = "Nesterov's step with the old velocity gives our bits"
_SMALLEST = np.finfo(np.float32).tiny


def update_cause(tensor: str, evidence: Evidence) -> str:
    """Return how ours was updated wrongly, in words; "" if no known way gives our bits.

    Parameters
    ----------
    tensor : str
        "new W1", "new velocity W1" and the like.
    evidence : Evidence
        Values of the step.
    """
    name = tensor.removeprefix("new ").removeprefix("velocity ")
    velocity = f"velocity {name}"
    needed = [name, f"d{name}", "learning rate"] + [velocity] * bool(evidence.momentum)
    if not tensor.startswith("new ") or not evidence.has(*needed):
        return ""
    w, g, lr = (evidence.mine[key] for key in (name, f"d{name}", "learning rate"))
    v = evidence.mine[velocity] if evidence.momentum else np.zeros_like(w)
    mu = np.float32(evidence.momentum)
    ours = evidence.mine[tensor]
    with np.errstate(all="ignore"):
        right = None
        for phrase, new_v, new_w in _candidates(w, v, g, np.float32(lr), mu, evidence.nesterov):
            candidate = _flushed(new_v if "velocity" in tensor else new_w)
            if compare(tensor, ours, candidate).equal:
                return phrase
            right = candidate if right is None else right
        found = "" if right is None else _isolated(name, ours, right)
        return found or _other_rate(ours, w, v, g, float(lr), mu, "velocity" in tensor)


def fused(a: Array, b: Any, c: Array) -> Array:
    """Return ``a * b + c`` of float32 with one rounding.

    The product of two float32 is exact in float64. The sum is rounded to odd there, so that the
    second rounding, to float32, does not see a tie that is none.

    Examples
    --------
    >>> a = np.float32([1 + 2**-12])
    >>> fused(a, a, np.float32([-1])) - np.float32(2**-11)
    array([5.9604645e-08], dtype=float32)
    """
    product = np.multiply(a, b, dtype=np.float64)
    total = product + c
    part = total - product
    error = (product - (total - part)) + (np.asarray(c, np.float64) - part)
    even = (total.view(np.int64) & 1) == 0
    toward = np.where(error > 0, np.inf, -np.inf)
    odd = np.where((error != 0) & even, np.nextafter(total, toward), total)
    rounded: Array = odd.astype(np.float32)
    return rounded


def _candidates(
    w: Array, v: Array, g: Array, lr: Any, mu: Any, nesterov: bool
) -> Iterator[tuple[str, Array, Array]]:
    """Each way: its name, the new velocity and the new weights; first the right one, unnamed."""
    wide_w, wide_g, wide_v = (a.astype(np.float64) for a in (w, g, v))
    # What was written down, such as 0.01, is the shortest decimal of its float32.
    decimal = float(str(lr))
    phrase = FLOAT64_RATE.format(rate=decimal)
    step, kept = g * lr, v * mu
    if not mu:
        yield "", v, w - step
        yield FUSED, v, fused(-g, lr, w)
        yield phrase, v, (wide_w - wide_g * decimal).astype(np.float32)
        yield FLOAT64_UPDATE, v, (wide_w - wide_g * float(lr)).astype(np.float32)
        return
    right = kept - step

    def look_ahead(new_v: Array) -> Array:
        return w + (new_v * mu - step if nesterov else new_v)

    yield "", right, look_ahead(right)
    for new_v in (fused(v, mu, -step), fused(-g, lr, kept)):
        yield FUSED, new_v, look_ahead(new_v)
    if nesterov:
        for change in (fused(right, mu, -step), fused(-g, lr, right * mu)):
            yield FUSED, right, w + change
        yield OLD_VELOCITY, right, w + (kept - step)
    for rate, words in ((decimal, phrase), (float(lr), FLOAT64_UPDATE)):
        new_v = kept - wide_g * rate
        change = new_v * mu - wide_g * rate if nesterov else new_v
        yield words, new_v.astype(np.float32), (wide_w + change).astype(np.float32)
        yield words, new_v.astype(np.float32), look_ahead(new_v.astype(np.float32))
    all_wide = wide_v * float(mu) - wide_g * float(lr)
    change = all_wide * float(mu) - wide_g * float(lr) if nesterov else all_wide
    yield FLOAT64_UPDATE, all_wide.astype(np.float32), (wide_w + change).astype(np.float32)
    for sign in (-1, 1):
        new_v = kept + sign * g
        yield OUTSIDE, new_v, w - sign * lr * new_v


def _isolated(name: str, ours: Array, theirs: Array) -> str:
    """A few elements that differ while all others have been updated right."""
    found = compare(name, ours, theirs)
    if found.differing > min(3, found.size // 10):
        return ""
    count = ISOLATED if found.differing == 1 else f"{found.differing} elements"
    index = ", ".join(map(str, found.index or ()))
    return (
        f"{count} changed apart from the update, by at most {found.max_ulp:,} ulp: "
        f"{name}[{index}]; the other {found.size - found.differing:,} are right"
    )


def _other_rate(
    ours: Array, w: Array, v: Array, g: Array, lr: float, mu: Any, velocity: bool
) -> str:
    """Another learning rate, if one explains all changes but for rounding."""
    kept = (v * mu).astype(np.float64)
    start = kept if velocity else w + kept
    change, wide = (start - ours).ravel(), g.astype(np.float64).ravel()
    power = float(np.dot(wide, wide))
    if not power or not lr:
        return ""
    rate = float(np.dot(change, wide)) / power
    left = np.abs(change - rate * wide)
    bound = 4 * np.finfo(np.float32).eps * (np.abs(start).ravel() + np.abs(rate * wide))
    if not np.all(left <= bound) or not abs(rate / lr - 1) > 1e-3:
        return ""
    return f"another learning rate: about {rate:.4g} instead of {lr:.4g}"


def _flushed(values: Array) -> Array:
    """`values` with zeros for denormal numbers, as the processor leaves them in the kernels."""
    return np.where(np.abs(values) < _SMALLEST, np.copysign(np.float32(0), values), values)
