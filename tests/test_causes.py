"""The likely cause of a divergence: each is put into the values of one step and recognised.

No TensorFlow here: both sides' values are computed with NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minisgd_kernels as kernels
from minisgd.parity import causes, updates
from minisgd.parity.causes import likely_cause
from minisgd.parity.evidence import Evidence, step_values
from minisgd.parity.report import Ledger
from minisgd.parity.sides import State

f4 = np.float32
N, PIXELS, HIDDEN, CLASSES = 12, 20, 8, 10
Values = dict[str, Any]


def step(momentum: float = 0.0, nesterov: bool = False) -> Values:
    """A whole step of a small network in float32."""
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Any:
        return rng.standard_normal(shape, f4)

    # Small, so that a weight's rounding shows that of its update.
    weights = {"W1": f4(0.05) * draw(PIXELS, HIDDEN), "b1": draw(HIDDEN)}
    weights |= {"W2": draw(HIDDEN, CLASSES), "b2": draw(CLASSES)}
    velocities = {f"velocity {name}": f4(1e-3) * draw(*w.shape) for name, w in weights.items()}
    optimizer = {"iteration": np.array(7), "learning rate": np.array(0.01, f4)}
    before = State(weights, optimizer | (velocities if momentum else {}))
    y = np.eye(CLASSES)[rng.integers(0, CLASSES, N)]
    x = draw(N, PIXELS)
    trace = forward_and_backward(x, y, weights)
    new_w, new_v = {}, {}
    for name, w in weights.items():
        g, v = trace[f"d{name}"] * f4(0.01), velocities[f"velocity {name}"]
        new = v * f4(momentum) - g
        new_v[f"velocity {name}"] = new
        new_w[name] = w - g if not momentum else w + (new * f4(momentum) - g if nesterov else new)
    after = State(new_w, {**optimizer, **(new_v if momentum else {})})
    return step_values(before, y, trace, after)


def forward_and_backward(x: Any, y: Any, weights: Values) -> Values:
    w1, b1, w2, b2 = weights.values()
    z1 = x @ w1 + b1
    h = np.maximum(z1, f4(0))
    logits = h @ w2 + b2
    # Not NumPy's exp: float64's, rounded.
    e = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True)).astype(f4)
    total = kernels.sum_last(e)
    p = e / total[:, None]
    dlogits = (p - y.astype(f4)) * f4(1 / len(x))
    dh = dlogits @ w2.T
    dz1 = np.where(z1 > 0, dh, f4(0))
    return {
        "x": x,
        "z1": z1,
        "h": h,
        "logits": logits,
        "p": p,
        "loss": np.array(-np.log(p[y == 1]).mean(), f4),
        "dlogits": dlogits,
        "dW2": h.T @ dlogits,
        "db2": dlogits.sum(axis=0),
        "dh": dh,
        "dW1": x.T @ dz1,
        "db1": dz1.sum(axis=0),
    }


def cause(name: str, change: Callable[[Values], Any], **optimizer: Any) -> str:
    """The cause that is named when ours is changed in one tensor."""
    reference = step(**optimizer)
    mine = {**reference, name: np.asarray(change(reference))}
    assert not np.array_equal(mine[name], reference[name])
    return likely_cause(name, Evidence(mine, reference, images=reference["x"], **optimizer))


def with_rows(order: list[int]) -> Callable[[Values], Any]:
    return lambda v: v["x"][[*order, *range(len(order), N)]]


def test_the_order_of_samples() -> None:
    assert cause("x", with_rows([0, 2, 1])) == f"{causes.SWAPPED}: 1 and 2 of the batch"
    assert cause("x", with_rows([1, 2, 0])).startswith(f"{causes.OTHER_ORDER}: 3 of the 12")
    assert "1 samples of the batch belong to other" in cause("x", with_rows([1]))
    assert cause("x", lambda v: v["x"] * f4(1.001)).startswith("other pixels")


def test_the_order_of_an_epoch() -> None:
    order = np.arange(50)
    swapped = np.array([1, 0, *range(2, 50)])
    ledger = Ledger(bits=True)
    causes.check_alone(ledger, "the start", "order of samples", swapped, order)
    assert ledger.divergence is not None
    assert ledger.divergence.cause == f"{causes.SWAPPED}: 0 and 1 of the epoch"
    assert "likely cause: another sample order" in str(ledger)


def test_labels() -> None:
    found = cause("labels", lambda v: np.roll(v["labels"], 1, axis=1))
    assert found.startswith(f"{causes.LABELS} for 12 of 12 samples, the first: class ")


def test_the_state_before_the_step() -> None:
    def one_ulp(values: Values) -> Any:
        w = values["W1"].copy()
        w[3, 5] = np.nextafter(w[3, 5], f4(np.inf))
        return w

    found = cause("W1", one_ulp)
    assert found == f"W1 was {causes.CHANGED_BEFORE}: 1 of 160 values, at most 1 ulp"
    rate = cause("learning rate", lambda v: f4(0.02))
    assert rate == "another learning rate: 0.02 instead of 0.01"
    initial = Evidence({"initial W1": np.ones(3, f4)}, {"initial W1": np.zeros(3, f4)})
    assert likely_cause("initial W1", initial).startswith("another initial value")


PRODUCTS: dict[str, Callable[[Values], Any]] = {
    "z1": lambda v: v["x"][:, ::-1].copy() @ v["W1"][::-1].copy() + v["b1"],
    "logits": lambda v: v["b2"] + np.add.reduce(v["h"][:, :, None] * v["W2"], axis=1)[:, ::1],
    "dW2": lambda v: (v["h"].T.astype(float) @ v["dlogits"]).astype(f4),
    "db2": lambda v: v["dlogits"][::-1].sum(axis=0),
    "dh": lambda v: (v["dlogits"].astype(float) @ v["W2"].T).astype(f4),
    "dW1": lambda v: v["x"][::-1].T @ np.where(v["z1"] > 0, v["dh"], f4(0))[::-1],
    "db1": lambda v: np.where(v["z1"] > 0, v["dh"], f4(0))[::-1].sum(axis=0),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_another_sum_order(name: str) -> None:
    assert cause(name, PRODUCTS[name]).startswith(f"{causes.SUM_ORDER} in ")
    # A product that is wrong by more than rounding is none.
    assert causes.SUM_ORDER not in cause(name, lambda v: PRODUCTS[name](v) + f4(1e-3))


def test_a_mask_flip_is_named_with_both_pre_activations() -> None:
    reference = step()
    reference["z1"][4, 3] = f4(1e-8)
    mine = {**reference, "z1": reference["z1"].copy(), "dW1": reference["dW1"] + f4(1e-3)}
    mine["z1"][4, 3] = f4(-2e-8)
    found = likely_cause("dW1", Evidence(mine, reference))
    assert found == (
        f"{causes.MASK_FLIP}: sample 4, unit 3, pre-activation ours -1.99999999e-08, Keras's "
        "9.99999994e-09"
    )


def test_a_mask_flip_behind_another_sum_order() -> None:
    reference = step()
    exact = reference["x"].astype(float) @ reference["W1"] + reference["b1"]
    shift = exact[2, 1]  # so that unit 1 of sample 2 is zero but for rounding
    reference["b1"] = reference["b1"].copy()
    reference["b1"][1] -= f4(shift)
    z1 = (reference["x"].astype(float) @ reference["W1"] + reference["b1"]).astype(f4)
    mine = {**reference, "z1": z1.copy()}
    reference["z1"] = z1
    mine["z1"][2, 1], reference["z1"][2, 1] = f4(3e-8), f4(-3e-8)
    found = likely_cause("z1", Evidence(mine, reference))
    assert found.startswith(f"{causes.SUM_ORDER} in x @ W1 + b1")
    assert f"; behind it {causes.MASK_FLIP}: sample 2, unit 1," in found


def test_relus_slope_at_zero() -> None:
    reference = step()
    reference["z1"][:, 2] = 0
    reference["db1"] = np.where(reference["z1"] > 0, reference["dh"], f4(0)).sum(axis=0)
    mine = {**reference, "db1": np.where(reference["z1"] >= 0, reference["dh"], 0).sum(axis=0)}
    assert likely_cause("db1", Evidence(mine, reference)) == causes.SLOPE_AT_ZERO


def test_the_exponential() -> None:
    def numpy_exp(values: Values) -> Any:
        logits = values["logits"]
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (e / kernels.sum_last(e)[:, None] - values["labels"].astype(f4)) * f4(1 / N)

    reference = step()
    mine = {
        **reference,
        "dlogits": numpy_exp(reference),
        "loss": np.nextafter(reference["loss"], f4(9)),
    }
    evidence = Evidence(mine, reference)
    if not np.array_equal(mine["dlogits"], reference["dlogits"]):
        assert likely_cause("dlogits", evidence) == causes.NUMPY_EXP
        assert likely_cause("loss", evidence) == causes.NUMPY_EXP
    found = cause("p", lambda v: np.nextafter(v["p"], f4(1)))
    assert found == f"{causes.OTHER_EXP}, from equal logits: at most 1 ulp apart"
    given = Evidence({}, reference, given={"p given logits": np.nextafter(reference["p"], f4(1))})
    assert likely_cause("p given logits", given).startswith(causes.OTHER_EXP)


# --- the update ---
def wide(values: Values, key: str) -> Any:
    return values[key].astype(float)


UPDATES: list[tuple[str, str, Callable[[Values], Any], dict[str, Any]]] = [
    (
        updates.FLOAT64_RATE.format(rate=0.01),
        "new W1",
        lambda v: (wide(v, "W1") - wide(v, "dW1") * 0.01).astype(f4),
        {},
    ),
    (updates.FUSED, "new W1", lambda v: updates.fused(-v["dW1"], f4(0.01), v["W1"]), {}),
    (
        updates.FLOAT64_RATE.format(rate=0.01),
        "new velocity W1",
        lambda v: (v["velocity W1"] * f4(0.9) - wide(v, "dW1") * 0.01).astype(f4),
        {"momentum": 0.9},
    ),
    (
        updates.FUSED,
        "new velocity W1",
        lambda v: updates.fused(v["velocity W1"], f4(0.9), -(v["dW1"] * f4(0.01))),
        {"momentum": 0.9},
    ),
    (
        updates.FUSED,
        "new velocity W1",
        lambda v: updates.fused(-v["dW1"], f4(0.01), v["velocity W1"] * f4(0.9)),
        {"momentum": 0.9},
    ),
    (
        updates.FLOAT64_UPDATE,
        "new velocity W1",
        lambda v: (
            wide(v, "velocity W1") * float(f4(0.9)) - wide(v, "dW1") * float(f4(0.01))
        ).astype(f4),
        {"momentum": 0.9},
    ),
    (
        updates.OUTSIDE,
        "new velocity W1",
        lambda v: v["velocity W1"] * f4(0.9) + v["dW1"],
        {"momentum": 0.9},
    ),
    (
        updates.OLD_VELOCITY,
        "new W1",
        lambda v: v["W1"] + (v["velocity W1"] * f4(0.9) - v["dW1"] * f4(0.01)),
        {"momentum": 0.9, "nesterov": True},
    ),
    (
        updates.FUSED,
        "new W1",
        lambda v: v["W1"] + updates.fused(v["new velocity W1"], f4(0.9), -(v["dW1"] * f4(0.01))),
        {"momentum": 0.9, "nesterov": True},
    ),
]


@pytest.mark.parametrize(("expected", "name", "change", "optimizer"), UPDATES)
def test_a_wrong_update(
    expected: str, name: str, change: Callable[[Values], Any], optimizer: dict[str, Any]
) -> None:
    assert cause(name, change, **optimizer) == expected


@pytest.mark.parametrize("optimizer", [{}, {"momentum": 0.9}])
def test_another_learning_rate(optimizer: dict[str, Any]) -> None:
    name = "new velocity W1" if optimizer else "new W1"
    found = cause(name, lambda v: v[name] - f4(0.003) * v["dW1"], **optimizer)
    assert found == "another learning rate: about 0.013 instead of 0.01"


def test_one_element_apart_from_the_update() -> None:
    def one_ulp(values: Values) -> Any:
        w = values["new W1"].copy()
        w[3, 5] = np.nextafter(w[3, 5], f4(np.inf))
        return w

    found = cause("new W1", one_ulp)
    assert found == (
        f"{updates.ISOLATED} changed apart from the update, by at most 1 ulp: W1[3, 5]; the other "
        "159 are right"
    )


def test_fused_rounds_once() -> None:
    """Against exact integer arithmetic, on sums that lie close to ties."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(2**23, 2**24, 4000).astype(f4) for _ in range(2))
    c = -(a.astype(float) * b).astype(f4) * rng.choice([1, 1 + 2**-20, 2**-22], 4000).astype(f4)
    found = updates.fused(a, b, c)
    for x, y, z, result in zip(a, b, c, found, strict=True):
        exact = int(x) * int(y) + int(z)
        near = [result, np.nextafter(result, f4(np.inf)), np.nextafter(result, f4(-np.inf))]
        errors = [abs(int(value) - exact) for value in near]
        assert errors[0] == min(errors)


