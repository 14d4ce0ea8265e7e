"""Comparison of arrays, the ledger and the tolerances. Needs no TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from minisgd.parity import tolerances
from minisgd.parity.compare import compare, first_difference, ulp_distance
from minisgd.parity.report import Ledger
from minisgd.parity.tolerances import EQUAL, Tolerance


def test_equal_arrays_have_no_difference() -> None:
    """Same bits: nothing to report."""
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert first_difference("a", a, a.copy()) is None
    assert str(compare("a", a, a)) == "a: 6 values, all bits equal"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_worst_element(dtype: type[np.floating]) -> None:
    """Index, values, count, ulp and norms of the worst element."""
    theirs = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=dtype)
    ours = theirs.copy()
    ours[0, 0] = np.nextafter(ours[0, 0], dtype(2))
    ours[1, 0] += 0.5
    found = first_difference("w", ours, theirs)
    assert found is not None
    assert (found.differing, found.index, found.ours, found.theirs) == (2, (1, 0), 3.5, 3.0)
    assert found.max_abs == 0.5
    assert found.scaled_max == 0.125
    assert found.rel_frobenius == pytest.approx(0.5 / np.sqrt(30), rel=1e-6)
    assert found.ulp == 2 ** (np.finfo(dtype).nmant - 2)
    assert "worst at (1, 0): ours 3.5, Keras's 3.0" in str(found)


def test_ulp_distance_counts_representable_numbers() -> None:
    """Across zero, at infinity, without overflow in float64."""
    f = np.float32
    tiny = np.nextafter(f(0), f(1))
    cases = [
        (f(1), np.nextafter(f(1), f(2)), 1),
        (tiny, -tiny, 2),
        (f(0.0), f(-0.0), 0),
        (np.finfo(f).max, f(np.inf), 1),
        (np.float64(-np.inf), np.float64(np.inf), 2 * 0x7FF0000000000000),
        (np.int64(3), np.int64(-4), 7),
        (np.float16(1), np.nextafter(np.float16(1), np.float16(2)), 1),
    ]
    for a, b, distance in cases:
        assert ulp_distance(np.asarray(a), np.asarray(b)) == distance
        assert ulp_distance(np.asarray(b), np.asarray(a)) == distance


def test_signed_zeros_differ_in_bits_only() -> None:
    """-0.0 against 0.0 is a difference of 0 ulp."""
    found = first_difference("z", np.float32(-0.0), np.float32(0.0))
    assert found is not None
    assert (found.differing, found.ulp, found.max_abs, found.index) == (1, 0, 0.0, ())
    assert found.rel_frobenius == 0.0


def test_nan_equals_nan_of_the_same_payload_only() -> None:
    """Bits decide, also for NaN."""
    quiet = np.array([0x7FC00000, 0x7FC00001], dtype=np.uint32).view(np.float32)
    assert first_difference("n", quiet, quiet.copy()) is None
    assert compare("n", quiet, quiet[::-1]).differing == 2


def test_nan_and_infinity_are_worse_than_any_number() -> None:
    """A NaN on one side is the worst element and breaks every bound."""
    theirs = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    for bad in (np.nan, np.inf):
        ours = np.array([1e30, bad, 3.0], dtype=np.float32)
        found = compare("n", ours, theirs)
        assert found.index == (1,)
        assert found.max_abs == found.rel_frobenius == np.inf
        assert not tolerances.GRADIENT.holds(tolerances.GRADIENT.measured(found))
    found = compare("n", theirs, np.array([1.0, np.nan, 3.0], dtype=np.float32))
    assert found.scaled_max == np.inf


def test_integers_booleans_scalars_and_empty_arrays() -> None:
    """Any dtype of the suite can be compared."""
    assert first_difference("i", np.int64(7), np.int64(7)) is None
    assert compare("i", np.array([1, 5]), np.array([1, 9])).ulp == 4
    assert compare("b", np.array([True]), np.array([False])).differing == 1
    assert first_difference("e", np.zeros((0, 3), "f4"), np.zeros((0, 3), "f4")) is None
    found = compare("s", 0.5, 0.25)
    assert (found.index, found.size, found.rel_frobenius) == ((), 1, 1.0)


def test_layout_does_not_matter() -> None:
    """Strided and Fortran-ordered arrays compare by position."""
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert first_difference("f", np.asfortranarray(a), a) is None
    assert first_difference("s", np.repeat(a, 2, axis=1)[:, ::2], a) is None


def test_shapes_and_dtypes_must_match() -> None:
    """A wrong shape or dtype is an error, not a difference."""
    with pytest.raises(ValueError, match=r"w: expected Keras's shape \(3,\), received ours \(2,\)"):
        compare("w", np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="expected Keras's dtype float64, received ours float32"):
        compare("w", np.zeros(2, "f4"), np.zeros(2))


def test_ledger_names_the_first_divergence_and_what_agreed() -> None:
    """Only the first failure is kept, with the last tensor that agreed."""
    ledger = Ledger(bits=False)
    one, two = np.ones(3, "f4"), np.array([1, 2, 1], "f4")
    ledger.check("step 4", "z1", one, one)
    ledger.check("step 4", "logits", one, two, (tolerances.ACTIVATION,))
    ledger.check("step 5", "loss", one, two)
    assert not ledger.passed
    text = str(ledger)
    assert "first divergence at step 4, tensor logits" in text
    assert "worst at (1,): ours 1.0, Keras's 2.0" in text
    assert "last that agreed: z1 (step 4)" in text
    assert ledger.summaries["loss"].differing == 1


def test_ledger_in_bits_mode_ignores_tolerances() -> None:
    """One ulp fails in bits mode and passes within a tolerance."""
    a = np.ones(3, "f4")
    b = np.nextafter(a, np.float32(2))
    for bits in (True, False):
        ledger = Ledger(bits=bits)
        ledger.check("step 0", "logits", a, b, (tolerances.ACTIVATION,))
        assert ledger.passed is not bits


def test_medians_are_required_of_gradients() -> None:
    """A gradient within its bound at every step may still fail by its median."""
    ledger = Ledger(bits=False)
    for step in range(3):
        ours = np.full(10, 1 + 1e-5, "f4")
        ledger.check(f"step {step}", "dW1", ours, np.ones(10, "f4"), tolerances.STEP["dW1"])
    assert ledger.passed
    ledger.check_medians()
    assert not ledger.passed
    assert "dW1, median" in ledger.failures[0]


def test_every_tolerance_has_a_reason() -> None:
    """A bound without a reason is not kept; NaN is within none."""
    records = [value for value in vars(tolerances).values() if isinstance(value, Tolerance)]
    assert len(records) > 10
    for record in records:
        assert len(record.reason) > 20
        assert not record.holds(float("nan"))
    assert EQUAL.value == 0.0


def test_importing_the_parity_room_imports_no_tensorflow() -> None:
    """Every module of the room loads without Keras and TensorFlow."""
    code = (
        "import sys, importlib, pkgutil, minisgd.parity as p\n"
        "for m in pkgutil.iter_modules(p.__path__):\n"
        "    importlib.import_module('minisgd.parity.' + m.name)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
