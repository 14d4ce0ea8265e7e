"""Small data in every form in which `fit` takes them, for the tests of sources."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import minisgd as keras

F32 = np.float32
RNG = np.random.default_rng(0)
X = RNG.random((52, 6), F32)
C = RNG.integers(0, 3, 52)
Y = np.eye(3, dtype=F32)[C]
W = RNG.random(52, F32)
SIZE = 8
STARTS = range(0, 52, SIZE)  # 7 batches, the last of 4 samples


def model(**options):
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Input((6,)), keras.layers.Dense(4, "relu", name="first")]
    found = keras.Sequential([*layers, keras.layers.Dense(3, "softmax")])
    sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    found.compile(sgd, "categorical_crossentropy", metrics=["accuracy"], **options)
    return found


def batches():
    return [(X[i : i + SIZE], Y[i : i + SIZE]) for i in STARTS]


class Numbered(keras.utils.PyDataset):
    def __len__(self):
        return len(STARTS)

    def __getitem__(self, index):
        return batches()[index]


class Duck:
    """Has the methods of a PyDataset, no more."""

    def __getitem__(self, index):
        return batches()[index]

    def __len__(self):
        return len(STARTS)


class Again:
    """Can be gone through again and again."""

    def __iter__(self):
        return iter(batches())


class FakeShape(tuple):
    rank = property(len)

    def as_list(self):
        return list(self)


class FakeDataset:
    """Has the methods of a `tf.data.Dataset` that are used."""

    def __init__(self, length=7):
        self.length = length
        dtype = SimpleNamespace(as_numpy_dtype=F32)
        shapes = [FakeShape((None, 6)), FakeShape((None, 3))]
        self.element_spec = tuple(SimpleNamespace(shape=s, dtype=dtype) for s in shapes)

    def cardinality(self):
        return np.int64(self.length)

    def as_numpy_iterator(self):
        return iter(batches())


class Tensor:
    """Something with the manners of a PyTorch tensor."""

    def __init__(self, array, on_gpu=True):
        self.array, self.on_gpu = array, on_gpu
        self.shape = array.shape

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self.array, on_gpu=False)

    def __array__(self, dtype=None, copy=None):
        assert not self.on_gpu
        return self.array


class DataLoader:
    """Stands for PyTorch's, which yields lists of tensors."""

    __module__ = "torch.utils.data.dataloader"
    dataset = range(52)

    def __len__(self):
        return len(STARTS)

    def __iter__(self):
        return ([Tensor(x), Tensor(y)] for x, y in batches())


def torch_loader():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return torch.utils.data.DataLoader(data, SIZE)


SOURCES = {
    "generator": lambda: (b for b in batches()),
    "iterator": lambda: iter(batches()),
    "list of batches": batches,
    "iterable": Again,
    "PyDataset": Numbered,
    "duck": Duck,
    "tf.data": FakeDataset,
    "tf.data of unknown length": lambda: FakeDataset(-2),
    "DataLoader": DataLoader,
    "PyTorch": torch_loader,
}
FIT = {"shuffle": False, "verbose": 0}
quiet = pytest.mark.filterwarnings("ignore:Your input ran out of data")


def state(trained):
    return [np.array(v) for v in (*trained.weights, *trained.optimizer.variables)]


def assert_equal(ours, expected):
    for mine, value in zip(state(ours), state(expected), strict=True):
        np.testing.assert_array_equal(mine, value, strict=True)


def wrong_at(number, wrong):
    """Batches without end, of which one is wrong."""
    for count in itertools.count():
        yield wrong if count == number else batches()[count % 7]
