"""The recorded comparison with Keras is complete, fresh, and within what is asked."""

from __future__ import annotations

import configparser
import json
import math
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from minisgd import numerics
from minisgd.parity import full, full_bits, full_sgd, tolerances
from minisgd.parity.cases import GROUPS

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / full.OUTPUT / f"{full.NAME}.json"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """The recorded file."""
    assert RECORDED.exists(), f"{RECORDED.name} is missing; run `make parity-full`"
    loaded: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return loaded


def pinned(package: str) -> str:
    """Version of a package pinned in setup.cfg, without a trailing ``.*``."""
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    found = re.search(rf"^\s*{package}(?:-cpu)?\s*==\s*([0-9.]+?)(?:\.\*)?\s*(?:;.*)?$", text, re.M)
    assert found, f"setup.cfg pins no {package}"
    return found.group(1)


def test_form(record: dict[str, Any]) -> None:
    """Every script and seed on both sides, every figure present and finite."""
    assert record["form"] == full.FORM
    assert record["command"] == full.COMMAND
    assert record["epochs"] == 10
    assert record["batch_size"] == 32
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    assert record["environment"]["flags"] == {}
    for key in ("cpu", "instruction_set", "cores", "system"):
        assert record["environment"][key]
    found = [(run["script"], run["seed"]) for run in record["runs"]]
    assert found == [(script, seed) for script in (1, 2, 3) for seed in full.SEEDS]
    for run in record["runs"]:
        keys = ["accuracy", "loss"] + ["learning_rate"] * (run["script"] == 3)
        for name in full.SIDES:
            side = run["sides"][name]
            assert list(side["history"]) == keys
            assert all(len(values) == 10 for values in side["history"].values())
            for key in ("test_loss", "test_accuracy", "fit_seconds", "process_seconds"):
                assert math.isfinite(side[key])
            assert side["peak_mib"] > 0
            assert re.fullmatch("[0-9a-f]{64}", side["weights_sha256"])
        hashes = {run["sides"][name]["weights_sha256"] for name in full.SIDES}
        assert (len(hashes) == 1) == (run["weights_differing"] == 0)


@pytest.mark.parametrize("name", [full.NAME, full_bits.NAME, full_sgd.NAME])
def test_fresh(name: str) -> None:
    """Recorded with this minisgd and with the pinned Keras and TensorFlow."""
    loaded = json.loads((ROOT / full.OUTPUT / f"{name}.json").read_text(encoding="utf-8"))
    versions = loaded["environment"]["versions"]
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    version = config["metadata"]["version"]
    if version.startswith("attr:"):
        version = metadata.version("minisgd")
    assert versions["minisgd"] == version, "run `make parity-full`"
    for package in ("keras", "tensorflow"):
        wanted = pinned(package)
        assert (versions[package] + ".").startswith(wanted + "."), "run `make parity-full`"


def test_every_combination_of_options_was_equal() -> None:
    """SGD's options in full product: 20 steps each, no case with a differing bit."""
    text = (ROOT / full.OUTPUT / f"{full_sgd.NAME}.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert record["form"] == full_sgd.FORM
    assert record["command"] == full_sgd.COMMAND
    assert record["environment"]["flags"] == {}
    assert record["steps"] == 20
    assert record["cases"] == len(full_sgd.cases())
    assert record["differing"] == []


def test_table_belongs_to_the_record(record: dict[str, Any]) -> None:
    """The Markdown page is what the record prints."""
    page = RECORDED.with_suffix(".md").read_text(encoding="utf-8")
    assert page == full.markdown(record)


def test_accuracy(record: dict[str, Any]) -> None:
    """Test accuracy after ten epochs: within 0.05 points for script 1, 0.3 for 2 and 3."""
    for run in record["runs"]:
        bound = tolerances.RUN_ACCURACY_PLAIN_SGD if run["script"] == 1 else tolerances.RUN_ACCURACY
        ours, theirs = (run["sides"][name]["test_accuracy"] for name in ("minisgd", "keras"))
        gap = 100 * abs(ours - theirs)
        # Accuracies are ten-thousandths held in float32.
        assert bound.holds(round(gap, 4)), f"script {run['script']}, seed {run['seed']}: {gap}"


def test_rates_are_equal(record: dict[str, Any]) -> None:
    """The schedule of script 3 has the same bits on both sides."""
    for run in record["runs"]:
        rates = [run["sides"][name]["history"].get("learning_rate") for name in full.SIDES]
        assert rates[0] == rates[1]


def test_time_and_memory(record: dict[str, Any]) -> None:
    """Over all runs less wall time than Keras; each in under half of Keras's peak memory."""
    total = {
        name: sum(run["sides"][name]["process_seconds"] for run in record["runs"])
        for name in full.SIDES
    }
    assert total["minisgd"] < total["keras"]
    for run in record["runs"]:
        assert run["sides"]["minisgd"]["peak_mib"] < run["sides"]["keras"]["peak_mib"] / 2


# --- every run for which equal bits are promised ---
@pytest.fixture(scope="module")
def bits_record() -> dict[str, Any]:
    """The recorded table of equal runs."""
    text = (ROOT / full.OUTPUT / f"{full_bits.NAME}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_the_table_of_equal_runs_is_complete(bits_record: dict[str, Any]) -> None:
    """Every part, case and seed, on the reference setup."""
    assert bits_record["form"] == full_bits.FORM
    assert bits_record["command"] == full_bits.COMMAND
    assert bits_record["environment"]["instruction_set"] == "AVX-512"
    assert bits_record["environment"]["flags"] == {}
    found = [(part["group"], part["numerics"]) for part in bits_record["parts"]]
    assert found == [(group, name) for group, name, _ in full_bits.PARTS]
    for part, (group, _, seeds) in zip(bits_record["parts"], full_bits.PARTS, strict=True):
        if group != full_bits.ORACLE:
            wanted = [(case.name, seed) for seed in seeds for case in GROUPS[group]]
            assert [(run["name"], run["seed"]) for run in part["runs"]] == wanted


def test_every_run_was_equal(bits_record: dict[str, Any]) -> None:
    """No value differs; without oneDNN predictions have their bound."""
    for part in bits_record["parts"]:
        if part["group"] in (full_bits.ORACLE, "not followed"):
            continue
        for run in part["runs"]:
            differing = dict(run["differing"])
            if numerics.get(part["numerics"]).eigen:
                predictions = differing.pop("predict", {"relative": 0.0})
                assert tolerances.ESTIMATED_RECIPROCAL.holds(predictions["relative"])
            assert not differing, run


def test_accurate_gradients_were_never_worse(bits_record: dict[str, Any]) -> None:
    """750 steps of each script against float64, TensorFlow's errors beside ours."""
    (part,) = [p for p in bits_record["parts"] if p["group"] == full_bits.ORACLE]
    assert len(part["runs"]) == 3
    for run in part["runs"]:
        for tensor, errors in run["errors"].items():
            assert errors["steps"] == 750
            assert errors["worse"] == 0, tensor
            assert tolerances.ACCURATE_RATIO.holds(1 / errors["ratio"])


def test_the_pages_belong_to_the_table_of_equal_runs(bits_record: dict[str, Any]) -> None:
    """Both Markdown pages are what the record prints."""
    page = (ROOT / full.OUTPUT / f"{full_bits.NAME}.md").read_text(encoding="utf-8")
    assert page == full_bits.markdown(bits_record)
    promise = (ROOT / full_bits.PAGE).read_text(encoding="utf-8")
    between = promise.partition(full_bits.BEGIN)[2].partition(full_bits.END)[0]
    assert between.strip() == full_bits.summary(bits_record)
