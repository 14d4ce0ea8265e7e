"""GradientTape: which gradients, when they are refused, and what a tape keeps alive."""

import gc
import re
import sys
import weakref

import numpy as np
import pytest

from minisgd import GradientTape, Variable, ops
from minisgd.tensor import Tensor


def tensor(values, dtype=np.float32):
    return ops.convert_to_tensor(np.array(values, dtype))


def test_gradient_of_a_polynomial():
    w = Variable([1.0, 2.0, 3.0], dtype="float32")
    with GradientTape() as tape:
        y = ops.sum(w * w * w - 2 * w)
    assert tape.gradient(y, w).numpy().tolist() == [1, 10, 25]


def test_a_target_that_is_no_scalar_is_summed():
    w = Variable(np.array([[1, 2], [3, 4]], np.float32))
    with GradientTape() as tape:
        y = w * w
    assert tape.gradient(y, w).numpy().tolist() == [[2, 4], [6, 8]]


def test_the_form_of_the_sources_is_the_form_of_the_result():
    a, b = Variable([1.0], dtype="float32"), Variable([2.0], dtype="float32")
    with GradientTape(persistent=True) as tape:
        y = a * b
    assert isinstance(tape.gradient(y, a), Tensor)
    pair = tape.gradient(y, [b, a])
    assert [g.numpy().tolist() for g in pair] == [[1], [2]]
    assert len(tape.gradient(y, (a,))) == 1
    assert tape.gradient(y, []) == []


def test_gradients_have_their_sources_shape_and_dtype():
    for dtype in (np.float32, np.float64):
        x, w, b = (Variable(np.ones(s, dtype)) for s in ((5, 3), (3, 4), (4,)))
        with GradientTape() as tape:
            y = ops.mean(ops.square(ops.relu(ops.dense(x, w, b))))
        for source, g in zip((x, w, b), tape.gradient(y, [x, w, b]), strict=True):
            assert g.shape == source.shape
            assert g.dtype == dtype


# --- None ---
def test_what_the_target_does_not_depend_on_has_no_gradient():
    w, unused = Variable([1.0], dtype="float32"), Variable([1.0], dtype="float32")
    with GradientTape() as tape:
        y = w * 2
        after = unused * 3  # recorded, but not on the way to y
    gradients = tape.gradient(y, [w, unused, after])
    assert gradients[0].numpy().tolist() == [2]
    assert gradients[1:] == [None, None]


def test_an_unwatched_tensor_has_no_gradient():
    x, w = tensor([2]), Variable([3.0], dtype="float32")
    with GradientTape() as tape:
        y = x * w
    assert tape.gradient(y, [x, w])[0] is None


def test_nothing_is_recorded_for_constants():
    with GradientTape() as tape:
        tensor([1, 2]) * 3 + 1
    assert tape.equations == ()


def test_an_untrainable_variable_is_not_followed():
    w = Variable([3.0], dtype="float32", trainable=False)
    with GradientTape() as tape:
        y = w * w
    assert tape.equations == ()
    assert tape.gradient(y, w) is None


