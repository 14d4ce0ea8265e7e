"""The likely cause of a first divergence, in words.

Each function below tries one explanation on the values of the step, by recomputing what it says
and comparing bits where it can, and returns "" if it does not hold. A phrase is what fits the
values, not a proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import minisgd_kernels as kernels
from minisgd.parity.compare import compare, ulp_distances
from minisgd.parity.evidence import Evidence
from minisgd.parity.report import Ledger
from minisgd.parity.updates import update_cause

Array = npt.NDArray[Any]
NOT_RECOGNISED = "not recognised"
SWAPPED = "another sample order: two samples are swapped"
OTHER_ORDER = "another sample order"
LABELS = "other labels"
MASK_FLIP = "a ReLU mask flip"
SLOPE_AT_ZERO = "ReLU's slope at zero taken as 1, which gives our values; TensorFlow's is 0"
SUM_ORDER = "another sum order"
NUMPY_EXP = "NumPy's exp instead of Eigen's gives our bits"
OTHER_EXP = "another exp, or another order in its sum"
DENORMALS = "a denormal number that one side flushes to zero"
ZERO_SIGNS = "zeros of the other sign: all values are equal as numbers"
OTHER_FACTOR = "another factor"
CHANGED_BEFORE = "changed between two steps"
_EPS = float(np.finfo(np.float32).eps)
_SMALLEST = np.finfo(np.float32).tiny
_FEW_ULP = 16


def likely_cause(tensor: str, evidence: Evidence) -> str:
    """Return why a tensor differs, in words.

    Parameters
    ----------
    tensor : str
        The first tensor that diverged, under its name in the ledger.
    evidence : Evidence
        The values of the step, that tensor's among them.

    Returns
    -------
    str
        A phrase, or `NOT_RECOGNISED`.
    """
    evidence = evidence.about(tensor)
    name = tensor.partition(" given ")[0]
    if not evidence.has(name):
        return NOT_RECOGNISED
    for explain in _EXPLANATIONS:
        cause = explain(name, evidence)
        if cause:
            return cause
    return NOT_RECOGNISED


def check_alone(ledger: Ledger, where: str, name: str, ours: Array, theirs: Array) -> None:
    """Compare two arrays, and explain the divergence from them alone if they are the first."""
    found = ledger.divergence
    ledger.check(where, name, ours, theirs)
    if ledger.divergence is not found:
        ledger.explain(likely_cause(name, Evidence({name: ours}, {name: theirs})))


# --- what goes into the step ---
def sample_order(name: str, evidence: Evidence) -> str:
    """Rows of the batch that are in another place, or come from another batch."""
    if name not in ("x", "order of samples"):
        return ""
    ours, theirs = evidence.mine[name], evidence.reference[name]
    ours, theirs = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
    moved = np.flatnonzero((ours != theirs).any(axis=1))
    unit = "batch" if name == "x" else "epoch"
    if sorted(map(bytes, ours)) == sorted(map(bytes, theirs)):
        if len(moved) == 2:
            return f"{SWAPPED}: {moved[0]} and {moved[1]} of the {unit}"
        return f"{OTHER_ORDER}: {len(moved):,} of the {len(ours):,} samples of the {unit} moved"
    known = set() if evidence.images is None else set(map(bytes, evidence.images))
    if known and all(bytes(ours[row]) in known for row in moved):
        return f"{OTHER_ORDER}: {len(moved):,} samples of the batch belong to other batches"
    return "other pixels: the images are prepared in another way" if name == "x" else ""


def labels(name: str, evidence: Evidence) -> str:
    """Samples whose one-hot rows name another class."""
    if name not in ("labels", "one-hot labels"):
        return ""
    ours, theirs = evidence.mine[name], evidence.reference[name]
    wrong = np.flatnonzero((ours != theirs).any(axis=1))
    mine, right = int(np.argmax(ours[wrong[0]])), int(np.argmax(theirs[wrong[0]]))
    return (
        f"{LABELS} for {len(wrong):,} of {len(ours):,} samples, the first: class {mine} instead "
        f"of {right}"
    )


def state_before(name: str, evidence: Evidence) -> str:
    """A state that differs although the step before left equal ones, or an initial weight."""
    if name.startswith("initial "):
        return "another initial value: another seed, initializer or order of drawing"
    if name == "learning rate":
        # str keeps a float32 short.
        ours, theirs = (str(side[name][()]) for side in (evidence.mine, evidence.reference))
        return f"another learning rate: {ours} instead of {theirs}"
    if name.startswith("new ") or name.split(" ")[-1] not in ("W1", "b1", "W2", "b2"):
        return ""
    found = compare(name, evidence.mine[name], evidence.reference[name])
    return (
        f"{name} was {CHANGED_BEFORE}: {found.differing:,} of {found.size:,} values, at most "
        f"{found.max_ulp:,} ulp"
    )


# --- ReLU ---
def slope_at_zero(name: str, evidence: Evidence) -> str:
    """A gradient that passes ReLU where its input is exactly zero."""
    if name not in ("dW1", "db1") or not evidence.has("x", "z1", "dh"):
        return ""
    x, z1, dh = (evidence.mine[key] for key in ("x", "z1", "dh"))
    ours = evidence.mine[name]

    def fits(dz1: Array) -> bool:
        exact, size = _product(x.T, dz1) if name == "dW1" else _column_sum(dz1)
        return _within_rounding(ours, exact, size, len(x))

    if fits(_masked(dh, z1)) or not fits(np.where(z1 >= 0, dh, np.float32(0))):
        return ""
    return SLOPE_AT_ZERO


def mask_flip(name: str, evidence: Evidence) -> str:
    """Where the ReLU masks differ: the first sample and unit, with both pre-activations."""
    behind = ("h", "dW1", "db1", "new W1", "new b1")
    if name.replace("velocity ", "") not in behind or not evidence.has("z1"):
        return ""
    ours, theirs = evidence.mine["z1"], evidence.reference["z1"]
    flipped = np.argwhere((ours > 0) != (theirs > 0))
    if not len(flipped):
        return ""
    sample, unit = (int(i) for i in flipped[0])
    more = f" (and {len(flipped) - 1} more)" if len(flipped) > 1 else ""
    return (
        f"{MASK_FLIP}: sample {sample}, unit {unit}, pre-activation ours "
        f"{ours[sample, unit]:.9g}, Keras's {theirs[sample, unit]:.9g}{more}"
    )


# --- matrix products and sums ---
def sum_order(name: str, evidence: Evidence) -> str:
    """Both sides within rounding of the float64 value, from equal inputs."""
    terms = _TERMS.get(name)
    if terms is None or not evidence.equal(*terms[0]):
        return ""
    exact, size, count = terms[1](*(evidence.reference[key] for key in terms[0]))
    ours, theirs = evidence.mine[name], evidence.reference[name]
    if not (
        _within_rounding(ours, exact, size, count) and _within_rounding(theirs, exact, size, count)
    ):
        return ""
    worst = int(ulp_distances(ours, theirs).max())
    flip = mask_flip("h", evidence) if name == "z1" else ""
    return (
        f"{SUM_ORDER} in {terms[2]}: from equal inputs, both are within rounding of the float64 "
        f"value, at most {worst:,} ulp apart" + (f"; behind it {flip}" if flip else "")
    )


def _product(a: Array, b: Array) -> tuple[Array, Array]:
    """``a @ b`` in float64, and the sum of the terms' sizes, which bounds its rounding."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    return wide_a @ wide_b, np.abs(wide_a) @ np.abs(wide_b)


