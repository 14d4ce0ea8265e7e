"""Backups of runs that read iterables: what is left out, and what is asked for again."""

import itertools
import warnings

import pytest
from sources import FIT, Again, Numbered, assert_equal, model, quiet, wrong_at

import minisgd as keras


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise Killed


@quiet
@pytest.mark.parametrize("save_freq", [1, 3, "epoch"])
@pytest.mark.parametrize("kill_at", [2, 9, 15])
@pytest.mark.parametrize("name", ["PyDataset", "generator"])
def test_a_killed_run_goes_on(tmp_path, name, kill_at, save_freq):
    """Batches by number are asked for again; others are taken from the start and left out."""

    def run(*callbacks):
        ours = model(run_eagerly=True)
        if name == "PyDataset":
            ours.fit(Numbered(), epochs=3, verbose=0, callbacks=[*callbacks])
        else:
            ours.fit(wrong_at(-1, None), steps_per_epoch=7, epochs=3, callbacks=[*callbacks], **FIT)
        return ours

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "b", save_freq=save_freq)

    expected = run()
    with pytest.raises(Killed):
        run(backup(), Kill(kill_at))
    left_out = name == "generator" and (tmp_path / "b" / "latest.npz").exists()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resumed = run(backup())
    assert_equal(resumed, expected)
    assert resumed.history.history == expected.history.history
    said = [str(w.message) for w in caught if "batches were left out" in str(w.message)]
    assert bool(said) == left_out
    assert len(said) <= 1


def test_a_backup_of_other_data(tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
    with pytest.raises(Killed):
        model().fit(Numbered(), epochs=2, callbacks=[backup, Kill(3)], **FIT)
    again = keras.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
    with pytest.raises(ValueError, match="in the middle of other data: expected kind=PyDataset"):
        model().fit(Again(), epochs=2, callbacks=[again], **FIT)


def test_a_backup_of_a_generator_that_has_become_shorter(tmp_path):
    def run(count, *more):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
        items = itertools.islice(wrong_at(-1, None), count)
        model().fit(items, steps_per_epoch=6, callbacks=[backup, *more], **FIT)

    with pytest.raises(Killed):
        run(6, Kill(5))
    with pytest.raises(ValueError, match="after 5 batches of the generator: it has 3"):
        run(3)
