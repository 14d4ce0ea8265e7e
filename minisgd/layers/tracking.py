"""What a layer owns: variables, layers and metrics that are set as its attributes.

Attributes are enough: ``self.hidden = Dense(4)``, ``self.blocks = [...]`` (Keras:
``utils/tracking.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from minisgd.tensor import Variable

_LOCKED = (
    "You cannot add new elements of state (variables or sub-layers) to a layer that is already "
    "built. All state must be created in the `__init__()` method or in the `build()` method."
)
Take = Callable[[Any], Any]


class Owner:
    """Keeps what is set as an attribute, in the order of setting; `Layer` is one.

    Attributes
    ----------
    _untracked : frozenset of str
        Names of attributes that are bookkeeping.
    """

    _trainable_variables: list[Variable]
    _non_trainable_variables: list[Variable]
    _layers: list[Any]
    _own_metrics: list[Any]
    _untracked: frozenset[str] = frozenset()
    _locked = False  # whether the state is complete, as it is once the layer is built

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the lists before `__init__`, which may set attributes at once."""
        self = super().__new__(cls)
        vars(self).update(
            _trainable_variables=[], _non_trainable_variables=[], _layers=[], _own_metrics=[]
        )
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._untracked:
            value = self._track(value)
        super().__setattr__(name, value)

    def _track(self, value: Any) -> Any:
        """Take note of state; lists, tuples and dicts of it are followed (as tracked copies)."""
        if isinstance(value, Variable):
            own = self._trainable_variables if value.trainable else self._non_trainable_variables
            if not _among(value, [*self._trainable_variables, *self._non_trainable_variables]):
                self._take(value, own)
        elif isinstance(value, Owner):
            self._take(value, self._layers)
        elif callable(getattr(value, "update_state", None)) and hasattr(value, "reset_state"):
            self._take(value, self._own_metrics)
        elif type(value) is list:
            return TrackedList(map(self._track, value), self._track)
        elif type(value) is dict:
            return TrackedDict({k: self._track(v) for k, v in value.items()}, self._track)
        elif type(value) is tuple:
            return tuple(map(self._track, value))
        return value

    def _take(self, value: Any, own: list[Any]) -> None:
        if not _among(value, own):
            if self._locked:
                raise ValueError(_LOCKED)
            own.append(value)


class TrackedList(list[Any]):
    """A list that tells its owner what is put into it."""

    def __init__(self, values: Iterable[Any] = (), track: Take | None = None) -> None:
        super().__init__(values)
        self._track: Take = track or (lambda value: value)

    def append(self, value: Any) -> None:
        """Put at the end."""
        super().append(self._track(value))

    def extend(self, values: Iterable[Any]) -> None:
        """Put several at the end."""
        super().extend(map(self._track, values))

    def insert(self, index: Any, value: Any) -> None:
        """Put at a place."""
        super().insert(index, self._track(value))

    def __iadd__(self, values: Iterable[Any]) -> TrackedList:  # type: ignore[misc]
        self.extend(values)
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        value = map(self._track, value) if isinstance(index, slice) else self._track(value)
        super().__setitem__(index, value)

    def __reduce__(self) -> Any:
        return list, (list(self),)


class TrackedDict(dict[Any, Any]):
    """A dict that tells its owner what is put into it."""

    def __init__(self, values: Any = (), track: Take | None = None) -> None:
        super().__init__(values)
        self._track: Take = track or (lambda value: value)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, self._track(value))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Put several in."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key, put in if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


def flatten(layer: Any) -> list[Any]:
    """All layers in a layer, each once, those that hold others first.

    Keras's order: of the layers inside a layer, the last comes first.
    """
    found: list[Any] = []
    waiting = deque(layer._layers)
    while waiting:
        inner = waiting.popleft()
        if not _among(inner, found):
            found.append(inner)
            waiting.extendleft(inner._layers)
    return found


def unique(variables: Iterable[Any]) -> list[Any]:
    """Each once, in order."""
    found: dict[int, Any] = {}
    for variable in variables:
        found.setdefault(id(variable), variable)
    return list(found.values())


def _among(value: Any, known: Iterable[Any]) -> bool:
    return any(value is one for one in known)
