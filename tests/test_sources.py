"""Iterables of batches: the same bits as from arrays, wrong batches, epochs, compiled steps."""

import itertools
import random
import warnings

import numpy as np
import pytest
from sources import (
    FIT,
    SIZE,
    SOURCES,
    STARTS,
    Again,
    C,
    FakeDataset,
    Numbered,
    W,
    X,
    Y,
    assert_equal,
    batches,
    model,
    quiet,
    state,
    wrong_at,
)

import minisgd as keras
from minisgd.compiler import trace
from minisgd.data import epochs_of


# --- the same bits as from arrays ---
@quiet
@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": True}], ids=str)
@pytest.mark.parametrize("name", SOURCES)
def test_a_source_trains_as_arrays_do(name, options):
    expected, ours = model(**options), model(**options)
    wanted = expected.fit(X, Y, batch_size=SIZE, **FIT).history
    assert ours.fit(SOURCES[name](), **FIT).history == wanted
    assert_equal(ours, expected)
    np.testing.assert_array_equal(ours.evaluate(SOURCES[name](), verbose=0),
                                  expected.evaluate(X, Y, batch_size=SIZE, verbose=0))  # fmt: skip
    np.testing.assert_array_equal(ours.predict(SOURCES[name](), verbose=0),
                                  expected.predict(X, verbose=0))  # fmt: skip


@quiet
@pytest.mark.parametrize("name", [n for n in SOURCES if n not in ("generator", "iterator")])
def test_two_epochs_of_what_can_be_read_again(name):
    expected, ours = model(run_eagerly=True), model(run_eagerly=True)
    expected.fit(X, Y, batch_size=SIZE, epochs=2, **FIT)
    ours.fit(SOURCES[name](), epochs=2, **FIT)
    assert_equal(ours, expected)


# --- refusals ---
@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": True}], ids=str)
@pytest.mark.parametrize("number", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            (X[:8, :5], Y[:8]),
            r"Batch \d of the generator: .*layer '?\"?first'?\"?.*value 6.*shape \(\d+, 5\)",
        ),
        (
            (X[:8], Y[:8, :2]),
            r"Batch \d of the generator: .*(must have the same shape.*\(1, 2\)|same shape)",
        ),
        ((X[:8], Y[:7]), r"Batch \d of the generator: Data cardinality is ambiguous"),
        ((X[:0], Y[:0]), r"Batch \d of the generator: .*at least one sample"),
        ((X[:8].astype(str), Y[:8]), r"Batch \d of the generator: Invalid dtype"),
        ((X[:8], 1.0), r"Batch \d of the generator: .*at least"),
    ],
    ids=["F-52", "labels", "lengths", "empty", "words", "scalar"],
)
def test_a_wrong_batch_is_refused_before_its_step(number, wrong, message, options):
    """The first two before any step at all."""
    ours, expected = model(**options), model(**options)
    with pytest.raises(ValueError, match=message):
        ours.fit(wrong_at(number, wrong), steps_per_epoch=7, **FIT)
    if number > 1:
        expected.fit(wrong_at(-1, None), steps_per_epoch=number, **FIT)
    assert [np.array(w).tolist() for w in ours.weights] == [
        np.array(w).tolist() for w in expected.weights
    ]


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": True}], ids=str)
@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_a_wrong_width_is_named_with_its_batch(name, options):
    """The batch, the layer and both shapes; of evaluate's data the first two at once."""
    for number in (0, 1, 4):
        message = rf"Batch {number} of the generator: .*layer '?first'?.*value 6.*\(\d+, 5\)"
        with pytest.raises(ValueError, match=message):
            wrong = wrong_at(number, (X[:8, :5], Y[:8]))
            getattr(model(**options), name)(wrong, steps=7, verbose=0)


def test_labels_of_every_batch_are_checked():
    ours = model()
    ours.compile("sgd", "sparse_categorical_crossentropy")
    good = [(X[i : i + SIZE], C[i : i + SIZE]) for i in STARTS]
    with pytest.raises(ValueError, match="labels: expected whole numbers from 0 to 2"):
        ours.fit([*good[:4], (X[:8], C[:8] + 1)], **FIT)


def test_validation_is_checked_before_training():
    for wrong, message in (
        ((X[:, :5], Y), "`validation_data`: .*value 6"),  # F-21
        (X, "`validation_data`: None values not supported"),  # F-22
        ((X, Y, W, W), "`validation_data`: received 4 items"),
        (iter([(X[:, :5], Y)]), "`validation_data`: .*value 6"),
    ):
        ours = model()
        before = state(ours)
        with pytest.raises(ValueError, match=message):
            ours.fit(X, Y, validation_data=wrong, verbose=0)
        assert all(map(np.array_equal, before, state(ours)))


def test_an_iterable_without_batches():
    with pytest.raises(ValueError, match="iterable is empty: expected at least one batch"):
        model().fit(Empty(), **FIT)


class Empty:
    def __iter__(self):
        return iter(())


def test_a_generators_own_error_comes_through():
    def broken():
        yield from batches()[:3]
        raise KeyError("mine")

    ours, expected = model(run_eagerly=True), model(run_eagerly=True)
    with pytest.raises(KeyError, match="mine"):
        ours.fit(broken(), epochs=2, **FIT)
    expected.fit(wrong_at(-1, None), steps_per_epoch=3, **FIT)
    assert_equal(ours, expected)


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict"])
def test_a_generators_errors_are_not_touched(name):
    """Also those of the kinds that are named with their batch elsewhere."""

    def broken(error):
        yield from batches()[:3]
        raise error

    options = {"verbose": 0} | ({"shuffle": False} if name == "fit" else {})
    for error in (ValueError("mine"), UnicodeDecodeError("ascii", b"", 0, 1, "mine")):
        with pytest.raises(type(error)) as raised:
            getattr(model(), name)(broken(error), **options)
        assert raised.value is error


