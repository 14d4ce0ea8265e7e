"""Pictures: models as graphs (with and without Graphviz), histories as curves."""

import re
import stat
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import minisgd as keras
from minisgd import utils


def example():
    """Dense, a model within, and a frozen layer."""
    inner = keras.Sequential(
        [keras.layers.Input((16,)), keras.layers.Dense(4, "tanh", name="inner_dense")],
        name="inner",
    )
    model = keras.Sequential(
        [
            keras.layers.Input((784,)),
            keras.layers.Dense(16, "relu", name="first"),
            inner,
            keras.layers.Dropout(0.5, name="drop"),
            keras.layers.Dense(10, "softmax", name="last"),
        ],
        name="outer",
    )
    model.layers[0].trainable = False
    return model


def boxes(text):
    """Labels of the boxes in their order, and the edges between them by position."""
    nodes = re.findall(r"^\s*(\w+) \[.*?label=(<<.*?>>)", text, re.MULTILINE)
    place = {node: i for i, (node, _) in enumerate(nodes)}
    edges = re.findall(r"^\s*(\w+) -> (\w+) \[penwidth=2\];", text, re.MULTILINE)
    return [label for _, label in nodes], sorted((place[a], place[b]) for a, b in edges)


WORDS = {
    "show_shapes": "Input shape: <b>(None, 784)</b>",
    "show_dtype": "Output dtype: <b>float32</b>",
    "show_layer_names": "<b>first</b> (Dense)",
    "show_layer_activations": "Activation: <b>relu</b>",
    "show_trainable": "<b>Non-trainable</b>",
}


@pytest.mark.parametrize("name", WORDS)
def test_the_text(name):
    options = {"show_layer_names": False} | {name: True}
    labels, edges = boxes(utils.model_to_dot(example(), **options).to_string())
    assert len(labels) == 4
    assert edges == [(0, 1), (1, 2), (2, 3)]
    for other, text in WORDS.items():
        assert (text in labels[0]) == (other == name)


def test_expanded_models_are_joined_at_their_ends():
    text = utils.model_to_dot(example(), expand_nested=True).to_string()
    assert 'subgraph "cluster_inner" {' in text
    labels, edges = boxes(text)
    assert "inner_dense" in labels[1]
    assert edges == [(0, 1), (1, 2), (2, 3)]
    assert utils.model_to_dot(example(), subgraph=True).source.startswith(
        'subgraph "cluster_outer" {'
    )


def test_names_are_escaped():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name='a<b>&"c')])
    labels, _ = boxes(utils.model_to_dot(model).to_string())
    assert "<b>a&lt;b&gt;&amp;&quot;c</b>" in labels[0]


@pytest.mark.parametrize("suffix", ["dot", "gv"])
def test_text_needs_no_graphviz(tmp_path, monkeypatch, suffix):
    monkeypatch.setenv("PATH", str(tmp_path))
    model, file = example(), tmp_path / f"model.{suffix}"
    assert utils.plot_model(model, file, show_shapes=True) is None
    assert (
        file.read_text()
        == utils.model_to_dot(model, show_shapes=True, show_layer_names=False).to_string()
    )


