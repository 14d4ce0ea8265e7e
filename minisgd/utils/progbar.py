"""Progbar: one line that shows how far a loop has come.

On a terminal the line is redrawn in place, by rich. Anywhere else it is written once, when the
loop ends: a log file gets one plain line an epoch, without escape codes or carriage returns.
"""

from __future__ import annotations

import operator
import sys
import weakref
from collections.abc import Iterable
from importlib import import_module
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from rich.text import Text

Spans = list[tuple[str, str]]  # pieces of the line, each with its rich style
_HOUR, _MINUTE = 3600, 60


def check_verbose(verbose: Any) -> int:
    """Return `verbose` as 0, 1 or 2; "auto" is 1.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> check_verbose("auto"), check_verbose(2), check_verbose(True)
    (1, 2, 1)
    """
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    try:
        number = operator.index(verbose)
    except TypeError:
        number = -1
    if number not in (0, 1, 2):
        raise ValueError(
            "`verbose` expected 0 (silent), 1 (progress bar), 2 (one line per epoch) or 'auto' "
            f"(the same as 1), received {verbose!r}."
        )
    return number


def encodable(text: str) -> str:
    """Return `text` with whatever standard output cannot encode replaced by "?"."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, errors="replace").decode(encoding)


def write_line(text: str) -> None:
    """Print `text` to standard output at once, on any encoding and also where there is none."""
    print(encodable(text), flush=True)


class _Display(Protocol):
    """A place where one line can be drawn again and again."""

    def draw(self, spans: Spans) -> None: ...

    def close(self) -> None: ...


class _TerminalDisplay:
    """The line on a terminal: a rich Live, redrawn only when we say so (no thread)."""

    def __init__(self) -> None:
        # Imported late: `import minisgd` should not pay for it.
        from rich import get_console
        from rich.live import Live

        # One console for all bars: only so does rich know about a bar within a bar (a `fit`
        # inside a callback), which it then draws below the outer one.
        self._live = Live(console=get_console(), auto_refresh=False, vertical_overflow="visible")
        # A loop that dies, or forgets its bar, must not leave the cursor hidden: runs when this
        # object is collected or Python ends, unless close() has run before.
        self._stop = weakref.finalize(self, self._live.stop)
        self._live.start()

    def draw(self, spans: Spans) -> None:
        self._live.update(_text(spans), refresh=True)

    def close(self) -> None:
        self._stop()


class _NotebookDisplay:
    """The line in a Jupyter notebook: an output cell of plain text that is replaced in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, spans: Spans) -> None:
        data = {"text/plain": _plain(spans)}
        if self._handle is None:
            # By name: the notebook brings IPython with it, minisgd does not ask for it.
            display = import_module("IPython.display").display
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

    def close(self) -> None:
        self._handle = None


def _text(spans: Spans) -> Text:
    """Join `spans` as a rich Text, which folds, and loses nothing, on a narrow terminal."""
    from rich.text import Text

    return Text.assemble(*spans, overflow="fold")


def _plain(spans: Spans) -> str:
    """Join `spans` without their styles."""
    return "".join(text for text, _ in spans)


def _display() -> _Display | None:
    """Return a place to redraw a line in, or None if standard output is only written through."""
    # Under a bar that is drawn already, sys.stdout is rich's stand-in for the real one.
    stream = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    if type(stream).__module__.startswith("ipykernel."):
        return _NotebookDisplay()
    # FORCE_COLOR makes rich take any file for a terminal; a log file is to stay plain even then.
    if stream is None or not getattr(stream, "isatty", lambda: False)():
        return None
    from rich import get_console

    console = get_console()
    return _TerminalDisplay() if console.is_terminal and not console.is_dumb_terminal else None


