"""Image data sets under Keras's names: ``mnist`` (bundled) and ``fashion_mnist`` (read from disk).

Nothing here downloads, and nothing writes: not into the package, and never into Keras's cache.
The environment variable ``MINISGD_DATA`` names a folder in which data files are looked for.
"""

from typing import Any

from minisgd.datasets import fashion_mnist, mnist
from minisgd.utils.unsupported import explain

__all__ = ["fashion_mnist", "mnist"]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
