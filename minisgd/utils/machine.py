"""What a run depends on outside of the program: versions, processor, folder of compiled kernels."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("numpy", "numba", "llvmlite", "h5py", "rich", "click")
_OPTIONAL = ("keras", "tensorflow", "pillow", "matplotlib", "scikit-learn", "safetensors")
_OTHER_NAMES = {"tensorflow": "tensorflow-cpu"}
# Widest first: the vector instructions that matter for the compute kernels.
_VECTOR_FEATURES = ("avx512f", "avx2", "fma", "avx", "sse2", "sve", "neon")


def versions(minisgd: str) -> dict[str, str]:
    """Versions of minisgd (given by the caller), Python and the packages that minisgd uses."""
    found = {"minisgd": minisgd, "python": platform.python_version()}
    return found | {name: _installed(name) for name in _PACKAGES}


def optional_versions() -> dict[str, str]:
    """Versions of what the extras bring; none of them is imported."""
    return {name: _installed(name, _OTHER_NAMES.get(name, name)) for name in _OPTIONAL}


def _installed(*names: str) -> str:
    """Version of the first of these distributions that is there."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "not installed"


def cpu() -> dict[str, str]:
    """The processor: its name, LLVM's name for its kind, and its vector instructions."""
    # Numba compiles for the processor that LLVM finds: this is what it was asked for.
    from llvmlite import binding

    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM can't tell on every processor
        features = {}
    vectors = [name for name in _VECTOR_FEATURES if features.get(name)]
    return {
        "name": _cpu_name(),
        "kind": binding.get_host_cpu_name(),
        "instruction_set": " ".join(vectors) or "unknown",
        "architecture": platform.machine(),
    }


def system() -> str:
    """The operating system."""
    return platform.platform()


def kernel_cache() -> str:
    """Folder in which the compiled kernels are kept, or why there is none."""
    from minisgd_kernels import dense
    from minisgd_kernels._cache import cache_directory

    if not hasattr(dense, "stats"):
        return "none: kernels are not compiled (NUMBA_DISABLE_JIT is set)"
    try:
        return str(cache_directory())
    except OSError as error:
        return f"none, every process compiles anew: {error}"


def kernel_cache_megabytes() -> float:
    """Size of the compiled kernels in that folder."""
    files = Path(kernel_cache()).glob("*.nb[ic]")
    return round(sum(file.stat().st_size for file in files if file.is_file()) / 2**20, 1)


def has_compiled_kernels() -> bool:
    """Whether the cache holds compiled kernels already."""
    folder = Path(kernel_cache())
    return folder.is_dir() and next(folder.glob("*.nbc"), None) is not None


def _cpu_name() -> str:
    """Name of the processor as its maker calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine() or "unknown"
