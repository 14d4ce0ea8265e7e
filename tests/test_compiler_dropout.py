"""Dropout in the compiled training step: the masks of eager mode, drawn within the step."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import compiler, random

RNG = np.random.default_rng(0)
SAMPLES, CLASSES = 43, 4  # with batches of 8, the last has 3
X = RNG.random((SAMPLES, 20), dtype="f4")
ONE_HOT = np.eye(CLASSES, dtype="f4")[RNG.integers(0, CLASSES, SAMPLES)]

D, Dropout = keras.layers.Dense, keras.layers.Dropout
STACKS = {
    "one": lambda: [D(16, "relu"), Dropout(0.2), D(CLASSES, "softmax")],
    "two, one seed given": lambda: [
        D(16, "relu"), Dropout(0.5, seed=11), D(9, "tanh"), Dropout(0.2), D(CLASSES, "softmax")
    ],
    "on the data": lambda: [Dropout(0.5), D(16, "relu"), Dropout(0.0), D(CLASSES, "softmax")],
    "whole samples": lambda: [
        D(16, "relu"), Dropout(0.2, noise_shape=(None, 1)), D(CLASSES, "softmax")
    ],
    "one mask a batch": lambda: [
        D(16, "relu"), Dropout(0.2, noise_shape=(1, 16)), D(CLASSES, "softmax")
    ],
}  # fmt: skip


def model_of(stack, jit, optimizer=None):
    keras.utils.set_random_seed(7)
    model = keras.Sequential(stack())
    model.compile(
        optimizer() if optimizer else keras.optimizers.SGD(0.1, momentum=0.9),
        "categorical_crossentropy", metrics=["accuracy"], jit_compile=jit,
    )  # fmt: skip
    return model


def generators(model):
    layers = [layer for layer in model.layers if isinstance(layer, Dropout) and layer.rate]
    return [layer.seed_generator for layer in layers]


def state(model):
    """All that a fit leaves behind, as bytes, with the states of the seeds."""
    variables = [*model.weights, *model.optimizer.variables]
    variables += [generator.state for generator in generators(model)]
    return [variable.numpy().tobytes() for variable in variables]


def fit(model, **arguments):
    return model.fit(X, ONE_HOT, batch_size=8, verbose=0, **arguments).history


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_the_masks_of_eager_steps(stack):
    compiled, eager = model_of(stack, True), model_of(stack, False)
    before = compiler.traces
    for epochs in (2, 1):  # the second fit goes on where the first one stopped
        for model in (compiled, eager):
            model.last = fit(model, epochs=epochs)
        assert compiled.last == eager.last
        assert state(compiled) == state(eager)
    assert compiler.traces == before + 1
    draws = [generator.state.numpy()[1] for generator in generators(compiled)]
    assert draws == [3 * 6] * len(draws)
    assert "Not in use" not in compiled.compiled_source()


def test_the_source_shows_how_a_mask_is_drawn():
    model = model_of(STACKS["two, one seed given"], True)
    fit(model)
    source = model.compiled_source()
    for line in (
        "t3 = next_seed_inplace(dropout_seed)",
        "next_seed_inplace(dropout_1_seed)",
        "t4 = philox_stream(t3)",
        "t5 = philox_uniform(t4[:2], t4[2:], np.float32(0.0), np.float32(1.0), n * 16)",
        "t6 = np.greater_equal(t5, np.float32(0.5))",
    ):
        assert line in source


def test_a_stale_mask_would_be_seen():
    """The tests above are sharp: other masks give other weights."""
    models = [model_of(STACKS["one"], True) for _ in range(2)]
    generators(models[1])[0].state.assign([1, 0])
    for model in models:
        fit(model)
    assert state(models[0])[0] != state(models[1])[0]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=3),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=2),
    ],
    ids=["accumulation", "averages"],
)
def test_steps_that_are_not_all_alike(optimizer):
    runs = []
    for jit in (True, False):
        model = model_of(STACKS["two, one seed given"], jit, optimizer)
        runs.append((fit(model, epochs=2), state(model)))
    assert runs[0] == runs[1]


class EveryBatch(keras.callbacks.Callback):
    """Hears of every batch, so that each step is a call of its own; may change a seed."""

    def __init__(self, change=None):
        super().__init__()
        self.change, self.seen = change, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append([int(generator.state[1]) for generator in generators(self.model)])
        if self.change is not None and batch == 2:
            self.change(generators(self.model)[0])


def new_seed(generator):
    generator.state.assign([5, 0])


def new_state(generator):
    generator.state = keras.Variable(np.array([5, 0]))


@pytest.mark.parametrize("change", [None, new_seed, new_state])
def test_callbacks_between_two_batches(change):
    runs = []
    for jit in (True, False):
        model, watcher = model_of(STACKS["two, one seed given"], jit), EveryBatch(change)
        runs.append((fit(model, epochs=2, callbacks=[watcher]), state(model), watcher.seen))
    assert runs[0] == runs[1]
    if change is None:
        assert runs[0][2] == [[k, k] for k in range(1, 13)]


def test_nothing_is_drawn_outside_of_training():
    model = model_of(STACKS["one"], True)
    fit(model)
    before = state(model)
    model.evaluate(X, ONE_HOT, verbose=0)
    model.predict(X, verbose=0)
    assert state(model) == before
    for kind in ("test", "predict"):
        assert "seed" not in model.compiled_source(kind)


class Own(random.SeedGenerator):
    pass


def own_generator():
    layer = Dropout(0.5, name="drop")
    layer.seed_generator = Own(3)
    return layer


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (own_generator, "layer 'drop' has a seed generator of its own"),
        (lambda: Dropout(1.0, name="drop"), "layer 'drop' lets nothing through"),
        (
            lambda: Dropout(0.5, noise_shape=(43, 16), name="drop"),
            "layer 'drop' takes batches of one length only",
        ),
    ],
    ids=["generator", "rate 1", "noise_shape"],
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_what_runs_eagerly_and_says_so(make, reason, capsys):
    model = model_of(lambda: [D(16, "relu"), make(), D(CLASSES, "softmax")], True)
    model.fit(X, ONE_HOT, batch_size=SAMPLES, verbose=0)
    assert f"the train step runs eagerly, since {reason}." in capsys.readouterr().out
