"""Rows X: bad data. Rows that other files hold are named in cases.csv."""

import tracemalloc
import warnings

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers

F32 = np.float32
WHERE = "[5, 10]"  # row 5, column 10


@pytest.fixture
def spoiled(both):
    """The data with one NaN in row 5, column 10."""
    x = both.x.copy()
    x[5, 10] = np.nan
    return x


def test_x_01_one_nan(both, spoiled, warned):
    weights, losses = warned(lambda: both.fit(x=spoiled), "`x", WHERE, "nan")
    assert np.isnan(losses).all()
    assert any(np.isnan(w).any() for w in weights)


def test_x_01_is_an_error_if_asked_for(both, spoiled):
    model = both.model(check_numerics=True)
    before = model.get_weights()
    for act in (
        lambda: both.fit(model, spoiled),
        lambda: model.evaluate(spoiled, both.y, verbose=0),
        lambda: model.predict(spoiled, verbose=0),
        lambda: model.train_on_batch(spoiled, both.y),
        lambda: model.test_on_batch(spoiled, both.y),
        lambda: model.predict_on_batch(spoiled),
    ):
        with pytest.raises(ValueError, match=r"`x`\[5, 10\] is nan"):
            act()
    assert all(map(np.array_equal, before, model.get_weights()))
    assert both.same_as_clean()


@pytest.mark.parametrize("kind", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_x_01_other_numbers_and_dtypes(setting, warned, kind, dtype):
    x = setting.x.astype(dtype)
    x[5, 10] = float(kind)
    for form in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::2]):
        warned(lambda form=form: setting.model().predict(form, verbose=0), "`x`[5, 10] is " + kind)


def test_x_01_a_number_that_float32_cannot_hold(setting, warned):
    x = setting.x.astype(np.float64)
    x[5, 10] = 1e300
    warned(lambda: setting.model().predict(x, verbose=0), "`x`[5, 10] is 1e+300")


def test_x_01_every_entry_point(setting, warned):
    x, model = setting.x.copy(), setting.model()
    x[5, 10] = np.nan
    for act in (
        lambda: model.evaluate(x, setting.y, verbose=0),
        lambda: model.predict(x, verbose=0),
        lambda: model.test_on_batch(x, setting.y),
        lambda: model.predict_on_batch(x),
        lambda: model.train_on_batch(x, setting.y),
    ):
        warned(act, "`x`", WHERE)


def test_x_01_in_validation_data(setting, warned):
    x, y, model = setting.x.copy(), setting.y, setting.model()
    x[5, 10] = np.nan
    warned(lambda: setting.fit(model, validation_data=(x, y)), "validation", "`x`", WHERE)


def test_x_01_memory_mapped_data_are_checked_batch_by_batch(both, spoiled, warned, tmp_path):
    np.save(tmp_path / "x.npy", spoiled)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    warned(lambda: both.fit(x=mapped), "`x`", WHERE)
    model = both.model(check_numerics=True)
    with pytest.raises(ValueError, match=r"`x`\[5, 10\] is nan"):
        both.fit(model, mapped)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_x_01_in_a_batch_of_a_generator(both, spoiled, warned):
    def batches():
        for start in range(0, 96, 32):
            yield spoiled[start : start + 32][::-1], both.y[start : start + 32]

    warned(
        lambda: both.model().fit(batches(), steps_per_epoch=3, shuffle=False, verbose=0),
        "Batch 0 of the generator: `x`[26, 10] is nan",
    )
    model = both.model(check_numerics=True)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"Batch 0 of the generator: `x`\[26, 10\] is nan"):
        model.fit(batches(), verbose=0, shuffle=False)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_x_03_one_column_short(setting, refused):
    text = refused(lambda m: setting.fit(m, setting.x[:, :19]), "expected axis -1 of input shape")
    assert "20" in text
    assert "19" in text
    assert "'dense" in text


def test_x_04_not_flattened(setting, refused):
    x = setting.x.reshape(96, 4, 5)
    assert "(1, 4, 5)" in refused(lambda m: setting.fit(m, x), "incompatible shape")


