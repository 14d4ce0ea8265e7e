"""`minisgd evaluate` and `minisgd predict`: saved models on test images and on files of digits."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import minisgd
from minisgd import cli
from minisgd.cli import images

layers = minisgd.layers


def digit_images(labels):
    """Images in which each digit lights a row of its own, as bytes."""
    labels = np.asarray(labels)
    found = np.random.default_rng(0).integers(0, 64, (len(labels), 28, 28), dtype=np.uint8)
    found[np.arange(len(labels)), 2 * labels + 4, 4:24] = 255
    return found


def knowing_model(*first, activation="softmax", loss="categorical_crossentropy"):
    """A model that reads those rows, not trained but made."""
    model = minisgd.Sequential([*first, layers.Dense(10, activation)])
    if not model.built:
        model.build((None, 784))
    kernel = np.zeros((28, 28, 10), np.float32)
    for digit in range(10):
        kernel[2 * digit + 4, 4:24, digit] = 1
    model.layers[-1].set_weights([kernel.reshape(784, 10), np.zeros(10, np.float32)])
    if loss:
        model.compile("sgd", loss, metrics=["accuracy"])
    return model


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    knowing_model(layers.Input((784,))).save("m.keras")

    def invoke(*arguments):
        return CliRunner().invoke(cli.main, [str(a) for a in arguments], catch_exceptions=False)

    return invoke


def save_test_images(labels, name="data.npz"):
    x, y = digit_images(labels), np.asarray(labels, np.uint8)
    np.savez(name, x_train=x[:1], y_train=y[:1], x_test=x, y_test=y)


def predicted(result):
    assert result.exit_code == 0, result.output
    return [row["digit"] for row in json.loads(result.output)]


def refused(result, *words):
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


# --- evaluate ---
@pytest.mark.parametrize(
    "model",
    [
        lambda: knowing_model(layers.Input((784,))),
        lambda: knowing_model(layers.Input((28, 28)), layers.Flatten()),
        lambda: knowing_model(layers.Input((28, 28, 1)), layers.Flatten()),
        lambda: knowing_model(layers.Input((784,)), loss="sparse_categorical_crossentropy"),
        lambda: knowing_model(layers.Input((784,)), loss=None),
    ],
    ids=["flat", "square", "channel", "sparse", "not compiled"],
)
def test_evaluate_gives_what_the_model_gives(run, model):
    model().save("own.keras")
    labels = [0, 1, 2, 9]
    x, y = digit_images(labels), np.array(labels, np.uint8)
    y[3] = 5  # one wrong
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    result = run("evaluate", "own.keras", "data.npz", "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    assert (record["data"], record["images"]) == ("data.npz", 4)
    reference = knowing_model(layers.Input((784,)))
    expected = reference.evaluate(
        x.reshape(-1, 784).astype("float32") / 255, np.eye(10)[y], verbose=0, return_dict=True
    )
    assert record["results"] == expected
    assert record["results"]["accuracy"] == 0.75
    text = run("evaluate", "own.keras", "data.npz").output
    assert "data.npz: 4 test images" in text
    assert "accuracy  0.75  (75.00 %)" in text


def test_evaluate_takes_the_folder_of_a_run(run, tmp_path):
    save_test_images(range(10))
    trained = run("train", "--data", "data.npz", "--epochs", 1, "--hidden", 4, "--verbose", 0)
    assert trained.exit_code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    results = json.loads((folder / "config.json").read_text())["results"]
    found = json.loads(run("evaluate", folder, "data.npz", "--json").output)["results"]
    assert found == {"loss": results["test_loss"], "accuracy": results["test_accuracy"]}


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("gone.keras", "data.npz", ["'MODEL'", "File not found"]),
        ("data.npz", "data.npz", ["'MODEL'", ".keras"]),
        ("broken.keras", "data.npz", ["'MODEL'", "broken.keras"]),
        (".", "data.npz", ["'MODEL'", "File not found"]),
        ("small.keras", "data.npz", ["'MODEL'", "784 pixels", "from (3,) to (10,)"]),
        ("unbuilt.keras", "data.npz", ["'MODEL'", "no defined input shape"]),
        ("m.keras", "gone.npz", ["'DATA'", "no file gone.npz"]),
        ("m.keras", "m.keras", ["'DATA'"]),
    ],
)
def test_evaluate_refuses_in_one_line(run, tmp_path, model, data, words):
    save_test_images([1, 2])
    (tmp_path / "broken.keras").write_bytes((tmp_path / "m.keras").read_bytes()[:300])
    minisgd.Sequential([layers.Input((3,)), layers.Dense(10)]).save("small.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is said that there are no weights
        minisgd.Sequential([layers.Dense(10)]).save("unbuilt.keras")
    refused(run("evaluate", model, data), *words)


# --- predict: arrays ---
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x.reshape(-1, 784),
        lambda x: x.astype(np.int64),
        lambda x: (x / 255).astype(np.float16),
        lambda x: x / 255,
        lambda x: np.asfortranarray(x).astype(">f4") / np.float32(255),
        lambda x: x > 128,
    ],
    ids=["bytes", "flat", "int64", "float16", "float64", "big-endian", "bool"],
)
def test_arrays(run, change):
    np.save("x.npy", change(digit_images([3, 1, 4])))
    assert predicted(run("predict", "m.keras", "x.npy", "--json")) == [3, 1, 4]
    np.save("one.npy", change(digit_images([8]))[0])
    assert predicted(run("predict", "m.keras", "one.npy", "x.npy", "--json")) == [8, 3, 1, 4]


def test_probabilities_are_the_models(run):
    x = digit_images([3, 1])
    np.save("x.npy", x)
    rows = json.loads(run("predict", "m.keras", "x.npy", "--json").output)
    expected = knowing_model(layers.Input((784,))).predict(
        x.reshape(-1, 784).astype("float32") / 255, verbose=0
    )
    assert [row["probabilities"] for row in rows] == expected.tolist()
    assert [(row["file"], row["index"]) for row in rows] == [("x.npy", 0), ("x.npy", 1)]
    assert rows[0]["probability"] == expected[0, 3]


def test_outputs_that_are_no_probabilities_are_logits(run):
    knowing_model(layers.Input((784,)), activation=None).save("logits.keras")
    np.save("x.npy", digit_images([3, 1]))
    both = [run("predict", name, "x.npy", "--json") for name in ("m.keras", "logits.keras")]
    expected, found = ([r["probabilities"] for r in json.loads(one.output)] for one in both)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_table(run):
    np.save("é.npy", digit_images([3, 1]))
    np.save("one.npy", digit_images([7])[0])
    result = run("predict", "m.keras", "é.npy", "one.npy")
    assert result.exit_code == 0
    for words in (r"é.npy", " 3 ", " 1 ", " 7 ", " %"):
        assert words in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 5)), "expected shape (28, 28), (784,), (N, 28, 28) or (N, 784)"),
        (np.zeros((0, 784)), "received (0, 784)"),
        (np.zeros(()), "received ()"),
        (np.full(784, np.nan), "from nan to nan"),
        (np.full(784, -0.5), "from -0.5"),
        (np.full(784, 255.0), "divide by 255"),
        (np.full(784, 300), "from 300 to 300"),
        (np.eye(28, dtype=np.uint8), "almost black: multiply by 255"),
        (np.zeros(784, complex), "complex128"),
        (np.array(["a"] * 784), "<U1"),
    ],
    ids=str,
)
def test_bad_arrays(run, array, words):
    np.save("x.npy", array)
    refused(run("predict", "m.keras", "x.npy"), "'FILES'", "x.npy", words)


def test_files_that_are_no_arrays(run, tmp_path):
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").touch()
    np.save("object.npy", np.array([1, None], object), allow_pickle=True)
    np.savez("several.npz", a=np.zeros(784))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    for name in ("text.npy", "empty.npy", "object.npy", "several.npy", "gone.npy", "gone.png"):
        refused(run("predict", "m.keras", name), "'FILES'", name)
    refused(run("predict", "m.keras"), "FILES")


def test_a_model_that_diverged_predicts_nothing(run):
    model = knowing_model(layers.Input((784,)))
    model.layers[-1].set_weights([np.full((784, 10), np.nan, np.float32), np.zeros(10)])
    model.save("nan.keras")
    np.save("x.npy", digit_images([3]))
    result = run("predict", "nan.keras", "x.npy")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "not finite" in result.stderr


# --- predict: pictures ---
@pytest.fixture
def pil():
    return pytest.importorskip("PIL.Image", reason="pictures need Pillow (minisgd[images])")


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "LA", "RGBA", "I;16"])
def test_pictures_of_28_pixels_are_taken_as_they_are(run, pil, mode):
    pixels = digit_images([6])[0]
    if mode == "I;16":
        picture = pil.fromarray(pixels.astype(np.uint16) * 257)
    else:
        picture = pil.fromarray(pixels).convert(mode)
    picture.save("x.png")
    exact = mode not in ("P",)  # a palette has fewer colours
    found = images.read(Path("x.png"))[0]
    np.testing.assert_allclose(found, pixels / 255, atol=1e-6 if exact else 0.3)
    assert predicted(run("predict", "m.keras", "x.png", "--json")) == [6]


def test_black_on_white_is_inverted(run, pil, tmp_path):
    pixels = digit_images([6])[0]
    pil.fromarray(255 - pixels).save("x.png")
    expected = pixels / np.float32(255)
    path = tmp_path / "x.png"
    np.testing.assert_allclose(images.read(path)[0], expected, atol=1e-6)
    np.testing.assert_allclose(images.read(path, invert=True)[0], expected, atol=1e-6)
    np.testing.assert_allclose(images.read(path, invert=False)[0], 1 - expected, atol=1e-6)
    np.save("x.npy", 255 - pixels)
    array = tmp_path / "x.npy"
    np.testing.assert_allclose(images.read(array)[0], 1 - expected, atol=1e-6)
    np.testing.assert_allclose(images.read(array, invert=True)[0], expected, atol=1e-6)
    assert predicted(run("predict", "m.keras", "x.npy", "--invert", "--json")) == [6]


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (9, 9), (1000, 1000)])
@pytest.mark.parametrize("white", [False, True])
def test_other_sizes_are_framed_as_mnist_was(pil, tmp_path, size, white):
    width, height = size
    picture = np.zeros((height + 50, width + 80), np.uint8)
    picture[20 : 20 + height, 60 : 60 + width] = 255  # off the middle
    pil.fromarray(255 - picture if white else picture).save(tmp_path / "x.png")
    (frame,) = images.read(tmp_path / "x.png")
    assert (frame.shape, frame.dtype) == ((28, 28), np.float32)
    drawn = frame > 0.5
    assert max(drawn.any(0).sum(), drawn.any(1).sum()) == 20
    assert min(drawn.any(0).sum(), drawn.any(1).sum()) == round(20 * min(size) / max(size))
    for axis in (0, 1):
        mass = frame.sum(axis)
        assert abs((mass * np.arange(28)).sum() / mass.sum() - 13.5) <= 0.5


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_pixels_are_paper(pil, tmp_path, ink):
    picture = np.zeros((28, 28, 4), np.uint8)
    picture[10:20, 10:14] = (ink, ink, ink, 255)
    pil.fromarray(picture).save(tmp_path / "x.png")
    (frame,) = images.read(tmp_path / "x.png")
    expected = np.zeros((28, 28))
    expected[10:20, 10:14] = 1
    assert (frame == expected).all()


def test_files_that_are_no_pictures(run, pil, tmp_path):
    pil.fromarray(digit_images([6])[0]).save("x.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "x.png").read_bytes()[:200])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "no_suffix").write_text("no picture")
    pil.new("L", (50, 50), 255).save("white.png")
    pil.new("1", (20_000, 20_000)).save("bomb.png")
    refused(run("predict", "m.keras", "cut.png"), "cut.png")
    refused(run("predict", "m.keras", "text.png"), "expected an .npy file or a picture (PNG, JPEG")
    refused(run("predict", "m.keras", "no_suffix"), "expected an .npy file or a picture")
    refused(run("predict", "m.keras", "white.png"), "a picture of one colour")
    refused(run("predict", "m.keras", "bomb.png"), "far too large")
    refused(run("predict", "m.keras", "."), "Is a directory")


def test_without_pillow_the_extra_is_named(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "x.png").touch()
    refused(run("predict", "m.keras", "x.png"), "pip install 'minisgd[images]'", "x.png")


def test_help_names_all_commands(run):
    text = run("--help").output
    for name in ("evaluate", "explain", "info", "parity", "predict", "train"):
        assert f"\n  {name} " in text
        own = run(name, "--help")
        assert own.exit_code == 0
        assert own.output.isascii()
    assert "...\n" not in text.partition("Commands:")[2], "a line of the list is cut"
