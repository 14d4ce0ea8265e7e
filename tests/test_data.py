"""From arrays to batches: order, remainders, steps, splits, class weights."""

import tracemalloc

import numpy as np
import pytest

import minisgd as keras
from minisgd import random
from minisgd.data import ArrayData, EpochIterator, split_for_validation
from minisgd.data.arrays import weights_from_classes

F32 = np.float32


def samples(n):
    return np.arange(n, dtype=F32).reshape(n, 1)


def seen(batches):
    return [np.asarray(batch[0]).ravel().astype(int).tolist() for batch in batches]


def test_batches_in_order_with_a_remainder():
    data = ArrayData(samples(7), batch_size=3)
    assert data.num_batches == 3
    assert seen(data.batches()) == [[0, 1, 2], [3, 4, 5], [6]]


def test_labels_and_weights_go_with_their_samples():
    keras.utils.set_random_seed(0)
    x = samples(10)
    data = ArrayData(x, x * 2, x[:, 0] * 3, batch_size=4, shuffle=True)
    for batch in data.batches():
        bx, by, bw = (np.asarray(part) for part in batch)
        np.testing.assert_array_equal(by, bx * 2)
        np.testing.assert_array_equal(bw, bx[:, 0] * 3)


def test_a_shuffled_epoch_follows_the_seed_and_repeats():
    keras.utils.set_random_seed(0)
    data = ArrayData(samples(10), batch_size=4, shuffle=True)
    order = [[2, 0, 5, 8], [7, 1, 9, 6], [3, 4]]
    assert seen(data.batches()) == order
    assert seen(data.batches(1)) == order


def test_reshuffling_gives_each_epoch_its_own_order():
    def epochs():
        keras.utils.set_random_seed(0)
        data = ArrayData(samples(20), batch_size=20, shuffle=True, reshuffle=True)
        return [seen(data.batches(epoch))[0] for epoch in range(3)]

    first, second, third = epochs()
    assert first != second != third != first
    assert epochs() == [first, second, third]


def test_shuffling_within_batches():
    keras.utils.set_random_seed(0)
    data = ArrayData(samples(10), batch_size=4, shuffle="batch")
    batches = seen(data.batches())
    assert [sorted(b) for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert sum(batches, []) == random.batchwise_order(10, 4).tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_copies_of_the_callers_arrays(shuffle):
    x = samples(6)
    batches = list(ArrayData(x, batch_size=3, shuffle=shuffle).batches())
    values = seen(batches)
    assert not any(np.shares_memory(np.asarray(batch[0]), x) for batch in batches)
    x[:] = -1
    assert seen(batches) == values


def test_batch_size_follows_the_number_of_steps():
    assert ArrayData(samples(100)).batch_size == 32
    assert ArrayData(samples(100), steps=3).batch_size == 34
    assert ArrayData(samples(100), batch_size=10, steps=3).batch_size == 10


# --- epochs of a given number of steps ---
def epochs(n, batch_size, steps, count, shuffle=False):
    iterator = EpochIterator(ArrayData(samples(n), batch_size=batch_size, shuffle=shuffle), steps)
    return [[(step, seen([batch])[0]) for step, batch in iterator.epoch()] for _ in range(count)]


def test_an_epoch_is_one_pass():
    assert epochs(5, 2, None, 2) == [[(0, [0, 1]), (1, [2, 3]), (2, [4])]] * 2


def test_steps_go_on_where_the_last_epoch_stopped():
    first, second = epochs(8, 2, 2, 2)
    assert first == [(0, [0, 1]), (1, [2, 3])]
    assert second == [(0, [4, 5]), (1, [6, 7])]


def test_data_that_run_out_end_the_epoch_with_a_warning_and_start_over():
    with pytest.warns(UserWarning, match="ran out of data") as caught:
        received = epochs(10, 2, 2, 4)
    assert [len(e) for e in received] == [2, 2, 1, 2]
    assert received[3] == received[0]
    assert len(caught) == 1


def test_data_that_end_with_the_epoch_start_over_silently():
    received = epochs(8, 2, 2, 3)
    assert received[2] == received[0]


def test_more_steps_than_batches_warn_every_epoch():
    with pytest.warns(UserWarning, match="ran out of data") as caught:
        received = epochs(4, 2, 5, 2)
    assert [len(e) for e in received] == [2, 2]
    assert len(caught) == 2


def test_steps_over_shuffled_data_see_every_sample_once_a_pass():
    keras.utils.set_random_seed(3)
    received = epochs(12, 2, 2, 3, shuffle=True)
    assert sorted(i for epoch in received for _, batch in epoch for i in batch) == list(range(12))


# --- splits ---
def test_the_last_samples_are_for_validation():
    x = samples(10)
    (tx, ty, tw), (vx, vy, vw) = split_for_validation((x, x + 1, None), 0.25)
    assert tx.ravel().tolist() == list(range(7))
    assert vx.ravel().tolist() == [7, 8, 9]
    assert (vy == vx + 1).all()
    assert (ty == tx + 1).all()
    assert tw is None
    assert vw is None


@pytest.mark.parametrize("fraction", [0.9, 0.99])  # 10 * (1 - 0.9) is a hair below 1
def test_a_split_that_leaves_nothing(fraction):
    with pytest.raises(ValueError, match="10 samples, which is not sufficient"):
        split_for_validation((samples(10), None, None), fraction)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, "0.2", True, float("nan")])
