"""Rows Y: bad labels."""

import numpy as np
import pytest

from minisgd import losses
from minisgd.utils import to_categorical

F32 = np.float32
SPARSE = "sparse_categorical_crossentropy"


def test_y_02_infinity(both, warned):
    y = both.y.copy()
    y[3, 2] = np.inf
    weights, run = warned(lambda: both.fit(y=y), "`y`[3, 2] is inf")
    assert not np.isfinite(run).all()
    model = both.model(check_numerics=True)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"`y`\[3, 2\] is inf"):
        both.fit(model, y=y)
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        pytest.param(lambda labels, y: labels, "must have the same rank (ndim)", id="Y-03"),
        pytest.param(lambda labels, y: labels[:, None], "must have the same shape", id="Y-04"),
    ],
)
def test_class_numbers_for_a_loss_that_takes_rows(setting, refused, change, phrase):
    y = change(setting.labels, setting.y)
    text = refused(lambda m: setting.fit(m, y=y), "`target` and `output`")
    assert phrase in text
    assert SPARSE in text or "to_categorical" in text


def test_y_05_columns(setting, refused):
    text = refused(lambda m: setting.fit(m, y=setting.y[:, :3]), "must have the same shape")
    assert "(1, 3)" in text
    assert "(1, 4)" in text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(lambda y: y * 2, "sums to 2", id="Y-06"),
        pytest.param(lambda y: y - F32(0.5), "-0.5", id="Y-07"),
        pytest.param(lambda y: y * F32(1.002), "sums to 1.002", id="a little too large"),
    ],
)
def test_rows_that_are_no_distribution(both, warned, change, what):
    warned(lambda: both.fit(y=change(both.y)), "`y`", what, "row 0")
    model = both.model(check_numerics=True)
    before = model.get_weights()
    with pytest.raises(ValueError, match="distribution"):
        both.fit(model, y=change(both.y))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_y_06_memory_mapped(setting, warned, tmp_path):
    y = setting.y.copy()
    y[40] *= 2
    np.save(tmp_path / "y.npy", y)
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    warned(lambda: setting.fit(y=mapped, shuffle=False), "row 40", "sums to 2")


def test_y_06_distributions_pass(setting):
    assert setting.fit(y=setting.y * F32(0.9) + F32(0.025))[1]  # smoothed
    assert setting.fit(y=setting.y * F32(1.0005))[1]


@pytest.mark.parametrize(
    ("change", "received"),
    [
        pytest.param(
            lambda labels: np.where(labels == labels[0], 4, labels),
            "received 4 at index",
            id="Y-09",
        ),
        pytest.param(lambda labels: labels + 0.7, "7", id="Y-11"),
        pytest.param(lambda labels: labels - 5, "-", id="negative"),
        pytest.param(lambda labels: np.where(labels == 1, np.nan, labels), "nan", id="nan"),
    ],
)
def test_class_numbers_that_are_none(setting, refused, change, received):
    text = refused(
        lambda m: setting.fit(m, y=change(setting.labels)),
        r"labels: expected whole numbers from 0 to 3 \(4 classes\)",
        model=setting.model(SPARSE),
    )
    assert received in text


def test_y_09_memory_mapped(setting, refused, tmp_path):
    labels = setting.labels.copy()
    labels[3] = 4
    np.save(tmp_path / "y.npy", labels)
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    refused(
        lambda m: setting.fit(m, y=mapped, shuffle=False),
        "labels: expected",
        model=setting.model(SPARSE),
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda y: y.astype(bool), id="Y-15"),
        pytest.param(lambda y: y.astype(np.uint8), id="Y-16"),
        pytest.param(lambda y: y.astype(np.float64), id="Y-17"),
        pytest.param(lambda y: np.repeat(y, 2, 1)[:, ::2], id="Y-21"),
        pytest.param(np.asfortranarray, id="fortran"),
        pytest.param(lambda y: y.astype(np.float16), id="float16"),
        pytest.param(lambda y: y.astype(">f8"), id="big-endian"),
        pytest.param(lambda y: y.astype(np.int64), id="int64"),
    ],
)
def test_every_form_of_labels_has_the_same_bits(both, change):
    assert both.same_as_clean(y=change(both.y))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda labels: labels[:, None], id="Y-20"),
        pytest.param(lambda labels: labels.astype(np.uint8), id="uint8"),
        pytest.param(lambda labels: labels.astype(F32), id="whole floats"),
        pytest.param(lambda labels: labels.astype(">i4"), id="big-endian"),
        pytest.param(lambda labels: np.repeat(labels, 2)[::2], id="strided"),
    ],
)
def test_every_form_of_class_numbers_has_the_same_bits(both, change):
    one, losses_of_one = both.fit(both.model(SPARSE), y=both.labels)
    other, losses_of_other = both.fit(both.model(SPARSE), y=change(both.labels))
    assert losses_of_one == losses_of_other
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        pytest.param([-1, 2], "from 0 to 9, received -1", id="Y-23"),
        pytest.param([2.9], "whole numbers, received 2.9", id="Y-24"),
        pytest.param([10], "from 0 to 9, received 10", id="too large"),
        pytest.param([np.nan], "received nan", id="nan"),
        pytest.param(["3"], "dtype", id="words"),
    ],
)
def test_to_categorical(labels, match):
    with pytest.raises(ValueError, match=match):
        to_categorical(labels, 10)


@pytest.mark.parametrize("classes", [0, -1, 2.5, "3", True])
def test_to_categorical_of_no_number_of_classes(classes):
    with pytest.raises(ValueError, match="`num_classes`: expected a positive int"):
        to_categorical([0], classes)


@pytest.mark.parametrize("dtype", [object, str, "datetime64[s]"])
def test_labels_that_are_no_numbers(setting, refused, dtype):
    y = setting.y.astype(np.int64).astype(dtype)
    assert "`y`" in refused(lambda m: setting.fit(m, y=y), "Invalid dtype")


def test_binary_labels_outside_of_0_and_1(setting, warned):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (96, 4)).astype(F32)
    y[7, 1] = -1
    warned(lambda: setting.fit(setting.model(losses.BinaryCrossentropy()), y=y), "`y`", "row 7")
