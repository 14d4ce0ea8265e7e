"""Callbacks: code of the user's that ``fit``, ``evaluate`` and ``predict`` call on their way."""

from typing import Any

from minisgd.callbacks.callback import Callback, CallbackList
from minisgd.callbacks.history import History
from minisgd.callbacks.learning_rate_scheduler import LearningRateScheduler
from minisgd.callbacks.progbar_logger import ProgbarLogger
from minisgd.utils.unsupported import explain

__all__ = ["Callback", "CallbackList", "History", "LearningRateScheduler", "ProgbarLogger"]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