def test_no_gradient_through_class_numbers_and_conditions():
    logits = Variable(np.zeros((2, 3), np.float32))
    labels = tensor([0, 2], np.int64)
    with GradientTape() as tape:
        y = ops.sum(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    g, none = tape.gradient(y, [logits, labels])
    np.testing.assert_allclose(
        g.numpy(), [[-2 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6
    )
    assert none is None


# --- watch ---
def test_watch():
    x = tensor([2, 3])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert tape.gradient(y, x).numpy().tolist() == [4, 6]


def test_watch_several_and_an_untrainable_variable():
    x, c = tensor([2]), Variable([5.0], dtype="float32", trainable=False)
    with GradientTape() as tape:
        tape.watch([x, c])
        y = x * c
    assert [g.numpy().tolist() for g in tape.gradient(y, [x, c])] == [[5], [2]]


def test_an_intermediate_result_is_a_source():
    w = Variable([3.0], dtype="float32")
    with GradientTape() as tape:
        h = w * w
        y = h * h
    assert tape.gradient(y, h).numpy().tolist() == [18]


@pytest.mark.parametrize("wrong", [np.ones(3), 2.0, tensor([1], np.int64)])
def test_only_float_tensors_can_be_watched(wrong):
    with GradientTape() as tape, pytest.raises(ValueError, match="float tensor to watch"):
        tape.watch([wrong])


# --- order of accumulation ---
def test_shares_are_added_in_reverse_order_of_recording():
    # (1e8 + 1) + -1e8 is 0 in float32, 1e8 + (1 + -1e8) is 0 too, but (1e8 - 1e8) + 1 is 1.
    def gradient(factors):
        w = Variable([1.0], dtype="float32")
        with GradientTape() as tape:
            parts = [w * f for f in factors]
            y = parts[0] + parts[1] + parts[2]
        return float(tape.gradient(y, w))

    assert gradient([1.0, -1e8, 1e8]) == 1  # the last recorded two cancel first
    assert gradient([-1e8, 1.0, 1e8]) == 0
    assert gradient([1e8, -1e8, 1.0]) == 0


def test_a_variable_used_twice_in_one_equation():
    w = Variable([3.0], dtype="float32")
    with GradientTape() as tape:
        y = w * w
    assert float(tape.gradient(y, w)) == 6


def test_accumulation_does_not_change_earlier_gradients():
    w = Variable([1.0, 2.0], dtype="float32")
    with GradientTape(persistent=True) as tape:
        h = w + 0.0
        y = h + h  # the cotangent of y is both shares of h
    first = tape.gradient(y, [y, h, w])
    assert [g.numpy().tolist() for g in first] == [[1, 1], [2, 2], [2, 2]]
    assert [g.numpy().tolist() for g in tape.gradient(y, [y, h, w])] == [[1, 1], [2, 2], [2, 2]]


# --- refusals ---
def test_a_second_question_needs_a_persistent_tape():
    w = Variable([3.0], dtype="float32")
    with GradientTape() as tape:
        y = w * w
    tape.gradient(y, w)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(y, w)


def test_a_persistent_tape_answers_again():
    w = Variable([3.0], dtype="float32")
    with GradientTape(persistent=True) as tape:
        y = w * w
        z = y * w
    assert [float(tape.gradient(t, w)) for t in (y, z, y)] == [6, 27, 6]


def test_a_tape_records_in_one_block_at_a_time():
    with GradientTape() as tape:
        with pytest.raises(ValueError, match="already recording"):
            tape.__enter__()


@pytest.mark.parametrize("persistent", [False, True])
def test_a_variable_changed_after_recording(persistent):
    w = Variable([3.0], name="w", dtype="float32")
    with GradientTape(persistent) as tape:
        y = w * w
    w.assign([4.0])
    with pytest.raises(RuntimeError, match="'w' was changed"):
        tape.gradient(y, w)


def test_a_variable_changed_between_two_uses():
    w = Variable([3.0], dtype="float32")
    with GradientTape() as tape:
        y = w * 2
        w.assign([4.0])
        y = y + w * w
    with pytest.raises(RuntimeError, match="changed"):
        tape.gradient(y, w)


def test_a_variable_changed_by_an_optimizer():
    import minisgd as keras

    w = Variable([3.0], dtype="float32")
    with GradientTape(persistent=True) as tape:
        y = w * w
    keras.optimizers.SGD(0.1).apply_gradients([(tape.gradient(y, w), w)])
    with pytest.raises(RuntimeError, match="changed"):
        tape.gradient(y, w)


def test_an_exception_inside_the_block_ends_the_recording():
    w = Variable([3.0], dtype="float32")
    tape = GradientTape()
    with pytest.raises(ZeroDivisionError), tape:
        raise ZeroDivisionError
    w * w
    assert tape.equations == ()


# --- nested tapes ---
def test_second_and_third_derivatives():
    w = Variable([2.0], dtype="float64")
    with GradientTape() as outer:
        with GradientTape() as middle:
            with GradientTape() as inner:
                y = w * w * w * w
            first = inner.gradient(y, w)
        second = middle.gradient(first, w)
    assert [float(g) for g in (first, second, outer.gradient(second, w))] == [32, 48, 48]


def test_second_derivative_of_a_cross_entropy():
    z = Variable(np.array([[1.0, -2.0, 0.5]]))
    y = tensor([[0, 0, 1]], np.float64)
    direction = np.array([[0.3, -0.1, 0.7]])
    with GradientTape() as outer:
        with GradientTape() as inner:
            loss = ops.sum(ops.categorical_crossentropy(y, z, from_logits=True))
        slope = ops.sum(inner.gradient(loss, z) * direction)
    hessian_times_direction = outer.gradient(slope, z).numpy()[0]
    p = np.exp(z.numpy()[0]) / np.exp(z.numpy()[0]).sum()
    expected = (np.diag(p) - np.outer(p, p)) @ direction[0]
    np.testing.assert_allclose(hessian_times_direction, expected, rtol=1e-12)


# --- size, time and memory ---
def test_a_long_chain_needs_no_recursion_and_linear_work():
    def calls(length):
        w, count = Variable([1.0], dtype="float32"), 0

        def count_calls(frame, event, argument):
            nonlocal count
            count += event == "call"

        gc.disable()  # its callbacks are calls, too
        sys.setprofile(count_calls)
        try:
            with GradientTape() as tape:
                y = w
                for _ in range(length):
                    y = ops.relu(y)
            gradient = tape.gradient(y, w)
        finally:
            sys.setprofile(None)
            gc.enable()
        assert float(gradient) == 1
        return count

    calls(100)  # compiles
    assert calls(20_000) < 2 * calls(10_000)
    assert calls(20_000) > 20_000, "nothing was counted"


def test_a_dropped_tape_frees_what_it_recorded():
    gc.disable()
    try:
        w = Variable([1.0], dtype="float32")
        with GradientTape() as tape:
            h = w * 2
            y = h * h
        alive = weakref.ref(h)
        del h, y
        assert alive() is not None
        del tape
        assert alive() is None, "a reference cycle keeps the tensors of a step"
    finally:
        gc.enable()


def test_a_used_tape_frees_what_it_recorded():
    gc.disable()
    try:
        w = Variable([1.0], dtype="float32")
        with GradientTape() as tape:
            h = w * 2
            y = h * h
        alive = weakref.ref(h)
        del h
        tape.gradient(y, w)
        assert alive() is None
    finally:
        gc.enable()


def test_a_training_step_leaves_no_garbage():
    import minisgd as keras

    model = keras.Sequential(
        [keras.layers.Dense(4, "relu", input_shape=(3,)), keras.layers.Dense(2, "softmax")]
    )
    model.compile("sgd", "categorical_crossentropy")
    x, y = np.ones((2, 3), np.float32), np.eye(2, dtype=np.float32)
    model.train_on_batch(x, y)
    gc.collect()
    gc.disable()
    try:
        before = sum(issubclass(type(o), Tensor) for o in gc.get_objects())
        for _ in range(5):
            model.train_on_batch(x, y)
        assert sum(issubclass(type(o), Tensor) for o in gc.get_objects()) <= before
    finally:
        gc.enable()


# --- what a source without a connection gets, and how a tape prints ---
def test_unconnected_gradients():
    x, other = Variable([1.0, 2.0], dtype="float32"), Variable([[3.0]], dtype="float32")
    with GradientTape(persistent=True) as tape:
        y = ops.sum(x * x)
    gradients = tape.gradient(y, [x, other], unconnected_gradients="zero")
    np.testing.assert_array_equal(gradients[0].numpy(), [2, 4])
    np.testing.assert_array_equal(gradients[1].numpy(), [[0]])
    assert gradients[1].dtype == other.dtype
    assert tape.gradient(y, other) is None
    with pytest.raises(ValueError, match="'none' or 'zero', received 'nan'"):
        tape.gradient(y, x, unconnected_gradients="nan")


def test_a_tape_prints_as_a_program():
    w = Variable(np.ones((2, 3), np.float32), name="w")
    with GradientTape() as tape:
        ops.sum(ops.take(w, np.array([0, 1]), axis=0) + 1.0)
    lines = str(tape).splitlines()
    assert lines[0] == "w: float32[2, 3]"
    assert re.fullmatch(r"t1: float32\[2, 3\] = \w+\(w, .*int64\[2\].*\)", lines[1])
    assert lines[2] == "input_0: float32[]"
    assert lines[3] == "t2: float32[2, 3] = add(t1, input_0)"
    assert lines[4] == "t3: float32[] = sum_all(t2)"
    assert repr(tape) == "<GradientTape with 3 equations>"


def test_a_tape_records_once_at_a_time():
    with GradientTape() as tape:
        with pytest.raises(ValueError, match="already recording"):
            tape.__enter__()
