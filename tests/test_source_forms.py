"""Arrays in other forms, and files larger than memory: the same bits as from plain arrays."""

import subprocess
import sys

import numpy as np
import pytest
from sources import F32, FIT, SIZE, C, Tensor, X, Y, assert_equal, model, state

import minisgd as keras
from minisgd.data.convert import to_numpy

FORMS = {
    "lists": (X.tolist(), Y.tolist()),
    "list of one array": ([X], [Y]),
    "tuple of one array": ((X,), (Y,)),
    "tensors": (Tensor(X), Tensor(Y)),
    "float64": (X.astype(float), Y.astype(int)),
    "nothing masked": (np.ma.array(X), Y),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_in_other_forms(form):
    expected, ours = model(run_eagerly=True), model(run_eagerly=True)
    expected.fit(X, Y, **FIT)
    ours.fit(*FORMS[form], **FIT)
    assert_equal(ours, expected)
    one = [m.train_on_batch(*data) for m, data in ((ours, FORMS[form]), (expected, (X, Y)))]
    assert one[0] == one[1]


class Frame:
    """Has what is used of a pandas DataFrame; its columns are of several types."""

    iloc = None
    ndim = 2

    def __init__(self, columns):
        self.columns = columns
        self.shape = (len(next(iter(columns.values()))), len(columns))
        self.dtypes = {name: c.dtype for name, c in columns.items()}

    def to_numpy(self, dtype=None, na_value=None):
        return np.stack([c.astype(dtype or object) for c in self.columns.values()], 1)

    def __array__(self, dtype=None, copy=None):
        return self.to_numpy(dtype)


def test_a_frame_of_several_types():
    frame = Frame({"a": np.array([1.5, 2.0]), "b": np.array([True, False])})
    assert to_numpy(frame, "x").tolist() == [[1.5, 1.0], [2.0, 0.0]]


def test_a_column_of_words_is_named():
    frame = Frame({"age": np.array([1.5]), "city": np.array(["Rome"], object)})
    with pytest.raises(ValueError, match="Invalid dtype: object.*column 'city'"):
        model().fit(frame, Y[:1], verbose=0)


def test_pandas():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame(X).assign(more=C > 1, number=C)
    assert to_numpy(frame, "x").dtype != object
    assert to_numpy(frame, "x").shape == (52, 8)
    assert to_numpy(pandas.Series(C), "y").shape == (52, 1)
    nullable = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64")})
    np.testing.assert_array_equal(to_numpy(nullable, "x"), [[1], [np.nan]])


class Sparse:
    """Has the name and the methods of a SciPy matrix."""

    __module__ = "scipy.sparse._csr"
    tocoo = None

    def __len__(self):
        return 52

    def __getitem__(self, index):
        return X[index]

    def __iter__(self):
        return iter(X)


def test_what_looks_like_a_sparse_matrix():
    with pytest.raises(ValueError, match=r"x is a sparse Sparse.*use x\.toarray\(\)"):
        model().fit(Sparse(), Y, verbose=0)
    with pytest.raises(ValueError, match=r"use y\.toarray\(\)"):
        model().fit(X, Sparse(), verbose=0)


def test_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy")
    for x in (sparse.csr_matrix(X), sparse.coo_array(X)):
        with pytest.raises(ValueError, match=r"sparse.*use x\.toarray\(\)"):
            model().fit(x, Y, verbose=0)


# --- refusals ---
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ma.array(X, mask=X > 0.5), TypeError, r"masked array with \d+ masked values; use x\."),
        ([X, X], ValueError, r"several inputs.*expects 1 input\(s\), but it received 2"),
        ([[1.0, 2.0], [3.0]], ValueError, "lists that differ in length"),
        ([["a"] * 6] * 52, ValueError, "Invalid dtype"),
        (None, ValueError, "not optional, but None was passed"),
        ({"a": X}, ValueError, "Unrecognized data type: x is of type dict"),
        ({1, 2}, ValueError, "Unrecognized data type: x is of type set"),
        (Sparse, ValueError, r"x is of type type.*x\(\) may be what is meant"),
        (lambda: X, ValueError, r"x is of type function.*x\(\) may be what is meant"),
        (b"abc", ValueError, "Unrecognized data type: x is of type bytes"),
    ],
    ids=[
        "X-23",
        "two inputs",
        "ragged",
        "words",
        "X-26",
        "dict",
        "set",
        "class",
        "function",
        "bytes",
    ],
)
def test_what_is_no_array(x, error, message):
    ours = model()
    before = state(ours)
    with pytest.raises(error, match=message) as raised:
        ours.fit(x, Y, verbose=0)
    assert len(str(raised.value)) < 400, "the data are not printed"
    assert all(map(np.array_equal, before, state(ours)))