def test_without_graphviz_keras_s_message(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "model.png"
    message = (
        r"You must install graphviz \(see instructions at .*\) for `plot_model` to work.*\.dot"
    )
    with pytest.raises(ImportError, match=message):
        utils.plot_model(example(), str(file))
    monkeypatch.setitem(sys.modules, "IPython.core.magics.namespace", sys)  # as in a notebook
    utils.plot_model(example(), str(file))
    assert re.match(message, capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []


PROGRAM = """#!{python}
import sys
assert len(sys.argv) == 2
if sys.argv[1] == "-Tqqq":
    sys.exit("Error: renderer for qqq\\n unavailable")
sys.stdout.write(sys.argv[1] + sys.stdin.read()[:15])
"""


@pytest.fixture
def dot_program(tmp_path, monkeypatch):
    """A program that says what it was asked to draw."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "dot"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("m.png", "png"), ("m.SVG", "svg"), ("m.pdf", "pdf"), ("m", "png")],
)
def test_graphviz_is_asked_for_the_format(tmp_path, dot_program, name, kind):
    assert utils.plot_model(example(), tmp_path / name) is None
    assert (tmp_path / name).read_text() == f"-T{kind}digraph model {{"


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_what_graphviz_cannot_draw(tmp_path, dot_program):
    with pytest.raises(ValueError, match="'qqq': Error: renderer for qqq unavailable"):
        utils.plot_model(example(), tmp_path / "m.qqq")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        utils.plot_model(example(), tmp_path / "nowhere" / "m.png")
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rankdir": "tb"}, "`rankdir`"),
        ({"rankdir": 'TB; x="'}, "`rankdir`"),
        ({"splines": "curve"}, "Did you mean 'curved'"),
        ({"dpi": 0}, "`dpi`"),
        ({"dpi": float("nan")}, "`dpi`"),
        ({"dpi": "200"}, "`dpi`"),
        ({"layer_range": ["a", "b"]}, "`layer_range` is no longer supported"),
        ({"show_shape": True}, "Unrecognized keyword arguments: {'show_shape': True}"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        utils.plot_model(example(), tmp_path / "m.dot", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_built():
    with pytest.raises(ValueError, match="This model has not yet been built. Build the model"):
        utils.plot_model(keras.Sequential([keras.layers.Dense(2)]), "m.dot")
    with pytest.raises(ValueError, match="expected a Sequential"):
        utils.plot_model("model", "m.dot")


# --- histories ---
@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib", reason="plots need matplotlib (minisgd[plot])")


def trained(**options):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    x = np.random.default_rng(0).random((20, 3))
    return model.fit(x, np.eye(2)[np.arange(20) % 2], verbose=0, **options)


def curves(axes):
    return {line.get_label(): line.get_xydata().T.tolist() for line in axes.lines}


def test_a_panel_a_metric(matplotlib):
    history = trained(epochs=5, initial_epoch=2, validation_split=0.25)
    figure = utils.plot_history(history)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    epochs, values = [3, 4, 5], history.history
    assert curves(figure.axes[0]) == {
        "training": [epochs, values["loss"]],
        "validation": [epochs, values["val_loss"]],
    }
    chosen = utils.plot_history(history, metrics=["accuracy"])
    assert [axes.get_title() for axes in chosen.axes] == ["accuracy"]


def test_a_dict_will_do_and_gaps_stay_gaps(matplotlib):
    values = {"b": [1.0], "loss": [3.0, np.inf, 1.0], "a": [[1.0, 2.0], [3.0, 4.0]], "c": [1, 2]}
    figure = utils.plot_history(values)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "a", "b", "c"]
    (loss,) = figure.axes[0].lines
    np.testing.assert_array_equal(loss.get_ydata(), [3.0, np.nan, 1.0])
    assert [line.get_ydata().tolist() for line in figure.axes[1].lines] == [[1.0, 3.0], [2.0, 4.0]]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_files(matplotlib, tmp_path, suffix):
    file = tmp_path / f"history.{suffix}"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of what writes PDF
        utils.plot_history({"loss": [2.0, 1.0], "val_loss": [2.5, 2.0]}, file, dpi=50)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert file.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_what_can_not_be_drawn(matplotlib, tmp_path):
    for nothing in ({}, None, 3, keras.callbacks.History()):
        with pytest.raises(ValueError, match="`history`: expected what `fit` returned"):
            utils.plot_history(nothing)
    with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
        utils.plot_history({"loss": [1.0], "accuracy": [1.0]}, metrics=["acuracy"])
    for bad in ("loss", []):
        with pytest.raises(ValueError, match="`metrics`: expected a list of names"):
            utils.plot_history({"loss": [1.0]}, metrics=bad)
    with pytest.raises(ValueError, match="`to_file`: expected a name that ends in one of"):
        utils.plot_history({"loss": [1.0]}, tmp_path / "history.qqq")
    with pytest.raises(FileNotFoundError):
        utils.plot_history({"loss": [1.0]}, Path("nowhere/history.png"))


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'minisgd\[plot\]'"):
        utils.plot_history({"loss": [1.0]})
