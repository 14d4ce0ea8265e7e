"""The compiled step: the bits of the eager one, and nothing stale."""

import secrets

import numpy as np
import pytest

import minisgd as keras
from minisgd import compiler
from minisgd.compiler.record import Constant, NotCompilableError, Times, generalize

RNG = np.random.default_rng(0)
SAMPLES, FEATURES, CLASSES = 43, 20, 4
X = (RNG.random((SAMPLES, FEATURES)) * (RNG.random((SAMPLES, FEATURES)) < 0.6)).astype("f4")
LABELS = RNG.integers(0, CLASSES, SAMPLES)
ONE_HOT = np.eye(CLASSES, dtype="f4")[LABELS]
TARGETS = RNG.standard_normal((SAMPLES, 3)).astype("f4")
WEIGHTS = RNG.random(SAMPLES).astype("f4")

D = keras.layers.Dense


def network(*hidden):
    return lambda: [*(make() for make in hidden), D(CLASSES, "softmax")]


def trained(stack, compile_arguments, x, y, jit, **fit_arguments):
    """Weights, optimizer state, history and results of a small run."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential(stack())
    options = {"optimizer": "sgd", "loss": "categorical_crossentropy", "metrics": ["accuracy"]}
    options |= compile_arguments
    if callable(options["optimizer"]):
        options["optimizer"] = options["optimizer"]()
    model.compile(**options, jit_compile=jit)
    fit_arguments = {"batch_size": 8, "epochs": 3, "verbose": 0} | fit_arguments
    history = model.fit(x, y, **fit_arguments)
    results = model.evaluate(x, y, batch_size=8, verbose=0)
    predictions = model.predict(x, batch_size=8, verbose=0)
    arrays = [np.asarray(v) for v in (*model.weights, *model.optimizer.variables)]
    return model, [
        *arrays,
        predictions,
        np.array(results),
        *map(np.array, history.history.values()),
    ]


def same_bits(stack, compile_arguments=(), x=X, y=ONE_HOT, **fit_arguments):
    """Compile and run a step; the eager run must give the same bits. Returns the model."""
    compile_arguments = dict(compile_arguments)
    model, compiled = trained(stack, compile_arguments, x, y, True, **fit_arguments)
    assert "Not in use" not in model.compiled_source("train")
    assert "Not in use" not in model.compiled_source("test")
    assert "Not in use" not in model.compiled_source("predict")
    _, eager = trained(stack, compile_arguments, x, y, False, **fit_arguments)
    for ours, theirs in zip(compiled, eager, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()
    return model


# --- the same bits ---
ACTIVATIONS = [
    ("relu", "tanh", "softplus", "exponential", "log_softmax"),
    ("linear", "elu", "sigmoid", "leaky_relu", "softmax"),
]


@pytest.mark.parametrize("activations", ACTIVATIONS, ids=" ".join)
def test_activations(activations):
    same_bits(lambda: [*(D(10, name) for name in activations), D(CLASSES, "softmax")])


@pytest.mark.parametrize(
    "stack",
    [
        network(),
        network(lambda: D(9, "relu"), lambda: D(7, "relu")),
        network(lambda: D(33, use_bias=False), lambda: keras.layers.Activation("tanh")),
        network(lambda: keras.layers.Flatten(), lambda: D(1, "relu")),
    ],
    ids=["one layer", "three layers", "no bias", "one unit"],
)
def test_layers(stack):
    same_bits(stack)


def test_images_and_sequences():
    same_bits(network(lambda: keras.layers.Flatten(), lambda: D(6, "relu")), x=X.reshape(-1, 4, 5))
    stack = network(lambda: D(6, "relu"), lambda: keras.layers.Flatten())
    same_bits(stack, x=X.reshape(-1, 4, 5))


@pytest.mark.parametrize(
    ("options", "y"),
    [
        ({"loss": "sparse_categorical_crossentropy"}, LABELS),
        ({"loss": "sparse_categorical_crossentropy"}, LABELS[:, None].astype(np.uint8)),
        ({"loss": keras.losses.CategoricalCrossentropy(label_smoothing=0.1)}, ONE_HOT),
        ({"loss": keras.losses.CategoricalCrossentropy(reduction="sum")}, ONE_HOT.astype(int)),
        ({"loss": "mse", "metrics": None}, ONE_HOT),
        ({"metrics": ["accuracy", "categorical_accuracy"]}, ONE_HOT),
    ],
    ids=["sparse", "sparse column", "smoothing", "sum", "mse", "two metrics"],
)
def test_losses(options, y):
    same_bits(network(lambda: D(6, "relu")), options, y=y)


def test_losses_without_a_softmax():
    stack = lambda: [D(5, "relu"), D(CLASSES, "sigmoid")]  # noqa: E731
    same_bits(stack)
    same_bits(lambda: [D(3)], {"loss": "mse", "metrics": []}, y=TARGETS)
    logits = keras.losses.CategoricalCrossentropy(from_logits=True)
    same_bits(lambda: [D(5, "relu"), D(CLASSES)], {"loss": logits})
    same_bits(lambda: [D(1, "sigmoid")], {"loss": "mse"}, y=LABELS[:, None] % 2)
    same_bits(lambda: [D(CLASSES, "softplus")])  # through a logarithm, whose slope is a reciprocal


SGD = keras.optimizers.SGD


class Harmonic(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of the user's, which takes one step at a time."""

    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start / (int(step) + 1)


