"""The fused step: rewrite rules, barriers, threads, processes and signals."""

import re
import threading

import numpy as np
import pytest

import minisgd as keras
from minisgd.compiler import fuse, runner, workspace
from minisgd.compiler.parallel import barriers
from minisgd.compiler.record import Call

RNG = np.random.default_rng(0)
CLASSES = 10
X = RNG.standard_normal((70, 200)).astype("f4") * (RNG.random((70, 200)) < 0.4)
LABELS = RNG.integers(0, CLASSES, 70)
ONE_HOT = np.eye(CLASSES, dtype="f4")[LABELS]

D = keras.layers.Dense
SGD = keras.optimizers.SGD


def model_of(units, jit, optimizer="sgd", loss="categorical_crossentropy"):
    keras.utils.set_random_seed(7)
    stack = [keras.layers.Flatten(), *(D(n, "relu") for n in units), D(CLASSES, "softmax")]
    model = keras.Sequential(stack)
    optimizer = optimizer() if callable(optimizer) else optimizer
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=jit)
    return model


def bits(model, y=ONE_HOT, batch_size=32):
    """Everything that a short run leaves behind."""
    history = model.fit(X, y, batch_size, 2, verbose=0).history
    arrays = [np.asarray(v) for v in (*model.weights, *model.optimizer.variables)]
    arrays += [np.array(values) for values in history.values()]
    return [array.tobytes() for array in arrays]


@pytest.fixture
def threads():
    """Set the number of threads; the default comes back at the end."""
    yield keras.set_threads
    keras.set_threads(None)


# --- threads ---
RULES = [
    ([100], lambda: SGD(0.1)),
    ([40, 10, 130], lambda: SGD(0.1, momentum=0.9, nesterov=True)),
    ([], lambda: SGD(0.1, loss_scale_factor=3.0)),
]


@pytest.mark.parametrize(("units", "optimizer"), RULES, ids=["one", "three", "none"])
def test_any_number_of_threads_gives_the_same_bits(units, optimizer, threads):
    for batch_size in (64, 32, 1):
        expected = bits(model_of(units, False, optimizer), ONE_HOT, batch_size)
        for n in (1, 2, 3, 8):
            threads(n)
            model = model_of(units, True, optimizer)
            assert bits(model, ONE_HOT, batch_size) == expected
            assert "One fused train step" in model.compiled_source()


@pytest.mark.parametrize("worth", [0, 12 * 3 * 4 * 100 * 210])
def test_a_trial_of_another_number_of_threads_ends(worth, threads, monkeypatch):
    """Also where a trial would be a single step, or fewer than a second thread is started for."""
    threads(2)
    monkeypatch.setattr(runner, "_SECONDS", 1e9)
    monkeypatch.setattr(workspace, "_WORTH_STARTING", worth)
    monkeypatch.setattr(workspace, "_TRY_AGAIN", 2)
    monkeypatch.setattr(workspace, "_TRIAL", 10**9)
    trials = []
    run = workspace.Workspace.run

    def run_and_tell(self, function, count, values):
        trials.append(self._is_trial)
        run(self, function, count, values)

    monkeypatch.setattr(workspace.Workspace, "run", run_and_tell)
    model_of([100], True).fit(X, ONE_HOT, 4, 8, verbose=0)  # 18 steps an epoch
    first = trials.index(True)
    assert False in trials[first:]


def test_evaluate_and_predict_in_threads(threads):
    threads(2)
    results = []
    for jit in (True, False):
        model = model_of([100], jit)
        results.append([model.evaluate(X, ONE_HOT, verbose=0), model.predict(X, verbose=0)])
    assert results[0][0] == results[1][0]
    assert results[0][1].tobytes() == results[1][1].tobytes()