def _duration(seconds: float) -> str:
    """Format a time that is left: "7s", "1:07" or "1:00:07".

    Examples
    --------
    >>> _duration(7.9), _duration(67), _duration(3607)
    ('7s', '1:07', '1:00:07')
    """
    whole = int(seconds)
    if seconds > _HOUR:
        return f"{whole // _HOUR}:{whole % _HOUR // _MINUTE:02d}:{whole % _MINUTE:02d}"
    if seconds > _MINUTE:
        return f"{whole // _MINUTE}:{whole % _MINUTE:02d}"
    return f"{whole}s"


def _time_per_unit(seconds: float, unit: str) -> str:
    """Format the time that one step takes, in s, ms or us.

    Examples
    --------
    >>> _time_per_unit(2.0, "step"), _time_per_unit(0.0715, "step"), _time_per_unit(9e-5, "row")
    ('2s/step', '72ms/step', '90us/row')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit}"
    return f"{seconds * 1e6:.0f}us/{unit}"


class Progbar:
    """A progress bar, for loops of one's own too.

    Parameters
    ----------
    target : int or None
        How many steps there will be; None if that is not known.
    width : int, default 20
        Characters of the bar.
    verbose : {0, 1, 2, "auto"}, default 1
        0 nothing; 1 or "auto" the bar; 2 one line at the end, which needs a `target`.
    interval : float, default 0.05
        Seconds that pass at least between two drawings.
    stateful_metrics : iterable of str, optional
        Metrics to show as they come. The others are averaged over the steps.
    stateless_metrics : iterable of str, optional
        The other way round: only these are averaged. One of the two may be given.
    unit_name : str, default "step"
        What is counted.

    Raises
    ------
    ValueError
        If both lists of metrics are given, or `verbose` is none of its four values.

    Notes
    -----
    The fields, in Keras's order: count, bar, time left (at the end: time taken), time per step
    (the first step left out: it may include compilation), metrics with four decimals, or in
    scientific notation from 0.001 down.

    Off the terminal the bar differs from Keras's, which fills files with control characters: one
    plain line is written when the bar ends and none before. The end is the update that reaches
    `target`, or any with ``finalize=True``. If a loop may be left early, use the bar as a context
    manager, or call :meth:`close`, so that the terminal gets its cursor back at once and not
    only when the object is collected.

    Examples
    --------
    >>> with Progbar(3, verbose=2) as bar:
    ...     for step in range(3):
    ...         bar.update(step + 1, [("loss", 0.5)])  # doctest: +ELLIPSIS
    3/3 - 0s - ...us/step - loss: 0.5000

    References
    ----------
    Keras, ``keras/src/utils/progbar.py``.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int | str = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Only one of `stateful_metrics` or `stateless_metrics` can be provided, received "
                f"{stateful_metrics!r} and {stateless_metrics!r}."
            )
        self.target = target
        self.width = width
        self.verbose = check_verbose(verbose)
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = (
            None if stateless_metrics is not None else set(stateful_metrics or ())
        )
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._values: dict[str, tuple[Any, int]] = {}  # name: sum, number of steps in it
        self._seen = 0
        self._start = perf_counter()
        self._after_first: float | None = None
        self._next_draw = 0.0
        self._display: _Display | None = None
        # Asked once: a redirected output is not turned into a terminal half-way.
        self._can_redraw: bool | None = None

    def __enter__(self) -> Progbar:
        """Return the bar itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bar, however the block ends."""
        self.close()

    def close(self) -> None:
        """Stop drawing: the last line stays, the cursor comes back. Doing it twice is harmless."""
        if self._display is not None:
            self._display.close()
            self._display = None

    def is_due(self, current: int) -> bool:
        """Whether an update to step `current` could draw anything, at the price of a clock.

        A caller whose metrics are not averaged may skip the updates that are not due. The first
        step always is one: the time per step counts from its end.
        """
        return current <= 1 or perf_counter() >= self._next_draw

    def update(
        self,
        current: int,
        values: Iterable[tuple[str, Any]] | None = None,
        finalize: bool | None = None,
    ) -> None:
        """Go to step `current`, counted from 1, and redraw if the last drawing is old enough.

        Parameters
        ----------
        current : int
            How many steps are done.
        values : iterable of (str, number), optional
            Metrics of this step; an array counts by its mean.
        finalize : bool, optional
            Whether this is the last update. By default: whether `target` is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._add_value(name, value, current, finalize)
        self._seen = current
        now = perf_counter()
        if self.verbose == 0:
            return
        step_time = self._step_time(current, now)
        if self.verbose == 1 and (finalize or now >= self._next_draw):
            self._draw(self._spans(current, now, step_time, finalize), finalize)
            # Counted from the end of the drawing: a slow terminal never eats all the time.
            self._next_draw = perf_counter() + self.interval
        elif self.verbose == 2 and finalize and self.target:
            count = f"{current:{len(str(self.target))}d}/{self.target}"
            taken = f"{now - self._start:.0f}s - {_time_per_unit(step_time, self.unit_name)}"
            write_line(f"{count} - {taken}{self._metrics()}")

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """Go `n` steps further; `values` as in :meth:`update`."""
        self.update(self._seen + n, values)

    def _add_value(self, name: str, value: Any, current: int, finalize: bool) -> None:
        if self.stateless_metrics is not None:
            averaged = name in self.stateless_metrics
        else:
            averaged = name not in (self.stateful_metrics or ())
        if averaged and not finalize:
            # An update that skips steps speaks for all of them. As in Keras, the final one
            # carries the mean itself.
            steps = max(current - self._seen, 1)
            total, count = self._values.get(name, (0.0, 0))
            self._values[name] = (total + value * steps, count + steps)
        else:
            self._values[name] = (value, 1)

    def _step_time(self, current: int, now: float) -> float:
        """Mean seconds per step, without the first step once a second one has been taken."""
        if current == 0:
            return 0.0
        if self._after_first is not None and current > 1:
            mean = (now - self._after_first) / (current - 1)
        else:
            mean = (now - self._start) / current
        if current == 1:
            self._after_first = now
        return mean

    def _metrics(self) -> str:
        parts = []
        for name, (total, count) in self._values.items():
            mean = float(np.mean(total)) / count
            # Keras drops the sign only for the bar: verbose=2 has -0.5 as "-5.0000e-01".
            size = abs(mean) if self.verbose == 1 else mean
            number = f"{mean:.4f}" if size > 1e-3 else f"{mean:.4e}"
            parts.append(f" - {name}: {number}")
        return "".join(parts)

    def _spans(self, current: int, now: float, step_time: float, finalize: bool) -> Spans:
        """Build the line: count, bar, time, time per step, metrics."""
        spans: Spans
        left = f"{now - self._start:.0f}s"
        if self.target:
            if not finalize:
                left = _duration(step_time * (self.target - current))
            done = min(max(int(self.width * current / self.target), 0), self.width)
            full, rest = "━─" if encodable("━─") == "━─" else "=-"
            spans = [
                (f"{current:{len(str(self.target))}d}/{self.target}", "bold"),
                (" ", ""),
                (full * done, "green"),
                # A lighter stroke than Keras's, so that it can be told without colours as well.
                (rest * (self.width - done), "white"),
            ]
        else:
            spans = [(f"{current:7d}/Unknown", "")]
        tail = f" {_time_per_unit(step_time, self.unit_name)}{self._metrics()}"
        return [*spans, (" ", ""), (left, "bold"), (encodable(tail), "")]

    def _draw(self, spans: Spans, finalize: bool) -> None:
        if self._can_redraw is None:
            self._display = _display()
            self._can_redraw = self._display is not None
        elif self._can_redraw and self._display is None:
            self._display = _display()  # drawn again after its end
        if self._display is not None:
            self._display.draw(spans)
            if finalize:
                self.close()
        elif finalize:
            write_line(_plain(spans))
