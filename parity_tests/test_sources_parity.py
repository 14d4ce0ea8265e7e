"""Sources of data beside live Keras: generators, PyDatasets, tf.data, pandas, DataLoader."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minisgd.parity import tolerances
from minisgd.parity.probe import Mode
from minisgd.parity.report import Ledger
from minisgd.parity.sides import Side, keras_side, minisgd_side
from minisgd.parity.small_network import CATEGORICAL, SPARSE, C, W, X, Y, build
from minisgd.parity.tolerances import EQUAL

pytestmark = pytest.mark.run
SIZE = 16
BATCHES = range(0, len(X), SIZE)  # 7, the last of 5 samples


def batch(start: int) -> tuple[np.ndarray, np.ndarray]:
    return X[start : start + SIZE], Y[start : start + SIZE]


def generator(ns: Any = None, count: int | None = None) -> Iterator[Any]:
    """So many batches, one round after the other; without a number they never end."""
    number = 0
    while count is None or number < count:
        yield batch(SIZE * (number % len(BATCHES)))
        number += 1


def weighted(ns: Any) -> Iterator[Any]:
    for start in BATCHES:
        yield (*batch(start), W[start : start + SIZE])


def py_dataset(ns: Any, **options: Any) -> Any:
    """Batches by number, whose samples are shuffled after each epoch, as users like to do."""

    class Batches(ns.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__(workers=options.get("workers", 1))
            self.samples = np.arange(len(X))

        def __len__(self) -> int:
            return len(BATCHES)

        def __getitem__(self, index: int) -> Any:
            chosen = self.samples[SIZE * index : SIZE * (index + 1)]
            return (X[chosen], Y[chosen]) if not options.get("lists") else [X[chosen], Y[chosen]]

        def on_epoch_end(self) -> None:
            if options.get("shuffles"):
                np.random.shuffle(self.samples)  # noqa: NPY002

    return Batches()


def tf_data(ns: Any, y: np.ndarray = Y, repeat: bool = False, known: bool = True) -> Any:
    """The same object for both."""
    tf = importlib.import_module("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, y)).batch(SIZE)
    if not known:
        data = data.filter(lambda x, y: True)
    return data.repeat() if repeat else data


def loader(shuffle: bool = False) -> Callable[[Any], Any]:
    def make(ns: Any) -> Any:
        torch = pytest.importorskip("torch", reason="needs PyTorch")
        torch.manual_seed(3)
        data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
        return torch.utils.data.DataLoader(data, SIZE, shuffle=shuffle)

    return make


def frames(ns: Any) -> Any:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    return pandas.DataFrame(X), pandas.Series(C)


@dataclass(frozen=True)
class Case:
    """A source of training data; `fit` has the other arguments, which may be sources, too."""

    name: str
    source: Callable[[Any], Any]
    fit: dict[str, Any] = field(default_factory=dict)
    validation: Callable[[Any], Any] | None = None
    loss: str = CATEGORICAL
    ran_out: int = 0
    asks_no_further: bool = False  # where the length is known, or validation is what runs out

    def __str__(self) -> str:
        return self.name


def without_end(ns: Any) -> Any:
    return generator()


def seven(ns: Any) -> Any:
    return generator(count=7)


IN_ORDER = {"shuffle": False}
CASES = [
    Case("generator", without_end, {**IN_ORDER, "steps_per_epoch": 3, "epochs": 3}),
    Case("generator, once", seven, {**IN_ORDER, "epochs": 1}, ran_out=1),
    Case("generator, twice", seven, {**IN_ORDER, "epochs": 2}, ran_out=2),
    Case("generator ends", seven, {**IN_ORDER, "steps_per_epoch": 5, "epochs": 3}, ran_out=2),
    Case("generator with weights", weighted, {**IN_ORDER, "epochs": 1}, ran_out=1),
    Case("generator, told to shuffle", without_end, {"steps_per_epoch": 2}),
    Case("PyDataset", py_dataset, IN_ORDER),
    Case("PyDataset of lists", lambda ns: py_dataset(ns, lists=True), IN_ORDER),
    Case("PyDataset shuffled", py_dataset, {"epochs": 3}),
    Case("PyDataset shuffles itself", lambda ns: py_dataset(ns, shuffles=True), {"epochs": 3}),
    Case("PyDataset, steps", py_dataset, {**IN_ORDER, "steps_per_epoch": 7, "epochs": 3}),
    Case("PyDataset, classes weigh", py_dataset, {"class_weight": {0: 2.0, 2: 0.5}}),
    Case("PyDataset with workers", lambda ns: py_dataset(ns, workers=2), IN_ORDER),
    Case("tf.data", tf_data),
    Case("tf.data without end", lambda ns: tf_data(ns, repeat=True), {"steps_per_epoch": 5}),
    Case("tf.data of unknown length", lambda ns: tf_data(ns, known=False), ran_out=2),
    Case(
        "tf.data, steps",
        tf_data,
        {"steps_per_epoch": 3, "epochs": 4},
        ran_out=1,
        asks_no_further=True,
    ),
    Case("tf.data, classes weigh", tf_data, {"class_weight": {0: 2.0, 3: 0.5}}),
    Case("tf.data of classes", lambda ns: tf_data(ns, C), loss=SPARSE),
    Case("validated by tf.data", lambda ns: (X, Y), IN_ORDER, tf_data),
    Case("validated by a generator", tf_data, {"validation_steps": 2, "epochs": 1}, without_end),
    Case(
        "validated by a generator that ends",
        lambda ns: (X, Y),
        IN_ORDER,
        seven,
        ran_out=2,
        asks_no_further=True,
    ),
    Case("validated by a PyDataset", py_dataset, {"validation_steps": 7}, py_dataset),
    Case(
        "both shuffle themselves",
        lambda ns: py_dataset(ns, shuffles=True),
        {"epochs": 3},
        lambda ns: py_dataset(ns, shuffles=True),
    ),
    Case("pandas", frames, loss=SPARSE),
    Case("DataLoader", loader()),
    Case("DataLoader shuffled", loader(shuffle=True), {"epochs": 3}),
]


def recorder(ns: Any, events: list[Any]) -> Any:
    class Recorder(ns.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            events.append(self.params["steps"])

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            events.append(("batch", batch, sorted(logs)))

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            events.append(("test batch", batch, sorted(logs)))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            events.append(("epoch", epoch, list(logs)))

    return Recorder()


def run(side: Side, case: Case, eagerly: bool = False) -> SimpleNamespace:
    """Train from the seed."""
    side.ns.utils.set_random_seed(7)
    model = build(side.ns)
    model.compile(
        side.ns.optimizers.SGD(0.1, momentum=0.9), case.loss, metrics=["accuracy"],
        run_eagerly=eagerly,
    )  # fmt: skip
    source, events = case.source(side.ns), []
    x, y = source if isinstance(source, tuple) else (source, None)
    if case.validation is not None:
        case.fit["validation_data"] = case.validation(side.ns)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(
            x, y, **{"epochs": 2, "verbose": 0, **case.fit}, callbacks=[recorder(side.ns, events)]
        )
    said = [str(w.message) for w in caught]
    return SimpleNamespace(
        events=events,
        history=history.history,
        ran_out=sum("ran out of data" in text for text in said),
        # Each of these steps asked for a batch in vain; a known length is not asked beyond.
        ran_out_in_training=0 if case.asks_no_further else case.ran_out,
        shuffle=[text for text in said if "`shuffle=True` was passed" in text],
        state=[np.asarray(v) for v in (*model.get_weights(), *model.optimizer.variables)],
        model=model,
    )


def check_state(ledger: Ledger, ours: SimpleNamespace, theirs: SimpleNamespace) -> None:
    for key, values in theirs.history.items():
        bounds = EQUAL if "acc" in key else tolerances.LOSS
        ledger.check("History", key, ours.history[key], values, (bounds,))
    for number, (mine, value) in enumerate(zip(ours.state, theirs.state, strict=True)):
        if number == len(ours.model.weights):
            # In Keras a step that finds no more data counts as an iteration; ours are exact.
            value = np.asarray(value - theirs.ran_out_in_training, value.dtype)
        bounds = tolerances.RUN_WEIGHTS if number < 4 else tolerances.VELOCITY
        ledger.check("the end", f"variable {number}", mine, value, (bounds,))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_is_kerass(case: Case, mode: Mode) -> None:
    """Batches, History, warnings and weights, and of both `evaluate` and `predict`."""
    ours, theirs = run(minisgd_side(), case), run(keras_side(), case)
    assert ours.events == theirs.events
    assert ours.ran_out == theirs.ran_out == case.ran_out
    assert ours.shuffle == theirs.shuffle
    ledger = Ledger(bits=mode.bits)
    check_state(ledger, ours, theirs)
    assert ledger.passed, str(ledger)


READ = {
    "generator": seven,
    "PyDataset": py_dataset,
    "tf.data": tf_data,
    "tf.data of unknown length": lambda ns: tf_data(ns, known=False),
}


@pytest.mark.parametrize("name", READ)
def test_evaluate_and_predict_are_kerass(name: str, mode: Mode) -> None:
    """With labels in the source for `predict`, which leaves them out."""
    found = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.set_random_seed(7)
        model = build(side.ns)
        model.compile("sgd", CATEGORICAL, metrics=["accuracy"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = model.evaluate(READ[name](side.ns), verbose=0)
            some = model.evaluate(READ[name](side.ns), verbose=0, steps=2)
            found.append((results, some, model.predict(READ[name](side.ns), verbose=0)))
    ledger = Ledger(bits=mode.bits)
    (*ours, p), (*theirs, reference) = found
    for mine, value in zip(ours, theirs, strict=True):
        ledger.check("evaluate", "loss", mine[0], value[0], (tolerances.LOSS,))
        ledger.check("evaluate", "accuracy", mine[1], value[1], (EQUAL,))
    ledger.check("predict", "predictions", p, reference, (tolerances.ACTIVATION,))
    assert ledger.passed, str(ledger)


# --- errors ---
def short(ns: Any) -> Any:
    return generator(count=2)


def of(*items: Any) -> Callable[[Any], Any]:
    """A generator of these items."""
    return lambda ns: (item for item in items)


def items_by_number(item: Any) -> Callable[[Any], Any]:
    def make(ns: Any) -> Any:
        class Items(ns.utils.PyDataset):
            def __len__(self) -> int:
                return 2

            def __getitem__(self, index: int) -> Any:
                return item

        return Items()

    return make


def empty(ns: Any) -> Any:
    class Empty(ns.utils.PyDataset):
        def __len__(self) -> int:
            return 0

    return Empty()


IN = "should be included as part of the"
WRONG: list[tuple[str, Callable[[Any], Any], dict[str, Any], str]] = [
    ("y beside a generator (X-38)", short, {"y": Y}, f"the targets {IN} generator."),
    ("weights beside a generator", short, {"sample_weight": W}, f"the sample weights {IN} gener"),
    ("class_weight beside a generator", short, {"class_weight": {0: 1.0}}, "Argument `class_weight"
     "` is not supported for Python generator inputs. Received: class_weight={0: 1.0}"),
    ("split of a generator", short, {"validation_split": 0.2}, "Argument `validation_split` is only"
     " supported for tensors or NumPy arrays."),
    ("an empty generator", of(), {}, "the generator must yield at least one batch. Received an em"),
    ("a generator of lists", of([X, Y]), {}, "the generator must return a tuple, either (input,) "),
    ("four items", of((X, Y, W, W)), {}, "Data is expected to be in format `x`, `(x,)`, `(x, y)`"),
    ("y beside tf.data", tf_data, {"y": Y}, f"the targets {IN} tf.data.Dataset."),
    ("y beside a PyDataset", py_dataset, {"y": Y}, f"the targets {IN} PyDataset."),
    ("no batches", empty, {}, "The PyDataset has length 0"),
    ("no batch", items_by_number(5), {}, "PyDataset.__getitem__() must return a tuple or a dict."),
    ("two weights", items_by_number((X, Y, W)), {"class_weight": {0: 1.0}}, "`class_weight` and "
     "`sample_weight` at the same time"),
    ("a number", lambda ns: 5, {}, "Unrecognized data type: x"),
    ("a word", lambda ns: "abc", {}, "Unrecognized data type: x"),
    ("no labels", lambda ns: X, {}, "None values not supported."),
    ("no labels for validation (F-22)", lambda ns: X, {"y": Y, "validation_data": X},
     "None values not supported."),
    ("x None (X-26)", lambda ns: None, {"y": Y}, "is not optional, but None was passed."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source", "more", "phrase"), WRONG, ids=[w[0] for w in WRONG])
def test_errors(name: str, source: Any, more: dict[str, Any], phrase: str) -> None:
    """Keras's type and words; ours come before any weight moves."""
    for side in (minisgd_side(), keras_side()):
        model = build(side.ns)
        model.compile("sgd", CATEGORICAL)
        before = model.get_weights()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError) as raised:
                model.fit(source(side.ns), verbose=0, **more)
        assert type(raised.value) is ValueError
        assert phrase in str(raised.value), side.name
        if side.name == "minisgd":
            assert all(map(np.array_equal, before, model.get_weights()))


