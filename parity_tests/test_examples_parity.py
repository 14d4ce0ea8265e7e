"""The numbered examples run under Keras with no more than their import changed, as they promise."""

import importlib
from pathlib import Path

import pytest

from minisgd.datasets import mnist

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
IMPORT = "import minisgd as keras\n"
FOR_KERAS = "from tensorflow import keras\n"
TENSOR, FLOAT = "return lr * tf.math.exp(-0.1)", "return float(lr * tf.math.exp(-0.1))"
load_all = mnist.load_data


@pytest.fixture
def few_images(monkeypatch):
    """Make either package load the same 320 images."""

    def load_data(*arguments):
        (x_train, y_train), (x_test, y_test) = load_all(*arguments)
        return (x_train[:320], y_train[:320]), (x_test[:64], y_test[:64])

    monkeypatch.setattr(mnist, "load_data", load_data)
    tensorflow = importlib.import_module("tensorflow")
    monkeypatch.setattr(tensorflow.keras.datasets.mnist, "load_data", load_data)


def run(text):
    """Run a script's text; returns what `fit` recorded."""
    found = {"__name__": "__main__"}
    exec(compile(text, "<script>", "exec"), found)
    return found["model"].history.history


@pytest.mark.parametrize("name", ["script1.py", "script2.py", "script3.py"])
def test_scripts_run_under_both(name, few_images):
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert text.count(IMPORT) == 1
    code = text.replace(FLOAT, "")  # the docstring of the third quotes its change
    ours = run(text)
    theirs = run(code.replace(IMPORT, FOR_KERAS).replace(TENSOR, FLOAT))
    assert ours.keys() == theirs.keys()
    assert len(ours["loss"]) == len(theirs["loss"]) == 10
    rates = [[float(rate) for rate in h.get("learning_rate", [])] for h in (ours, theirs)]
    assert rates[0] == rates[1]


def test_keras_refuses_the_tensor_that_minisgd_takes(few_images):
    text = (EXAMPLES / "script3.py").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="should be a float"):
        run(text.replace(IMPORT, FOR_KERAS))
