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


def test_errors_of_helpers_come_through_compiled_or_loaded(tmp_path):
    """Also to functions of the user's that share what Numba compiled for a helper."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for _ in ("compiled", "loaded"):
        done = subprocess.run(
            [sys.executable, str(script)],
            env={
                **os.environ,
                "NUMBA_CACHE_DIR": str(tmp_path),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == (EXPECTED, "")
    names = {path.name.split(".")[1].rpartition("-")[0] for path in tmp_path.rglob("*.nbc")}
    assert names == {"calls", "twice", "twice-linked", "assigns"}
