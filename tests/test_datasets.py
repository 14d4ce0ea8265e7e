"""The data sets: contents by SHA-256, where files are looked for, and files that are refused."""

import gzip
import hashlib
import inspect
import struct
from pathlib import Path

import numpy as np
import pytest

import minisgd.datasets.mnist
from minisgd.datasets import fashion_mnist, mnist

NAMES = ("x_train", "y_train", "x_test", "y_test")
SHAPES = ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
PACKAGE = Path(minisgd.datasets.mnist.__file__).parent

MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
MNIST_FILE_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
FASHION_SHA256 = {
    "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
}
IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


def flat(split):
    """The four arrays by name; unpacking checks Keras's layout on the way."""
    (x_train, y_train), (x_test, y_test) = split
    return dict(zip(NAMES, (x_train, y_train, x_test, y_test), strict=True))


def small(seed=0):
    """Four small arrays of the right form."""
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "y_train": rng.integers(0, 10, 6, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (3, 28, 28), dtype=np.uint8),
        "y_test": rng.integers(0, 10, 3, dtype=np.uint8),
    }


def idx(array):
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / IDX_NAMES[name]).write_bytes(gzip.compress(idx(array)))


def assert_same(split, arrays):
    for name, array in flat(split).items():
        assert array.dtype == np.uint8
        assert array.flags.writeable
        np.testing.assert_array_equal(array, arrays[name])


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No data folder from outside, an empty home, an empty current folder, no Debian package."""
    monkeypatch.delenv("MINISGD_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(fashion_mnist, "_DEBIAN_FOLDER", tmp_path / "debian")


@pytest.fixture
def data(monkeypatch, tmp_path):
    """A folder that MINISGD_DATA names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("MINISGD_DATA", str(folder))
    return folder


