"""Errors for what Keras has and minisgd has not: what minisgd is for, and what to use instead."""

from __future__ import annotations

import dis
import sys
from typing import NoReturn

from minisgd.utils.lookup import did_you_mean

PURPOSE = (
    "minisgd shows what happens inside `model.fit` with SGD: Sequential models of Dense, "
    "activation, normalization, reshaping and regularization layers"
)

# What to use instead, for names that users are likely to try; others get the general sentence.
_INSTEAD = {
    "Model": "write the network as Sequential([...]); the functional API is not part of minisgd",
    "Functional": "write the network as Sequential([...])",
    "Conv2D": "flatten the images: Sequential([Flatten(), Dense(...)]); for convolutions use Keras",
    "GlobalAveragePooling2D": "flatten the images with Flatten()",
    "MaxPooling2D": "flatten the images with Flatten()",
    "LSTM": "recurrent layers need Keras",
    "Embedding": "embeddings need Keras",
}
_OPTIMIZERS = (
    "use SGD(learning_rate, momentum, nesterov): minisgd studies SGD alone; for others use Keras"
)


def advice(module: str, name: str) -> str:
    """What to use instead of Keras's ``module.name``."""
    if module == "optimizers":
        return _OPTIMIZERS
    return _INSTEAD.get(name, "for the rest use Keras: the scripts are the same but for the import")


def explain(module_name: str, name: str) -> NoReturn:
    """Raise the error for an attribute that a module of ours lacks (for its ``__getattr__``).

    Raises
    ------
    AttributeError
        With advice if Keras has the name, or the name nearest to it. ``hasattr`` answers False.
    ImportError
        The same text, if the attribute was asked for by ``from module import name``: of an
        AttributeError the import statement would keep nothing but "cannot import name".
    """
    from minisgd.utils.keras_names import KERAS_NAMES  # only needed here

    module = module_name.partition(".")[2]
    text = f"module '{module_name}' has no attribute '{name}'"
    if name in KERAS_NAMES.get(module, ()):
        text = (
            f"{text}: Keras has '{name}', minisgd has not. {PURPOSE}. "
            f"Instead: {advice(module, name)}."
        )
    elif not name.startswith("_"):
        text = f"{text}.{did_you_mean(name, dir(sys.modules[module_name]))}"
    caller = sys._getframe(2)
    if caller.f_code.co_code[caller.f_lasti] == dis.opmap["IMPORT_FROM"]:
        raise ImportError(text, name=name)
    raise AttributeError(text, name=name)
