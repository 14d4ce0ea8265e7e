"""Describe what a comparison ran on, and load the reference (Keras on TensorFlow)."""

from __future__ import annotations

import importlib
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from minisgd.compiler.threads import processors
from minisgd.utils import machine

REFERENCE_KERAS = "3.15.1"
REFERENCE_TENSORFLOW = "2.21"
INSTALL_COMMAND = "python -m pip install -e '.[test]'"  # in a checkout
_ON_LINUX_X86 = platform.system() == "Linux" and platform.machine() == "x86_64"
INSTALL_REFERENCE = (  # anywhere
    f"python -m pip install 'keras=={REFERENCE_KERAS}' "
    f"'tensorflow{'-cpu' if _ON_LINUX_X86 else ''}=={REFERENCE_TENSORFLOW}.*'"
)

# Variables that choose another kernel or another order of rounding inside TensorFlow.
_NUMERIC_FLAGS = (
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_DETERMINISTIC_OPS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "ONEDNN_",
    "DNNL_",
    "NPY_DISABLE_CPU_FEATURES",
    "KERAS_FLOATX",
)


class ReferenceUnavailableError(RuntimeError):
    """Keras on TensorFlow cannot be imported; the message names the command that installs it."""


@dataclass(frozen=True)
class Environment:
    """Machine, versions and flags of a comparison.

    Attributes
    ----------
    cpu : str
        The processor's model name.
    instruction_set : str
        The widest vector set: "AVX-512", "AVX2" or "other".
    cores : int
        Cores that this process may use.
    system : str
        Operating system and machine, for example "Linux x86_64".
    versions : dict of str to str
        Version of each package, "missing" where it is not installed.
    flags : dict of str to str
        Environment variables that change TensorFlow's order of rounding.
    """

    cpu: str
    instruction_set: str
    cores: int
    system: str
    versions: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def reference_setup(self) -> bool:
        """Whether this is the setup for which equality of bits is promised."""
        return not self.deviations()

    def deviations(self) -> list[str]:
        """Return in words what differs from the reference setup (empty if nothing does)."""
        found = []
        if self.instruction_set != "AVX-512":
            found.append(f"{self.instruction_set} instead of AVX-512")
        if self.versions["keras"] != REFERENCE_KERAS:
            found.append(f"keras {self.versions['keras']} instead of {REFERENCE_KERAS}")
        if not self.versions["tensorflow"].startswith(REFERENCE_TENSORFLOW + "."):
            found.append(
                f"tensorflow {self.versions['tensorflow']} instead of {REFERENCE_TENSORFLOW}"
            )
        found.extend(f"{name}={value}" for name, value in self.flags.items())
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the description as plain dictionaries, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Return one line for a report's header."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        flags = ", ".join(f"{name}={value}" for name, value in self.flags.items()) or "default"
        return (
            f"{self.cpu} ({self.instruction_set}, {self.cores} cores), {self.system}; "
            f"{versions}; flags: {flags}"
        )


def describe() -> Environment:
    """Describe this machine and its packages without importing TensorFlow."""
    versions = {
        "python": platform.python_version(),
        "minisgd": str(importlib.import_module("minisgd").__version__),
    }
    for name in ("numpy", "numba", "llvmlite", "keras"):
        versions[name] = _version(name)
    versions["tensorflow"] = _version("tensorflow_cpu", "tensorflow")
    flags = {
        name: value for name, value in sorted(os.environ.items()) if name.startswith(_NUMERIC_FLAGS)
    }
    processor = machine.cpu()
    return Environment(
        cpu=processor["name"],
        instruction_set=_instruction_set(processor["instruction_set"]),
        cores=processors(),
        system=f"{platform.system()} {platform.machine()}",
        versions=versions,
        flags=flags,
    )


def reference_setup() -> bool:
    """Return whether equality is promised here: TF 2.21, Keras 3.15.1, AVX-512, no flags."""
    return describe().reference_setup


def reference_available() -> bool:
    """Return whether Keras and TensorFlow are installed, without importing them."""
    return _version("keras") != "missing" and _version("tensorflow_cpu", "tensorflow") != "missing"


def load_reference() -> tuple[Any, Any]:
    """Import Keras on TensorFlow.

    Returns
    -------
    keras, tensorflow : module
        The two modules.

    Raises
    ------
    ReferenceUnavailableError
        If either is missing, or if Keras is already running on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        tensorflow = importlib.import_module("tensorflow")
        keras = importlib.import_module("keras")
    except ImportError as error:
        raise ReferenceUnavailableError(
            f"comparing needs Keras on TensorFlow, but {error}. Install both: "
            f"{INSTALL_REFERENCE} (in a checkout of minisgd: {INSTALL_COMMAND})"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ReferenceUnavailableError(
            "expected Keras on TensorFlow, received Keras on "
            f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow."
        )
    return keras, tensorflow


def _version(*distributions: str) -> str:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "missing"


def _instruction_set(features: str) -> str:
    """Widest vector set that oneDNN chooses its kernels by."""
    if "avx512f" in features:
        return "AVX-512"
    return "AVX2" if "avx2" in features else "other"
