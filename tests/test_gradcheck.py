"""Gradients against finite differences, and the Hessian-vector product of the whole network."""

import numpy as np
import pytest

import minisgd
from minisgd import GradCheckError, GradientTape, Variable, gradcheck, hvp, ops
from minisgd.primitive import bind, defop

X = np.array([[0.5, -1.2, 0.3], [2.0, 0.7, -0.4]])


def test_a_right_derivative():
    report = gradcheck(lambda a, b: ops.tanh(ops.matmul(a, b)), [X, X.T], name="product")
    assert report.ok
    assert report.worst.error < 1e-9
    assert {(c.order, c.name) for c in report.comparisons} == {
        (0, "all inputs"), (1, "input 0"), (1, "input 1"), (2, "input 0"), (2, "input 1"),
    }  # fmt: skip
    assert str(report).startswith("gradcheck of product: agrees to 1e-06; worst first:\n  ")


def wrong_square(first=2.0, second=2.0):
    """x * x with slopes that are off by a factor."""
    slope = defop(
        "slope",
        lambda x: 2.0 * x,
        lambda g, out, x: g * second,
    )
    op = defop("wrong", lambda x: x * x, lambda g, out, x: g * bind(slope, x) * (first / 2.0))
    return lambda x: bind(op, x)


def test_a_wrong_gradient_is_found():
    with pytest.raises(GradCheckError, match=r"first derivative, input 0\[\d, \d\]: analytic"):
        gradcheck(wrong_square(first=2.0001), [X], order=1)
    assert gradcheck(wrong_square(), [X]).ok


def test_a_wrong_second_derivative_is_found():
    function = wrong_square(second=2.1)
    assert gradcheck(function, [X], order=1).ok
    with pytest.raises(AssertionError, match="second derivative, input 0") as caught:
        gradcheck(function, [X], name="square")
    report = caught.value.report
    assert (report.worst.order, report.ok) == (2, False)
    assert report.worst.error == pytest.approx(0.1 / 2.1, rel=1e-6)
    assert "gradcheck of square: DISAGREES to 1e-06" in str(report)


def test_one_wrong_element_is_named():
    def broken(g, out, x):
        weights = np.ones_like(X)
        weights[1, 2] = 1.01
        return g * weights

    op = defop("broken", lambda x: x.copy(), broken)
    with pytest.raises(GradCheckError) as caught:
        gradcheck(lambda x: bind(op, x), [X], order=1)
    worst = caught.value.report.worst
    assert (worst.name, worst.index, worst.count) == ("input 0", (1, 2), 6)


def test_nan_is_an_error():
    op = defop("nan", lambda x: x * x, lambda g, out, x: g * np.nan)
    with pytest.raises(GradCheckError, match="analytic nan"):
        gradcheck(lambda x: bind(op, x), [X], order=1)


def test_a_large_input_is_sampled():
    report = gradcheck(ops.tanh, [np.linspace(-1, 1, 500)], max_elements=7)
    assert [c.count for c in sorted(report.comparisons, key=lambda c: c.order)] == [1, 7, 500]


def test_integers_are_passed_on():
    labels = np.array([2, 0])
    report = gradcheck(
        lambda y, z: ops.sparse_categorical_crossentropy(y, z, from_logits=True), [labels, X]
    )
    assert {c.name for c in report.comparisons} == {"all inputs", "input 1"}


def test_an_input_that_plays_no_part_has_zero_derivatives():
    assert gradcheck(lambda a, b: ops.exp(a) + ops.sign(b), [X, X]).ok


def test_an_empty_input():
    assert gradcheck(lambda a, b: ops.sum(a * a) + ops.sum(b), [X, np.zeros((0, 3))]).ok


@pytest.mark.parametrize(
    ("inputs", "settings", "text"),
    [
        ([np.array([1, 2])], {}, "expected float inputs and order 1 or 2, received 0"),
        ([X], {"order": 3}, "order 3"),
    ],
)
def test_wrong_arguments(inputs, settings, text):
    with pytest.raises(ValueError, match=text):
        gradcheck(ops.exp, inputs, **settings)