class TestMnist:
    def test_bundled_arrays(self):
        arrays = flat(mnist.load_data())
        for name, shape in zip(NAMES, SHAPES, strict=True):
            array = arrays[name]
            assert (array.dtype, array.shape) == (np.uint8, shape)
            assert array.flags.writeable and array.flags.c_contiguous
            assert hashlib.sha256(array.tobytes()).hexdigest() == MNIST_SHA256[name]

    def test_label_counts(self):
        arrays = flat(mnist.load_data())
        train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        assert np.bincount(arrays["y_train"]).tolist() == train
        assert np.bincount(arrays["y_test"]).tolist() == test

    def test_licence_names_what_is_shipped(self):
        text = (PACKAGE / "LICENSE-mnist.txt").read_text(encoding="utf-8")
        assert hashlib.sha256((PACKAGE / "mnist.npz").read_bytes()).hexdigest() == MNIST_FILE_SHA256
        for digest in (MNIST_FILE_SHA256, *MNIST_SHA256.values()):
            assert digest in text
        for words in ("Yann LeCun", "Corinna Cortes", "CC-BY-SA-3.0"):
            assert words in text

    def test_keras_signature(self):
        (parameter,) = inspect.signature(mnist.load_data).parameters.values()
        assert (parameter.name, parameter.default) == ("path", "mnist.npz")
        assert not inspect.signature(fashion_mnist.load_data).parameters

    def test_each_call_returns_new_arrays(self):
        (first, _), _ = mnist.load_data()
        first[0] = 255
        (second, _), _ = mnist.load_data()
        assert second[0].min() == 0

    def test_default_name_is_the_bundled_file(self, data):
        for folder in (data, Path.cwd()):
            np.savez(folder / "mnist.npz", **small())
        assert len(flat(mnist.load_data())["x_train"]) == 60000
        assert len(flat(mnist.load_data("mnist.npz"))["x_train"]) == 60000

    @pytest.mark.parametrize("kind", [str, Path])
    def test_absolute_path(self, tmp_path, kind):
        np.savez_compressed(tmp_path / "mnist.npz", **small())
        assert_same(mnist.load_data(path=kind(tmp_path / "mnist.npz")), small())

    def test_relative_path_data_folder_first(self, data):
        np.savez("other.npz", **small(1))
        assert_same(mnist.load_data("other.npz"), small(1))
        np.savez(data / "other.npz", **small(2))
        assert_same(mnist.load_data("other.npz"), small(2))

    def test_home_is_expanded(self, tmp_path):
        (tmp_path / "home").mkdir()
        np.savez(tmp_path / "home" / "other.npz", **small())
        assert_same(mnist.load_data("~/other.npz"), small())

    def test_missing_file_says_what_to_do(self, data):
        with pytest.raises(FileNotFoundError, match=r"`path`.*'other\.npz'.*MINISGD_DATA") as info:
            mnist.load_data("other.npz")
        assert str(data / "other.npz") in str(info.value)
        assert str(Path.cwd() / "other.npz") in str(info.value)

    @pytest.mark.parametrize("path", [None, 3, b"mnist.npz"])
    def test_path_of_a_wrong_type(self, path):
        with pytest.raises(TypeError, match="`path`: expected a str or a path-like"):
            mnist.load_data(path)

    @pytest.mark.parametrize("name", NAMES)
    def test_missing_array(self, tmp_path, name):
        arrays = small()
        del arrays[name]
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(ValueError, match=f"received one without {name}"):
            mnist.load_data(tmp_path / "bad.npz")

    @pytest.mark.parametrize(
        ("name", "array", "message"),
        [
            ("x_train", np.zeros((6, 28, 28), np.float32), "x_train of dtype uint8, received"),
            ("y_test", np.zeros(3, np.int64), "y_test of dtype uint8, received dtype int64"),
            ("x_train", np.zeros((6, 784), np.uint8), r"\(train\).*images of shape \(N, 28, 28\)"),
            ("x_test", np.zeros((3, 28, 27), np.uint8), r"\(test\).*received shape \(3, 28, 27\)"),
            ("x_test", np.zeros((0, 28, 28), np.uint8), "N > 0"),
            ("x_test", np.zeros((), np.uint8), r"received shape \(\)"),
            ("y_train", np.zeros(5, np.uint8), r"labels of shape \(6,\).*received shape \(5,\)"),
            ("y_train", np.zeros((6, 1), np.uint8), r"received shape \(6, 1\)"),
            ("y_train", np.full(6, 10, np.uint8), "labels in 0-9, received the label 10"),
            ("y_train", np.array([None] * 6), "ValueError: Object arrays"),
        ],
    )
    def test_array_of_a_wrong_form(self, tmp_path, name, array, message):
        np.savez(tmp_path / "bad.npz", **small() | {name: array})
        with pytest.raises(ValueError, match=message):
            mnist.load_data(tmp_path / "bad.npz")

    def test_not_an_archive(self, tmp_path):
        path = tmp_path / "bad.npz"
        np.save(tmp_path / "array.npy", small()["x_train"])
        for content in (b"", b"PK\x03\x04", b"no zip", (tmp_path / "array.npy").read_bytes()):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"bad\.npz cannot be used"):
                mnist.load_data(path)

    def test_damaged_archive(self, tmp_path):
        """Whatever byte is hit: the right arrays, or a ValueError."""
        path = tmp_path / "bad.npz"
        np.savez_compressed(path, **small())
        whole = path.read_bytes()
        refused = 0
        for position in range(0, len(whole), max(1, len(whole) // 300)):
            damaged = bytearray(whole)
            damaged[position] ^= 0xFF
            path.write_bytes(damaged)
            try:
                assert_same(mnist.load_data(path), small())
            except ValueError as error:
                assert "cannot be used" in str(error)
                refused += 1
        assert refused > 200
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="cannot be used"):
            mnist.load_data(path)


class TestFashionMnist:
    def test_reads_the_data_folder(self, data):
        write_idx(data, small())
        assert_same(fashion_mnist.load_data(), small())

    def test_order_of_folders(self, data, tmp_path, monkeypatch):
        write_idx(tmp_path / "debian", small(1))
        assert_same(fashion_mnist.load_data(), small(1))
        write_idx(data, small(2))
        assert_same(fashion_mnist.load_data(), small(2))
        write_idx(data / "fashion-mnist", small(3))
        assert_same(fashion_mnist.load_data(), small(3))
        monkeypatch.setenv("MINISGD_DATA", "")
        assert_same(fashion_mnist.load_data(), small(1))

    def test_missing_says_how_to_obtain(self, data):
        with pytest.raises(FileNotFoundError, match="apt install dataset-fashion-mnist") as info:
            fashion_mnist.load_data()
        for words in ("MINISGD_DATA", str(data), *IDX_NAMES.values()):
            assert words in str(info.value)

    def test_sets_are_not_mixed(self, data, tmp_path):
        write_idx(tmp_path / "debian", small(1))
        write_idx(data, small(2))
        (data / IDX_NAMES["x_test"]).unlink()
        with pytest.raises(FileNotFoundError, match=f"lacks {IDX_NAMES['x_test']}"):
            fashion_mnist.load_data()

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("x_train", idx(np.zeros(99, np.uint8)), "number 0x00000803 .*received 0x00000801"),
            ("y_train", idx(np.zeros((6, 1), np.uint8)), "magic number 0x00000801"),
            ("y_train", idx(np.zeros(5, np.uint8)), r"labels of shape \(6,\)"),
            ("y_test", idx(np.full(3, 11, np.uint8)), r"\(t10k\).*labels in 0-9, received the"),
            ("x_test", idx(np.zeros((3, 27, 28), np.uint8)), r"received shape \(3, 27, 28\)"),
            ("x_test", idx(small()["x_test"])[:-1], "expected 2352 values.*received 2351"),
            ("x_test", idx(small()["x_test"]) + b"\0", "expected 2352 values.*received 2353"),
            ("x_test", struct.pack(">4I", 0x803, *[2**32 - 1] * 3), "values for the shape"),
            ("y_test", b"\0\0\x08", "an idx header of 8 bytes, received a file of 3 bytes"),
            ("y_test", b"", "a file of 0 bytes"),
        ],
    )
    def test_file_of_a_wrong_form(self, data, name, content, message):
        write_idx(data, small())
        (data / IDX_NAMES[name]).write_bytes(gzip.compress(content))
        with pytest.raises(ValueError, match=message):
            fashion_mnist.load_data()

    @pytest.mark.parametrize("damage", ["cut", "plain", "flipped"])
    def test_damaged_gzip(self, data, damage):
        write_idx(data, small())
        path = data / IDX_NAMES["x_train"]
        content = path.read_bytes()
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "plain":
            path.write_bytes(gzip.decompress(content))
        else:
            middle = len(content) // 2
            path.write_bytes(content[:middle] + b"\xff" * 8 + content[middle + 8 :])
        with pytest.raises(ValueError, match=r"expected a complete gzip file, received"):
            fashion_mnist.load_data()


