"""Utilities (Keras: ``keras.utils``)."""

from typing import Any

from minisgd.random import set_random_seed
from minisgd.utils.categorical import to_categorical
from minisgd.utils.naming import clear_session
from minisgd.utils.progbar import Progbar
from minisgd.utils.unsupported import explain

__all__ = ["Progbar", "clear_session", "set_random_seed", "to_categorical"]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
