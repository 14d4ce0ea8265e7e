"""Hostile surroundings: environment, threads, processes, limits. Ids are those of the list of bad
inputs that a Keras user meets.
"""

import os
import re
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minisgd as keras
from minisgd.callbacks import LambdaCallback
from minisgd.utils.one_thread import in_one_thread

# What every process here trains, compiled; it prints a digest of weights, velocities and History.
TRAIN = """
import hashlib, json, sys
import numpy as np
import minisgd as keras

def data():
    rng = np.random.default_rng(0)
    x = rng.random((100, 6), dtype=np.float32)
    return x, np.eye(3, dtype=np.float32)[rng.integers(0, 3, 100)]

def make(jit=True, seed=3):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential()
    model.add(keras.layers.Dense(8, activation="relu", input_shape=(6,)))
    model.add(keras.layers.Dropout(0.2))
    model.add(keras.layers.Dense(3, activation="softmax"))
    sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"], jit_compile=jit)
    return model

def fit(model, verbose=0, **arguments):
    x, y = data()
    history = model.fit(x, y, 8, 2, verbose, validation_split=0.2, **arguments)
    digest = hashlib.sha256(json.dumps(history.history).encode())
    for variable in (*model.weights, *model.optimizer.variables):
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
"""
names = {}
exec(TRAIN, names)
make, fit = names["make"], names["fit"]


@pytest.fixture(scope="module")
def expected():
    """The digest of an ordinary run, which also leaves compiled code for the other processes."""
    return fit(make())


def start(code, *options, without=(), **environment):
    """A process with some of its own environment; PYTHONWARNINGS is not inherited."""
    env = {k: v for k, v in os.environ.items() if k not in (*without, "PYTHONWARNINGS")}
    env |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    env |= {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [sys.executable, *options, "-c", code],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process):
    """What a process prints, and what it complains of."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return output.decode().strip(), errors.decode()


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


# A run with few kernels, for processes that find no compiled code.
TINY = """
import hashlib
import numpy as np
import minisgd as keras
model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, None, True, "zeros")])
model.compile("sgd", "mse", run_eagerly=True)
x = np.arange(12, dtype="f4").reshape(4, 3)
model.fit(x, x[:, :2], verbose=0, shuffle=False)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""


@pytest.fixture(scope="module")
def tiny():
    """Digest of the tiny run."""
    return finish(start(TINY))[0]


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


# --- threads ---
def in_threads(*functions):
    """What each returns or raises, all at once."""
    results = [None] * len(functions)
    gate = threading.Barrier(len(functions))

    def run(number):
        gate.wait(60)
        try:
            results[number] = functions[number]()
        except Exception as error:
            results[number] = error

    threads = [
        threading.Thread(target=run, args=(n,), name=f"worker {n}") for n in range(len(functions))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


@pytest.mark.parametrize("jit", [True, False])
def test_row_p_22_two_threads_with_a_model_each(jit):
    one_by_one = [fit(model) for model in [make(jit, seed=3), make(jit, seed=4)]]
    models = [make(jit, seed=3), make(jit, seed=4)]
    assert in_threads(*(lambda model=model: fit(model) for model in models)) == one_by_one


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_row_p_23_two_threads_with_one_model(method, expected):
    model = make()
    held, begun = threading.Event(), threading.Event()

    def hold(*_):
        begun.set()
        assert held.wait(60)

    def second():
        assert begun.wait(60)
        try:
            return getattr(model, method)(*names["data"]())
        finally:
            held.set()

    result, error = in_threads(
        lambda: fit(model, callbacks=LambdaCallback(on_epoch_begin=hold)), second
    )
    assert result == expected, "the first one did not notice"
    assert isinstance(error, ValueError)
    message = rf"`{method}`: expected a model that no other thread is training.* 'worker 0' is at"
    with pytest.raises(ValueError, match=message):
        raise error
    model.evaluate(*names["data"](), verbose=0)


def test_a_model_is_free_again_after_an_error_and_in_a_child():
    model = make()
    with pytest.raises(ValueError, match="epochs"):
        model.fit(*names["data"](), epochs=-1)
    in_threads(lambda: fit(model))

    class Model:
        @in_one_thread
        def step(self, inner=lambda: None):
            return inner()

    shared = Model()
    assert shared.step(lambda: shared.step(lambda: "the same thread")) == "the same thread"

    def child():  # in it the thread that had the model is gone
        if process := os.fork():
            return os.waitpid(process, 0)[1]
        os._exit(in_threads(lambda: shared.step(lambda: 5))[0] != 5)

    assert shared.step(lambda: in_threads(child))[0] == 0


def test_two_threads_predict_with_one_model():
    model = make()
    x, _ = names["data"]()
    expected = model.predict(x, verbose=0).tobytes()
    calls = [lambda: model.predict(x, verbose=0).tobytes()] * 3
    assert in_threads(*calls) == [expected] * 3


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_row_s_26_two_threads_save_to_one_path(tmp_path, name):
    path, models = tmp_path / name, [make(seed=1), make(seed=2)]
    for model in models:
        fit(model)

    def save(model):
        for _ in range(10):
            model.save(path) if name == "m.keras" else model.save_weights(path)

    kernels = [model.get_weights()[0].tobytes() for model in models]
    assert in_threads(*(lambda m=model: save(m) for model in models)) == [None, None]
    loaded = models[0]
    if name == "m.keras":
        loaded = keras.models.load_model(path)
    else:
        loaded.load_weights(path)
    assert loaded.get_weights()[0].tobytes() in kernels
    assert os.listdir(tmp_path) == [name]


# --- files ---
def test_row_s_28_a_file_that_asks_for_terabytes(tmp_path):
    make().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    whole = members["config.json"]
    members["config.json"] = whole.replace(b'"units": 8', b'"units": 1000000000000')
    assert members["config.json"] != whole
    with zipfile.ZipFile(tmp_path / "huge.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="weights"):
            keras.models.load_model(tmp_path / "huge.keras")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


AUDIT = """
events = []
def hook(event, arguments):
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        events.append(event)
    elif event.startswith(("socket.", "urllib.", "ctypes.dlopen")):
        events.append(event)
    elif event == "open" and (set(str(arguments[1])) & set("wax+") or (arguments[2] or 0) & 3):
        events.append((event, arguments))
    elif event in ("os.remove", "os.rename", "os.mkdir", "os.link", "os.symlink", "os.chmod"):
        events.append((event, arguments))
make().evaluate(*data(), verbose=0)  # whatever is imported and compiled for any model
keras.models.load_model(PATH)  # and for any file
sys.addaudithook(hook)
model = keras.models.load_model(PATH)
model.load_weights(PATH)
print(events)
open(PATH + ".txt", "w").close()
assert len(events) == 1, "the hook would not have heard of it"
"""


def test_row_s_29_loading_reads_and_nothing_else(tmp_path):
    path = tmp_path / "m.keras"
    make().save(path)
    assert finish(start(TRAIN + AUDIT.replace("PATH", repr(str(path)))))[0] == "[]"


# --- processes ---
def test_row_p_21_fork_after_training(expected):
    code = TRAIN + (
        "import os\n"
        "first = fit(make())\n"
        "if child := os.fork():\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "print(fit(make()), flush=True)\n"
        "os._exit(0)\n"
    )
    assert finish(start(code, "-W", "ignore"))[0].split() == [expected] * 2


def test_row_p_24_a_pool_of_spawned_processes(tmp_path, expected):
    script = tmp_path / "script.py"
    script.write_text(
        TRAIN
        + "def work(seed):\n    return fit(make(seed=seed))\n"
        + 'if __name__ == "__main__":\n'
        + "    import multiprocessing\n"
        + '    with multiprocessing.get_context("spawn").Pool(2) as pool:\n'
        + "        print(*pool.map(work, [3, 3]))\n"
    )
    again = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {str(script)!r}]))"
    assert finish(start(again))[0].split() == [expected] * 2


