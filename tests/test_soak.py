"""Memory stays flat, in short; and what the long soaks have recorded."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import memory
import pytest
import recording


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


def test_the_recorded_figures():
    """Complete, and what was asked: whoever changes a soak runs `make soak` again."""
    whole = json.loads(recording.RECORDED.read_text(encoding="utf-8"))
    assert whole["form"] == recording.FORM
    assert tuple(whole["parts"]) == recording.PARTS
    for name, entry in whole["parts"].items():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry["date"]), name
        script = re.fullmatch(r"python (tests/soak/\w+\.py) .*--record", entry["command"])[1]
        assert (recording.ROOT / script).is_file()
    assert whole["environment"]["cpu"]
    kills, fuzz, soaks = (whole["parts"][name] for name in recording.PARTS)
    assert kills["killed"] == kills["resumed_to_the_same_bits"] >= 200
    assert kills["torn"] == kills["missing"] == 0
    assert min(kills["with_backup"], kills["with_files"]) > 50
    assert fuzz["files"] == fuzz["loaded"] + fuzz["refused"] >= 10_000
    assert fuzz["wrong"] == 0
    assert fuzz["slowest_ms"] < 1000
    assert soaks["count"] >= 200
    assert list(soaks["soaks"]) == list(memory.SOAKS)
    for row in soaks["soaks"].values():
        assert row["growth_kib"] < memory.LIMIT_KIB
        assert row["first_tenth_ms"] > 0 < row["last_tenth_ms"]
    page = recording.RECORDED.with_suffix(".md").read_text(encoding="utf-8")
    assert page == recording.markdown(whole)
