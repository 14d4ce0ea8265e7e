"""Callbacks: code that ``fit``, ``evaluate`` and ``predict`` call on their way."""

from typing import Any

from minisgd.callbacks.backup_and_restore import BackupAndRestore
from minisgd.callbacks.callback import Callback, CallbackList
from minisgd.callbacks.csv_logger import CSVLogger
from minisgd.callbacks.early_stopping import EarlyStopping
from minisgd.callbacks.history import History
from minisgd.callbacks.lambda_callback import LambdaCallback
from minisgd.callbacks.learning_rate_scheduler import LearningRateScheduler
from minisgd.callbacks.model_checkpoint import ModelCheckpoint
from minisgd.callbacks.progbar_logger import ProgbarLogger
from minisgd.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from minisgd.callbacks.swap_ema_weights import SwapEMAWeights
from minisgd.callbacks.tensorboard import TensorBoard
from minisgd.callbacks.terminate_on_nan import TerminateOnNaN
from minisgd.utils.unsupported import explain

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
