"""Ctrl-C between two training steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class WholeSteps:
    """Let a step that has begun end before Ctrl-C has its effect: weights and counters agree.

    A second Ctrl-C during the same step has its effect at once. Whatever handles SIGINT otherwise,
    Python's KeyboardInterrupt or a function of the user's, does so here too, only later. Outside of
    the main thread, where Python lets nobody handle signals, nothing changes.

    Examples
    --------
    >>> with WholeSteps() as steps:
    ...     with steps.one():
    ...         pass  # a step
    """

    def __init__(self) -> None:
        self._handler: Any = None
        self._within = False
        self._waiting: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> WholeSteps:
        """Stand between SIGINT and its handler."""
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):  # else it is ignored, or not Python's to handle
                self._handler = handler
                signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        """Step back, unless somebody else has taken the place in the meantime."""
        if self._handler is not None and signal.getsignal(signal.SIGINT) == self._on_signal:
            signal.signal(signal.SIGINT, self._handler)

    @contextmanager
    def one(self) -> Iterator[None]:
        """One step. A signal that came meanwhile has its effect at the end."""
        self._within = True
        try:
            yield
        finally:
            self._within = False
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                self._handler(*waiting)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._within and self._waiting is None:
            self._waiting = (number, frame)
        else:
            self._handler(number, frame)
