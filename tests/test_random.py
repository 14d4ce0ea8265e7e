"""Seeds: the same weights, masks and orders as Keras, by checksums that Keras confirmed."""

import random as python_random
import zlib

import numpy as np
import pytest

import minisgd as keras
from minisgd import initializers, layers, random
from minisgd.utils import set_random_seed


def crc(values):
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


@pytest.fixture
def unseeded(monkeypatch):
    monkeypatch.setattr(random._Global, "seed", None)


def kernels_of(model):
    return [w.numpy() for w in model.weights if w.name == "kernel"]


def two_layers(**first):
    return [layers.Dense(128, activation="relu", **first), layers.Dense(10, "softmax")]


WEIGHTS = {0: (0x2C71A095, 0x9D384862), 42: (0xD0E6B10B, 0x1B706461)}


# --- weights ---
@pytest.mark.parametrize("seed", WEIGHTS)
def test_checksums_of_the_weights(seed):
    set_random_seed(seed)
    model = keras.Sequential(two_layers(input_shape=(784,)))
    assert tuple(crc(w) for w in kernels_of(model)) == WEIGHTS[seed]
    assert not any(w.numpy().any() for w in model.weights if w.name == "bias")


def test_first_weights():
    set_random_seed(0)
    w = initializers.GlorotUniform()((784, 128)).numpy()
    np.testing.assert_allclose(
        w[0, :4], [0.00254434, -0.03097423, 0.05497754, -0.06381761], rtol=1e-5
    )


@pytest.mark.parametrize("how", ["Input", "Flatten", "deferred", "add", "fit"])
def test_weights_do_not_depend_on_when_they_are_built(how):
    set_random_seed(0)
    x = np.zeros((2, 784), np.float32)
    if how == "Input":
        model = keras.Sequential([keras.Input((784,)), *two_layers()])
    elif how == "Flatten":
        model = keras.Sequential([layers.Flatten(input_shape=(28, 28)), *two_layers()])
    elif how == "deferred":
        model = keras.Sequential(two_layers())
        python_random.random()  # draws after the construction change nothing
        model(x)
    elif how == "add":
        model = keras.Sequential()
        for layer in two_layers(input_dim=784):
            model.add(layer)
    else:
        model = keras.Sequential(two_layers())
        model.compile(keras.optimizers.SGD(0.0), "mse")
        model.fit(x, np.zeros((2, 10)), verbose=0)
    assert tuple(crc(w) for w in kernels_of(model)) == WEIGHTS[0]


def test_order_of_construction_matters():
    set_random_seed(0)
    second, first = layers.Dense(10, "softmax"), layers.Dense(128, "relu")
    model = keras.Sequential([keras.Input((784,)), first, second])
    assert tuple(crc(w) for w in kernels_of(model)) != WEIGHTS[0]
    set_random_seed(0)
    first = layers.Dense(128, "relu")
    layers.Dropout(0.5)  # takes a seed
    after_dropout = layers.Dense(10)
    set_random_seed(0)
    layers.Dense(128, "relu")
    layers.Dropout(0)  # takes none
    layers.Flatten(), layers.Activation("relu"), keras.Input((3,))
    after_others = layers.Dense(10)
    for layer in (first, after_dropout, after_others):
        layer(np.zeros((1, 784 if layer is first else 128), np.float32))
    assert crc(first.kernel.numpy()) == WEIGHTS[0][0]
    assert crc(after_others.kernel.numpy()) == WEIGHTS[0][1]
    assert crc(after_dropout.kernel.numpy()) != WEIGHTS[0][1]


def test_initializers_draw_their_seeds_from_pythons_generator():
    set_random_seed(42)
    assert [initializers.HeNormal().seed, initializers.RandomUniform().seed] == [
        686579304,
        119540832,
    ]
    set_random_seed(0)
    assert initializers.GlorotUniform().seed == 906691060
    initializers.Zeros(), initializers.Constant(2)
    assert initializers.get("glorot_uniform").seed == 413654000


def test_one_initializer_object_gives_one_set_of_values():
    init = initializers.GlorotUniform(seed=7)
    a, b = layers.Dense(4, kernel_initializer=init), layers.Dense(4, kernel_initializer=init)
    a(np.zeros((1, 3), np.float32)), b(np.zeros((1, 3), np.float32))
    np.testing.assert_array_equal(a.kernel.numpy(), b.kernel.numpy())
    assert np.array_equal(init((3, 4)).numpy(), initializers.GlorotUniform(seed=7)((3, 4)).numpy())