OPTIONS = {
    "momentum": lambda: SGD(0.1, momentum=0.9),
    "nesterov": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "decay": lambda: SGD(0.1, weight_decay=0.01),
    "clipnorm": lambda: SGD(0.1, clipnorm=0.1),
    "clipvalue": lambda: SGD(0.1, clipvalue=0.01),
    "global": lambda: SGD(0.1, momentum=0.5, global_clipnorm=0.1),
    "ema": lambda: SGD(0.1, use_ema=True, ema_momentum=0.9),
    "ema overwrites": lambda: SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    "scale": lambda: SGD(0.1, loss_scale_factor=3.0),
    "accumulation": lambda: SGD(0.1, gradient_accumulation_steps=2),
    "everything": lambda: SGD(
        0.1, momentum=0.9, nesterov=True, weight_decay=0.01, clipnorm=0.5, use_ema=True,
        ema_overwrite_frequency=2, loss_scale_factor=2.0, gradient_accumulation_steps=3,
    ),
    "schedule": lambda: SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.7), weight_decay=0.01
    ),
    "warm-up, accumulation": lambda: SGD(
        keras.optimizers.schedules.CosineDecay(0.0, 9, 0.1, warmup_target=0.1, warmup_steps=4),
        momentum=0.9, gradient_accumulation_steps=2, weight_decay=0.01, use_ema=True,
    ),
    "own schedule": lambda: SGD(Harmonic(0.1), weight_decay=0.01, gradient_accumulation_steps=2),
    "function": lambda: SGD(iter(np.linspace(0.1, 0.2, 100).tolist()).__next__),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_optimizer_options(name):
    same_bits(network(lambda: D(6, "relu")), {"optimizer": OPTIONS[name]})


@pytest.mark.parametrize("batch_size", [1, 2, 7, 15, 16, 32, 43, 100])
def test_batch_sizes_share_one_program(batch_size):
    same_bits(network(lambda: D(16, "relu")), batch_size=batch_size)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sample_weight": WEIGHTS},
        {"class_weight": {0: 2.0, 3: 0.5}},
        {"shuffle": False},
        {"shuffle": "batch"},
        {"steps_per_epoch": 3},
        {"validation_split": 0.3},
        {"validation_data": (X, ONE_HOT, WEIGHTS)},
        {"reshuffle_each_epoch": True},
        {"initial_epoch": 2},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_arguments_of_fit(arguments):
    same_bits(network(lambda: D(16, "relu")), **arguments)


@pytest.mark.parametrize(
    "x",
    [
        X.astype(np.float64),
        X.astype(np.float16),
        (X * 255).astype(np.uint8),
        np.asfortranarray(X),
        X.astype(">f4"),
        X[::-1],
    ],
    ids=["float64", "float16", "uint8", "columns", "big-endian", "reversed"],
)
def test_forms_of_data(x):
    same_bits(network(lambda: D(16, "relu")), x=x)


def test_read_only_data_stays_as_it_is():
    x = X.copy()
    x.flags.writeable = False
    same_bits(network(lambda: D(16, "relu")), x=x)
    assert not x.flags.writeable
    np.testing.assert_array_equal(x, X)


# --- one recording, and never a stale one ---
def small_model(jit=True, **options):
    keras.utils.set_random_seed(7)
    model = keras.Sequential([D(16, "relu"), D(CLASSES, "softmax")])
    optimizer = SGD(0.1, momentum=0.9)
    loss = "categorical_crossentropy"
    options = {"optimizer": optimizer, "loss": loss, "metrics": ["accuracy"]} | options
    model.compile(**options, jit_compile=jit)
    return model


FIT = {"batch_size": 8, "verbose": 0}


def test_a_fit_records_one_step_of_each_kind():
    before = compiler.traces
    model = small_model()
    model.fit(X, ONE_HOT, epochs=4, validation_data=(X, ONE_HOT), **FIT)
    assert compiler.traces == before + 2  # train, test
    model.fit(X, ONE_HOT, epochs=2, **FIT)
    model.fit(X[:9], ONE_HOT[:9], epochs=2, batch_size=2, verbose=0)
    model.evaluate(X, ONE_HOT, verbose=0)
    assert compiler.traces == before + 2


