"""What is fixed here and may be set in Keras (Keras: ``keras.config``)."""

from __future__ import annotations

from typing import Any

from minisgd.utils.unsupported import explain

__all__ = ["backend", "epsilon", "floatx", "image_data_format"]

EPSILON = 1e-7


def backend() -> str:
    """Name of what computes: ``"numba"``."""
    return "numba"


def floatx() -> str:
    """The dtype of weights and computation where a layer names none: ``"float32"``."""
    return "float32"


def epsilon() -> float:
    """The small number that keeps logarithms and quotients finite: 1e-7."""
    return EPSILON


def image_data_format() -> str:
    """Where an image has its colours: ``"channels_last"``."""
    return "channels_last"


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