@pytest.mark.parametrize("seed", [-5, 0, 2**31 - 2, 2**31 - 1, 2**31, 2**40 + 7, 2**63 - 1, 2**70])
def test_every_int_is_a_seed_by_its_remainder(seed):
    received = random.uniform((5,), seed=seed).numpy()
    np.testing.assert_array_equal(received, random.uniform((5,), seed=seed % (2**31 - 2)).numpy())


def test_neighbouring_seeds_have_nothing_in_common():
    draws = [random.uniform((100,), seed=s).numpy() for s in range(4)]
    for i in range(4):
        for j in range(i):
            assert np.count_nonzero(draws[i] == draws[j]) < 3


def test_a_float_is_no_seed():
    for make in (initializers.GlorotUniform, initializers.RandomNormal, random.SeedGenerator):
        with pytest.raises(ValueError, match="integer"):
            make(seed=1.5)
    with pytest.raises(ValueError, match="integer"):
        random.uniform((2,), seed="1")


@pytest.mark.parametrize("seed", [1.0, "1", None, np.int64(1)])
def test_set_random_seed_wants_a_python_int(seed):
    with pytest.raises(ValueError, match="Expected `seed` argument to be an integer"):
        set_random_seed(seed)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_set_random_seed_wants_32_bits(seed):
    with pytest.raises(ValueError, match=r"between 0 and 2\*\*32 - 1"):
        set_random_seed(seed)


def test_set_random_seed_seeds_python_and_numpy():
    def draws():
        set_random_seed(5)
        return python_random.random(), np.random.random(3).tolist()  # noqa: NPY002

    assert draws() == draws()
    assert draws()[0] == python_random.Random(5).random()


# --- distributions ---
N = 40_000


@pytest.mark.parametrize(
    ("name", "stddev", "largest"),
    [
        ("glorot_uniform", (2 / 400) ** 0.5, (6 / 400) ** 0.5),
        ("he_uniform", (2 / 200) ** 0.5, (6 / 200) ** 0.5),
        ("lecun_uniform", (1 / 200) ** 0.5, (3 / 200) ** 0.5),
        ("glorot_normal", (2 / 400) ** 0.5, 2 * (2 / 400) ** 0.5 / 0.87962566),
        ("he_normal", (2 / 200) ** 0.5, 2 * (2 / 200) ** 0.5 / 0.87962566),
        ("lecun_normal", (1 / 200) ** 0.5, 2 * (1 / 200) ** 0.5 / 0.87962566),
        ("random_uniform", 0.05 / 3**0.5, 0.05),
        ("random_normal", 0.05, 0.3),
        ("truncated_normal", 0.05 * 0.87962566, 0.1),
    ],
)
def test_spread_of_the_initial_weights(name, stddev, largest):
    w = getattr(initializers, name)(seed=1)((200, 200)).numpy()
    assert w.dtype == np.float32
    assert abs(w.mean()) < 4 * stddev / N**0.5
    assert w.std() == pytest.approx(stddev, rel=0.02)
    assert np.abs(w).max() <= largest * (1 + 1e-6)
    assert np.unique(w).size > 0.99 * N


def test_constants():
    for name, value in (("zeros", 0), ("ones", 1)):
        assert initializers.get(name)((2, 3)).numpy().tolist() == [[value] * 3] * 2
    assert initializers.Constant(2.5)((2,), dtype="float64").numpy().tolist() == [2.5, 2.5]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scale": 0.0}, "`scale` must be positive"),
        ({"mode": "fan"}, "Invalid `mode` argument: fan"),
        ({"distribution": "cauchy"}, "Invalid `distribution` argument: cauchy"),
    ],
)
def test_variance_scaling_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        initializers.VarianceScaling(**kwargs)


def test_unit_interval_is_half_open():
    u = random.uniform((N,), seed=3).numpy()
    assert u.min() >= 0
    assert u.max() < 1


# --- seed generators and dropout ---
def test_a_seed_generator_moves_on():
    generator = random.SeedGenerator(3)
    a, b = (random.uniform((4,), seed=generator).numpy() for _ in range(2))
    assert not np.array_equal(a, b)
    again = random.SeedGenerator(3)
    np.testing.assert_array_equal(random.uniform((4,), seed=again).numpy(), a)
    assert generator.state.numpy().tolist() == [3, 2]