def _column_sum(g: Array) -> tuple[Array, Array]:
    wide = g.astype(np.float64)
    return wide.sum(axis=0), np.abs(wide).sum(axis=0)


def _layer(x: Array, w: Array, b: Array) -> tuple[Array, Array, int]:
    exact, size = _product(x, w)
    return exact + b, size + np.abs(b), len(w) + 1


def _kernel_gradient(x: Array, g: Array) -> tuple[Array, Array, int]:
    return (*_product(x.T, g), len(x))


def _bias_gradient(g: Array) -> tuple[Array, Array, int]:
    return (*_column_sum(g), len(g))


def _input_gradient(g: Array, w: Array) -> tuple[Array, Array, int]:
    return (*_product(g, w.T), w.shape[1])


def _masked(dh: Array, z1: Array) -> Array:
    return np.where(z1 > 0, dh, np.float32(0))


# tensor: its inputs, its float64 value and size from them and the number of terms, its formula
_TERMS: dict[str, tuple[tuple[str, ...], Callable[..., tuple[Array, Array, int]], str]] = {
    "z1": (("x", "W1", "b1"), _layer, "x @ W1 + b1"),
    "logits": (("h", "W2", "b2"), _layer, "h @ W2 + b2"),
    "dW2": (("h", "dlogits"), _kernel_gradient, "h.T @ dlogits"),
    "db2": (("dlogits",), _bias_gradient, "the sum of dlogits over the batch"),
    "dh": (("dlogits", "W2"), _input_gradient, "dlogits @ W2.T"),
    "dW1": (
        ("x", "dh", "z1"),
        lambda x, dh, z1: _kernel_gradient(x, _masked(dh, z1)),
        "x.T @ dz1",
    ),
    "db1": (
        ("dh", "z1"),
        lambda dh, z1: _bias_gradient(_masked(dh, z1)),
        "the sum of dz1 over the batch",
    ),
}