def test_row_p_29_four_processes_begin_with_an_empty_cache(tmp_path, tiny):
    processes = [start(TINY, NUMBA_CACHE_DIR=tmp_path) for _ in range(4)]
    assert [finish(process) for process in processes] == [(tiny, "")] * 4
    saved = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert finish(start(TINY, NUMBA_CACHE_DIR=tmp_path)) == (tiny, "")
    assert saved == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}


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


# --- Ctrl-C ---
INTERRUPTED = """
import os, signal, threading, time


def digest(model):
    return hashlib.sha256(b"".join(
        v.numpy().tobytes() for v in (*model.weights, *model.optimizer.variables)
    )).hexdigest()

def long_data():
    x, y = data()
    return np.tile(x, (4_000, 1)), np.tile(y, (4_000, 1))

x, y = long_data()
steps_an_epoch = len(x) // 8
model = make()
fit(model)  # whatever is compiled or loaded
before = int(model.optimizer.iterations)
handler = signal.getsignal(signal.SIGINT)

def interrupt():
    while int(model.optimizer.iterations) < before + steps_an_epoch + 100:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    model.fit(x, y, 8, 10**6, 1, shuffle=False)
except KeyboardInterrupt:
    print()
else:
    raise AssertionError("expected a KeyboardInterrupt")
assert signal.getsignal(signal.SIGINT) is handler
assert "Not in use" not in model.compiled_source()
history = model.history
assert history.epoch == list(range(len(history.epoch))) and history.epoch, history.epoch
assert len(history.history["loss"]) == len(history.epoch)
done = int(model.optimizer.iterations) - before
epochs, steps = divmod(done, steps_an_epoch)
assert epochs == len(history.epoch), "the epochs that are over, and no more"

# The same number of steps, never interrupted, leads to the same weights: none was cut in two.
whole = make()
fit(whole)
if epochs:
    whole.fit(x, y, 8, epochs, 0, shuffle=False)
if steps:
    whole.fit(x[:steps * 8], y[:steps * 8], 8, 1, 0, shuffle=False)
assert digest(whole) == digest(model)
model.fit(x[:800], y[:800], 8, 1, 0, shuffle=False)  # and it goes on
whole.fit(x[:800], y[:800], 8, 1, 0, shuffle=False)
assert digest(whole) == digest(model)
print("consistent")
"""


def test_ctrl_c_in_the_midst_of_a_compiled_epoch():
    assert finish(start(TRAIN + INTERRUPTED))[0].splitlines()[-1] == "consistent"


def test_ctrl_c_leaves_the_terminal_as_it_was():
    """On a terminal: the cursor is shown again, and what was typed is echoed."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    code = TRAIN + (
        "import os, signal\n"
        "from minisgd.callbacks import LambdaCallback\n"
        "kill = LambdaCallback(on_epoch_end=lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
        "try:\n    fit(make(), 1, callbacks=kill)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    ours, theirs = pty.openpty()
    try:
        before = termios.tcgetattr(theirs)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs,
            env=environment | {"TERM": "xterm"},
        )  # fmt: skip
        output = b""
        while b"interrupted" not in output:
            output += os.read(ours, 10_000)
        assert process.wait(60) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)
    assert output.count(b"\x1b[?25l") <= output.count(b"\x1b[?25h"), "the cursor stays hidden"
    assert output.rstrip().endswith(b"interrupted")


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
