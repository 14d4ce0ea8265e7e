"""The compiler: one whole eager step, recorded, printed as Numba source, and run many times.

Read `record` (how a step becomes a flat list of calls), `printer` (how the list becomes a file),
`runner` (how `fit` uses it); `trace` says what can be compiled, `files` keeps the files,
`ahead` lets a second process help where a step is to run eagerly and nothing is compiled yet.
"""

from typing import Any

from minisgd.compiler import trace
from minisgd.compiler.runner import WORTH_STEPS, Runner
from minisgd.compiler.text import compiled_source, explain
from minisgd.compiler.threads import get_threads, set_threads
from minisgd.compiler.trace import trying

__all__ = [
    "WORTH_STEPS", "Runner", "compiled_source", "explain", "get_threads", "set_threads", "trying",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "traces":  # how many steps were recorded in this process
        return trace.traces
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name)
