"""The other values of ``compile(numerics=...)``, beside TensorFlow under the setting of each.

TensorFlow reads its settings when it is imported, hence a process for each value.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from minisgd import numerics
from minisgd.parity import tolerances
from minisgd.parity.cases import SETTINGS
from minisgd.parity.environment import describe

pytestmark = [pytest.mark.run, pytest.mark.slow]
SAMPLED = [case.name for case in SETTINGS if case.samples < 10_000][::5]

CODE = """
import json, sys
from minisgd.parity import full_bits
print(json.dumps(full_bits.run_part("settings", sys.argv[1], [42], json.loads(sys.argv[2]))))
"""


@pytest.mark.skipif(
    not describe().instruction_set == "AVX-512",
    reason="the settings stand for those of a processor with AVX-512: this one has none",
)
@pytest.mark.parametrize("name", ["avx2", "eigen", "eigen_1_thread", "eigen_avx2"])
def test_training_has_the_bits_of_the_setting(name: str) -> None:
    """Everything is equal; without oneDNN all but predictions, which TensorFlow estimates."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, name, json.dumps(SAMPLED)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **numerics.get(name).environment},
    )
    runs = json.loads(done.stdout.splitlines()[-1])
    assert [run["name"] for run in runs] == SAMPLED
    for run in runs:
        differing = run["differing"]
        if numerics.get(name).eigen:
            found = differing.pop("predict", {"relative": 0.0})["relative"]
            assert tolerances.ESTIMATED_RECIPROCAL.holds(found)
        assert not differing, run