def test_two_fits_at_once(threads):
    threads(2)
    models = [model_of([100], jit) for jit in (True, True, False)]
    for model in models:
        model.build((None, 200))
    fits = [threading.Thread(target=m.fit, args=(X, ONE_HOT, 8, 20, 0)) for m in models]
    for fit in fits:
        fit.start()
    for fit in fits:
        fit.join(60)
        assert not fit.is_alive()
    for model in models[1:]:
        for ours, theirs in zip(models[0].get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore::minisgd.data.NumericsWarning")
@pytest.mark.parametrize("batch_size", [4, 1])
def test_zeros_are_skipped_only_while_all_weights_are_finite(batch_size, threads):
    for broken in (np.nan, np.inf):
        runs = []
        for jit in (False, True):
            model = model_of([100], jit, lambda: SGD(1e37))  # diverges
            x = X.copy()
            x[33, 7] = broken
            model.fit(x, ONE_HOT, batch_size, 3, shuffle=False, verbose=0)
            runs.append([np.isfinite(w) for w in model.get_weights()])
        for ours, theirs in zip(*runs, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_it_is_said_whether_zeros_are_skipped(capsys, threads, tmp_path):
    threads(2)
    model = model_of([100], True)
    line = r"Compiled step: (one thread|up to 2 threads); zeros in the data are {}"
    model.fit(X, ONE_HOT, epochs=2, verbose=2)
    assert len(re.findall(line.format(r"skipped: \d+%"), capsys.readouterr().out)) == 1
    assert "# In the latest call zeros in the data are skipped" in model.compiled_source()
    model.fit(X + 9, ONE_HOT, verbose=2)
    assert re.search(line.format("not skipped: 0%"), capsys.readouterr().out)
    np.save(tmp_path / "x.npy", X)
    model.fit(np.load(tmp_path / "x.npy", mmap_mode="r"), ONE_HOT, verbose=2)
    assert re.search(line.format("not skipped: they stay on"), capsys.readouterr().out)


def test_the_number_of_threads(monkeypatch, threads):
    assert keras.get_threads() >= 1
    monkeypatch.setenv("MINISGD_NUM_THREADS", "3")
    assert keras.get_threads() == 3
    threads(2)
    assert keras.get_threads() == 2
    threads(None)
    monkeypatch.setenv("MINISGD_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="MINISGD_NUM_THREADS: expected a number of threads"):
        keras.get_threads()
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="`n`: expected a number of threads from 1 on"):
            threads(wrong)


# --- rewrite rules: each one, with and without, gives the same bits ---
@pytest.mark.parametrize(
    "rule",
    [r for r in fuse.RULES if r not in (fuse.unused, fuse.turned_weights)],
    ids=lambda rule: rule.__name__,
)
def test_a_rule_keeps_the_bits(rule, monkeypatch):
    """Without the rule a step can't be fused: it runs with the general kernels."""
    optimizer = lambda: SGD(0.1, momentum=0.9)  # noqa: E731
    expected = bits(model_of([33, 20], True, optimizer))
    monkeypatch.setattr(fuse, "RULES", tuple(r for r in fuse.RULES if r is not rule))
    model = model_of([33, 20], True, optimizer)
    assert bits(model) == expected
    # These labels need no conversion.
    assert (rule is fuse.converted_labels) != ("One train step" in model.compiled_source())


def test_fused_class_numbers(monkeypatch):
    loss = "sparse_categorical_crossentropy"
    expected = bits(model_of([33], False, loss=loss), LABELS)
    for labels in (LABELS, LABELS[:, None].astype(np.uint8)):
        model = model_of([33], True, loss=loss)
        assert bits(model, labels) == expected
        assert "sparse_softmax_cross_entropy_step" in model.compiled_source()


def calls_of(text):
    """Recorded calls from lines like ``t1 = dense(x, w, b)``; in-place ones have no result."""
    found = []
    for line in text.split("\n"):
        output, name, inputs = re.fullmatch(r"(?:(\w+) = )?(\w+)\((.*)\)", line.strip()).groups()
        part = "" if output else "update"
        found.append(Call(name, tuple(inputs.split(", ")), (), output or "", ("n", 4), part))
    return found


class Returns:
    """The part of a step that the rules look at."""

    kind, metrics, loss, prediction = "train", (), "t9", ""


def test_each_rule_by_itself():
    def result(rule, text):
        return [(c.name, c.inputs, c.output) for c in rule(calls_of(text), Returns)]

    relu = "t1 = dense(x, w, b)\nt2 = relu(t1)"
    assert result(fuse.relu_into_dense, relu) == [("dense", ("x", "w", "b"), "t2")]
    twice = relu + "\nt3 = tanh(t1)"
    assert [name for name, *_ in result(fuse.relu_into_dense, twice)] == ["dense", "relu", "tanh"]
    backward = "t3 = matmul_nt(g, w)\nt4 = relu_vjp(t3, h)"
    assert result(fuse.relu_into_input_gradient, backward) == [
        ("input_gradient", ("g", "w", "h"), "t4")
    ]
    update = "t5 = matmul_tn(x, g)\nt6 = sum_rows(g)\nmomentum_inplace(w, v, t5, rate, mu)\n"
    update += "momentum_inplace(b, u, t6, rate, mu)"
    assert result(fuse.update_into_gradient, update) == [
        ("weight_step", ("x", "g", "w", "v"), ""),
        ("bias_step", ("g", "b", "u"), ""),
    ]
    clipped = "t5 = matmul_tn(x, g)\nt6 = clipped_by_norm(t5, limit)\nsgd_inplace(w, t6, rate)"
    with pytest.raises(fuse.NotFusableError, match="'clipped_by_norm' lies between"):
        fuse.update_into_gradient(calls_of(clipped), Returns)
    assert result(fuse.flattened_data, "t1 = reshape(x)\nt2 = dense(t1, w, b)") == [
        ("dense", ("x", "w", "b"), "t2")
    ]
    assert result(fuse.converted_labels, "t1 = convert(y)\nt2 = loss(z, t1)") == [
        ("loss", ("z", "y"), "t2")
    ]
    assert result(fuse.unused, "t1 = exp(x)\nt2 = exp(t1)\nt9 = exp(x)") == [("exp", ("x",), "t9")]
    turned = "t4 = input_gradient(g, w, h)"
    assert [name for name, *_ in result(fuse.turned_weights, turned)] == ["turn", "input_gradient"]


def test_barriers_stand_where_threads_meet():
    calls = [
        Call("dense", ("x", "w", "b"), (), "h", ()),
        Call("dense", ("h", "v", "c"), (), "z", ()),
        Call("cross_entropy", ("z", "y", "f"), (), "g", ()),
        Call("batch_results", (), (), "", ()),
        Call("turn", ("v",), (), "v_turned", ()),
        Call("input_gradient", ("g", "v", "h"), (), "k", ()),
        Call("weight_step", ("x", "k", "w", "w"), (), "", ()),
        Call("weight_step", ("h", "g", "v", "v"), (), "", ()),
        Call("bias_step", ("g", "c", "c"), (), "", ()),
    ]
    # The narrow layer's samples are divided: a barrier before it and one behind the loss.
    assert barriers(calls, lambda w: w == "w") == {1, 3}
    # All layers' units are: more to wait for.
    assert barriers(calls, lambda w: True) == {0, 1, 2, 3, 7}


# --- processes, signals ---
SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
import minisgd as keras
keras.set_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
x = rng.random((4000, 300)).astype("f4")
y = np.eye(10, dtype="f4")[rng.integers(0, 10, 4000)]
def fit(epochs=1):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Dense(100, "relu"), keras.layers.Dense(10, "softmax")])
    model.compile("sgd", "categorical_crossentropy", ["accuracy"], jit_compile=True)
    model.fit(x, y, epochs=epochs, verbose=0)
    assert "One fused train step" in model.compiled_source()
    return model.get_weights()[0].tobytes()