def _within_rounding(values: Array, exact: Array, size: Array, count: int) -> bool:
    """Whether float32 sums of `count` terms may be off by this much.

    Their errors add up like the steps of a random walk, hence the root.
    """
    bound = 4 * _EPS * np.sqrt(count + 4) * size + _SMALLEST
    return bool(np.all(np.abs(values - exact) <= bound))


# --- softmax and the loss ---
def exponential(name: str, evidence: Evidence) -> str:
    """Probabilities, loss or its gradient that differ a little although the logits are equal."""
    if name not in ("p", "loss", "dlogits") or not evidence.equal("logits"):
        return ""
    if _is_numpy_exp("p" if name == "p" else "dlogits", evidence):
        return NUMPY_EXP
    ours, theirs = evidence.mine[name], evidence.reference[name]
    # A gradient p - y may cancel: there count units of its probability.
    scale = 1.0 / len(ours) if name == "dlogits" else np.abs(theirs)
    if not np.all(np.abs(ours - theirs) <= _FEW_ULP * _EPS * scale):
        return ""
    worst = int(ulp_distances(np.atleast_1d(ours), np.atleast_1d(theirs)).max())
    return f"{OTHER_EXP}, from equal logits: at most {worst:,} ulp apart"


def _is_numpy_exp(name: str, evidence: Evidence) -> bool:
    """Whether NumPy's exp gives our bits, with one of the usual sums and divisions."""
    if not evidence.has(name, "labels"):
        return False
    logits, y = evidence.mine["logits"], evidence.mine["labels"].astype(np.float32)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    for total in (kernels.sum_last(e), e.sum(axis=1), np.cumsum(e, axis=1)[:, -1]):
        for p in (e / total[:, None], e * (1 / total)[:, None]):
            # TensorFlow and minisgd multiply by 1 / N.
            value = p if name == "p" else (p - y) * np.float32(1 / len(y))
            if compare(name, evidence.mine[name], value).equal:
                return True
    return False


# --- any tensor ---
def denormals(name: str, evidence: Evidence) -> str:
    """Differences only where one side is zero and the other too small for a normal number."""
    ours, theirs = evidence.mine[name], evidence.reference[name]
    if ours.dtype.kind != "f":
        return ""
    unequal = ours.view(np.uint32 if ours.itemsize == 4 else np.uint64) != theirs.view(
        np.uint32 if ours.itemsize == 4 else np.uint64
    )
    if not unequal.any():
        return ""
    a, b = np.abs(ours[unequal]), np.abs(theirs[unequal])
    small = np.finfo(ours.dtype).tiny
    if not np.all((np.minimum(a, b) == 0) & (np.maximum(a, b) < small) & (a != b)):
        return ""
    who = "ours keeps" if np.count_nonzero(a) else "Keras keeps"
    return f"{DENORMALS}: {who} {int(np.count_nonzero(unequal)):,} of them"


def zero_signs(name: str, evidence: Evidence) -> str:
    """Equal values: only zeros of the other sign."""
    ours, theirs = evidence.mine[name], evidence.reference[name]
    return ZERO_SIGNS if ours.dtype.kind == "f" and np.array_equal(ours, theirs) else ""


def scaled(name: str, evidence: Evidence) -> str:
    """Every value of ours is Keras's times one number; the loss is judged by its gradient."""
    name = "dlogits" if name == "loss" and evidence.has("dlogits") else name
    ours, theirs = (side[name].astype(np.float64) for side in (evidence.mine, evidence.reference))
    power = float(np.sum(theirs * theirs))
    if ours.size < 2 or not power:
        return ""
    ratio = float(np.sum(ours * theirs)) / power
    left = float(np.max(np.abs(ours - ratio * theirs)))
    if not left <= 1e-5 * float(np.max(np.abs(ours))) or abs(ratio - 1) < 1e-3:
        return ""
    return f"{OTHER_FACTOR}: every value of {name} is {ratio:.6g} times Keras's"


def names_or_logs(name: str, evidence: Evidence) -> str:
    """Logs: their names, or what they make of the step's own figure."""
    if name in ("History keys", "log names"):
        return "other names, or another order of the names"
    if name == "log loss" and evidence.equal("loss"):
        return "another mean in the logs: the step's own loss agrees"
    return ""


_EXPLANATIONS = (
    sample_order,
    labels,
    state_before,
    zero_signs,
    denormals,
    mask_flip,
    slope_at_zero,
    sum_order,
    exponential,
    update_cause,
    scaled,
    names_or_logs,
)
