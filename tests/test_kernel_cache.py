"""Compiled kernels as files: damaged, a stranger's, another version's, on a full disk."""

import os
import pickle
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core import config as numba_config

from minisgd.compiler import files
from minisgd_kernels import _cache
from minisgd_kernels._jit import kernel


def doubled(x):
    return x + x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache for this test, in which nothing has been said yet."""
    monkeypatch.setattr(numba_config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(_cache, "_said", [])
    return _cache.cache_directory()


def saved(folder, argument=1):
    """The one file of a kernel that has been called."""
    assert kernel(doubled)(argument) == 2 * argument
    (path,) = folder.glob(f"*{_cache.SUFFIX}")
    return path


def found():
    """What the file of `doubled` holds for its signature; None if it is of no use."""
    compiled = kernel(doubled)
    return compiled._cache.load_overload((numba.typeof(1),), compiled.targetctx)


def damages(data):
    """The same bytes, cut and with flipped bits at places that are spread over them."""
    places = np.unique(np.linspace(0, len(data) - 1, 40).astype(int))
    for place in places.tolist():
        yield data[:place]
        for bit in (0, 7):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    yield data + b"\0"
    yield pickle.dumps((None, None))


def test_a_damaged_file_is_never_unpickled(folder, monkeypatch):
    path = saved(folder)
    whole = path.read_bytes()
    assert found() is not None
    monkeypatch.setattr(_cache.pickle, "loads", lambda data: pytest.fail("unpickled"))
    for data in damages(whole):
        _cache._said.clear()
        path.write_bytes(data)
        with pytest.warns(UserWarning, match="is damaged; its kernel is compiled anew"):
            assert found() is None
    assert found() is None, "and no second warning"


def test_the_kernel_is_compiled_and_the_file_replaced(folder):
    path = saved(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="is damaged"):
        saved(folder)
    assert found() is not None
    assert len(list(folder.iterdir())) == 1, "nothing temporary is left"


def test_files_of_other_versions_are_left_alone(folder, monkeypatch):
    path = saved(folder)
    foreign = folder / "doubled-1.py311.nbi"
    foreign.write_bytes(b"of Numba's own cache")
    found_key = _cache.CodeCache._key
    monkeypatch.setattr(_cache.CodeCache, "_path", lambda self, key: path)
    monkeypatch.setattr(
        _cache.CodeCache, "_key", lambda *arguments: (*found_key(*arguments), "another processor")
    )
    assert found() is None, "the name is right, the key is not"
    assert kernel(doubled)(3) == 6
    assert foreign.exists()


def test_flush_forgets(folder):
    saved(folder)
    compiled = kernel(doubled)
    compiled(1)
    assert compiled.stats.cache_hits
    assert compiled.stats.cache_path == str(folder)
    compiled.recompile()
    assert compiled.stats.cache_misses
    assert len(list(folder.glob("*"))) == 1


def test_folders_are_private(folder):
    for path in (folder, folder.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    text = "def train_steps():\n    return 1\n"
    assert files.load(text, "train")() == 1
    assert (folder / "steps").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o720])
def test_a_folder_that_others_can_write_in_is_refused(folder, monkeypatch, mode):
    path = saved(folder)
    folder.parent.chmod(mode)
    _cache._directory.cache_clear()
    with pytest.raises(PermissionError, match=r"other users can write in .*minisgd .mode 7.*chmod"):
        _cache.cache_directory()
    monkeypatch.setattr(_cache.pickle, "loads", lambda data: pytest.fail("unpickled"))
    assert found() is None
    with pytest.warns(UserWarning, match="compiled kernels can't be kept .other users can write"):
        assert kernel(doubled)(2) == 4
    assert kernel(doubled).stats.cache_path is None
    assert files.path_of("text", "train") is None
    assert files.load("def train_steps():\n    return 2\n", "train")() == 2
    assert path.exists()


def test_a_strangers_folder_and_a_strangers_file_are_refused(folder, monkeypatch):
    saved(folder)
    user = os.geteuid()
    monkeypatch.setattr(_cache.os, "geteuid", lambda: user + 1)
    monkeypatch.setattr(_cache.pickle, "loads", lambda data: pytest.fail("unpickled"))
    with pytest.warns(UserWarning, match=rf"belongs to another user .number {user}"):
        assert found() is None
    _cache._directory.cache_clear()
    with pytest.raises(PermissionError, match="belongs to another user"):
        _cache.cache_directory()


def test_what_stands_in_a_steps_file_never_runs(folder, tmp_path):
    """Neither the file's text nor byte code beside it; the file is put right."""
    text = "def train_steps():\n    return 'printed'\n"
    path = files.path_of(text, "train")
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w')\ndef train_steps():\n    return 'a trap'\n"
    path.write_text(trap)
    subprocess.run([sys.executable, "-m", "compileall", "-q", path.parent], check=True)
    assert list(path.parent.rglob("*.pyc"))
    assert files.load(text, "train")() == "printed"
    assert path.read_text() == text
    assert not (tmp_path / "sprung").exists()


SUM = """
import resource, sys, warnings
import numpy as np
import minisgd_kernels as kernels
warnings.simplefilter("always")
if sys.argv[1:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
for dtype in ("f4", "f8"):
    total = kernels.sum_all(np.full((1, 50), 0.5, dtype))
    assert total == 25 and total.dtype == dtype
"""


def run(tmp_path, *arguments):
    """Two kernels in a process; what it warns of."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    environment |= {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", SUM, *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_damage_to_every_file_of_a_process(tmp_path):
    assert run(tmp_path) == ""
    paths = sorted(tmp_path.rglob(f"*{_cache.SUFFIX}"))
    assert len(paths) == 2
    whole = [path.read_bytes() for path in paths]
    paths[0].write_bytes(whole[0][:-1])
    middle = len(whole[1]) // 2
    paths[1].write_bytes(whole[1][:middle] + b"\xff\xff" + whole[1][middle + 2 :])
    assert run(tmp_path).count("is damaged; its kernel is compiled anew") == 1
    assert run(tmp_path) == ""
    assert sorted(tmp_path.rglob(f"*{_cache.SUFFIX}")) == paths


def test_a_full_disk_costs_the_files_and_not_the_run(tmp_path):
    said = run(tmp_path, 1000)
    assert said.count("compiled kernels can't be kept ([Errno 27] File too large)") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