def test_debian_package(monkeypatch):
    """The real files, where the package is installed; elsewhere the message that names it."""
    folder = Path("/usr/share/datasets/fashion-mnist")
    monkeypatch.setattr(fashion_mnist, "_DEBIAN_FOLDER", folder)
    if not folder.is_dir():
        with pytest.raises(FileNotFoundError, match="dataset-fashion-mnist"):
            fashion_mnist.load_data()
        return
    arrays = flat(fashion_mnist.load_data())
    for name, shape in zip(NAMES, SHAPES, strict=True):
        assert (arrays[name].dtype, arrays[name].shape) == (np.uint8, shape)
        assert hashlib.sha256(arrays[name].tobytes()).hexdigest() == FASHION_SHA256[name]
    assert np.bincount(arrays["y_train"]).tolist() == [6000] * 10
    assert np.bincount(arrays["y_test"]).tolist() == [1000] * 10


def test_nothing_is_written(data, tmp_path):
    """Not into the package, the home (Keras's cache), the data folder or the current one."""
    write_idx(data, small())
    np.savez(data / "other.npz", **small())

    def everything():
        return {
            (path, path.stat().st_mtime_ns)
            for root in (PACKAGE, tmp_path)
            for path in root.rglob("*")
            if "__pycache__" not in path.parts
        }

    before = everything()
    mnist.load_data()
    mnist.load_data("other.npz")
    fashion_mnist.load_data()
    assert everything() == before
