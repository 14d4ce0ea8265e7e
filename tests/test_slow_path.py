"""No step has fallen back to a slow path: counted in calls and allocations, not in time."""

import functools
import itertools
import re

import numpy as np
import pytest

import minisgd as keras
from minisgd import compiler
from minisgd.compiler import runner, workspace
from minisgd.trainer import Trainer

RNG = np.random.default_rng(0)
X = RNG.random((320, 784), np.float32)
LABELS = RNG.integers(0, 10, 320)
ONE_HOT = np.eye(10, dtype=np.float32)[LABELS]
SGD = keras.optimizers.SGD

# A step of 784-128-10: 3 products forward and backward of the data, one pass for the loss.
FUSED_CALLS = [
    "dense", "dense", "softmax_cross_entropy_step", "batch_loss", "turn", "input_gradient",
    "weight_step", "bias_step", "weight_step", "bias_step",
]  # fmt: skip


@pytest.fixture
def model():
    stack = [keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((784,)), *stack])
    model.compile(SGD(0.01), "categorical_crossentropy", metrics=["accuracy"], jit_compile=True)
    return model


@pytest.fixture
def eager_steps(monkeypatch):
    """Names of the eager steps that are made, one entry a step, recordings included."""
    made = []
    for kind in ("train", "test", "predict"):
        step = getattr(Trainer, f"{kind}_step")

        @functools.wraps(step)
        def counted(self, data, step=step, kind=kind):
            made.append(kind)
            return step(self, data)

        monkeypatch.setattr(Trainer, f"{kind}_step", counted)
    return made


def test_one_step_is_ten_fused_calls_and_two_barriers(model):
    model.fit(X, ONE_HOT, verbose=0)
    loop = model.compiled_source().partition("for step in range(")[2]
    calls = re.findall(r"^\s+(?:\w+\[\w+\] = )?(\w+)\(", loop, re.MULTILINE)
    assert [name for name in calls if name not in ("wait", "restore_denormals")] == FUSED_CALLS
    assert calls.count("wait") == 2


def test_many_steps_are_one_call(model, eager_steps, monkeypatch):
    calls, ticks = [], itertools.count()
    # A busy machine takes fewer steps at once; here each call takes one and the same time.
    monkeypatch.setattr(runner, "perf_counter", lambda: next(ticks) * 1e-4)
    run = workspace.Workspace.run
    monkeypatch.setattr(
        workspace.Workspace,
        "run",
        lambda self, function, count, values: (
            calls.append(count),
            run(self, function, count, values),
        )[1],
    )
    before = compiler.trace.traces
    model.fit(X, ONE_HOT, 1, 4, verbose=0)
    assert compiler.trace.traces == before + 1
    recorded = len(eager_steps)
    assert sum(calls) == 4 * 320
    assert len(calls) <= 4 * 4  # 1, 10, 100 and more at once, epoch by epoch
    model.fit(X, ONE_HOT, 1, 2, verbose=0)
    assert compiler.trace.traces == before + 1
    assert len(eager_steps) == recorded


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": SGD(0.01)},
        {"optimizer": SGD(0.01, momentum=0.9)},
        {"optimizer": SGD(0.01, momentum=0.9, nesterov=True)},
        {"optimizer": SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))},
        {"loss": "sparse_categorical_crossentropy"},
        {"metrics": []},
    ],
    ids=["sgd", "momentum", "nesterov", "schedule", "class numbers", "no metrics"],
)
def test_these_steps_are_fused(options, eager_steps):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(24, "relu"), keras.layers.Dense(10, "softmax")])
    arguments = {"optimizer": "sgd", "loss": "categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**arguments | options, jit_compile=True)
    y = LABELS if "loss" in options else ONE_HOT
    model.fit(X, y, verbose=0)
    recorded = len(eager_steps)
    model.fit(X, y, verbose=0)
    model.evaluate(X, y, verbose=0)
    model.predict(X, verbose=0)
    assert eager_steps[recorded:].count("train") == 0
    for kind in ("train", "test", "predict"):
        assert f"One fused {kind} step" in model.compiled_source(kind)


ALLOCATIONS = """
import numpy as np
import minisgd as keras
from minisgd.compiler import runner
from numba.core.runtime import rtsys

runner._SECONDS = 1e9  # equally many calls for both, whatever the machine's pace
x = np.random.default_rng(0).random((3200, 784), np.float32)
y = np.eye(10, dtype=np.float32)[np.arange(3200) % 10]
stack = [keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")]
model = keras.Sequential([keras.Input((784,)), *stack])
model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"], jit_compile=True)
model.fit(x, y, verbose=0)
made = []
for samples in (640, 3200):
    before = rtsys.get_allocation_stats().alloc
    model.fit(x[:samples], y[:samples], verbose=0)
    made.append(rtsys.get_allocation_stats().alloc - before)
print((made[1] - made[0]) / 80)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_makes_few_arrays(run_python, threads):
    """Five short ones in each thread: where the blocks of K end. An eager step makes seventy."""
    made = run_python(ALLOCATIONS, NUMBA_NRT_STATS=1, MINISGD_NUM_THREADS=threads)
    assert float(made) <= 6 * threads