"""
FORK = """
expected = fit(4)
child = os.fork()
if not child:
    os._exit(0 if fit(4) == expected else 1)
assert fit(4) == expected
assert os.waitpid(child, 0)[1] == 0
print("same")
"""
INTERRUPT = """
fit()
def interrupt():
    time.sleep(0.5)
    times.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
times = []
threading.Thread(target=interrupt, daemon=True).start()
try:
    fit(100000)
except KeyboardInterrupt:
    print(time.perf_counter() - times[0])
before = time.process_time()
time.sleep(0.5)
assert time.process_time() - before < 0.2, "something spins"
"""


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fork(run_python, n):
    code = SCRIPT.replace('["accuracy"]', 'metrics=["accuracy"]') + FORK
    assert run_python("import warnings\nwarnings.simplefilter('ignore')\n" + code, n) == "same"


@pytest.mark.parametrize("n", [1, 2])
def test_ctrl_c_is_heard_at_once_and_nothing_spins_afterwards(run_python, n):
    code = SCRIPT.replace('["accuracy"]', 'metrics=["accuracy"]') + INTERRUPT
    assert min(float(run_python(code, n)) for _ in range(3)) < 0.2


def test_one_core_and_more_threads_than_cores(run_python):
    code = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + SCRIPT
    code = code.replace('["accuracy"]', 'metrics=["accuracy"]') + "print(hash_of(fit(2)))"
    code = "import hashlib\nhash_of = lambda b: hashlib.sha256(b).hexdigest()\n" + code
    assert len({run_python(code, n) for n in (1, 2, 4)}) == 1


def changes(x):
    """What may change the data in place between two epochs, by the code of a user."""

    def fill(epoch, *_):
        x[np.random.default_rng(epoch).random(x.shape) < 0.3] = epoch + 1.0
        return 0.1

    class Fill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            fill(epoch)

    callbacks = keras.callbacks
    return {
        "own": Fill(),
        "lambda": callbacks.LambdaCallback(on_epoch_end=fill),
        "schedule": callbacks.LearningRateScheduler(fill),
    }


@pytest.mark.parametrize("kind", ["own", "lambda", "schedule"])
def test_zeros_that_a_callback_fills_are_seen(kind):
    found = []
    for jit in (True, False):
        x, model = X.copy(), model_of([100], jit)
        model.fit(x, ONE_HOT, epochs=3, verbose=0, callbacks=[changes(x)[kind]])
        found.append([np.asarray(w).tobytes() for w in model.weights])
    assert found[0] == found[1]


@pytest.mark.parametrize("each", ["on_epoch_end", "on_train_batch_end"])
def test_labels_that_a_callback_spoils_are_refused(each):
    labels = LABELS.copy()

    def spoil(*_, **__):
        labels[:] = 5_000_000

    model = model_of([100], True, loss="sparse_categorical_crossentropy")
    hook = keras.callbacks.LambdaCallback(**{each: spoil})
    with pytest.raises(ValueError, match="received 5000000"):
        model.fit(X, labels, epochs=2, verbose=0, callbacks=[hook])


# --- minisgd explain ---
def explained(width, x=X):
    model = model_of([20], True, SGD(0.1, momentum=0.9))
    lines = keras.compiler.explain(model, x, ONE_HOT, width)
    end = lines.index("The whole function:")
    assert "def train_steps(" in lines[end:]
    return lines[:end]


def test_each_recorded_call_stands_beside_one_fused_call(threads):
    threads(2)
    lines = explained(0, X.reshape(-1, 20, 10))
    eager_call = re.compile(r"^    (?:forward|backward|update|metrics) +(.*?)\(")
    names = [eager_call.findall(line) for line in lines]
    eager = [name for found in names for name in found]
    for name in ("t2 = dense", "t3 = relu", "categorical_hits"):
        assert eager.count(name) == 1
    assert eager.count("momentum_inplace") == 4
    outputs = [name for name in eager if " = " in name]
    assert len(outputs) == len(set(outputs))
    place = next(i for i, line in enumerate(lines) if "t3 = relu(t2)" in line)
    assert "t2 = dense(" in lines[place - 1]
    assert lines[place + 2].startswith("      > dense(thread, threads, all_x,")
    assert "t1 = reshape(x)" in lines[-3]
    assert "no call" in lines[-2]


def test_side_by_side_on_a_wide_terminal():
    assert not any("┃ eager" in line for line in explained(80))
    for width in (100, 140):
        lines = explained(width)
        assert all(len(line) <= width for line in lines)
        assert any(re.match(r"│ forward +t2 = dense\(.*│ # forward", line) for line in lines)


def test_a_step_that_is_not_fused_is_listed():
    model = keras.Sequential([D(5, "tanh"), D(CLASSES, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    text = "\n".join(keras.compiler.explain(model, X, ONE_HOT, 140))
    assert "(not fused: 'tanh' has no fused form)" in text
    assert "    forward   t2 = tanh(t1, True)  (n, 5)" in text