def test_dropout_masks_repeat_with_the_seed_and_differ_between_calls():
    x = np.ones((50, 20), np.float32)

    def masks():
        set_random_seed(1)
        layer = layers.Dropout(0.25)
        return [layer(x, training=True).numpy() for _ in range(2)]

    (a, b), (c, d) = masks(), masks()
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)
    assert set(np.unique(a)) == {0, np.float32(1 / 0.75)}
    assert (a == 0).mean() == pytest.approx(0.25, abs=0.05)


def test_dropout_draws_only_in_training():
    layer = layers.Dropout(0.5, seed=4)
    x = np.ones((3, 5), np.float32)
    for training in (False, None):
        np.testing.assert_array_equal(layer(x, training=training).numpy(), x)
    assert layer.seed_generator.state.numpy().tolist() == [4, 0]
    layer(x, training=True)
    assert layer.seed_generator.state.numpy().tolist() == [4, 1]


# --- order of samples ---
ORDERS = {
    0: (0x7CAE112D, [2, 0, 5, 8, 7, 1, 9, 6, 3, 4]),
    42: (0xF782C75C, [3, 8, 7, 5, 2, 0, 1, 6, 9, 4]),
}


@pytest.mark.parametrize("seed", ORDERS)
def test_order_of_samples(seed):
    set_random_seed(seed)
    order = random.epoch_order(60000)
    assert order.dtype == np.int64
    assert crc(order) == ORDERS[seed][0]
    assert random.epoch_order(10).tolist() == ORDERS[seed][1]
    if seed == 42:
        assert order[:6].tolist() == [22643, 17315, 18403, 2413, 22139, 3600]


def test_seeds_equal_modulo_2_31_minus_1_shuffle_alike():
    orders = {}
    for seed in (0, 2**31 - 1, 1, 2**31):
        set_random_seed(seed)
        orders[seed] = random.epoch_order(100).tolist()
    assert orders[0] == orders[2**31 - 1]
    assert orders[1] == orders[2**31] != orders[0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_order_of_few_samples(n):
    set_random_seed(0)
    assert sorted(random.epoch_order(n).tolist()) == list(range(n))


def test_seeded_every_epoch_has_the_same_order():
    set_random_seed(9)
    first = random.epoch_order(50).tolist()
    python_random.random(), np.random.random()  # noqa: NPY002
    assert random.epoch_order(50).tolist() == first


def test_reshuffled_epochs_differ_and_repeat_with_the_seed():
    set_random_seed(9)
    orders = [random.epoch_order(50, epoch).tolist() for epoch in range(3)]
    assert orders[0] == random.epoch_order(50).tolist()
    assert orders[0] != orders[1] != orders[2] != orders[0]
    set_random_seed(9)
    assert random.epoch_order(50, 2).tolist() == orders[2]


def test_unseeded_every_epoch_has_another_order(unseeded):
    orders = [random.epoch_order(100).tolist() for _ in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert all(sorted(order) == list(range(100)) for order in orders)


def test_batchwise_order_shuffles_within_batches():
    set_random_seed(0)
    order = random.batchwise_order(23, 5)
    batches = [sorted(order[start : start + 5].tolist()) for start in range(0, 23, 5)]
    assert batches == [list(range(start, min(start + 5, 23))) for start in range(0, 23, 5)]
    # The first batch is a shuffle of its own; the next goes on in the same stream.
    assert order[:5].tolist() == random.epoch_order(5).tolist()
    within = [(order[s : s + 5] - s).tolist() for s in (0, 5, 10, 15)]
    assert len({tuple(w) for w in within}) > 1
    assert random.batchwise_order(4, 1).tolist() == [0, 1, 2, 3]


def test_batchwise_order_goes_on_at_the_next_block():
    import minisgd_kernels as kernels

    set_random_seed(42)
    order = random.batchwise_order(27, 9)
    key = np.array([42, 0], np.uint32)
    for batch in range(3):  # a batch of nine takes eight words: two blocks
        counter = np.array([2 * batch, 0, 0, 0], np.uint32)
        expected = 9 * batch + kernels.philox_shuffle(key, counter, 9)
        assert order[9 * batch : 9 * batch + 9].tolist() == expected.tolist()
