"""A second process that compiles kernels: what it does, and that nothing depends on it."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numba.core import config as numba_config

import minisgd
from minisgd.compiler import ahead
from minisgd_kernels import _cache

JOBS = [
    ahead.job("relu", (minisgd.Tensor(np.zeros((1, 3), np.float32)),), ()),
    ahead.job("no such thing", (), ()),
    ahead.job("softmax", (np.zeros((1, 3), np.float32),), (16,)),
    ahead.job("sgd_inplace", (np.zeros(3, np.float32), np.zeros(3, np.float32), np.float32(1)), ()),
]
FIT = """
import numpy as np, minisgd
minisgd.utils.set_random_seed(0)
model = minisgd.Sequential([minisgd.layers.Dense(3, input_shape=(4,))])
model.compile("sgd", "mse")
model.fit(np.ones((2, 4), np.float32), np.ones((2, 3), np.float32), verbose=0)
print(model.get_weights()[0].tobytes().hex())
"""
SECOND = "from minisgd.compiler.ahead import main; main()"


def stems(folder):
    return {path.name.partition("-")[0] for path in folder.rglob(f"*{_cache.SUFFIX}")}


def environment(folder, **more):
    path = os.pathsep.join(sys.path)
    return {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": path, **more}


def second_process(folder):
    return subprocess.Popen(
        [sys.executable, "-c", SECOND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(folder),
    )


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Commands of the processes that would have been started; no kernel is compiled yet."""
    commands = []

    def refuse(command, **options):
        commands.append(command)
        raise OSError("none is started here")

    monkeypatch.setattr(numba_config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(ahead.subprocess, "Popen", refuse)
    monkeypatch.setattr(ahead, "_begun", [])
    monkeypatch.setattr(ahead, "processors", lambda: 2)
    monkeypatch.setenv("MINISGD_NUM_THREADS", "2")
    return commands


KERNELS = ["relu", "dense", "softmax", "sum_rows"]


@pytest.mark.skipif(numba_config.DISABLE_JIT, reason="nothing is compiled")
def test_the_second_process_compiles_what_it_is_told(tmp_path):
    with second_process(tmp_path) as process:
        pickle.dump(JOBS, process.stdin)
        process.stdin.flush()
        assert process.stdout.read() == b""
        assert process.wait() == 0
    assert {"elementwise.relu", "classification.softmax", "update.sgd_inplace"} <= stems(tmp_path)


def test_the_second_process_ends_with_the_first(tmp_path):
    with second_process(tmp_path) as process:
        pickle.dump(JOBS * 1000, process.stdin)
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 0


def test_a_job_keeps_shapes_only():
    big = ahead.job("relu", (minisgd.Tensor(np.zeros((1000, 1000), np.float32)),), ())
    assert len(pickle.dumps(big)) < 300
    assert pickle.loads(pickle.dumps(big)) == big
    assert big[1] == (("<f4", (64, 64)),), "the other process needs little memory"


@pytest.mark.skipif(numba_config.DISABLE_JIT, reason="nothing is compiled")
def test_it_is_begun_where_it_helps(started):
    ahead.begin(JOBS, KERNELS)
    assert [command[0] for command in started] == [sys.executable]
    ahead.begin(JOBS, KERNELS[:3])  # a few are compiled sooner than a process starts
    assert len(started) == 1


@pytest.mark.parametrize(
    "reason", ["threads", "processors", "frozen", "embedded", "unwritable", "kept", "begun"]
)
def test_it_is_not_begun_where_it_does_not_help(reason, started, tmp_path, monkeypatch):
    if reason == "threads":
        monkeypatch.setenv("MINISGD_NUM_THREADS", "1")
    elif reason == "processors":
        monkeypatch.setattr(ahead, "processors", lambda: 1)
    elif reason == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    elif reason == "embedded":
        monkeypatch.setattr(sys, "executable", str(tmp_path / "blender"))
    elif reason == "unwritable":
        (tmp_path / "file").touch()
        monkeypatch.setattr(numba_config, "CACHE_DIR", str(tmp_path / "file" / "cache"))
    elif reason == "kept":
        monkeypatch.setattr(_cache.CodeCache, "is_kept", lambda self: True)
    else:
        monkeypatch.setattr(ahead, "_begun", [None])
    ahead.begin(JOBS, KERNELS)
    assert started == []


@pytest.mark.slow
def test_the_bits_do_not_depend_on_it(tmp_path):
    printed = set()
    for threads in "12":
        folder = tmp_path / threads
        done = subprocess.run(
            [sys.executable, "-c", FIT],
            env=environment(folder, MINISGD_NUM_THREADS=threads),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        printed.add(done.stdout)
    assert len(printed) == 1