# --- how they are gone through ---
class Spy(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps, self.ended = [], 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.ended += 1


def test_a_generator_goes_on_over_epochs():
    drawn = []

    def counting():
        for number in itertools.count():
            drawn.append(number)
            yield batches()[number % 7]

    model().fit(counting(), steps_per_epoch=3, epochs=3, **FIT)
    assert drawn == list(range(9)), "none is lost or drawn too early"


def test_data_that_end_early():  # F-51
    spy = Spy()
    with pytest.warns(UserWarning, match="ran out of data.*ended after 2") as caught:
        history = model().fit(iter(batches()[:2]), steps_per_epoch=10, callbacks=[spy], **FIT)
    assert len(caught) == 1
    assert spy.steps == [0, 1]
    assert np.isfinite(history.history["loss"]).all()


def test_a_known_length_ends_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model().fit(Numbered(), epochs=2, **FIT)


def test_batches_by_number_are_shuffled_by_pythons_generator():
    seen = []

    class Watched(Numbered):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    ours = model()
    random.seed(3)
    ours.fit(Watched(), epochs=2, verbose=0)
    random.seed(3)
    expected = [0, 1]  # looked at before training
    for _ in range(2):
        order = list(range(7))
        random.shuffle(order)
        expected += order
    assert seen == expected


def test_a_dataset_hears_of_epochs():
    heard = []

    class Listening(Numbered):
        def on_epoch_begin(self):
            heard.append("begin")

        def on_epoch_end(self):
            heard.append("end")

    model().fit(Listening(), epochs=2, **FIT)
    assert heard == ["end", "begin", "end", "begin", "end"]


def test_a_dataset_that_forgets_its_parent():
    class Forgetful(Numbered):
        def __init__(self):
            pass

    with pytest.warns(UserWarning, match=r"should call `super\(\).__init__"):
        model().fit(Forgetful(), **FIT)


def test_a_dataset_without_end():
    class Endless(keras.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return batches()[index % 7]

    ours, expected = model(run_eagerly=True), model(run_eagerly=True)
    with pytest.warns(UserWarning, match="was provided as an infinite PyDataset"):
        ours.fit(Endless(), steps_per_epoch=5, epochs=2, verbose=0)
    expected.fit(wrong_at(-1, None), steps_per_epoch=5, epochs=2, **FIT)
    assert_equal(ours, expected)


def test_a_base_class_that_does_not_say_how_many():
    class Silent(keras.utils.PyDataset):
        pass

    with pytest.raises(NotImplementedError, match="implement the `num_batches` property"):
        model().fit(Silent(), **FIT)


def test_class_weights_of_an_iterable():
    expected, ours = model(run_eagerly=True), model(run_eagerly=True)
    expected.fit(X, Y, batch_size=SIZE, class_weight={0: 2.0, 2: 0.5}, **FIT)
    ours.fit(Numbered(), class_weight={0: 2.0, 2: 0.5}, **FIT)
    assert_equal(ours, expected)


@quiet
def test_sample_weights_of_a_generator():
    expected, ours = model(run_eagerly=True), model(run_eagerly=True)
    expected.fit(X, Y, sample_weight=W, batch_size=SIZE, **FIT)
    ours.fit(((*b, W[i : i + SIZE]) for i, b in zip(STARTS, batches(), strict=True)), **FIT)
    assert_equal(ours, expected)


@quiet
def test_the_bar_learns_the_length(capsys):
    model().fit(FakeDataset(-2), epochs=2, shuffle=False, verbose=2)
    first, second = [line for line in capsys.readouterr().out.splitlines() if "loss" in line]
    assert first.startswith("7/7 - ")
    assert second.startswith("7/7 - ")


def test_stopping_within_an_epoch():
    class Stop(Spy):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch)
            self.model.stop_training = batch == 2

    spy = Stop()
    ours = model()
    ours.fit(wrong_at(-1, None), steps_per_epoch=5, epochs=3, callbacks=[spy], **FIT)
    assert spy.steps == [0, 1, 2]
    assert spy.ended == 1
    assert int(ours.optimizer.iterations) == 3


def test_ctrl_c_in_a_generator():
    def interrupted():
        yield from batches()[:4]
        raise KeyboardInterrupt

    ours = model()
    with pytest.raises(KeyboardInterrupt):
        ours.fit(interrupted(), steps_per_epoch=2, epochs=3, **FIT)
    assert len(ours.history.history["loss"]) == 2
    assert int(ours.optimizer.iterations) == 4


# --- compiled steps ---
def test_one_recording_serves_all_batches():
    ours = model(jit_compile=True)
    before = trace.traces
    ours.fit(wrong_at(-1, None), steps_per_epoch=7, epochs=3, **FIT)
    assert trace.traces == before + 1
    assert "Not in use" not in ours.compiled_source()


def test_batches_that_grow():
    """The first ones leave too little room."""
    sizes = [2, 5, 12, 3, 30]
    ends = list(itertools.accumulate(sizes))
    grown = [(X[e - n : e], Y[e - n : e]) for n, e in zip(sizes, ends, strict=True)]
    ours, expected = model(jit_compile=True), model(run_eagerly=True)
    ours.fit(grown, **FIT)
    expected.compile(keras.optimizers.SGD(0.1, momentum=0.9), "categorical_crossentropy",
                     metrics=["accuracy"], jit_compile=False)  # fmt: skip
    expected.fit(grown, **FIT)
    assert_equal(ours, expected)


def test_batch_size_is_checked_though_it_is_not_used():
    with pytest.raises(ValueError, match="`batch_size`: expected a positive int"):
        epochs_of(Again(), batch_size=0)