def double_rate(model):
    model.optimizer.learning_rate = 2 * float(model.optimizer.learning_rate)


def new_weights(model):
    model.set_weights([w + 0.25 for w in model.get_weights()])


def freeze(model):
    model.layers[0].trainable = False


def other_momentum(model):
    model.optimizer.momentum = 0.5


def other_optimizer(model):
    model.optimizer = SGD(0.05)


def other_activation(model):
    model.layers[0].activation = keras.activations.tanh


def other_loss(model):
    model.compile("sgd", "mse", metrics=["accuracy"], jit_compile=model.jit_compile)


def layer_on_top(model):
    model.add(D(CLASSES, "softmax"))
    model.compile("sgd", "categorical_crossentropy", jit_compile=model.jit_compile)


def own_loss(model):
    loss = lambda y, p: keras.ops.sum(keras.ops.square(y - p), -1)  # noqa: E731
    model.compile("sgd", loss, jit_compile=model.jit_compile)


def eager_from_here(model):
    model.run_eagerly = True


CHANGES = [
    double_rate, new_weights, freeze, other_momentum, other_optimizer, other_activation,
    other_loss, own_loss, eager_from_here,
]  # fmt: skip


class Change(keras.callbacks.Callback):
    """Change the model after the first epoch, or after a batch."""

    def __init__(self, change, at_batch=None):
        super().__init__()
        self.change, self.at_batch, self.epoch = change, at_batch, 0
        if at_batch is not None:
            self.on_train_batch_end = self.at_batch_end

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def at_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, self.at_batch):
            self.change(self.model)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0 and self.at_batch is None:
            self.change(self.model)


