"""Recording by shapes: no kernel is called, and the shapes are those of the kernels."""

import numpy as np
import pytest

from minisgd.compiler.shapes import is_known, shapes_only, stand_in
from minisgd.ops import activation, choice, classification, elementwise, linear, reduce
from minisgd.primitive import Primitive
from minisgd_kernels import dense

X, Y, COLUMN = (np.full(shape, 0.5, np.float32) for shape in ((4, 3), (4, 3), (4, 1)))
W, B = np.ones((3, 5), np.float32), np.ones(5, np.float32)
INPUTS = {
    "dense": (X, W, B), "matmul": (X, W), "matmul_tn": (X, Y), "matmul_nt": (X, Y),
    "where": (X > 0, X, Y), "multiply": (X, COLUMN), "sum_all": (X,),
    "sparse_softmax_cross_entropy": (X, np.arange(4) % 3),
    "sparse_softmax_cross_entropy_backprop": (X, np.arange(4) % 3),
}  # fmt: skip
PARAMS = {
    "clip": (np.float32(0), np.float32(1)), "clip_vjp": (np.float32(0), np.float32(1)),
    "elu": (True,), "tanh": (True,), "sigmoid": (True,), "softmax": (16,),
}  # fmt: skip
PRIMITIVES = {
    primitive.name: primitive
    for module in (activation, choice, classification, elementwise, linear, reduce)
    for primitive in vars(module).values()
    if isinstance(primitive, Primitive) and is_known(primitive.name)
}


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_shape_and_dtype_are_those_of_what_is_computed(name):
    primitive, params = PRIMITIVES[name], PARAMS.get(name, ())
    inputs = INPUTS.get(name, (X, Y)[: len(primitive.vjps)])
    computed = np.asarray(primitive.forward(*inputs, *params))
    found = stand_in(name, primitive.forward, inputs, params)
    assert found.shape == computed.shape
    if computed.ndim:  # Numba returns some numbers as Python floats
        assert found.dtype == computed.dtype


def test_a_kernel_that_changes_its_inputs_is_not_called():
    w = np.ones(3, np.float32)
    assert stand_in("sgd_inplace", pytest.fail, (w, w, np.float32(1)), ()) is None


def test_what_is_not_known_is_computed():
    assert stand_in("cosine", np.cos, (0.0,), ()) == 1


def test_afterwards_kernels_are_called_again():
    with shapes_only():
        assert not linear.dense(X, W, B).numpy().any()
    np.testing.assert_array_equal(linear.dense(X, W, B).numpy(), dense(X, W, B))


FIT = """
import numpy as np, minisgd, minisgd_kernels as kernels
from minisgd.compiler.trace import Program
from minisgd.data import ArrayData
model = minisgd.Sequential([
    minisgd.layers.Dense(8, activation="relu", input_shape=(6,)),
    minisgd.layers.Dense(3, activation="softmax"),
])
model.compile(
    optimizer=minisgd.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
    loss="categorical_crossentropy", metrics=["accuracy"],
)
data = ArrayData(np.ones((4, 6), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])
model._check_batch(data)
before = model.get_weights()
text = Program(model, "train", data).text
assert "momentum_inplace" in text and "softmax_cross_entropy" in text
assert all((a == b).all() for a, b in zip(before, model.get_weights()))
names = [n for n in kernels.__all__ if not n.startswith("philox")]
print([n for n in names if getattr(getattr(kernels, n), "overloads", None)])
"""


def test_checking_and_recording_compile_no_kernel(run_python):
    assert run_python(FIT).strip() == "[]"
