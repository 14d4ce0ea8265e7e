"""The examples run as they stand, on few images; the numbered ones are valid Keras scripts."""

import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minisgd as keras
from minisgd.datasets import mnist

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = ["script1.py", "script2.py", "script3.py"]
IMPORT = "import minisgd as keras\n"
load_all = mnist.load_data


@pytest.fixture
def few_images(monkeypatch):
    """2,000 images to train on, and 500 to test; the text of the scripts stays untouched."""

    def load_data(*arguments):
        (x_train, y_train), (x_test, y_test) = load_all(*arguments)
        return (x_train[:2000], y_train[:2000]), (x_test[:500], y_test[:500])

    monkeypatch.setattr(mnist, "load_data", load_data)


def run(name):
    return runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def check_result(found, capsys):
    history = found["model"].history.history
    assert len(history["loss"]) == 10
    assert history["loss"][-1] < history["loss"][0]
    assert found["accuracy"] > 0.7
    assert f"test accuracy {found['accuracy']:.4f}" in capsys.readouterr().out
    return history


@pytest.mark.parametrize("name", SCRIPTS[:2])
def test_scripts(name, few_images, capsys):
    keras.utils.set_random_seed(0)
    check_result(run(name), capsys)


class Scalar:
    """As much of a TensorFlow scalar as a script needs that passes it on."""

    def __init__(self, value):
        self.value = np.float32(value)

    def __rmul__(self, other):
        return Scalar(np.float32(other) * self.value)

    def __float__(self):
        return float(self.value)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.value, dtype)


def test_script3_with_a_stand_in_for_tensorflow(few_images, monkeypatch, capsys):
    stand_in = types.ModuleType("tensorflow")
    stand_in.math = types.SimpleNamespace(exp=lambda x: Scalar(np.exp(np.float32(x))))
    monkeypatch.setitem(sys.modules, "tensorflow", stand_in)
    keras.utils.set_random_seed(0)
    history = check_result(run("script3.py"), capsys)
    check_rates(history["learning_rate"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_script3(few_images, capsys):
    pytest.importorskip("tensorflow", reason="script3.py uses TensorFlow's exp")
    keras.utils.set_random_seed(0)
    history = check_result(run("script3.py"), capsys)
    check_rates(history["learning_rate"])


def check_rates(rates):
    factor = np.exp(np.float32(-0.1))
    expected = [np.float32(0.1)] * 5
    for _ in range(5):
        expected.append(expected[-1] * factor)
    assert [np.float32(rate) for rate in rates] == expected


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_keras_scripts(name):
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert text.count(IMPORT) == 1
    for_keras = text.replace(IMPORT, "from tensorflow import keras\n")
    assert "import minisgd" not in for_keras
    compile(for_keras, name, "exec")


def test_the_scripts_differ_as_the_table_says():
    texts = [(EXAMPLES / name).read_text(encoding="utf-8") for name in SCRIPTS]
    for text in texts:
        assert 'Dense(128, activation="relu", input_shape=(784,))' in text
        assert 'Dense(10, activation="softmax")' in text
        assert 'loss="categorical_crossentropy"' in text
    assert 'optimizer="sgd"' in texts[0]
    assert "optimizer=SGD(learning_rate=0.01, momentum=0.9)" in texts[1]
    assert "optimizer=SGD(learning_rate=0.1)" in texts[2]
    assert "return lr * tf.math.exp(-0.1)" in texts[2]
    assert "callbacks=[LearningRateScheduler(scheduler)]" in texts[2]


def test_every_example_is_in_the_table():
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in table for path in EXAMPLES.glob("*.py"))


def test_the_custom_loop_gives_the_bits_of_fit(few_images, capsys):
    found = run("custom_loop.py")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Dense(128, activation="relu", input_shape=(784,)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    sgd = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9)
    model.compile(optimizer=sgd, loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(found["x_train"], found["y_train"], epochs=3, batch_size=32, verbose=0)

    for ours, theirs in zip(found["model"].get_weights(), model.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    _, accuracy = model.evaluate(found["x_test"], found["y_test"], verbose=0)
    assert found["accuracy"] == pytest.approx(accuracy)
    printed = capsys.readouterr().out
    for epoch, loss in enumerate(history.history["loss"], start=1):
        assert f"epoch {epoch}/3 - loss: {loss:.4f}" in printed
