"""Regularizers, constraints, losses of layers, layers and steps of the user's own."""

import copy

import numpy as np
import pytest

import minisgd as keras
from minisgd import Variable, constraints, layers, ops, regularizers

rng = np.random.default_rng(0)
X = rng.random((40, 6), dtype=np.float32)
Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 40)]


def mlp(*more, **options):
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [layers.Input((6,)), layers.Dense(8, "relu", **options), *more, layers.Dense(3, "softmax")]
    )


def fitted(make, jit_compile, optimizer=None, **fit):
    model = make()
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, **(optimizer or {}))
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"], jit_compile=jit_compile)
    history = model.fit(X, Y, batch_size=16, epochs=2, verbose=0, **fit).history
    return model, [w.tobytes() for w in model.get_weights()], history


def nested():
    inner = keras.Sequential([layers.Dense(5, kernel_regularizer="l1"), layers.Dropout(0.5)])
    return mlp(inner, layers.PReLU(alpha_constraint="non_neg"), layers.ActivityRegularization(0.1))


COMPILED = {
    "penalties": lambda: mlp(
        kernel_regularizer=regularizers.L1L2(0.01, 0.02), bias_regularizer="l2",
        activity_regularizer=regularizers.L1L2(0.01, 0.02),
    ),
    "norms": lambda: mlp(
        kernel_constraint=constraints.MinMaxNorm(0.1, 0.5, 0.8, axis=1),
        bias_constraint=constraints.MaxNorm(0.01),
    ),
    "signs": lambda: mlp(kernel_constraint="non_neg", bias_constraint="unit_norm"),
    "nested": nested,
    "shapes": lambda: mlp(layers.Reshape((2, -1)), layers.Permute((2, 1)), layers.Flatten(),
                          layers.RepeatVector(2), layers.Flatten(), layers.Rescaling(2, 1)),
    "activations": lambda: mlp(layers.ReLU(1.0, 0.1, 0.2), layers.LeakyReLU(), layers.ELU(0.5),
                               layers.Softmax(), layers.Identity()),
}  # fmt: skip


ACCUMULATING = {"gradient_accumulation_steps": 2}


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [*((name, {}) for name in COMPILED), ("penalties", ACCUMULATING), ("norms", ACCUMULATING)],
)
def test_compiled_steps_have_the_bits_of_eager_ones(name, optimizer):
    model, *compiled = fitted(COMPILED[name], True, optimizer)
    assert "def train_steps" in model.compiled_source()
    _, *eager = fitted(COMPILED[name], False, optimizer)
    assert compiled == eager


def own_penalty(w):
    return 0.1 * ops.sum(ops.square(w))


