"""Models in ``.keras`` files go from minisgd to Keras and back, and train on to the same bits."""

import importlib
import io
import json
import zipfile

import numpy as np
import pytest

import minisgd
from minisgd.parity.probe import measured_mode

rng = np.random.default_rng(0)
X = rng.random((24, 2, 3), dtype=np.float32)
Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 24)]
LABELS = Y.argmax(-1)


@pytest.fixture(scope="module")
def keras():
    return importlib.import_module("keras")


def schedule(ns, name, *arguments):
    return getattr(ns.optimizers.schedules, name)(*arguments)


OPTIMIZERS = {
    "plain": lambda ns: ns.optimizers.SGD(0.1),
    "by name": lambda ns: "sgd",
    "momentum": lambda ns: ns.optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda ns: ns.optimizers.SGD(0.1, momentum=0.9, nesterov=True, name="mine"),
    "average": lambda ns: ns.optimizers.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=0.9),
    "overwrite": lambda ns: ns.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    "accumulate": lambda ns: ns.optimizers.SGD(0.1, 0.9, gradient_accumulation_steps=2),
    "decay, clip": lambda ns: ns.optimizers.SGD(0.1, weight_decay=0.01, clipnorm=0.5),
    "scaled loss": lambda ns: ns.optimizers.SGD(0.1, global_clipnorm=0.5, loss_scale_factor=8.0),
    "exponential": lambda ns: ns.optimizers.SGD(schedule(ns, "ExponentialDecay", 0.1, 4, 0.5), 0.9),
    "inverse": lambda ns: ns.optimizers.SGD(schedule(ns, "InverseTimeDecay", 0.1, 4, 0.5)),
    "polynomial": lambda ns: ns.optimizers.SGD(schedule(ns, "PolynomialDecay", 0.1, 9, 0.01, 2.0)),
    "cosine": lambda ns: ns.optimizers.SGD(schedule(ns, "CosineDecay", 0.1, 10)),
    "restarts": lambda ns: ns.optimizers.SGD(schedule(ns, "CosineDecayRestarts", 0.1, 4)),
    "piecewise": lambda ns: ns.optimizers.SGD(
        schedule(ns, "PiecewiseConstantDecay", [3, 6], [0.1, 0.05, 0.01])
    ),
}
LOSSES = {
    "name": (lambda ns: "categorical_crossentropy", Y),
    "smoothed": (lambda ns: ns.losses.CategoricalCrossentropy(label_smoothing=0.1), Y),
    "sparse": (lambda ns: ns.losses.SparseCategoricalCrossentropy(reduction="sum"), LABELS),
    "mse": (lambda ns: ns.losses.MeanSquaredError(name="mine"), Y),
    "function": (lambda ns: ns.losses.mean_squared_error, Y),
}


def stack(ns):
    return ns.Sequential(
        [
            ns.layers.Input((2, 3)),
            ns.layers.Flatten(),
            ns.layers.Dense(8, "relu", kernel_initializer=ns.initializers.HeNormal(seed=3)),
            ns.layers.Dropout(0.25, seed=4),
            ns.layers.Dense(6, use_bias=False, bias_initializer="ones", name="narrow"),
            ns.layers.Activation("tanh"),
            ns.layers.Dropout(0.25),
            ns.layers.Dense(3, "softmax", kernel_initializer="lecun_uniform"),
        ]
    )


def trained(ns, optimizer="momentum", loss="name", epochs=2):
    ns.utils.set_random_seed(7)
    model = stack(ns)
    make, labels = LOSSES[loss]
    model.compile(OPTIMIZERS[optimizer](ns), make(ns), metrics=["accuracy"])
    if epochs:
        model.fit(X, labels, epochs=epochs, batch_size=8, verbose=0)
    return model, labels


def state(model):
    variables = [*model.weights, *model.optimizer.variables]
    return [np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in variables]


