"""Memory stays flat, in short; and what the long soaks have recorded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import memory
import pytest


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells the memory")
@pytest.mark.parametrize("name", memory.SOAKS)
def test_memory_stays_flat(name):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    output = subprocess.run(
        [sys.executable, memory.__file__, "--count", "30", "--one", name],
        env=environment, stdout=subprocess.PIPE, text=True, timeout=300, check=True,
    ).stdout  # fmt: skip
    assert json.loads(output)["growth_kib"] < memory.LIMIT_KIB


def test_growth_is_what_comes_after_the_first_five():
    found = memory.figures([9, 9, 9, 9, 100, 300, 150], [1, 1, 1, 1, 1, 0.002, 0.004])
    assert found == {"growth_kib": 50, "first_tenth_ms": 2.0, "last_tenth_ms": 4.0}
