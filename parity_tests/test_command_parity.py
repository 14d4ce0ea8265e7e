"""``minisgd parity`` on few images, beside live Keras; a seeded bug ends it with 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import minisgd_kernels as kernels
from minisgd import cli
from minisgd.parity import free_running, lockstep, updates
from minisgd.parity.probe import Mode
from minisgd.parity.scripts import SCRIPTS, Data, load_data

pytestmark = pytest.mark.run
IMAGES = 320


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the command in an empty folder on 320 images and 64 for testing."""

    def load(ns: Any) -> Data:
        data = load_data(ns)
        return Data(
            data.x_train[:IMAGES], data.y_train[:IMAGES], data.x_test[:64], data.y_test[:64]
        )

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lockstep, "load_data", load)
    monkeypatch.setattr(free_running, "load_data", load)

    def invoke(arguments: str) -> Result:
        return CliRunner().invoke(cli.main, ["parity", *arguments.split()])

    return invoke


@pytest.mark.parametrize("number", SCRIPTS)
@pytest.mark.parametrize("way", ["--lockstep", "--free-running"])
def test_agreement(number: int, way: str, parity: Any, mode: Mode) -> None:
    """Seven epochs, so that the third script's rate changes; every epoch's end is compared."""
    result = parity(f"--script {number} {way} --epochs 7 --batch-size 64 --seed 1 --json r.json")
    assert result.exit_code == 0, result.output
    assert f"mode: {mode}" in result.output
    record = json.loads(Path("r.json").read_text())
    rows = {row["tensor"]: row for row in record["table"]}
    if way == "--lockstep":
        assert rows["z1"]["compared"] == 7 * IMAGES * 128
        assert rows["learning rate"]["compared"] == 7
    else:
        assert rows["batch log loss"]["compared"] == 7 * IMAGES / 64
        assert rows["W1"]["compared"] == 7 * 784 * 128
        assert ("velocity W1" in rows) == (number == 2)
    if mode.bits:
        assert not any(row["differing"] for row in rows.values())
        assert parity("--require-bits --batch-size 64").exit_code == 0


def test_divergence(parity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A float64 learning rate: exit code 1, the step, the tensor and the cause."""
    update = kernels.sgd_inplace
    monkeypatch.setattr(kernels, "sgd_inplace", lambda w, g, lr: update(w, g, np.float64(str(lr))))
    result = parity("--lockstep --json r.json")
    assert result.exit_code == 1
    assert "DIVERGED: first divergence at step 0, tensor new W1" in result.output
    record = json.loads(Path("r.json").read_text())
    assert record["exit_code"] == 1
    assert record["first_divergence"]["cause"] == updates.FLOAT64_RATE.format(rate=0.01)
