"""The progress bar: its line, and what reaches a terminal, a file and a notebook."""

import functools
import gc
import inspect
import io
import re
import sys
import time
import types
from unittest import mock

import numpy as np
import pytest
import rich
from rich.console import Console

from minisgd.callbacks import Callback, CallbackList
from minisgd.utils import progbar
from minisgd.utils.progbar import Progbar

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal(test):
    """Run `test` with standard output a terminal of 100 columns: its first argument, the stream.

    No fixture: pytest puts its own standard output in place after the fixtures are set up.
    """

    @functools.wraps(test)
    def run(**fixtures):
        stream = Terminal()
        console = Console(force_terminal=True, width=100, color_system="standard", no_color=False)
        with (
            mock.patch.object(sys, "stdout", stream),
            mock.patch.object(rich, "_console", console),
        ):
            test(stream, **fixtures)
            assert sys.stdout is stream  # whatever happened, the bar has let go of it
        assert stream.getvalue().count(HIDE) == stream.getvalue().count(SHOW)

    _, *parameters = inspect.signature(test).parameters.values()
    run.__signature__ = inspect.Signature(parameters)
    return run


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved: ``clock.now += 1``."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(progbar, "perf_counter", lambda: clock.now)
    return clock


def visible(text):
    """Drop the escape codes and split at each redrawing."""
    text = re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]", "", text)
    return [line for line in re.split(r"[\r\n]+", text) if line]


@on_terminal
def test_terminal_line(terminal, clock):
    bar = Progbar(1000, stateless_metrics=())
    clock.now += 2
    bar.update(1, [("accuracy", 0.5), ("loss", 0.0005)])
    clock.now += 1
    bar.update(251, [("accuracy", 0.75), ("loss", -0.25)])
    clock.now += 3
    bar.update(1000, [("accuracy", 0.9), ("loss", float("nan")), ("val_loss", 1)])
    lines = visible(terminal.getvalue())
    assert lines[0] == (
        "   1/1000 " + "─" * 20 + " 33:18 2s/step - accuracy: 0.5000 - loss: 5.0000e-04"
    )
    # One step lasts 4 ms, once the first, slow one is left out.
    assert lines[1] == (
        " 251/1000 " + "━" * 5 + "─" * 15 + " 2s 4ms/step - accuracy: 0.7500 - loss: -0.2500"
    )
    last = (
        "1000/1000 " + "━" * 20 + " 6s 4ms/step - accuracy: 0.9000 - loss: nan - val_loss: 1.0000"
    )
    assert lines[-1] == last
    assert terminal.getvalue().rstrip().endswith(SHOW)
    assert "\x1b[1m1000/1000\x1b[0m \x1b[32m━" in terminal.getvalue()


@on_terminal
def test_redrawn_at_most_every_interval(terminal, clock):
    bar = Progbar(100, interval=0.05, stateless_metrics=())
    for step in range(1, 51):
        clock.now += 0.01
        bar.update(step, [("loss", 1.0)])
        assert bar.is_due(step + 1) == (clock.now >= bar._next_draw)
    bar.close()
    counts = {line.split("/")[0].strip() for line in visible(terminal.getvalue())}
    assert 8 <= len(counts) <= 11


@on_terminal
def test_long_line_is_not_cut(terminal):
    metrics = [(f"metric_{i}", float(i)) for i in range(20)]
    with Progbar(1) as bar:
        bar.update(1, metrics)
    text = "".join(visible(terminal.getvalue()))
    assert all(f"metric_{i}: {i}.0000" in text for i in range(1, 20))


@on_terminal
def test_unknown_total(terminal, clock):
    with Progbar(None, unit_name="row") as bar:
        clock.now += 1
        bar.add(5, [("loss", 2.0)])
        clock.now += 2
        bar.update(6, [("loss", 8.0)], finalize=True)
    lines = visible(terminal.getvalue())
    assert lines[0] == "      5/Unknown 1s 200ms/row - loss: 2.0000"
    assert lines[-1] == "      6/Unknown 3s 500ms/row - loss: 8.0000"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@on_terminal