def test_x_05_one_flat_sample(setting, refused):
    refused(lambda m: setting.fit(m, setting.x[0], setting.y[:20]), r"incompatible|min_ndim=2")


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(object, id="X-06"),
        pytest.param(str, id="X-07"),
        pytest.param("datetime64[s]", id="X-31"),
        pytest.param(complex, id="complex"),
        pytest.param("S", id="bytes"),
    ],
)
def test_dtypes_that_are_no_numbers(setting, refused, dtype):
    x = setting.x.astype(np.int64).astype(dtype)
    text = refused(lambda m: setting.fit(m, x), "Invalid dtype")
    assert "`x`" in text
    assert "astype" in text


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x.astype(np.float16), id="X-10"),
        pytest.param(lambda x: (x * 255).astype(np.uint8), id="X-11"),
        pytest.param(lambda x: x > 0.5, id="X-12"),
        pytest.param(np.asfortranarray, id="X-14"),
        pytest.param(lambda x: np.repeat(x, 2, 0)[::2], id="X-16"),
        pytest.param(lambda x: np.broadcast_to(x[0], x.shape), id="X-29"),
        pytest.param(lambda x: x * F32(1e-40), id="X-32"),
        pytest.param(lambda x: x.astype(np.float64), id="float64"),
        pytest.param(lambda x: (x * 100).astype(np.int64), id="int64"),
        pytest.param(lambda x: (x * 100).astype(">i2"), id="big-endian ints"),
        pytest.param(lambda x: x.astype(">f4"), id="big-endian"),
        pytest.param(lambda x: x[::-1, ::-1], id="negative strides"),
        pytest.param(lambda x: x.T.copy().T, id="transposed"),
        pytest.param(lambda x: _misaligned(x), id="misaligned"),
        pytest.param(lambda x: _read_only(x), id="read-only"),
        pytest.param(lambda x: x.view(type("Own", (np.ndarray,), {})), id="subclass"),
    ],
)
def test_every_form_of_an_array_has_the_bits_of_its_plain_copy(both, change):
    given = change(both.x)
    plain = np.ascontiguousarray(given, F32)
    before = given.copy()
    results = []
    for x in (given, plain):
        keras.utils.set_random_seed(3)
        optimizer = keras.optimizers.SGD(0.001)
        weights, losses = both.fit(both.model(optimizer=optimizer), x)
        assert np.isfinite(losses).all()
        results.append([*weights, both.model().predict(x, verbose=0)])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*results, strict=True))
    np.testing.assert_array_equal(given, before)


def _misaligned(x):
    memory = np.zeros(x.nbytes + 1, np.uint8)
    array = memory[1:].view(F32).reshape(x.shape)
    array[:] = x
    return array


def _read_only(x):
    array = x.copy()
    array.flags.writeable = False
    return array


def test_x_13_whole_numbers_beyond_what_float32_holds(setting, warned):
    x = np.zeros(setting.x.shape, np.int64)
    x[5, 10] = 2**60 + 1
    weights, _ = warned(lambda: setting.fit(x=x), "`x`[5, 10] is 1152921504606846977", "2**24")
    assert all(np.isfinite(w).all() or np.isnan(w).any() for w in weights)
    model = setting.model(check_numerics=True)
    with pytest.raises(ValueError, match="2\\*\\*24"):
        setting.fit(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x[5, 10] = 2**24
        setting.model().predict(x, verbose=0)


def test_x_28_lengths_differ(setting, refused):
    text = refused(lambda m: setting.fit(m, y=setting.y[:-1]), "Data cardinality is ambiguous")
    assert "'x' sizes: 96" in text
    assert "'y' sizes: 95" in text


def test_x_33_numbers_whose_products_overflow(both, warned):
    weights, losses = warned(lambda: both.fit(x=both.x * F32(1e38)), "loss", "batch")
    assert not np.isfinite(losses).all()
    assert not all(np.isfinite(w).all() for w in weights)
    model = both.model(check_numerics=True)
    before = model.get_weights()
    with pytest.raises(ValueError, match="loss.*nan|loss.*inf"):
        both.fit(model, both.x * F32(1e38))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_x_35_a_single_sample(both):
    _, losses = both.fit(x=both.x[:1], y=both.y[:1])
    assert np.isfinite(losses).all()


def test_x_36_the_last_batch_counts_by_its_size(both):
    model = both.model(optimizer=keras.optimizers.SGD(0.0))
    x, y = both.x[:33], both.y[:33]
    each = -np.log((model.predict(x, verbose=0) * y).sum(1, dtype=np.float64))
    _, losses = both.fit(model, x, y, epochs=1)
    assert losses[0] == pytest.approx(each.mean(), rel=1e-6)
    hits = model.predict(x, verbose=0).argmax(1) == y.argmax(1)
    assert model.evaluate(x, y, verbose=0)[1] == F32(hits.mean())


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Input((0,)),
        lambda: layers.Dense(3, input_shape=(0,)),
        lambda: layers.Dense(3, input_dim=0),
        lambda: keras.Sequential([layers.Dense(3)]).build((None, 0)),
        lambda: keras.Sequential([layers.Dense(3)])(np.zeros((2, 0), F32)),
        lambda: layers.Dense(3)(np.zeros((2, 0), F32)),
        lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)])(np.zeros((2, 0, 4), F32)),
    ],
)
def test_x_40_no_width(make):
    with pytest.raises(ValueError, match="0"):
        make()


def test_x_40_data_without_width(setting, refused):
    model = setting.model(build=False)
    with pytest.raises(ValueError, match="`x`: expected.*received.*\\(96, 0\\)"):
        setting.fit(model, setting.x[:, :0])
    assert not model.built


def test_no_samples(setting, refused):
    refused(lambda m: setting.fit(m, setting.x[:0], setting.y[:0]), "at least one sample")
    refused(lambda m: m.evaluate(setting.x[:0], setting.y[:0], verbose=0), "at least one sample")


def test_the_scan_copies_nothing(setting):
    x = np.zeros((200_000, 20), F32)
    model = setting.model()
    model.predict_on_batch(setting.x)
    from minisgd.data.checks import first_unusable

    tracemalloc.start()
    assert first_unusable(x) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
