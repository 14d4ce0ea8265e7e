"""Helpers are linked to kernels without machine code of their own: what still has to work."""

import os
import subprocess
import sys

import pytest
from numba.core import config as numba_config

pytestmark = pytest.mark.skipif(numba_config.DISABLE_JIT, reason="nothing is compiled")

SCRIPT = """
import numba
import numpy as np
from minisgd_kernels._jit import helper, kernel, part

@helper
def checked(n):
    if n > 3:
        raise ValueError("too large", n)
    return np.zeros(n).sum() + n

@helper
def through(a, b):
    a[:2] = b  # Numba words the error with functions of its own

@part
def twice(n):
    return 2 * checked(n)

@kernel
def calls(n):
    return twice(n) + checked(n)

@kernel
def assigns(a, b):
    through(a, b)

@numba.njit
def users(a, b, n):
    np.zeros(n)
    a[:2] = b

def said(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return f"{type(error).__name__}{error.args}"

zeros = np.zeros
print(calls(2), twice(3), said(calls, 5), said(twice, 4))
print(said(assigns, zeros(4), zeros(3)))
print(said(users, zeros(4), zeros(3), 1), said(users, zeros(4), zeros(2), -1))
"""
EXPECTED = """\
6.0 6.0 ValueError('too large', 5) ValueError('too large', 4)
ValueError('cannot assign slice of shape (2,) from input of shape (3,)',)
ValueError('cannot assign slice of shape (2,) from input of shape (3,)',) \
ValueError('negative dimensions not allowed',)
"""


STEP = """
import numba
import numpy as np
from minisgd_kernels.fused import turn

@numba.njit
def step(w, turned):
    turn(0, 1, w, 128, 10, turned)

step(np.zeros(128 * 16, np.float32), np.zeros(10 * 128, np.float32))
(text,) = step.inspect_asm().values()
for line in text.splitlines():
    if line.startswith("\t") and not line.startswith("\t."):
        print(line.split()[0])
"""


def run_twice(script, tmp_path):
    """What a script prints when its parts are compiled, and when they are loaded."""
    path = tmp_path / "script.py"
    path.write_text(script)
    for _ in ("compiled", "loaded"):
        done = subprocess.run(
            [sys.executable, str(path)],
            env={
                **os.environ,
                "NUMBA_CACHE_DIR": str(tmp_path),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        yield done.stdout


def test_a_step_gets_the_same_instructions_from_parts_that_were_loaded(tmp_path):
    """Were a part made to machine code when it is loaded, its loops would be three times slower."""
    compiled, loaded = run_twice(STEP, tmp_path)
    assert len(compiled.split()) > 100
    assert compiled == loaded
    assert list(tmp_path.rglob("fused.turn-linked-*.nbc"))


def test_errors_of_helpers_come_through_compiled_or_loaded(tmp_path):
    """Also to functions of the user's that share what Numba compiled for a helper."""
    assert list(run_twice(SCRIPT, tmp_path)) == [EXPECTED, EXPECTED]
    names = {path.name.split(".")[1].rpartition("-")[0] for path in tmp_path.rglob("*.nbc")}
    assert names == {"calls", "twice", "twice-linked", "assigns"}