class Linear(layers.Layer):
    """As a user writes it."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")

    def call(self, inputs):
        return ops.matmul(inputs, self.w)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: mlp(kernel_regularizer=own_penalty), "has a regularizer of its own"),
        (lambda: mlp(activity_regularizer=own_penalty), "has a regularizer of its own"),
        (lambda: mlp(bias_constraint=lambda w: ops.abs(w)), "has a constraint of its own"),
        (lambda: mlp(Linear()), "is none of minisgd's own"),
        (lambda: mlp(layers.Rescaling(np.ones(8))), "an array that no operation"),
    ],
)
def test_what_is_the_users_own_runs_eagerly_and_says_so_once(make, reason, capsys):
    fitted(make, True)
    printed = capsys.readouterr()
    lines = [line for line in (printed.out + printed.err).splitlines() if "train step" in line]
    assert len(lines) == 1
    assert reason in lines[0]


def test_a_changed_penalty_is_not_replayed():
    def run(jit_compile):
        model, _, _ = fitted(lambda: mlp(kernel_regularizer="l2"), jit_compile)
        model.layers[0].kernel.regularizer.l2 = 0.5
        model.fit(X, Y, batch_size=16, verbose=0)
        model.layers[0].kernel.constraint = constraints.NonNeg()
        model.fit(X, Y, batch_size=16, verbose=0)
        return [w.tobytes() for w in model.get_weights()]

    assert run(True) == run(False)


# --- penalties and constraints ---
def test_penalties_and_their_gradients():
    w = Variable(np.array([[1.0, -2.0], [0.0, 4.0]]), dtype="float32")
    for penalty, value, slope in (
        (regularizers.L1(0.5), 3.5, 0.5 * np.sign(w)),
        (regularizers.L2(0.5), 10.5, np.array(w)),
        (regularizers.L1L2(0.5, 0.5), 14.0, 0.5 * np.sign(w) + np.array(w)),
        (regularizers.Regularizer(), 0.0, None),
    ):
        with keras.GradientTape() as tape:
            loss = penalty(w)
        assert float(loss) == value
        if slope is not None:
            np.testing.assert_array_equal(tape.gradient(loss, w), slope)
    with pytest.raises(NotImplementedError, match="does not implement get_config"):
        regularizers.Regularizer().get_config()


@pytest.mark.parametrize("module", [regularizers, constraints])
def test_get(module):
    assert module.get(None) is None
    assert module.get(own_penalty) is own_penalty
    name = "l2" if module is regularizers else "max_norm"
    found = module.get(name)
    assert type(module.get(type(found))) is type(found)
    config = module.serialize(found)
    assert module.get(config).get_config() == found.get_config()
    for wrong in ("l3", "max_nrm", 3, object()):
        with pytest.raises(ValueError, match="Could not interpret (regularizer|constraint)"):
            module.get(wrong)


def test_the_documented_name_of_both():
    assert regularizers.get("l1_l2").get_config() == {"l1": 0.01, "l2": 0.01}


@pytest.mark.parametrize("wrong", [-1, float("nan"), "a", None, True])
def test_limits_of_norms(wrong):
    for make in (constraints.MaxNorm, constraints.MinMaxNorm):
        with pytest.raises(ValueError, match="expected a number that is not negative"):
            make(wrong)


def test_a_constraint_of_another_shape():
    model = mlp(kernel_constraint=lambda w: ops.sum(w))
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    with pytest.raises(ValueError, match=r"constraint of '.*kernel'.*\(6, 8\).*\(\)"):
        model.train_on_batch(X, Y)


def test_frozen_weights_have_no_penalty():
    model = mlp(kernel_regularizer="l2")
    assert len(model.losses) == 1
    model.layers[0].trainable = False
    assert model.losses == []


# --- losses ---
class Penalized(layers.Layer):
    def call(self, inputs, training=False):
        self.add_loss([ops.sum(inputs)] if training else ops.mean(inputs))
        return inputs


def test_losses_are_those_of_the_latest_call():
    model = mlp(Penalized())
    model(X)
    model(X, training=True)
    (loss,) = model.losses
    assert float(loss) > 1
    model.compile("sgd", "categorical_crossentropy")
    alone = keras.losses.CategoricalCrossentropy()(Y, model(X))
    total = model.evaluate(X, Y, batch_size=40, verbose=0)
    np.testing.assert_allclose(total, float(alone) + float(model.losses[0]), rtol=1e-6)


def test_a_model_whose_only_loss_is_its_layers():
    model = keras.Sequential([layers.Input((6,)), layers.Dense(3), Penalized()])
    model.compile("sgd")
    before = model.get_weights()[0]
    assert np.isfinite(model.fit(X, verbose=0).history["loss"][0])
    assert (model.get_weights()[0] != before).any()
    plain = mlp()
    plain.compile("sgd")
    with pytest.raises(ValueError, match="No loss to compute"):
        plain.fit(X, Y, verbose=0)


# --- what a layer owns ---
class Block(layers.Layer):
    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.first = Linear(units)
        self.rest = []
        self.rest.append(layers.Dense(units))
        self.rest += [layers.Dense(units)]
        self.named = {"last": layers.Dense(2)}
        self.scale = Variable(1.0, name="scale")
        self.seen = Variable(0.0, name="seen", trainable=False)

    def call(self, x):
        for layer in (self.first, *self.rest, self.named["last"]):
            x = layer(x)
        return x * self.scale


def test_attributes_are_tracked():
    block = Block()
    assert block.compute_output_shape((None, 6)) == (None, 2)
    names = [w.name for w in block.weights]
    assert names == ["scale", "seen", "w", "kernel", "bias", "kernel", "bias", "kernel", "bias"]
    assert block.first.w.path == f"{block.name}/{block.first.name}/w"
    assert [w.name for w in block.non_trainable_weights] == ["seen"]
    block.trainable = False
    assert not block.first.trainable
    assert block.trainable_weights == []
    with pytest.raises(ValueError, match="already built"):
        block.more = layers.Dense(2)
    with pytest.raises(ValueError, match="already built"):
        block.rest.append(layers.Dense(2))
    assert len(copy.deepcopy(block).weights) == 9


def test_a_frozen_layer_freezes_what_it_gets():
    layer = Linear(trainable=False)
    layer(X)
    assert not layer.w.trainable
    layer.trainable = True
    assert layer.w.trainable


def test_super_init_forgotten():
    class Forgetful(layers.Layer):
        def __init__(self):
            self.x = 3

        def call(self, inputs):
            return inputs

    with pytest.raises(RuntimeError, match=r"forgot to call `super\(\).__init__\(\)`"):
        Forgetful()(X)


def test_configuration_without_get_config():
    layer = Linear(7, name="mine")
    config = layer.get_config()
    assert (config["units"], config["name"]) == (7, "mine")
    assert Linear.from_config(config).units == 7

    class Holder(layers.Layer):
        def __init__(self, inner, **kwargs):
            super().__init__(**kwargs)

    with pytest.raises(NotImplementedError, match="non-serializable argument values.*inner"):
        Holder(layers.Dense(2)).get_config()


def test_training_is_told_to_inner_layers():
    told = []

    class Inner(layers.Layer):
        def call(self, inputs, training=None):
            told.append(training)
            return inputs

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, inputs):
            return self.inner(inputs)

    model = keras.Sequential([Outer()])
    model(X)
    told.clear()
    for training in (None, True, False):
        model(X, training=training)
    assert told == [None, True, False]


def test_a_list_of_tensors_is_stacked_with_its_gradients():
    w = Variable(2.0)
    with keras.GradientTape() as tape:
        loss = ops.sum([w * w, w])
    assert float(tape.gradient(loss, w)) == 5.0


def test_batches_are_packed_as_in_keras():
    pack, unpack = keras.utils.pack_x_y_sample_weight, keras.utils.unpack_x_y_sample_weight
    assert pack(1) == 1
    assert pack([1]) == ([1],)
    assert (pack(1, 2), pack(1, 2, 3)) == ((1, 2), (1, 2, 3))
    assert [unpack(v) for v in (1, (1,), [1, 2], (1, 2, 3))] == [
        (1, None, None), (1, None, None), (1, 2, None), (1, 2, 3),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="Data is expected to be in format"):
        unpack((1, 2, 3, 4))