@pytest.mark.parametrize("function", [lambda x: ops.cast(x, "float32"), lambda x: x > 0])
def test_a_function_must_stay_in_float64(function):
    with pytest.raises(ValueError, match="float64"):
        gradcheck(function, [X])


def test_hvp_of_a_quadratic_form():
    m = np.array([[2.0, 1.0], [1.0, 3.0]])
    w, v = Variable(np.array([0.3, -0.7])), np.array([1.0, 10.0])
    (product,) = hvp(lambda: ops.sum(w * ops.matmul(m, w)) / 2.0, [w], [v])
    np.testing.assert_allclose(product.numpy(), m @ v, rtol=1e-14)


def test_hvp_couples_its_variables():
    a, b, c = Variable(np.array(2.0)), Variable(np.array(5.0)), Variable(np.array(1.0))
    products = hvp(lambda: a * a * b, [a, b, c], [1.0, 10.0, 7.0])
    assert [float(p) for p in products] == [2 * 5 + 2 * 2 * 10, 2 * 2, 0]


def test_hvp_where_nothing_is_curved():
    a, b = Variable(np.array(2.0)), Variable(np.array(5.0))
    assert [float(p) for p in hvp(lambda: a * 3.0, [a, b], [1.0, 1.0])] == [0, 0]
    assert [float(p) for p in hvp(lambda: a * 3.0, [b], [1.0])] == [0]


def test_hvp_watches_plain_tensors_for_the_time_being():
    x = ops.convert_to_tensor(X)
    (product,) = hvp(lambda: ops.sum(x * x * x), [x], [np.ones_like(X)])
    np.testing.assert_allclose(product.numpy(), 6 * X)
    assert not x.requires_grad


def test_hvp_of_vectors_that_do_not_fit():
    w = Variable(X)
    with pytest.raises(ValueError, match=r"expected one a variable, of shapes \[\(2, 3\)\]"):
        hvp(lambda: ops.sum(w), [w], [np.ones(3)])


def network_of_script_1(seed):
    minisgd.utils.set_random_seed(seed)
    layers = minisgd.layers
    model = minisgd.Sequential(
        [
            layers.Input((784,), dtype="float64"),
            layers.Dense(128, activation="relu", dtype="float64"),
            layers.Dense(10, activation="softmax", dtype="float64"),
        ]
    )
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (32, 784))
    y = np.eye(10)[rng.integers(0, 10, 32)]
    return model, x, y


def test_hvp_of_the_whole_networks_loss():
    """784-128-10, float64: agrees with differences of the gradient to 1e-6 in each variable."""
    model, x, y = network_of_script_1(0)
    variables = model.trainable_variables
    rng = np.random.default_rng(1)
    vectors = [rng.normal(size=v.shape) for v in variables]

    def loss():
        return ops.mean(ops.categorical_crossentropy(y, model(x)))

    def gradients():
        with GradientTape() as tape:
            target = loss()
        return [g.numpy() for g in tape.gradient(target, variables)]

    exact = [p.numpy() for p in hvp(loss, variables, vectors)]
    starts, h, sides = [v.numpy() for v in variables], 1e-7, []
    for sign in (1, -1):  # so small a step that no unit crosses its kink
        for v, start, vector in zip(variables, starts, vectors, strict=True):
            v.assign(start + sign * h * vector)
        sides.append(gradients())
    for v, start in zip(variables, starts, strict=True):
        v.assign(start)
    for v, a, plus, minus in zip(variables, exact, *sides, strict=True):
        numeric = (plus - minus) / (2 * h)
        assert np.linalg.norm(a - numeric) <= 1e-6 * np.linalg.norm(numeric), v.path
        assert np.linalg.norm(numeric) > 0
