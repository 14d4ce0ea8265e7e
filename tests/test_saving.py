"""Weights files: their layout, that a failed call changes nothing, and what is refused."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from minisgd import Sequential, layers, optimizers, saving

rng = np.random.default_rng(0)
X = rng.random((8, 4), dtype=np.float32)
Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 8)]


def small(momentum=0.9, units=5, compiled=True, trained=True, extra=()):
    model = Sequential(
        [layers.Input((4,)), layers.Dense(units, "relu", name="first"), *extra, layers.Dense(3)]
    )
    if compiled:
        model.compile(optimizers.SGD(0.125, momentum=momentum), "mse")
        if trained:
            model.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    return model


def state(model):
    """Weights and optimizer state as bytes."""
    variables = list(model.weights)
    if model.optimizer is not None:
        variables += model.optimizer.variables
    return [v.numpy().tobytes() for v in variables]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.weights.h5"


def test_layout(path):
    model = small(extra=[layers.Dropout(0.5), layers.Flatten(), layers.Activation("relu")])
    model.save_weights(path)
    found = {}
    with h5py.File(path) as file:
        assert dict(file.attrs) == {}

        def visit(name, member):
            if isinstance(member, h5py.Dataset):
                found[name] = (member.shape, member.dtype.str)
                assert member.chunks is None and member.compression is None
            elif name.endswith("vars"):
                found[name] = member.attrs["name"]
                assert isinstance(member.attrs["name"], str)

        file.visititems(visit)
    last = model.layers[-1].name
    others = {layer.name for layer in model.layers[1:4]}
    assert {found.pop(f"layers/{g}/vars") for g in ("dropout", "flatten", "activation")} == others
    assert found == {
        "layers/dense/vars": "first",
        "layers/dense/vars/0": ((4, 5), "<f4"),
        "layers/dense/vars/1": ((5,), "<f4"),
        "layers/dense_1/vars": last,
        "layers/dense_1/vars/0": ((5, 3), "<f4"),
        "layers/dense_1/vars/1": ((3,), "<f4"),
        "optimizer/vars": model.optimizer.name,
        "optimizer/vars/0": ((), "<i8"),
        "optimizer/vars/1": ((), "<f4"),
        "optimizer/vars/2": ((4, 5), "<f4"),
        "optimizer/vars/3": ((5,), "<f4"),
        "optimizer/vars/4": ((5, 3), "<f4"),
        "optimizer/vars/5": ((3,), "<f4"),
        "vars": model.name,
    }


def test_a_round_trip_restores_every_bit(path):
    model, other = small(), small()
    assert state(model) != state(other)
    model.save_weights(path)
    other.load_weights(path)
    assert state(model) == state(other)
    assert int(other.optimizer.iterations) == 4


def test_training_goes_on_as_if_never_stopped(path):
    model = small()
    model.save_weights(str(path))
    other = small(trained=False)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(str(path))
    for each in (model, other):
        each.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    assert state(model) == state(other)


def test_without_compile_there_is_no_optimizer_in_the_file(path):
    small(compiled=False).save_weights(path)
    with h5py.File(path) as file:
        assert sorted(file) == ["layers", "vars"]
    other = small()
    with pytest.warns(UserWarning, match="has 6 variables whereas the saved optimizer has 0"):
        other.load_weights(path)


def test_an_optimizer_without_velocities_is_skipped_with_a_hint(path):
    model, other = small(), small(trained=False)
    model.save_weights(path)
    with pytest.warns(UserWarning, match="has 2 variables whereas the saved optimizer has 6") as w:
        other.load_weights(path)
    assert "optimizer.build(" in str(w[0].message)
    assert w[0].filename == __file__
    assert [v.tobytes() for v in other.get_weights()] == [v.tobytes() for v in model.get_weights()]
    assert int(other.optimizer.iterations) == 0


def test_wrong_shapes_change_nothing(path):
    small(units=6).save_weights(path)
    model = small()
    before = state(model)
    with pytest.raises(ValueError, match="A total of 3 objects could not be loaded") as error:
        model.load_weights(path)
    assert "(4, 5)" in str(error.value) and "(4, 6)" in str(error.value)
    assert state(model) == before


def test_a_failure_in_the_last_object_changes_nothing(path):
    model = small()
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["optimizer/vars/5"]
        file["optimizer/vars/5"] = np.array([b"a", b"b", b"c"])
    model.fit(X, Y, verbose=0)
    before = state(model)
    with pytest.raises(ValueError, match="optimizer/vars/5' holds no numbers"):
        model.load_weights(path)
    assert state(model) == before


def test_skip_mismatch_loads_the_rest(path):
    saved = small(compiled=False)
    saved.save_weights(path)
    model = Sequential([layers.Input((4,)), layers.Dense(5), layers.Dense(2)])
    with pytest.warns(UserWarning, match="A total of 1 objects could not be loaded"):
        model.load_weights(path, skip_mismatch=True)
    np.testing.assert_array_equal(model.get_weights()[0], saved.get_weights()[0])


def test_missing_and_surplus_layers(path):
    small(compiled=False).save_weights(path)
    longer = Sequential([layers.Input((4,)), layers.Dense(5), layers.Dense(3), layers.Dense(3)])
    with pytest.raises(ValueError, match="expected 2 variables, but received 0 variables"):
        longer.load_weights(path)
    shorter = Sequential([layers.Input((4,)), layers.Dense(5)])
    with pytest.warns(UserWarning, match="layers that model .* has not.*dense_1"):
        shorter.load_weights(path)


def test_a_failed_save_keeps_the_old_file(path, monkeypatch):
    model = small()
    model.save_weights(path)
    old = path.read_bytes()
    model.fit(X, Y, verbose=0)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            model.save_weights(path)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name], "the temporary file is gone"
    model.save_weights(path)
    assert path.read_bytes() != old


def test_overwrite_false(path):
    model = small(compiled=False)
    model.save_weights(path, overwrite=False)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save_weights(path, overwrite=False)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_symbolic_link_stays_one(path):
    target = path.with_name("real.weights.h5")
    path.symlink_to(target)
    small(compiled=False).save_weights(path)
    assert path.is_symlink() and target.is_file()


def test_refused_paths(tmp_path):
    model = small(compiled=False)
    with pytest.raises(ValueError, match=r"The filename must end in `\.weights\.h5`"):
        model.save_weights(tmp_path / "m.keras")
    for name in ("m.h5", "m", "weights.h5"):
        with pytest.raises(ValueError, match=r"The filename must end in `\.weights\.h5`"):
            model.save_weights(tmp_path / name)
        with pytest.raises(ValueError, match="File format not supported"):
            model.load_weights(tmp_path / name)
    with pytest.raises(TypeError, match="`filepath`"):
        model.save_weights(None)
    with pytest.raises(FileNotFoundError, match="folder"):
        model.save_weights(tmp_path / "none" / "m.weights.h5")
    with pytest.raises(FileNotFoundError, match="no file"):
        model.load_weights(tmp_path / "m.weights.h5")
    assert list(tmp_path.iterdir()) == []


def test_refused_files(path):
    model = small()
    before = state(model)
    path.write_text("no HDF5 file")
    with pytest.raises(OSError, match="expected a complete HDF5 file"):
        model.load_weights(path)
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(OSError, match="expected a complete HDF5 file"):
        model.load_weights(path)
    with h5py.File(path, "w") as file:
        file["layers"] = 1.0
    with pytest.raises(ValueError, match="A total of 2 objects"):
        model.load_weights(path)
    assert state(model) == before


def test_models_that_are_not_built(path):
    model = Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="saving a model that has not yet been built"):
        model.save_weights(path)
    small(compiled=False).save_weights(path)
    with pytest.raises(ValueError, match="loading weights into a model that has not yet been bu"):
        model.load_weights(path)


def test_names_of_keras(path):
    model = small(compiled=False)
    saving.save_weights(model, path)
    saving.load_weights(model, path)
    assert Path(path).is_file()
