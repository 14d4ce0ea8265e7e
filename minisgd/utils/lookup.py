"""Turning a user's identifier (a name) into one of our objects, with a helpful error."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def did_you_mean(name: str, known: Mapping[str, object] | list[str]) -> str:
    """Sentence that suggests the nearest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def look_up(identifier: object, known: Mapping[str, T], kind: str) -> T:
    """Entry of `known` with the name `identifier`.

    Raises
    ------
    ValueError
        If `identifier` is no name or not a known one.
    """
    if isinstance(identifier, str) and identifier in known:
        return known[identifier]
    hint = did_you_mean(identifier, known) if isinstance(identifier, str) else ""
    # Where functions and classes have one name each, the functions' are enough.
    plain = [name for name in known if name.islower()] or list(known)
    names = ", ".join(f"'{name}'" for name in plain)
    msg = (
        f"Could not interpret {kind} identifier: {identifier!r}.{hint} Expected one of {names}, "
        "or an object."
    )
    raise ValueError(msg)


def get_object(
    identifier: Any, known: Mapping[str, Any], kind: str, deserialize: Callable[[Any], Any]
) -> Any:
    """What a name or a configuration stands for; a class is called, None and functions stay.

    Raises
    ------
    ValueError
        If there is none with that name, or it is no function.
    """
    if identifier is None:
        return None
    found = deserialize(identifier) if isinstance(identifier, dict) else identifier
    if not callable(found):
        found = look_up(found, known, kind)
    return found() if inspect.isclass(found) else found