def test_what_keras_does_not_read() -> None:
    """Lists of numbers and iterables of batches: ours train on them (X-24)."""
    model = build(keras_side().ns)
    model.compile("sgd", CATEGORICAL)
    for x, y in ((X.tolist(), Y.tolist()), (iter([batch(0)]), None)):
        with pytest.raises(ValueError, match="Unrecognized data type"):
            model.fit(x, y, verbose=0)


def test_a_dataset_of_torchs_is_refused() -> None:
    """Its items are samples: both want a DataLoader, and ours says so."""
    parent = type("Dataset", (), {"__module__": "torch.utils.data.dataset"})

    class Samples(parent):  # type: ignore[valid-type, misc]
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            return X[index], Y[index]

    for side in (minisgd_side(), keras_side()):
        model = build(side.ns)
        model.compile("sgd", CATEGORICAL)
        for call in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match="Unrecognized data type: x") as raised:
                call(Samples(), verbose=0)
            assert side.name != "minisgd" or "DataLoader(x, batch_size=" in str(raised.value)


def test_the_base_class_has_kerass_arguments() -> None:
    """And its other name."""
    ours, theirs = (side.ns.utils for side in (minisgd_side(), keras_side()))
    assert ours.Sequence is ours.PyDataset
    assert theirs.Sequence is theirs.PyDataset
    for name in ("workers", "use_multiprocessing", "max_queue_size"):
        assert getattr(ours.PyDataset(), name) == getattr(theirs.PyDataset(), name)


def test_a_pydataset_of_kerass_is_read() -> None:
    """By its methods: nothing of Keras is imported for it."""
    model = build(minisgd_side().ns)
    model.compile("sgd", CATEGORICAL)
    history = model.fit(py_dataset(keras_side().ns), verbose=0, epochs=2)
    assert len(history.history["loss"]) == 2
    assert "keras" in sys.modules
