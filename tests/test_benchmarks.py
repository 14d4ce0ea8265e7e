"""The benchmarks run, name what is missing, and do their sums right. No time is tested.

Minisgd and NumPy only: none of the other peers is needed.
"""

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bench(monkeypatch):
    """Import a module of the folder benchmarks/, which is not installed."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def outcome(bench):
    def make(*values, **more):
        return bench("jobs").Outcome(list(values), **more)

    return make


TINY = "--rows b32-raw-2t --parts table extras --peers minisgd numpy --steps 3 --rounds 2"


@pytest.mark.slow
def test_a_tiny_run_writes_a_well_formed_table(run_python, tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "from benchmarks.run import main; main(sys.argv[2:])"
    said = run_python(code, ROOT, *TINY.split(), "--output", tmp_path)
    assert "written" in said
    record = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    (row,) = record["rows"]
    assert set(row["outcomes"]) == {"minisgd", "NumPy out="}
    for told in row["outcomes"].values():
        assert len(told["values"]) == 2
        assert 0 < told["min"] <= told["median"] <= told["max"]
    assert row["outcomes"]["NumPy out="]["ratio"]["median"] > 0
    assert [one["key"] for one in record["extras"]] == ["eager", "predict", "evaluate", "floor"]
    assert {"cpu", "cores", "versions", "load_average"} <= set(record["machine"])

    lines = (tmp_path / "benchmarks.md").read_text(encoding="utf-8").splitlines()
    tables = [n for n, line in enumerate(lines) if set(line) == set("|-")]
    assert len(tables) == 3
    for n in tables:
        width = lines[n].count("|")
        assert lines[n - 1].count("|") == width
        assert lines[n + 1].count("|") == width
    assert any(row["title"] in line and "**" in line for line in lines)


def test_a_missing_peer_is_named_and_left_out(bench, tmp_path):
    jobs, report = bench("jobs"), bench("report")
    comparison = bench("plan").Comparison(
        "row",
        "a row",
        {
            "minisgd": jobs.Job("numpy_out", samples=64),
            "Nonesuch": jobs.Job("nonesuch", samples=64),
        },
    )
    outcomes = jobs.alternate(comparison.jobs, rounds=3)
    assert len(outcomes["minisgd"].values) == 3
    assert outcomes["Nonesuch"].values == []
    entry = report.entry(comparison, outcomes, "seconds per step")
    (remark,) = [r for r in report.remarks(record_of(entry)) if "Nonesuch" in r]
    assert remark.startswith("Nonesuch is left out: missing: No module named")


def test_a_worker_that_fails_is_named(bench):
    jobs = bench("jobs")
    broken = jobs.Job("numpy_out", layers=(3, 2), samples=64)
    outcomes = jobs.alternate({"a": broken, "b": jobs.Job("numpy_out", samples=64)}, rounds=1)
    assert outcomes["a"].missing.startswith("failed: ValueError")
    assert len(outcomes["b"].values) == 1


def test_a_run_without_figures_of_minisgd_fails(bench, outcome):
    plan, report = bench("plan"), bench("report")
    comparison = plan.Comparison("a", "a row", {"minisgd": plan.MINISGD, "Keras": plan.KERAS})
    outcomes = {"minisgd": outcome(missing="failed: why"), "Keras": outcome(missing="missing: x")}
    record = record_of(report.entry(comparison, outcomes, "seconds per step"))
    assert report.failures(record, "minisgd") == ["a row: failed: why"]


def test_jobs_take_turns(bench, monkeypatch):
    jobs = bench("jobs")
    said = []

    class Worker:
        def __init__(self, job):
            self.name = job

        def __enter__(self):
            return self

        def __exit__(self, *_):
            said.append(f"end {self.name}")

        def reply(self):
            return {"ready": {"threads": 2}}

        def pause(self):
            said.append(f"ready {self.name}")

        def lap(self):
            said.append(self.name)
            return {"seconds": 6.0, "steps": 3, "cpu_seconds": 0.0}

    monkeypatch.setattr(jobs, "Worker", Worker)
    outcomes = jobs.alternate({"a": "a", "b": "b"}, rounds=3)
    warm_up = ["a", "b"]
    assert said == [
        "ready a", "ready b", *warm_up, "a", "b", "b", "a", "a", "b", "end b", "end a",
    ]  # fmt: skip
    assert outcomes["a"].values == [2.0, 2.0, 2.0]
    assert outcomes["a"].facts == {"threads": 2}


# --- the report's sums ---
def record_of(*rows, **more):
    empty = {"rows": list(rows), "stages": [], "extras": [], "growth": [], "not_measured": []}
    return empty | more


def test_median_and_range(bench):
    summary = bench("report").summary
    assert summary([5.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 5.0}
    assert summary([4.0, 1.0]) == {"median": 2.5, "min": 1.0, "max": 4.0}


def test_a_ratio_is_that_of_the_medians_its_range_that_of_the_rounds(bench):
    found = bench("report").ratio([10.0, 20.0, 60.0], [5.0, 4.0, 10.0])
    assert found == {"median": 4.0, "min": 2.0, "max": 6.0}


def test_of_several_forms_the_fastest_counts(bench, outcome):
    plan, report = bench("plan"), bench("report")
    (row,) = [r for r in plan.ROWS if r.key == "b1024"]
    times = {"Keras": 4.0, "Keras, 1 CPU": 3.0, "JAX lax.scan": 8.0, "JAX jit step": 5.0}
    outcomes = {name: outcome(times.get(name, 2.0)) for name in row.jobs}
    outcomes["PyTorch eager"] = outcome(missing="missing: no torch")
    entry = report.entry(row, outcomes, "seconds per step")
    cells = {column.title: report.ratio_cell(entry, column) for column in plan.COLUMNS}
    assert cells["JAX lax.scan"] == "**2.50** (2.50-2.50)"
    both = cells["Keras `fit` default (all CPUs / pinned to 1)"]
    assert both == "**2.00** (2.00-2.00) / **1.50** (1.50-1.50)"
    assert cells["PyTorch eager"] == cells["scikit-learn"] == report.LEFT_OUT


def test_share_of_the_compute_floor(bench, outcome):
    plan, report = bench("plan"), bench("report")
    outcomes = {"minisgd, 1 thread": outcome(2e-4), "minisgd, 2 threads": outcome(1e-4)}
    entry = report.entry(plan.FLOOR, outcomes, "seconds per step")
    shares = report.floor_shares(entry, {"1": 100.0, "2": 200.0})
    # 409,088 flop a sample, 32 samples: 130.9 us at 100 GFLOP/s.
    assert shares == pytest.approx(
        {"minisgd, 1 thread": 0.6545408, "minisgd, 2 threads": 0.6545408}
    )
    assert report.floor_shares(entry, {}) == {}


def test_flop_of_a_step(bench):
    inputs, hidden, classes = bench("plan").MINISGD.layers
    products = 2 * inputs * hidden + 3 * hidden * classes
    assert bench("plan").FLOP_PER_SAMPLE == 2 * products


@pytest.mark.parametrize(
    ("others", "verdict"),
    [([0.01, 0.02], ": quiet."), ([0.01, 0.5], "NOT quiet"), ([None], "not known")],
)
def test_the_report_says_whether_the_machine_was_quiet(bench, outcome, others, verdict):
    plan, report = bench("plan"), bench("report")
    jobs = {str(n): plan.MINISGD for n in range(len(others))}
    outcomes = {str(n): outcome(1.0, others=share) for n, share in enumerate(others)}
    entry = report.entry(plan.Comparison("a", "a", jobs), outcomes, "seconds per step")
    assert verdict in report.remarks(record_of(entry))[-1]


def test_a_lack_of_set_threads_is_said(bench, outcome):
    plan, report = bench("plan"), bench("report")
    outcomes = {"minisgd": outcome(1.0, facts={"threads": "minisgd.set_threads does not exist"})}
    comparison = plan.Comparison("a", "a", {"minisgd": plan.MINISGD})
    entry = report.entry(comparison, outcomes, "seconds per step")
    assert "minisgd.set_threads does not exist." in report.remarks(record_of(entry))


# --- the plan ---
def test_quick_is_a_part_of_the_whole(bench):
    run, plan = bench("run"), bench("plan")
    whole, quick = run.parse([]), run.parse(["--quick"])
    assert set(quick.rows) < set(whole.rows) == {row.key for row in plan.ROWS}
    assert set(quick.parts) < set(whole.parts) == set(run.PARTS)
    assert quick.rounds < whole.rounds
    assert quick.seconds < 180


def test_no_time_left_is_said(bench):
    run = bench("run")
    benchmarks = run.Benchmarks(run.parse(["--parts", "table", "extras", "--seconds", "1e-9"]))
    benchmarks.run()
    assert not benchmarks.record["rows"]
    assert len(benchmarks.record["not_measured"]) == 8 + 4


def test_growth_changes_one_thing_at_a_time(bench):
    growth, plan = bench("growth"), bench("plan")
    assert [axis.key for axis in growth.AXES] == ["width", "depth", "batch", "samples"]
    for axis in growth.AXES:
        job = axis.comparison(axis.points[-1], "folder").jobs["minisgd"]
        assert (job.layers != plan.MINISGD.layers) == (axis.key in ("width", "depth"))
        assert (job.batch_size != plan.MINISGD.batch_size) == (axis.key == "batch")
        assert bool(job.folder) == (axis.key == "samples")


def test_mapped_samples_repeat_mnist(bench):
    growth, data = bench("growth"), bench("peers.data")
    with growth.mapped(10, distinct=4) as folder:
        x, y = data.load(type("Job", (), {"folder": folder}))
        assert x.shape == (10, 784)
        assert type(x).__name__ == "memmap"
        assert (x[4:8] == x[:4]).all()
        assert (x[8:] == x[:2]).all()
        assert (y[8:] == y[:2]).all()
        del x, y


def test_every_kernel_has_its_micro_benchmark(bench):
    import minisgd_kernels

    cases = bench("test_kernels_speed").CASES
    assert sorted(cases) == list(minisgd_kernels.__all__)


def test_the_worker_imports_no_library_before_it_is_told_to():
    code = "import sys, benchmarks.peers.worker; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert not {"numpy", "numba", "minisgd", "keras"} & set(done.stdout.split())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_numpy_peer_trains_as_minisgd_does(bench, momentum):
    import numpy as np

    import minisgd as keras

    plan = bench("plan")
    job = replace(plan.MINISGD, momentum=momentum, batch_size=8, samples=20)
    x, y = bench("peers.data").load(job)
    network = bench("peers.numpy_out").Network(job)
    model = bench("peers.keras_fit").build(keras, job)
    model.set_weights([array.copy() for layer in network.params for array in layer])
    for first in range(0, 20, 8):
        rows = np.arange(first, min(first + 8, 20))
        network.step(x, y, rows)
        model.train_on_batch(x[rows], y[rows])
    for ours, theirs in zip(model.get_weights(), sum(network.params, ()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_a_stage_switches_its_optimisation_off(run_python):
    """Each as said in its own process; the bits stay."""
    code = """if True:
        import sys; sys.path.insert(0, sys.argv[1])
        import numpy as np
        import minisgd as keras
        from benchmarks.peers.keras_fit import switch_off
        switch_off(sys.argv[2:])
        keras.utils.set_random_seed(0)
        x = np.maximum(np.random.default_rng(0).standard_normal((96, 70), np.float32), 0)
        y = np.eye(10, dtype=np.float32)[np.arange(96) % 10]
        layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(10, "softmax")]
        model = keras.Sequential(layers)
        model.compile("sgd", "categorical_crossentropy", jit_compile=True)
        model.fit(x, y, verbose=0)
        source = model.compiled_source()
        print("fused" in source, "are skipped" in source, model.get_weights()[0].tobytes().hex())
    """
    told = [run_python(code, ROOT, *names).split() for names in ([], ["fusion"])]
    assert [one[:2] for one in told] == [["True", "True"], ["False", "False"]]
    assert told[0][2] == told[1][2]
