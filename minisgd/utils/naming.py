"""Names that Keras makes up: dense, dense_1, ..."""

from __future__ import annotations

import gc
import re
from collections import defaultdict

_used: dict[str, int] = defaultdict(int)


def to_snake_case(name: str) -> str:
    """Class name in lower case with underscores: ``"InputLayer"`` -> ``"input_layer"``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """A name that is new in this process: the prefix, then prefix_1, prefix_2, ..."""
    prefix = to_snake_case(prefix)
    count = _used[prefix]
    _used[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def clear_session(free_memory: bool = True) -> None:
    """Start all names anew, and collect what is no longer used unless `free_memory` is False.

    References
    ----------
    Keras, ``keras.utils.clear_session`` (backend/common/global_state.py).
    """
    if free_memory:
        gc.collect()
    _used.clear()
