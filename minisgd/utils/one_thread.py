"""A model is trained or evaluated by one thread at a time."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# Who is at work on each model: process (a fork's child has none of its parent's threads), thread.
_owners: weakref.WeakKeyDictionary[Any, tuple[int, threading.Thread]]
_owners = weakref.WeakKeyDictionary()


def in_one_thread(method: F) -> F:
    """Refuse a method of a model while another thread is within one of these.

    Two threads would count each other's batches in the metrics and move the weights under each
    other's gradients. The same thread may come again: a callback may call `fit`.
    """

    @functools.wraps(method)
    def alone(model: Any, *arguments: Any, **options: Any) -> Any:
        me = (os.getpid(), threading.current_thread())
        owner = _owners.setdefault(model, me)  # one step for Python: no two threads get it
        if owner == me:
            first = owner is me
        elif first := owner[0] != me[0]:
            _owners[model] = me
        else:
            raise ValueError(
                f"`{method.__name__}`: expected a model that no other thread is training or "
                f"evaluating, received {getattr(model, 'name', model)!r}, which "
                f"{owner[1].name!r} is at work on. Wait for it, or give each thread a model of its "
                "own (`models.clone_model`)."
            )
        try:
            return method(model, *arguments, **options)
        finally:
            if first:
                _owners.pop(model, None)

    return alone  # type: ignore[return-value]