def assert_same(model, other):
    for ours, theirs in zip(state(model), state(other), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


# Keras's notes of which objects are the same, and options whose default is the only value here.
LEFT_OUT = {"shared_object_id": None, "axis": -1, "ignore_class": None}


def without_ids(config):
    """A configuration without what says nothing about the model."""
    if isinstance(config, dict):
        return {
            key: without_ids(value)
            for key, value in config.items()
            if key not in LEFT_OUT or (LEFT_OUT[key] is not None and value != LEFT_OUT[key])
        }
    return [without_ids(v) for v in config] if isinstance(config, list) else config


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return without_ids(json.loads(archive.read("config.json")))


def train_on(ns, model, labels):
    ns.utils.set_random_seed(11)
    return model.fit(X, labels, epochs=2, batch_size=8, verbose=0).history


CASES = [(optimizer, "name") for optimizer in OPTIMIZERS] + [
    ("momentum", loss) for loss in LOSSES if loss != "name"
]


@pytest.mark.parametrize(("optimizer", "loss"), CASES)
@pytest.mark.parametrize("direction", ["to keras", "from keras"])
def test_files_go_both_ways_and_training_goes_on(keras, tmp_path, optimizer, loss, direction):
    source, target = (minisgd, keras) if direction == "to keras" else (keras, minisgd)
    path = str(tmp_path / "m.keras")
    model, labels = trained(source, optimizer, loss)
    model.save(path)
    source.utils.set_random_seed(5)
    same = source.models.load_model(path)
    target.utils.set_random_seed(5)
    other = target.models.load_model(path)
    assert_same(model, other)
    assert_same(model, same)
    assert without_ids(json.loads(other.to_json())) == without_ids(json.loads(same.to_json()))

    history, reference = train_on(target, other, labels), train_on(source, same, labels)
    if measured_mode().bits:
        assert_same(other, same)
        assert history == reference
    for mine, theirs in zip(state(other), state(same), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epochs", [0, 2])
def test_the_archive_is_the_same(keras, tmp_path, epochs):
    """Members, their order, their storage; the whole configuration; the layout of the weights."""
    found = []
    for ns in (minisgd, keras):
        ns.utils.clear_session(free_memory=False)
        path = tmp_path / "m.keras"
        trained(ns, "exponential", epochs=epochs)[0].save(path)
        with zipfile.ZipFile(path) as archive:
            members = [(i.filename, i.compress_type) for i in archive.infolist()]
            metadata = json.loads(archive.read("metadata.json"))
            weights = io.BytesIO(archive.read("model.weights.h5"))
        names = []
        with importlib.import_module("h5py").File(weights) as file:
            file.visititems(lambda name, _, names=names: names.append(name))
        assert metadata.pop("date_saved")
        found.append((members, metadata, names, config_of(path)))
    assert found[0] == found[1]


@pytest.mark.parametrize("direction", ["to keras", "from keras"])
def test_json_goes_both_ways(keras, direction):
    source, target = (minisgd, keras) if direction == "to keras" else (keras, minisgd)
    model, _ = trained(source, "exponential")
    text = model.to_json()
    other = target.models.model_from_json(text)
    assert without_ids(json.loads(other.to_json())) == without_ids(json.loads(text))
    assert [w.shape for w in other.weights] == [w.shape for w in model.weights]


def test_clones_have_the_same_new_weights(keras):
    clones = []
    for ns in (minisgd, keras):
        model, _ = trained(ns, epochs=0)
        ns.utils.set_random_seed(3)
        clones.append(ns.models.clone_model(model))
        assert clones[-1].compiled
        assert clones[-1].optimizer is not model.optimizer
    for ours, theirs in zip(*(clone.get_weights() for clone in clones), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_compile_false_and_models_that_were_never_compiled(keras, tmp_path):
    path = str(tmp_path / "m.keras")
    for source, target in ((minisgd, keras), (keras, minisgd)):
        model, _ = trained(source)
        model.save(path)
        other = target.models.load_model(path, compile=False)
        assert not other.compiled
        for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
        stack(source).save(path)
        assert not target.models.load_model(path).compiled


def test_a_model_that_is_not_built(keras, tmp_path):
    path = str(tmp_path / "m.keras")
    for source, target in ((minisgd, keras), (keras, minisgd)):
        model = source.Sequential([source.layers.Dense(3)])
        with pytest.warns(UserWarning, match="not yet been built"):
            model.save(path)
        assert not target.models.load_model(path).built


def test_the_users_own_objects(keras, tmp_path):
    path = str(tmp_path / "m.keras")

    def twice(x):
        return x + x

    def my_loss(y_true, y_pred):
        return (y_true - y_pred) * (y_true - y_pred)

    def make(ns):
        class Scaled(ns.layers.Dense):
            pass

        return {"Scaled": Scaled, "twice": twice, "my_loss": my_loss}

    for source, target in ((minisgd, keras), (keras, minisgd)):
        own = make(source)
        model = source.Sequential([source.layers.Input((4,)), own["Scaled"](3, activation=twice)])
        model.compile("sgd", my_loss)
        model.save(path)
        for known in (None, {"twice": twice}):
            with pytest.raises(TypeError, match="Could not locate"):
                target.models.load_model(path, custom_objects=known)
        other = target.models.load_model(path, custom_objects=make(target))
        assert type(other.layers[0]).__name__ == "Scaled"
        assert other.layers[0].activation is twice
        assert json.loads(other.to_json())["compile_config"]["loss"]["config"] == "my_loss"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_lambdas_only_if_the_user_wants_them(keras, tmp_path):
    """As a loss: a lambda as an activation Keras writes so that it can't read it itself."""
    path = str(tmp_path / "m.keras")
    for source, target in ((minisgd, keras), (keras, minisgd)):
        model = source.Sequential([source.layers.Input((4,)), source.layers.Dense(3)])
        model.compile("sgd", lambda y_true, y_pred: y_true - y_pred)
        with pytest.warns(UserWarning, match="includes a `lambda`"):
            model.save(path)
        # Keras wraps it into a TypeError.
        with pytest.raises((ValueError, TypeError), match="deserialization of a Python lambda"):
            target.models.load_model(path)
        assert target.models.load_model(path, compile=False).count_params() == 15
        other = target.models.load_model(path, safe_mode=False)
        assert other.loss(5, 3) == 2


def test_errors_have_the_same_key_phrases(keras, tmp_path):
    model = {ns: trained(ns, epochs=0)[0] for ns in (minisgd, keras)}
    for ns in (minisgd, keras):
        with pytest.raises(ValueError, match="Invalid filepath extension for saving"):
            model[ns].save(str(tmp_path / "m.pt"))
        with pytest.raises(ValueError, match="File format not supported"):
            ns.models.load_model(str(tmp_path / "m.pt"))
        with pytest.raises(ValueError, match="File not found"):
            ns.models.load_model(str(tmp_path / "m.keras"))
        with pytest.raises(FileNotFoundError):
            model[ns].save(str(tmp_path / "none" / "m.keras"))