@pytest.mark.parametrize("at_batch", [None, 2], ids=["epoch", "batch"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_callback_changes_is_seen(change, at_batch):
    runs = []
    for jit in (True, False):
        model = small_model(jit)
        model.fit(X, ONE_HOT, epochs=3, callbacks=[Change(change, at_batch)], **FIT)
        runs.append([model.get_weights(), model.history.history])
    for ours, theirs in zip(*(run[0] for run in runs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert runs[0][1] == runs[1][1]


@pytest.mark.parametrize("change", [*CHANGES, layer_on_top])
def test_what_changes_between_two_fits_is_seen(change):
    runs = []
    for jit in (True, False):
        model = small_model(jit)
        model.fit(X, ONE_HOT, **FIT)
        change(model)
        model.fit(X, ONE_HOT, **FIT)
        runs.append(model.get_weights())
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_stale_learning_rate_would_be_seen(monkeypatch):
    """The test above is sharp: with the first call's rate for ever, the weights differ."""
    from minisgd.compiler import runner

    fresh, first = runner._arguments, {}

    def stale(program, count):
        arguments = fresh(program, count)
        rate = first.setdefault("rate", arguments["learning_rates"][0])
        return {**arguments, "learning_rates": np.full(count, rate, np.float32)}

    runs = []
    for jit in (True, False):
        monkeypatch.setattr(runner, "_arguments", stale if jit else fresh)
        model = small_model(jit)
        model.fit(X, ONE_HOT, epochs=3, callbacks=[Change(double_rate)], **FIT)
        runs.append(model.get_weights())
    assert not np.array_equal(runs[0][0], runs[1][0])


def test_per_batch_callbacks_see_every_batch():
    class Batches(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_train_batch_begin(self, batch, logs=None):
            self.seen.append(("begin", batch, self.model.get_weights()[0].sum()))

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(("end", batch, dict(logs)))

    runs = []
    for jit in (True, False):
        watcher = Batches()
        small_model(jit).fit(X, ONE_HOT, epochs=2, callbacks=[watcher], **FIT)
        runs.append(watcher.seen)
    assert runs[0] == runs[1]
    assert len(runs[0]) == 2 * 2 * 6


# --- what runs eagerly, and says so ---
class Own(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2.0


class OwnModel(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: keras.Sequential([Own(name="own"), D(CLASSES, "softmax")]), "layer 'own'"),
        (lambda: OwnModel([D(CLASSES, "softmax")]), "`train_step` of its own"),
        (
            lambda: keras.Sequential([D(CLASSES, lambda x: keras.ops.softmax(x), name="d")]),
            "layer 'd' has an activation",
        ),
        (lambda: keras.Sequential([D(CLASSES, "softmax", dtype="float64")]), "float64"),
    ],
    ids=["layer", "model", "activation", "dtype"],
)
def test_what_cannot_be_compiled_runs_eagerly_and_says_so(make, reason, capsys):
    for jit in ("auto", True):
        model = make()
        model.compile("sgd", "categorical_crossentropy", jit_compile=jit)
        model.fit(X, ONE_HOT, epochs=2, **FIT)
        said = capsys.readouterr().out
        assert (said.count("runs eagerly") == 1 and reason in said) if jit is True else not said
        with pytest.raises(ValueError, match="There is no compiled source") as raised:
            model.compiled_source()
        assert reason in str(raised.value)


def test_jit_compile_is_checked():
    with pytest.raises(ValueError, match="`jit_compile`: expected True, False or 'auto'"):
        keras.Sequential([D(2)]).compile("sgd", "mse", jit_compile="always")


def test_a_tape_of_the_users_own_hears_of_every_step():
    model = small_model()
    model.fit(X, ONE_HOT, **FIT)
    with keras.GradientTape() as tape:
        model.fit(X, ONE_HOT, **FIT)
    assert tape.equations
    assert "# Not in use: a GradientTape is recording" in model.compiled_source()


def test_data_that_a_callback_changes_are_read_anew():
    runs = []
    for jit in (True, False):
        x = X.copy()
        halve = Change(lambda model, x=x: np.multiply(x, x[::-1], out=x))
        model = small_model(jit)
        model.fit(x, ONE_HOT, epochs=3, callbacks=[halve], **FIT)
        runs.append(model.get_weights())
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_short_fits_are_not_worth_compiling_until_there_are_many(monkeypatch):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([D(CLASSES, "softmax", name=f"never_seen_{secrets.token_hex(8)}")])
    model.compile("sgd", "categorical_crossentropy")
    model.fit(X, ONE_HOT, **FIT)
    assert "# Not in use: 6 steps are over" in model.compiled_source()
    monkeypatch.setattr(compiler.runner, "WORTH_STEPS", 12)
    model.fit(X, ONE_HOT, **FIT)
    assert "Not in use" not in model.compiled_source()


def test_the_source_names_layers_and_shows_shapes():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([D(5, "relu", name="hidden"), D(CLASSES, "softmax")])
    model.compile("sgd", "categorical_crossentropy", jit_compile=True)
    with pytest.raises(ValueError, match="no train step has been recorded yet"):
        model.compiled_source()
    model.fit(X, ONE_HOT, **FIT)
    source = model.compiled_source()
    assert "hidden_kernel" in source
    assert "t2 (n, 5)" in source
    with pytest.raises(ValueError, match="`kind`: expected 'train'"):
        model.compiled_source("fit")


def test_a_number_that_does_not_grow_with_the_batch_is_refused():
    from minisgd.compiler.record import Call

    def calls(*numbers):
        return [[Call("add", (Constant(x, "float32"),), (), "t1", ())] for x in numbers]

    assert generalize(calls(5.0, 3.0, 1.0))[0].inputs == (Constant(Times(1.0), "float32"),)
    assert generalize(calls(2.0, 2.0, 2.0))[0].inputs == (Constant(2.0, "float32"),)
    with pytest.raises(NotCompilableError, match="0.5 in one batch is 0.25 in another"):
        generalize(calls(0.5, 0.25, 1.0))
    with pytest.raises(NotCompilableError, match="depend on the number of samples"):
        generalize([*calls(1.0, 1.0), []])


def test_rates_are_computed_for_many_steps_at_once(monkeypatch):
    """A schedule is asked once a call of the printed step, a user's own once a step."""
    own = keras.optimizers.schedules.InverseTimeDecay
    for kind in (own, type("Mine", (own,), {})):
        asked = []

        def watched(self, step, kind=kind, asked=asked):
            asked.append(np.shape(step))
            return keras.optimizers.schedules.PolynomialDecay(0.1, 100)(step)

        monkeypatch.setattr(kind, "__call__", watched)
        model = small_model(optimizer=SGD(kind(0.1, 10, 0.5)))
        model.fit(X, ONE_HOT, **FIT)
        if kind is own:
            assert asked[0] == (1,)
            assert sum(count for (count,) in asked) == 6
        else:
            assert asked == [()] * 6


def test_a_rate_that_cannot_train_ends_the_fit_at_its_step():
    runs = []
    for jit in (True, False):
        rate = keras.optimizers.schedules.CosineDecayRestarts(0.1, 1.0, 1.0, 1e5)
        model = small_model(jit, optimizer=SGD(rate))
        with pytest.raises(ValueError, match="'CosineDecayRestarts' at step 8: expected a number"):
            model.fit(X * 1e-30, ONE_HOT, epochs=3, **FIT)
        runs.append((int(model.optimizer.iterations), model.get_weights()))
    assert runs[0][0] == runs[1][0] == 8
    for ours, theirs in zip(runs[0][1], runs[1][1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
