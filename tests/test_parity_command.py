"""``minisgd parity`` without TensorFlow: the comparison itself is replaced by made-up results."""

import importlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from minisgd import cli
from minisgd.parity import command, environment
from minisgd.parity.probe import Mode
from minisgd.parity.report import Ledger
from minisgd.parity.tolerances import LOSS

BITS = Mode(True, "the reference setup; 50 steps are equal")
TOLERANCES = Mode(False, "AVX2 instead of AVX-512; after 50 steps W1: ...")
calls: list[dict[str, Any]] = []


def equal(ledger: Ledger) -> None:
    ledger.check("step 0", "z1", np.ones(3, "f4"), np.ones(3, "f4"))


def one_ulp(ledger: Ledger) -> None:
    equal(ledger)
    ours = np.nextafter(np.float32([1, 2, 4]), np.float32(9))
    ledger.check("step 0", "loss", ours, np.float32([1, 2, 4]), (LOSS,))
    if ledger.divergence:
        ledger.explain("another sum order")


def infinite(ledger: Ledger) -> None:
    ledger.check("step 3", "dW1", np.float32([np.inf]), np.float32([0]))


@pytest.fixture
def parity(monkeypatch, tmp_path):
    """Run the command in an empty folder; what it finds is given as functions of a ledger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_reference", lambda: (None, None))
    calls.clear()

    def invoke(*arguments: Any, find: Any = equal, mode: Mode = BITS) -> Result:
        def compare(way: str) -> Any:
            def run(script: Any, seed: int, *, bits: bool, watch: Any, **others: Any) -> Ledger:
                calls.append({"way": way, "script": script.number, "seed": seed, **others})
                ledger = Ledger(bits)
                for step in range(4):
                    watch("fit of keras", step + 1, 4)
                find(ledger)
                return ledger

            return run

        monkeypatch.setattr(command, "measured_mode", lambda: mode)
        monkeypatch.setattr(command.lockstep, "run", compare("lockstep"))
        monkeypatch.setattr(command.free_running, "run", compare("free-running"))
        return CliRunner().invoke(cli.main, ["parity", *map(str, arguments)])

    return invoke


def test_agreement_ends_with_0(parity):
    result = parity()
    assert result.exit_code == 0, result.output
    assert calls == [{"way": "free-running", "script": 1, "seed": 0, "epochs": 1, "batch_size": 32}]
    for text in (
        "script 1 (SGD, learning rate 0.01), seed 0, 1 epoch in batches of 32, free-running",
        "tensorflow ",
        "flags: ",
        f"mode: bits ({BITS.reason})",
        "fit of keras: 4 steps",
        "All 3 values compared are equal in bits.",
    ):
        assert text in result.stdout
    assert result.stderr == ""
    assert "\x1b" not in result.output, "escape codes without a terminal"


def test_options_are_passed_on(parity):
    arguments = "--script 3 --seed 7 --epochs 2 --batch-size 100 --lockstep".split()
    result = parity(*arguments)
    assert result.exit_code == 0
    assert calls == [{"way": "lockstep", "script": 3, "seed": 7, "epochs": 2, "batch_size": 100}]
    assert "seed 7, 2 epochs in batches of 100, in lockstep" in result.stdout
    parity("--free-running")
    assert calls[-1]["way"] == "free-running"


def test_divergence_ends_with_1_and_is_named(parity):
    result = parity(find=one_ulp)
    assert result.exit_code == 1
    for text in (
        "DIVERGED: first divergence at step 0, tensor loss",
        "worst at (2,): ours 4.000000",
        "last that agreed: z1 (step 0)",
        "likely cause: another sum order",
    ):
        assert text in result.stdout


def test_failures_that_are_no_comparison_end_with_1(parity):
    def failing(ledger):
        ledger.failures.append("dW1, median: 1, expected less")

    result = parity(find=failing)
    assert result.exit_code == 1
    assert "FAILED: dW1, median" in result.stdout


def test_tolerances_are_said_and_can_be_refused(parity):
    result = parity(find=one_ulp, mode=TOLERANCES)
    assert result.exit_code == 0
    assert "mode: tolerances (AVX2 instead of AVX-512" in result.stdout
    assert "All within tolerances, which is less than equality: 3 of 6" in result.stdout
    calls.clear()
    result = parity("--require-bits", "--json", "r.json", find=one_ulp, mode=TOLERANCES)
    assert result.exit_code == 1
    assert "FAILED: --require-bits, but equality is not demanded here: AVX2" in result.stdout
    assert calls == []
    record = json.loads(Path("r.json").read_text())
    assert (record["exit_code"], record["mode"]["bits"]) == (1, False)
    assert parity("--require-bits", mode=BITS).exit_code == 0


def test_without_tensorflow_it_ends_with_2_and_the_command_that_installs_it(parity, monkeypatch):
    find = importlib.import_module

    def no_module(name):
        if name in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return find(name)

    monkeypatch.setattr(command, "load_reference", environment.load_reference)
    monkeypatch.setattr(environment.importlib, "import_module", no_module)
    result = parity("--json", "r.json")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "could not compare" in result.stderr
    assert "No module named 'tensorflow'" in result.stderr
    assert "python -m pip install 'keras==3.15.1' 'tensorflow" in result.stderr
    record = json.loads(Path("r.json").read_text())
    assert record["exit_code"] == 2
    assert "pip install" in record["error"]


def test_an_error_is_no_divergence(parity):
    def broken(ledger):
        raise ValueError("dW1: expected Keras's shape (3,), received ours (2,)")

    result = parity("--json", "r.json", find=broken)
    assert result.exit_code == 2
    assert "could not compare: ValueError: dW1: expected" in result.stderr
    assert json.loads(Path("r.json").read_text())["error"].startswith("ValueError")

    def too_large(ledger):
        raise MemoryError

    assert "not enough memory" in parity(find=too_large).stderr


def test_ctrl_c_ends_with_130_and_records_nothing(parity):
    def interrupt(ledger):
        raise KeyboardInterrupt

    result = parity("--json", "r.json", find=interrupt)
    assert result.exit_code == 130
    assert "Interrupted" in result.stdout
    assert list(Path().iterdir()) == []


def test_the_record_holds_everything(parity):
    Path("r.json").write_text("an older one")
    result = parity("--json", "r.json", "--seed", 3, find=one_ulp)
    assert "Written: r.json" in result.stdout
    assert [path.name for path in Path().iterdir()] == ["r.json"]
    record = json.loads(Path("r.json").read_text())
    assert record["form"] == 1
    assert record["exit_code"] == 1
    assert record["options"] == {
        "script": 1,
        "seed": 3,
        "epochs": 1,
        "batch_size": 32,
        "lockstep": False,
        "require_bits": False,
    }
    assert record["mode"] == {"bits": True, "reason": BITS.reason}
    assert {"cpu", "instruction_set", "versions", "flags"} <= set(record["environment"])
    assert [row["tensor"] for row in record["table"]] == ["z1", "loss"]
    row = record["table"][1]
    assert (row["compared"], row["differing"], row["max_ulp"]) == (3, 3, 1)
    assert row["max_abs"] == 2.0**-21
    assert row["max_rel"] == 2.0**-23
    first = record["first_divergence"]
    assert (first["where"], first["tensor"], first["worst_index"]) == ("step 0", "loss", [2])
    assert first["cause"] == "another sum order"
    assert first["last_agreed"] == "z1 (step 0)"


def test_the_record_is_json_also_for_infinities(parity):
    assert parity("--json", "r.json", find=infinite).exit_code == 1

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    record = json.loads(Path("r.json").read_text(), parse_constant=refuse)
    assert record["table"][0]["max_abs"] == "inf"


def test_a_file_that_cannot_be_written_shows_before_the_comparison(parity):
    Path("folder").mkdir()
    for name in ("folder", "missing/r.json"):
        result = parity("--json", name)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert f"'--json': {name} " in result.stderr
        assert calls == []


def test_wrong_options_are_one_line(parity):
    for arguments in (["--script", 4], ["--seed", -1], ["--epochs", 0], ["--batch-size", "x"]):
        result = parity(*arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "parity --help" in result.stderr


def large_ledger() -> Ledger:
    ledger = Ledger(bits=True)
    for name in ("new learning rate given gradients", "z1", "batch log loss"):
        ledger.check("step 0", name, np.float32([1]), np.float32([1.5]))
        ledger.summaries[name].compared = 987_654_321_012
        ledger.summaries[name].differing = 123_456_789_012
    ledger.summaries["z1"].max_ulp = 9_876_543
    ledger.summaries["batch log loss"].max_ulp = 2**64 - 1
    ledger.summaries["batch log loss"].max_abs = float("inf")
    return ledger


def test_the_table_fits_80_columns_with_all_digits():
    screen = io.StringIO()
    Console(file=screen, width=80).print(command.table(large_ledger()))
    text = screen.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for number in ("987,654,321,012", "123,456,789,012", "9,876,543", "1.8e+19", "inf", "0.33"):
        assert number in text
    words = "".join(re.findall(r"[a-z]+", text.replace("\n", "")))
    for word in "new learning rate given gradients".split():
        assert word in words


def test_the_bar_on_a_terminal():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, legacy_windows=False)
    with command._ProgressBar(console) as watch:
        watch("fit of keras", 1, 4)
        watch.say("mode: [bits]")
        watch("fit of keras", 4, 4)
        watch("fit of minisgd", 3, 4)
    text = screen.getvalue()
    for part in ("fit of keras", "3/4", "mode: [bits]", "fit of minisgd"):
        assert part in text


def test_a_closed_output_is_no_divergence(run_python):
    code = """
import os, subprocess, sys
reader, writer = os.pipe()
os.close(reader)
done = subprocess.run([sys.executable, "-m", "minisgd", "parity"], stdout=writer,
                      stderr=subprocess.PIPE, text=True)
print(done.returncode, done.stderr.strip())
"""
    assert run_python(code) == "2 minisgd parity: could not compare: standard output was closed"
