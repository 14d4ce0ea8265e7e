"""fit, evaluate, predict and their one-batch forms: logs, order, weights, reproducibility."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers
from minisgd.callbacks import Callback, LearningRateScheduler
from minisgd.datasets import mnist

F32 = np.float32
FEATURES, CLASSES = 6, 3


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(4)


def data(n=20, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, FEATURES)).astype(F32)
    return x, np.eye(CLASSES, dtype=F32)[rng.integers(0, CLASSES, n)]


def mlp(**kwargs):
    model = keras.Sequential(
        [layers.Dense(8, "relu", input_shape=(FEATURES,)), layers.Dense(CLASSES, "softmax")]
    )
    compiled = {"loss": "categorical_crossentropy", "metrics": ["accuracy"]} | kwargs
    model.compile(compiled.pop("optimizer", "sgd"), **compiled)
    return model


def assert_equal_weights(a, b, equal=True):
    same = [np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True)]
    assert all(same) if equal else not all(same)


class Spy(Callback):
    """Keeps the logs of every batch and epoch, and the order of the calls."""

    def __init__(self):
        super().__init__()
        self.batches, self.epochs, self.calls = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch", epoch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("batch", batch))
        self.batches.append(dict(logs))

    def on_test_end(self, logs=None):
        self.calls.append(("test",))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


# --- logs ---
def test_history_keys_and_their_order():
    x, y = data()
    history = mlp().fit(
        x,
        y,
        epochs=3,
        validation_data=(x, y),
        verbose=0,
        callbacks=[LearningRateScheduler(lambda epoch, lr: lr / 2)],
    )
    keys = ["accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"]
    assert list(history.history) == keys
    assert {len(v) for v in history.history.values()} == {3}
    assert history.epoch == [0, 1, 2]
    assert all(type(v) is float for values in history.history.values() for v in values)
    assert history.history["learning_rate"] == [float(F32(0.01)) / 2**k for k in (1, 2, 3)]


def test_the_loss_of_an_epoch_is_the_running_mean_before_each_update():
    x, y = data(22)
    spy = Spy()
    history = mlp().fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=spy)
    keras.utils.set_random_seed(4)
    twin = mlp()
    total, right = F32(0), 0
    for i, (start, stop) in enumerate([(0, 8), (8, 16), (16, 22)]):
        right += int(
            (twin.predict_on_batch(x[start:stop]).argmax(1) == y[start:stop].argmax(1)).sum()
        )
        loss, _ = twin.train_on_batch(x[start:stop], y[start:stop])
        total = total + F32(loss) * F32(stop - start)
        assert spy.batches[i] == {
            "accuracy": float(F32(right) / F32(stop)),
            "loss": float(total / F32(stop)),
        }
    assert history.history["loss"] == [float(total / F32(22))]
    assert spy.epochs == [spy.batches[-1]]
    assert all(type(v) is float for logs in spy.batches + spy.epochs for v in logs.values())


def test_fit_is_train_on_batch_in_the_seeds_order():
    x, y = data(22)
    model = mlp()
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    keras.utils.set_random_seed(4)
    twin, order = mlp(), keras.random.epoch_order(22)
    for _ in range(2):
        for start in range(0, 22, 8):
            rows = order[start : start + 8]
            twin.train_on_batch(x[rows], y[rows])
    assert_equal_weights(model, twin)


def test_the_gradient_of_the_last_batch_uses_its_own_size():
    x, y = data(5)
    model = mlp(optimizer=keras.optimizers.SGD(0.5))
    before = model.get_weights()
    model.fit(x[4:], y[4:], batch_size=4, verbose=0)
    single = [w.copy() for w in model.get_weights()]
    model.set_weights(before)
    model.fit(np.concatenate([x[4:]] * 3), np.concatenate([y[4:]] * 3), verbose=0)
    for a, b in zip(model.get_weights(), single, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)  # the mean, not the sum


# --- validation ---
def test_validation_logs_are_those_of_evaluate():
    (x, y), (vx, vy) = data(20), data(11, seed=1)
    model = mlp()
    history = model.fit(x, y, validation_data=(vx, vy), batch_size=4, epochs=2, verbose=0).history
    loss, accuracy = model.evaluate(vx, vy, batch_size=4, verbose=0)
    assert (history["val_loss"][-1], history["val_accuracy"][-1]) == (loss, accuracy)


def test_a_validation_split_is_the_end_of_the_data():
    x, y = data(20)
    model = mlp()
    split = model.fit(x, y, validation_split=0.25, epochs=2, verbose=0).history
    keras.utils.set_random_seed(4)
    twin = mlp()
    given = twin.fit(x[:15], y[:15], validation_data=(x[15:], y[15:]), epochs=2, verbose=0).history
    assert split == given
    assert_equal_weights(model, twin)


def test_validation_does_not_disturb_training():
    x, y = data(20)
    model = mlp()
    model.fit(x, y, epochs=2, verbose=0, validation_data=data(9, seed=1))
    keras.utils.set_random_seed(4)
    twin = mlp()
    twin.fit(x, y, epochs=2, verbose=0)
    assert_equal_weights(model, twin)


@pytest.mark.parametrize(("frequency", "count"), [(1, 4), (2, 2), (3, 1), ([1, 4], 2), ([9], 0)])
def test_validation_frequency(frequency, count):
    x, y = data(8)
    spy = Spy()
    history = (
        mlp()
        .fit(
            x,
            y,
            epochs=4,
            validation_data=(x, y),
            validation_freq=frequency,
            verbose=0,
            callbacks=spy,
        )
        .history
    )
    assert len(history.get("val_loss", [])) == count
    assert spy.calls.count(("test",)) == count
    assert len(history["loss"]) == 4


def test_weighted_validation():
    x, y = data(12)
    w = np.linspace(0, 2, 12, dtype=F32)
    model = mlp()
    history = model.fit(x, y, validation_data=(x, y, w), verbose=0).history
    assert history["val_loss"] == [model.evaluate(x, y, sample_weight=w, verbose=0)[0]]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"validation_data": (1, 2, 3, 4)}, "received 4 items"),
        ({"validation_data": data()[0]}, "`validation_data`"),
        ({"validation_data": (data()[0][:, :2], data()[1])}, "incompatible"),
        ({"validation_data": data(), "validation_freq": 0}, "`validation_freq`"),
        ({"validation_split": 1.5}, "`validation_split`"),
        ({"validation_split": 0.96}, "not sufficient"),
        ({"epochs": 1.5}, "`epochs`"),
        ({"epochs": -1}, "`epochs`"),
        ({"initial_epoch": "1"}, "`initial_epoch`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch`"),
        ({"shuffle": "all"}, "`shuffle`"),
        ({"callbacks": [3]}, "`callbacks`"),
        ({"verbose": 7}, "verbose"),
        ({"sample_weight": np.ones(3)}, "ambiguous"),
        ({"class_weight": {0: 1.0}, "sample_weight": np.ones(20)}, "at the same time"),
    ],
)
def test_bad_arguments_are_refused_before_training(kwargs, message):
    x, y = data(20)
    model = mlp()
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(x, y, **({"verbose": 0} | kwargs))
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


# --- epochs and steps ---
def test_initial_epoch():
    x, y = data(8)
    spy = Spy()
    history = mlp().fit(x, y, initial_epoch=2, epochs=4, verbose=0, callbacks=spy)
    assert history.epoch == [2, 3]
    assert [c for c in spy.calls if c[0] == "epoch"] == [("epoch", 2), ("epoch", 3)]


@pytest.mark.parametrize("epochs", [0, 2])
def test_no_epoch_to_train(epochs):
    x, y = data(8)
    model = mlp()
    before = model.get_weights()
    history = model.fit(x, y, initial_epoch=2, epochs=epochs, verbose=0)
    assert history.history == {}
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_steps_per_epoch_go_through_the_data_across_epochs():
    x, y = data(24)
    model = mlp()
    model.fit(x, y, batch_size=4, steps_per_epoch=2, epochs=3, verbose=0)
    keras.utils.set_random_seed(4)
    twin = mlp()
    twin.fit(x, y, batch_size=4, epochs=1, verbose=0)
    assert_equal_weights(model, twin)


def test_steps_that_run_out():
    x, y = data(10)
    spy = Spy()
    with pytest.warns(UserWarning, match="ran out of data"):
        mlp().fit(x, y, batch_size=2, steps_per_epoch=2, epochs=4, verbose=0, callbacks=spy)
    kinds = [c[0] for c in spy.calls]
    assert "".join("E" if k == "epoch" else "b" for k in kinds) == "EbbEbbEbEbb"


def test_a_second_fit_goes_on():
    x, y = data(20)
    model = mlp(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    first = model.fit(x, y, epochs=1, verbose=0)
    second = model.fit(x, y, epochs=2, verbose=0)
    assert first is not second
    assert model.history is second
    assert int(model.optimizer.iterations) == 3
    keras.utils.set_random_seed(4)
    twin = mlp(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    whole = twin.fit(x, y, epochs=3, verbose=0)
    assert_equal_weights(model, twin)
    assert first.history["loss"] + second.history["loss"] == whole.history["loss"]


def test_compiling_again_keeps_the_weights_and_starts_a_new_optimizer():
    x, y = data(20)
    model = mlp(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    model.compile("sgd", "mse")
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == 0
    assert list(model.fit(x, y, verbose=0).history) == ["loss"]


@pytest.mark.parametrize("where", ["batch", "epoch"])
def test_stop_training(where):
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = where == "batch" and batch == 1

        def on_epoch_end(self, epoch, logs=None):
            if where == "epoch":
                self.model.stop_training = True

    x, y = data(20)
    model, spy = mlp(), Spy()
    history = model.fit(
        x, y, batch_size=4, epochs=5, validation_data=(x, y), verbose=0, callbacks=[Stop(), spy]
    )
    assert int(model.optimizer.iterations) == (2 if where == "batch" else 5)
    assert len(history.history["loss"]) == len(history.history["val_loss"]) == 1
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]  # the next fit starts afresh


# --- weights of samples ---
def test_class_weights_are_sample_weights():
    x, y = data(20)
    weights = {0: 0.5, 2: 3.0}
    each = np.array([weights.get(c, 1.0) for c in y.argmax(1)], F32)
    by_class = mlp()
    a = by_class.fit(x, y, class_weight=weights, epochs=2, verbose=0).history
    keras.utils.set_random_seed(4)
    by_sample = mlp()
    b = by_sample.fit(x, y, sample_weight=each, epochs=2, verbose=0).history
    assert a == b
    assert_equal_weights(by_class, by_sample)
    keras.utils.set_random_seed(4)
    plain = mlp()
    plain.fit(x, y, epochs=2, verbose=0)
    assert_equal_weights(by_class, plain, equal=False)


def test_a_sample_of_weight_zero_does_not_count():
    x, y = data(8)
    w = np.array([1, 1, 1, 1, 0, 0, 0, 0], F32)
    wild = x.copy()
    wild[4:] = 9
    results = []
    for features in (x, wild):
        keras.utils.set_random_seed(4)
        model = mlp()
        model.fit(features, y, sample_weight=w, batch_size=8, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


# --- order ---
@pytest.mark.parametrize("shuffle", [True, False, "batch"])
def test_shuffle_modes_train_differently_and_reproducibly(shuffle):
    x, y = data(20)

    def train(mode):
        keras.utils.set_random_seed(4)
        model = mlp(optimizer=keras.optimizers.SGD(0.3))
        model.fit(x, y, batch_size=6, epochs=2, shuffle=mode, verbose=0)
        return model

    model = train(shuffle)
    assert_equal_weights(model, train(shuffle))
    for other in {True, False, "batch"} - {shuffle}:
        # "batch" changes no batch's members, only the order of its sums.
        assert_equal_weights(model, train(other), equal=False)


def test_reshuffle_each_epoch():
    x, y = data(20)

    def train(**kwargs):
        keras.utils.set_random_seed(4)
        model = mlp(optimizer=keras.optimizers.SGD(0.3))
        model.fit(x, y, batch_size=6, epochs=2, verbose=0, **kwargs)
        return model

    model = train(reshuffle_each_epoch=True)
    assert_equal_weights(model, train(reshuffle_each_epoch=True))
    assert_equal_weights(model, train(), equal=False)


# --- evaluate, predict, one batch ---
def test_evaluate():
    x, y = data(20)
    model = mlp()
    loss, accuracy = model.evaluate(x, y, batch_size=6, verbose=0)
    p = model.predict(x, verbose=0)
    assert loss == pytest.approx(-np.log((p * y).sum(1)).mean(), rel=1e-6)
    assert accuracy == F32((p.argmax(1) == y.argmax(1)).mean())
    named = model.evaluate(x, y, batch_size=6, verbose=0, return_dict=True)
    assert named == {"accuracy": accuracy, "loss": loss}
    assert model.metrics_names == ["loss", "accuracy"]
    model.compile("sgd", "categorical_crossentropy")
    assert type(model.evaluate(x, y, verbose=0)) is float


def test_evaluate_and_predict_change_nothing():
    x, y = data(20)
    model = mlp()
    before = model.get_weights()
    results = [model.evaluate(x, y, verbose=0) for _ in range(2)]
    assert results[0] == results[1]
    model.predict(x, verbose=0)
    model.test_on_batch(x, y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_predict():
    x, _ = data(20)
    model = keras.Sequential([layers.Dense(CLASSES, "softmax", input_shape=(FEATURES,))])
    whole = model.predict(x, verbose=0)  # needs no compile()
    assert whole.shape == (20, CLASSES)
    assert whole.dtype == F32
    assert whole.flags.writeable
    np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-6)
    for batch_size in (1, 3, 20, 64):
        np.testing.assert_array_equal(model.predict(x, batch_size=batch_size, verbose=0), whole)
    np.testing.assert_array_equal(model.predict_on_batch(x), whole)
    np.testing.assert_array_equal(model(x).numpy(), whole)
    assert model.predict(x, batch_size=4, steps=2, verbose=0).shape == (8, CLASSES)


def test_train_on_batch_reports_the_loss_before_the_update():
    x, y = data(20)
    model = mlp(optimizer=keras.optimizers.SGD(0.5))
    expected = model.test_on_batch(x, y)
    assert model.train_on_batch(x, y) == expected
    after = model.test_on_batch(x, y, return_dict=True)
    assert after["loss"] < expected[0]
    assert list(after) == ["accuracy", "loss"]
    assert model.train_on_batch(x, y, return_dict=True) == after


def test_train_on_batch_with_weights():
    x, y = data(6)
    weights = np.array([0, 1, 2, 0, 1, 2], F32)
    model = mlp()
    each = -np.log((model.predict_on_batch(x) * y).sum(1))
    loss = model.train_on_batch(x, y, sample_weight=weights)[0]
    assert loss == pytest.approx((each * weights).sum() / 6, rel=1e-5)
    with pytest.raises(ValueError, match="at the same time"):
        model.train_on_batch(x, y, sample_weight=weights, class_weight={0: 1.0})


def test_metrics_of_one_name_are_numbered():
    x, y = data()
    model = mlp(metrics=["accuracy", "accuracy", "acc"])
    assert list(model.fit(x, y, verbose=0).history) == ["acc", "accuracy", "accuracy_1", "loss"]


def test_dropout_is_off_outside_training():
    x, y = data(20)
    model = keras.Sequential(
        [
            layers.Dense(8, "relu", input_shape=(FEATURES,)),
            layers.Dropout(0.5),
            layers.Dense(CLASSES, "softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    quiet = [model.evaluate(x, y, verbose=0) for _ in range(2)]
    assert quiet[0] == quiet[1]
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert len({*losses, quiet[0]}) == 4  # a mask of its own in every step


def test_the_callers_arrays_are_not_changed():
    x, y = data(20)
    w = np.linspace(0, 1, 20)
    copies = [a.copy() for a in (x, y, w)]
    model = mlp()
    model.fit(x, y, sample_weight=w, validation_data=(x, y), epochs=2, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)[:] = 7
    model.predict_on_batch(x)[:] = 7
    for a, b in zip((x, y, w), copies, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_nan_in_the_data_is_not_swallowed():
    x, y = data(8)
    x[3, 2] = np.nan
    with pytest.warns(keras.data.NumericsWarning, match=r"`x`\[3, 2\] is nan"):
        history = mlp().fit(x, y, verbose=0).history
    assert np.isnan(history["loss"]).all()


# --- learning ---


@pytest.mark.parametrize("labels", ["one-hot", "class numbers"])
def test_a_few_hundred_steps_read_digits(labels):
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train, x_test = (
        a.reshape(-1, 784).astype(F32) / 255 for a in (x_train[:12800], x_test[:2000])
    )
    y_train, loss = y_train[:12800], "sparse_categorical_crossentropy"
    if labels == "one-hot":
        y_train, y_test = (keras.utils.to_categorical(y, 10) for y in (y_train, y_test))
        loss = "categorical_crossentropy"
    model = keras.Sequential(
        [layers.Dense(128, "relu", input_shape=(784,)), layers.Dense(10, "softmax")]
    )
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    model.fit(x_train, y_train, verbose=0)
    assert model.evaluate(x_test, y_test[:2000], verbose=0)[1] > 0.85