def test_terminal_is_restored_after_an_error(terminal, error):
    class Fails(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise error

    hooks = CallbackList([Fails()], True, True, verbose=1, epochs=1, steps=3)
    with pytest.raises(error):
        try:
            hooks.on_train_begin()
            hooks.on_epoch_begin(0)
            for step in range(3):
                hooks.on_train_batch_end(step, {"loss": 1.0})
        finally:
            assert HIDE in terminal.getvalue()
            assert SHOW not in terminal.getvalue()
            hooks.close()
            hooks.close()
    assert terminal.getvalue().rstrip().endswith(SHOW)


@on_terminal
def test_terminal_is_restored_when_a_bar_is_forgotten(terminal):
    bar = Progbar(10)
    bar.update(1)
    assert terminal.getvalue().startswith(HIDE)
    del bar
    gc.collect()
    assert SHOW in terminal.getvalue()


@on_terminal
def test_context_manager(terminal):
    with pytest.raises(ZeroDivisionError), Progbar(10) as bar:
        bar.update(1)
        _ = 1 / 0
    assert SHOW in terminal.getvalue()


@on_terminal
def test_prints_go_above_the_bar(terminal, clock):
    with Progbar(2) as bar:
        bar.update(1)
        print("between")
        clock.now += 1
        bar.update(2)
    lines = visible(terminal.getvalue())
    assert "between" in lines
    assert lines[-1].startswith("2/2")


@on_terminal
def test_two_fits_nest(terminal):
    def run(name, steps, inside=None):
        spy = Callback()
        if inside:
            spy.on_train_batch_end = lambda batch, logs: inside() if batch == 1 else None
        hooks = CallbackList(spy, True, True, verbose=1, epochs=2, steps=steps)
        try:
            hooks.on_train_begin()
            for epoch in range(2):
                hooks.on_epoch_begin(epoch)
                for step in range(steps):
                    hooks.on_train_batch_end(step, {name: 1.0})
                hooks.on_epoch_end(epoch, {name: 1.0})
            hooks.on_train_end()
        finally:
            hooks.close()

    run("outer", 3, lambda: run("inner", 5))
    lines = visible(terminal.getvalue())
    assert sum(line.startswith("Epoch") for line in lines) == 6
    assert any(re.fullmatch(r"5/5 ━{20} .*inner: 1.0000", line) for line in lines)
    assert re.fullmatch(r"3/3 ━{20} .*outer: 1.0000", lines[-1])


@on_terminal
def test_drawing_again_after_the_end(terminal):
    bar = Progbar(1)
    bar.update(1)
    bar.update(1)
    assert terminal.getvalue().count(SHOW) == 2


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}])
def test_file_gets_one_plain_line(monkeypatch, environment, clock):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    bar = Progbar(3, stateful_metrics=["acc"])
    for step in range(3):
        clock.now += 1
        bar.update(step + 1, [("loss", 1.0 + step), ("acc", 0.5)])
    bar = Progbar(3)
    bar.update(2, finalize=True)
    assert sys.stdout.getvalue() == (
        "3/3 ━━━━━━━━━━━━━━━━━━━━ 3s 1s/step - loss: 3.0000 - acc: 0.5000\n"
        "2/3 ━━━━━━━━━━━━━─────── 0s 0s/step\n"
    )


@on_terminal
def test_dumb_terminal_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    Progbar(1).update(1)
    assert re.fullmatch(r"1/1 ━{20} 0s \S+/step\n", terminal.getvalue())


def test_ascii_output(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Progbar(4).update(2, [("größe", 1.0)], finalize=True)
    stream.flush()
    text = stream.buffer.getvalue().decode()
    assert re.fullmatch(r"2/4 ={10}-{10} 0s \S+/step - gr\?\?e: 1.0000\n", text)


def test_no_output_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    for verbose in (0, 1, 2):
        Progbar(1, verbose=verbose).update(1)  # must not raise
    assert sys.stdout is None


def test_notebook(monkeypatch, clock):
    stream_class = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    monkeypatch.setattr(sys, "stdout", stream_class())
    shown = []

    def display(data, raw, display_id):
        shown.append(data["text/plain"])
        return types.SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))

    module = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=module))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    bar = Progbar(2)
    bar.update(1)
    clock.now += 1
    bar.update(2)
    assert [line.split()[0] for line in shown] == ["1/2", "2/2"]
    assert sys.stdout.getvalue() == ""


def test_averaged_and_stateful_metrics(clock, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    bar = Progbar(10, stateful_metrics=["last"])
    bar.update(1, [("mean", 1.0), ("last", 1.0)])
    bar.update(4, [("mean", np.array([4.0, 6.0])), ("last", 2.0)])  # counts three times
    assert bar._metrics() == " - mean: 4.0000 - last: 2.0000"
    bar = Progbar(10, stateless_metrics=["mean"])
    bar.add(1, [("mean", 1.0), ("last", 1.0)])
    bar.add(1, [("mean", 2.0), ("last", 2.0)])
    assert bar._metrics() == " - mean: 1.5000 - last: 2.0000"
    with pytest.raises(ValueError, match="Only one of `stateful_metrics` or `stateless_metrics`"):
        Progbar(1, stateful_metrics=[], stateless_metrics=[])


def test_verbose_2_needs_a_target(capsys):
    Progbar(None, verbose=2).update(3, finalize=True)
    assert capsys.readouterr().out == ""
    Progbar(12, verbose=2).update(3, [("loss", -0.5)], finalize=True)
    assert re.fullmatch(r" 3/12 - 0s - \S+/step - loss: -5.0000e-01\n", capsys.readouterr().out)


def test_time_formats():
    assert [progbar._duration(s) for s in (0.4, 59, 61, 3600, 3661)] == [
        "0s",
        "59s",
        "1:01",
        "60:00",
        "1:01:01",
    ]
    assert [progbar._time_per_unit(s, "step") for s in (0, 1.6, 0.0716, 1e-3, 9.4e-5)] == [
        "0s/step",
        "2s/step",
        "72ms/step",
        "1ms/step",
        "94us/step",
    ]


@on_terminal
def test_update_that_draws_nothing_is_cheap(terminal, clock):
    """Generous, for busy machines: about 0.3 us is usual, one drawing takes some 300."""
    bar = Progbar(10**6, stateless_metrics=())
    bar.update(1, [("loss", 1.0)])
    start = time.process_time()
    for step in range(2, 20_002):
        if bar.is_due(step):
            bar.update(step, [("loss", 1.0)])
    assert (time.process_time() - start) / 20_000 < 10e-6
    bar.close()