# --- memory ---
MAPPED = """
import sys
import numpy as np
import minisgd as keras

folder, rows = sys.argv[1], 1_500_000  # 4.7 GB of pixels, and labels
x = np.lib.format.open_memmap(f"{folder}/x.npy", "w+", np.float32, (rows, 784))
y = np.lib.format.open_memmap(f"{folder}/y.npy", "w+", np.uint8, (rows, 1))
del x, y  # holes: nothing is on the disk
x, y = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "xy")

keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.layers.Input((784,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "softmax"),
])
model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=sys.argv[2] == "True")

def private():
    with open("/proc/self/status") as status:
        found = [line for line in status if line.startswith("RssAnon")]
    return int(found[0].split()[1]) / 1024

options = {"steps_per_epoch": 40, "batch_size": 32, "verbose": 0}
few = np.zeros((64, 784), np.float32), np.zeros((64, 1), np.uint8)
model.fit(*few, validation_data=few, verbose=0)  # what compiling takes is not counted
model.predict(few[0], verbose=0)
before = private()
model.fit(x, y, shuffle=sys.argv[3] == "True", epochs=2, validation_split=0.1,
          validation_steps=5, validation_batch_size=32, **options)
model.evaluate(x, y, steps=5, batch_size=32, verbose=0)
assert model.predict(x, steps=5, batch_size=32, verbose=0).shape == (160, 3)
print(private() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_file_larger_than_memory(run_python, tmp_path, compiled, shuffle):
    """Private memory grows by the order of the samples, 8 bytes each, and not by the data."""
    grown = float(run_python(MAPPED, tmp_path, compiled, shuffle))
    order = 8 * 1_500_000 / 2**20
    assert grown < 24 + 3 * order, f"{grown} MB, of 4,500 MB in the file"


def test_labels_in_a_file_are_checked_batch_by_batch(tmp_path):
    np.save(tmp_path / "y.npy", np.where(np.arange(52) == 30, 3, C))
    labels = np.load(tmp_path / "y.npy", mmap_mode="r")
    ours, expected = model(), model()
    for each in (ours, expected):
        each.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy",
                     run_eagerly=True)  # fmt: skip
    with pytest.raises(ValueError, match="labels: expected whole numbers from 0 to 2"):
        ours.fit(X, labels, batch_size=SIZE, **FIT)
    expected.fit(X[:24], C[:24], batch_size=SIZE, **FIT)
    assert int(ours.optimizer.iterations) == 3
    assert_equal(ours, expected)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", [F32, np.float64, ">f4", np.uint8])
def test_a_mapped_file_trains_as_its_copy_does(tmp_path, dtype, shuffle):
    x = (X * 9).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    expected, ours = model(jit_compile=True), model(jit_compile=True)
    expected.fit(x, Y, shuffle=shuffle, verbose=0, epochs=2)
    ours.fit(np.load(tmp_path / "x.npy", mmap_mode="r"), Y, shuffle=shuffle, verbose=0, epochs=2)
    assert_equal(ours, expected)


def test_what_is_read_is_not_imported():
    code = "import sys, minisgd.data.adapters; print({'pandas', 'torch', 'scipy'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
