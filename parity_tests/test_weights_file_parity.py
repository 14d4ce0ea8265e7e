"""Weights files go from minisgd to Keras and back, optimizer state included."""

import importlib

import numpy as np
import pytest

import minisgd

rng = np.random.default_rng(0)
X = rng.random((8, 4), dtype=np.float32)
Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 8)]


@pytest.fixture(scope="module")
def keras():
    return importlib.import_module("keras")


def trained(ns, momentum=0.9, fit=True):
    model = ns.Sequential(
        [
            ns.layers.Input((2, 2)),
            ns.layers.Flatten(),
            ns.layers.Dense(5, name="first"),
            ns.layers.Dropout(0.5),
            ns.layers.Activation("relu"),
            ns.layers.Dense(4, use_bias=False),
            ns.layers.Dense(3),
        ]
    )
    model.compile(ns.optimizers.SGD(0.125, momentum=momentum), "mse", metrics=["accuracy"])
    if fit:
        model.fit(X.reshape(-1, 2, 2), Y, epochs=2, batch_size=4, verbose=0)
    return model


def state(model):
    variables = [*model.weights, *model.optimizer.variables]
    return [np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in variables]


def assert_same(model, other):
    for ours, theirs in zip(state(model), state(other), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


def members(path):
    """Everything in a file but the values and the names that are counted per process."""
    h5py = importlib.import_module("h5py")
    found = {}
    with h5py.File(path) as file:

        def visit(name, member):
            if isinstance(member, h5py.Dataset):
                attributes = set(member.attrs) - {"sha256"}  # ours; Keras ignores it
                found[name] = (member.shape, member.dtype, member.chunks, attributes)
            else:
                found[name] = {key: type(value) for key, value in member.attrs.items()}

        file.visititems(visit)
        found[""] = dict(file.attrs)
    return found


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("direction", ["to keras", "from keras"])
def test_files_go_both_ways(keras, tmp_path, momentum, direction):
    source, target = (minisgd, keras) if direction == "to keras" else (keras, minisgd)
    path = str(tmp_path / "m.weights.h5")
    model, other = trained(source, momentum), trained(target, momentum)
    model.save_weights(path)
    other.load_weights(path)
    assert_same(model, other)


@pytest.mark.parametrize("fit", [False, True])
def test_the_layout_is_the_same(keras, tmp_path, fit):
    for name, ns in (("a", minisgd), ("b", keras)):
        trained(ns, fit=fit).save_weights(str(tmp_path / f"{name}.weights.h5"))
    assert members(tmp_path / "a.weights.h5") == members(tmp_path / "b.weights.h5")


def test_an_optimizer_without_velocities_is_skipped_alike(keras, tmp_path):
    path = str(tmp_path / "m.weights.h5")
    trained(keras).save_weights(path)
    for ns in (minisgd, keras):
        model = trained(ns, fit=False)
        with pytest.warns(UserWarning, match="has 2 variables whereas the saved optimizer has 7"):
            model.load_weights(path)
        # The way out that minisgd's warning names works in both.
        model.optimizer.build(model.trainable_variables)
        model.load_weights(path)
        assert int(np.asarray(model.optimizer.iterations)) == 4


def test_errors_have_the_same_key_phrases(keras, tmp_path):
    path = str(tmp_path / "m.weights.h5")
    trained(keras).save_weights(path)
    for ns in (minisgd, keras):
        other = ns.Sequential([ns.layers.Input((4,)), ns.layers.Dense(6)])
        with pytest.raises(ValueError, match="A total of 1 objects could not be loaded"):
            other.load_weights(path)
        with pytest.raises(ValueError, match=r"The filename must end in `\.weights\.h5`"):
            other.save_weights(str(tmp_path / "m.h5"))
        with pytest.raises(FileNotFoundError):
            other.save_weights(str(tmp_path / "none" / "m.weights.h5"))
        with pytest.raises(FileNotFoundError):
            other.load_weights(str(tmp_path / "none.weights.h5"))
        unbuilt = ns.Sequential([ns.layers.Dense(6)])
        with pytest.raises(ValueError, match="has not yet been built"):
            unbuilt.save_weights(path)


def subclass(ns):
    """A Sequential that has layers beside its stack, metrics and a loss as attributes."""

    class Owner(ns.Sequential):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_tracker = ns.metrics.Mean(name="loss")
            self.scores = [ns.metrics.MeanAbsoluteError(name="mae"), ns.metrics.AUC(name="auc")]
            self.loss_fn = ns.losses.MeanSquaredError()
            self.outer = ns.layers.Dense(2)
            self._hidden = {"a": ns.layers.Dense(3), "b": [ns.layers.Dense(4)]}
            for layer in (self.outer, self._hidden["a"], self._hidden["b"][0]):
                layer.build((None, 5))

        @property
        def metrics(self):
            return [self.loss_tracker, *self.scores]

    return Owner


def with_attributes(ns):
    model = subclass(ns)([ns.layers.Input((4,)), ns.layers.Dense(5), ns.layers.Dense(3)])
    model.first = model.layers[0]  # is in the stack, and so in the file, already
    model.compile("sgd", "mse")
    model.loss_tracker.update_state(3.0)
    return model


def beside_the_stack(model):
    layers = [model.outer, model._hidden["a"], model._hidden["b"][0]]
    return [np.asarray(w) for layer in layers for w in layer.get_weights()]


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("direction", ["to keras", "from keras", "to minisgd"])
def test_layers_beside_the_stack_go_both_ways(keras, tmp_path, direction, suffix):
    source = keras if direction == "from keras" else minisgd
    target = keras if direction == "to keras" else minisgd
    path = str(tmp_path / f"m{suffix}")
    model = with_attributes(source)
    if suffix == ".keras":
        model.save(path)
        other = target.models.load_model(path, custom_objects={"Owner": subclass(target)})
    else:
        model.save_weights(path)
        other = with_attributes(target)
        other.load_weights(path)
    assert_same(model, other)
    for ours, theirs in zip(beside_the_stack(model), beside_the_stack(other), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    # What the metrics have counted is in no file.
    assert float(model.loss_tracker.result()) == 3
    assert float(other.loss_tracker.result()) == (0 if suffix == ".keras" else 3)


def test_the_layout_of_attributes_is_the_same(keras, tmp_path):
    for name, ns in (("a", minisgd), ("b", keras)):
        with_attributes(ns).save_weights(str(tmp_path / f"{name}.weights.h5"))
    layout = members(tmp_path / "a.weights.h5")
    assert layout == members(tmp_path / "b.weights.h5")
    assert {"outer/vars", "_hidden/dense/vars", "_hidden/container/dense/vars"} <= layout.keys()


def test_a_layer_beside_the_stack_that_does_not_fit_leaves_the_model_alone(keras, tmp_path):
    path = str(tmp_path / "m.weights.h5")
    for source in (minisgd, keras):
        with_attributes(source).save_weights(path)
        for ns in (minisgd, keras):
            other = with_attributes(ns)
            other.outer = ns.layers.Dense(7)
            other.outer.build((None, 5))
            before = state(other)
            with pytest.raises(ValueError, match="A total of 1 objects could not be loaded"):
                other.load_weights(path)
            if ns is minisgd:
                for now, then in zip(state(other), before, strict=True):
                    np.testing.assert_array_equal(now, then)
