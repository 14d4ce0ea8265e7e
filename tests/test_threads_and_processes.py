"""Threads, processes, Ctrl-C. Ids are those of the list of bad inputs."""

import os
import subprocess
import sys
import threading

import pytest
from surroundings import TINY, TRAIN, data, finish, fit, in_threads, make, start

from minisgd.callbacks import LambdaCallback
from minisgd.utils.one_thread import in_one_thread


# --- threads ---
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
            return getattr(model, method)(*data())
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
    model.evaluate(*data(), verbose=0)


def test_a_model_is_free_again_after_an_error_and_in_a_child():
    model = make()
    with pytest.raises(ValueError, match="epochs"):
        model.fit(*data(), epochs=-1)
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
    x, _ = data()
    expected = model.predict(x, verbose=0).tobytes()
    calls = [lambda: model.predict(x, verbose=0).tobytes()] * 3
    assert in_threads(*calls) == [expected] * 3


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
