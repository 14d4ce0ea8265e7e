"""Callbacks: code of the user's that ``fit``, ``evaluate`` and ``predict`` call on their way."""

from minisgd.callbacks.callback import Callback, CallbackList
from minisgd.callbacks.history import History
from minisgd.callbacks.learning_rate_scheduler import LearningRateScheduler
from minisgd.callbacks.progbar_logger import ProgbarLogger

__all__ = ["Callback", "CallbackList", "History", "LearningRateScheduler", "ProgbarLogger"]