def test_a_fraction_that_is_none(fraction):
    with pytest.raises(ValueError, match="`validation_split`"):
        split_for_validation((samples(10), None, None), fraction)


# --- class weights ---
def test_weights_from_classes():
    one_hot = np.eye(3)[[2, 0, 1, 2]]
    for y in (one_hot, np.array([2, 0, 1, 2]), np.array([[2], [0], [1], [2]], F32)):
        assert weights_from_classes(y, {0: 2.5, 2: 0.5}).tolist() == [0.5, 2.5, 1, 0.5]


@pytest.mark.parametrize("shape", [(400_000,), (100_000, 4)])
def test_class_weights_of_labels_in_a_file(tmp_path, shape):
    """All that stays is the weights, 4 bytes a sample; labels are read in pieces."""
    y = np.random.default_rng(0).integers(0, 4, shape)
    np.save(tmp_path / "y.npy", y)
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        weights = weights_from_classes(mapped, {0: 2.5, 2: 0.5})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    labels = y if y.ndim == 1 else y.argmax(-1)
    np.testing.assert_array_equal(weights, np.array([2.5, 1, 0.5, 1], F32)[labels])
    assert peak < weights.nbytes + 2**20, "the labels take 3.2 MB"


@pytest.mark.parametrize("wrong", [{"0": 1.0}, {0: -1.0}, {0: float("nan")}, {0.5: 1.0}])
def test_class_weights_that_are_none(wrong):
    with pytest.raises(ValueError, match="`class_weight`: expected"):
        weights_from_classes(np.array([0]), wrong)


# --- refusals ---
@pytest.mark.parametrize("batch_size", [0, -1, 2.5, 4.0, "4", True])
def test_batch_size_is_a_positive_int(batch_size):
    with pytest.raises((TypeError, ValueError), match="`batch_size`: expected a positive int"):
        ArrayData(samples(4), batch_size=batch_size)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_steps_are_a_positive_int(steps):
    with pytest.raises((TypeError, ValueError), match="steps"):
        EpochIterator(ArrayData(samples(4)), steps)


@pytest.mark.parametrize("shuffle", ["Batch", None, "yes", 2])
def test_shuffle_modes(shuffle):
    with pytest.raises(ValueError, match="`shuffle`: expected True, False or 'batch'"):
        ArrayData(samples(4), shuffle=shuffle)


def test_class_and_sample_weights_exclude_each_other():
    with pytest.raises(ValueError, match="`class_weight` and `sample_weight`"):
        ArrayData(samples(4), samples(4), np.ones(4), class_weight={0: 1.0})
