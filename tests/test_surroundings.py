"""Hostile surroundings: environment, limits, folders. Ids are those of the list of bad inputs."""

import re
from pathlib import Path

import numpy as np
import pytest
from surroundings import TINY, TRAIN, finish, fit, make, start

import minisgd as keras


# --- environment ---
@pytest.mark.parametrize(
    ("options", "environment"),
    [
        pytest.param((), {"PYTHONHASHSEED": 12345}, id="row_p_02"),
        pytest.param(("-W", "error"), {}, id="row_p_12"),
        pytest.param(("-X", "dev"), {}, id="row_p_14"),
    ],
)
def test_the_same_bits_and_not_a_word(expected, options, environment):
    code = TRAIN + "print(fit(make()))"
    assert finish(start(code, *options, **environment)) == (expected, "")


def test_row_p_10_ascii_output(expected):
    code = TRAIN + "model = make()\nresult = fit(model, verbose=1)\nmodel.summary()\nprint(result)"
    output, errors = finish(
        start(code, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8=0, PYTHONCOERCECLOCALE=0)
    )
    assert output.splitlines()[-1] == expected
    assert output.isascii()
    assert "dropout (Dropout)" in output
    assert errors == ""


def test_row_p_05_no_docstrings_no_assertions(tiny):
    assert finish(start(TINY, PYTHONOPTIMIZE=2)) == (tiny, "")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write")
def test_row_p_08_no_home_no_cache_no_bytecode(tiny):
    """What a superuser, too, can't write to."""
    output, errors = finish(
        start(
            TINY, without=["HOME", "XDG_CACHE_HOME"],
            NUMBA_CACHE_DIR="/proc/nowhere", PYTHONDONTWRITEBYTECODE=1,
        )
    )  # fmt: skip
    assert output == tiny
    assert errors.count("compiled kernels can't be kept") == 1


def test_a_home_that_cannot_be_written_is_named():
    code = "from minisgd.utils import machine; print(machine.kernel_cache())"
    said = finish(start(code, without=["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"], HOME="/proc"))[0]
    assert said.startswith("none, every process compiles anew: ")
    assert "/proc/.cache" in said


def test_row_p_13_without_the_compiler():
    code = TRAIN + "model = make()\nfit(model)\nprint(*np.concatenate([w.ravel() for w in "
    code += "model.get_weights()]).tolist())"
    plain, compiled = (
        np.array(
            finish(start(code, "-W", "ignore", **environment))[0].splitlines()[-1].split(), float
        )
        for environment in ({"NUMBA_DISABLE_JIT": 1}, {})
    )
    np.testing.assert_allclose(plain, compiled, rtol=1e-5, atol=1e-5)


STATE = """
import locale, logging, signal, sys, warnings
import numpy as np

def state():
    return {
        "random": str(np.random.get_state()), "errors": np.geterr(),
        "printing": np.get_printoptions(),
        "signals": [signal.getsignal(n) for n in sorted(signal.valid_signals())],
        "filters": list(warnings.filters), "handlers": list(logging.root.handlers),
        "level": logging.root.level, "locale": locale.setlocale(locale.LC_ALL),
        "hooks": [sys.excepthook, sys.displayhook, sys.stdout, sys.stderr],
    }

before = state()
import minisgd as keras
for name in keras.__all__:
    getattr(keras, name)
after = state()
print([key for key in before if before[key] != after[key]])
"""


def test_row_p_26_an_import_changes_nothing():
    assert finish(start(STATE)) == ("[]", "")


# --- limits ---
LIMITED = """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**30, resource.RLIM_INFINITY))
huge = np.broadcast_to(np.float64(0), (2_000_000, 784))  # 12 GB, if anybody copies it
model = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(2)])
model.compile("sgd", "mse")
try:
    model.fit(huge, np.zeros((2_000_000, 2), "f4"), 200_000, steps_per_epoch=1, verbose=0)
except MemoryError as error:
    assert "Unable to allocate" in str(error), error
try:
    keras.layers.Dense(10**12).build((None, 784))
except (MemoryError, ValueError):
    pass
print(fit(make()))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the memory")
def test_row_p_30_little_memory(expected):
    assert finish(start(TRAIN + LIMITED)) == (expected, "")


FULL = """
import resource, warnings
from pathlib import Path
from minisgd import callbacks
folder = Path(FOLDER)
warnings.simplefilter("always")
model = make()
def fill(epoch, logs=None):
    if epoch == 1:  # from the second epoch on no file may have more than 100 bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
result = fit(model, callbacks=[
    callbacks.ModelCheckpoint(folder / "m.keras"),
    callbacks.ModelCheckpoint(folder / "m.weights.h5", save_weights_only=True),
    callbacks.CSVLogger(folder / "log.csv"),
    callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False),
    callbacks.LambdaCallback(on_epoch_begin=fill),
])
for save in (model.save, model.save_weights):
    try:
        save(folder / ("n.keras" if save == model.save else "n.weights.h5"))
    except OSError as error:
        assert "File too large" in str(error), error
    else:
        raise AssertionError("expected an OSError")
keras.models.load_model(folder / "m.keras")
model.load_weights(folder / "m.weights.h5")
print(result)
"""


def test_a_full_disk_costs_the_files_and_not_the_run(tmp_path, expected):
    code = TRAIN + FULL.replace("FOLDER", repr(str(tmp_path)))
    output, errors = finish(start(code))
    assert output == expected
    for name in ("ModelCheckpoint: .*m.keras", "m.weights.h5", "CSVLogger", "BackupAndRestore"):
        assert len(re.findall(f"{name}.* could not be written", errors)) == 1, errors
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert names == ["backup/latest.npz", "log.csv", "m.keras", "m.weights.h5"]
    assert (tmp_path / "log.csv").read_bytes().count(b"\r\n") >= 1


# --- folders ---
@pytest.mark.parametrize("kind", ["missing", "a file", "nobody can write"])
def test_a_folder_that_is_of_no_use_is_named_before_a_weight_moves(tmp_path, kind):
    if kind == "a file":
        folder = tmp_path / "file"
        folder.write_text("")
    else:
        folder = tmp_path if kind == "missing" else Path("/proc/self")
    path = folder / "nowhere" / "m"
    model = make()
    before = [weight.tobytes() for weight in model.get_weights()]
    callbacks = keras.callbacks
    makes_folder = kind == "missing"
    for callback in (
        callbacks.ModelCheckpoint(f"{path}.keras"),
        callbacks.ModelCheckpoint(f"{path}.weights.h5", save_weights_only=True),
        callbacks.BackupAndRestore(path),
    ):
        if not makes_folder:
            with pytest.raises(OSError, match="nowhere"):
                fit(model, callbacks=[callback])
    with pytest.raises(OSError, match="nowhere"):
        fit(model, callbacks=[callbacks.CSVLogger(f"{path}.csv")])
    for save, name in ((model.save, "m.keras"), (model.save_weights, "m.weights.h5")):
        with pytest.raises(FileNotFoundError, match=r"`filepath`: the folder .*nowhere does not"):
            save(path.parent / name)
    assert before == [weight.tobytes() for weight in model.get_weights()]