# --- any tensor ---
def test_a_denormal() -> None:
    reference = {"new velocity W1": np.array([1, 0, 2], f4)}
    mine = {"new velocity W1": np.array([1, 1e-40, 2], f4)}
    found = likely_cause("new velocity W1", Evidence(mine, reference))
    assert found == f"{causes.DENORMALS}: ours keeps 1 of them"
    found = likely_cause("new velocity W1", Evidence(reference, mine))
    assert found == f"{causes.DENORMALS}: Keras keeps 1 of them"


def test_zeros_of_the_other_sign() -> None:
    zeros = np.zeros(2, f4)
    assert likely_cause("h", Evidence({"h": -zeros}, {"h": zeros})) == causes.ZERO_SIGNS


def test_another_factor() -> None:
    found = cause("dlogits", lambda v: v["dlogits"] * f4(0.375))
    assert found == f"{causes.OTHER_FACTOR}: every value of dlogits is 0.375 times Keras's"


def test_names_and_logs() -> None:
    false, true = np.array(False), np.array(True)
    assert "names" in likely_cause("log names", Evidence({"log names": false}, {"log names": true}))
    mine = {"loss": np.ones((), f4), "log loss": np.array(1.0)}
    reference = {"loss": np.ones((), f4), "log loss": np.array(2.0)}
    assert likely_cause("log loss", Evidence(mine, reference)).startswith("another mean in the")


def test_what_is_not_recognised_says_so() -> None:
    rng = np.random.default_rng(5)
    found = cause("dW1", lambda v: v["dW1"] + rng.standard_normal(v["dW1"].shape, f4))
    assert found == causes.NOT_RECOGNISED
    assert likely_cause("dW1", Evidence({}, {})) == causes.NOT_RECOGNISED
