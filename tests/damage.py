"""Files made for the fuzz tests: seeded damage to good ones, and the worker that loads them."""

from __future__ import annotations

import io
import json
import struct
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Generator = np.random.Generator


def cut(data: bytes, rng: Generator) -> bytes:
    """An interrupted copy."""
    return data[: int(rng.integers(0, len(data)))]


def flip(data: bytes, rng: Generator) -> bytes:
    """One to 30 bits, half of the time among the first 3,000 bytes, where the structure is."""
    out = bytearray(data)
    end = min(len(out), 3000) if rng.random() < 0.5 else len(out)
    for place in rng.integers(0, end, int(rng.integers(1, 31))):
        out[place] ^= 1 << int(rng.integers(0, 8))
    return bytes(out)


def overwrite(data: bytes, rng: Generator) -> bytes:
    """An aligned word becomes a number that is dangerous as a size or an offset."""
    out = bytearray(data)
    numbers = [0, 1, 8, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]
    for _ in range(int(rng.integers(1, 4))):
        width, number = int(rng.choice([1, 2, 4, 8])), int(rng.integers(0, len(numbers)))
        place = int(rng.integers(0, (len(out) - 8) // width)) * width
        out[place : place + width] = (numbers[number] & ((1 << 8 * width) - 1)).to_bytes(
            width, "little"
        )
    return bytes(out)


def splice(data: bytes, rng: Generator) -> bytes:
    """A block copied over, inserted at, or taken from another place."""
    size = int(rng.integers(1, 600))
    start, target = (int(v) for v in rng.integers(0, max(1, len(data) - size), 2))
    block = data[start : start + size]
    way = int(rng.integers(0, 3))
    if way == 0:
        return data[:target] + block + data[target + size :]
    return data[:target] + (block if way == 1 else b"") + data[target + (way == 2) * size :]


def edit_zip_header(data: bytes, rng: Generator) -> bytes:
    """Random numbers in the headers of a ZIP archive; other files are flipped."""
    signatures = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")
    places = [i for s in signatures for i in _places(data, s)]
    if not places:
        return flip(data, rng)
    out, place = bytearray(data), int(rng.choice(places))
    for offset in rng.integers(4, 46, int(rng.integers(1, 4))):
        at = min(place + int(offset), len(out) - 4)
        out[at : at + 4] = struct.pack("<I", int(rng.choice([0, 1, 9, 0xFFFFFFFF, 1 << 31, 77])))
    return bytes(out)


def _places(data: bytes, word: bytes) -> list[int]:
    found, place = [], data.find(word)
    while place >= 0:
        found.append(place)
        place = data.find(word, place + 1)
    return found


def edit_json(data: bytes, rng: Generator) -> bytes:
    """Values of the configuration exchanged, its archive otherwise right; other files spliced."""
    members = _members(data)
    if members is None:
        return splice(data, rng)
    config = json.loads(members["config.json"])
    for _ in range(int(rng.integers(1, 3))):
        owners = list(_containers(config))
        owner = owners[int(rng.integers(0, len(owners)))]
        keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
        if not keys:
            continue
        key = keys[int(rng.integers(0, len(keys)))]
        if rng.random() < 0.2:
            del owner[key]
        else:
            owner[key] = _VALUES[int(rng.integers(0, len(_VALUES)))]
    return _archive({**members, "config.json": json.dumps(config).encode()})


def edit_weights(data: bytes, rng: Generator) -> bytes:
    """Damage inside of the archive's weights, the archive's checksum made good."""
    members = _members(data)
    inner = (flip, overwrite, splice, cut)[int(rng.integers(0, 4))]
    if members is None:
        return inner(data, rng)
    return _archive({**members, "model.weights.h5": inner(members["model.weights.h5"], rng)})


_VALUES: list[Any] = [
    None, True, 0, -1, 1, 3, 2**31, 2**63, 10**12, 1e308, float("nan"), "", "relu", "Dense",
    "keras", "\ud800", [], {}, [None, 4], [10**12], [-1], {"class_name": "Dense", "config": {}},
    {"class_name": "__lambda__", "config": {"value": "4wEA"}}, "os.system", [[[[]]]],
    {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"},
    {"module": "subprocess", "class_name": "Popen", "config": {"args": "false"}},
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}},
]  # fmt: skip


def _containers(value: Any) -> Any:
    if isinstance(value, dict | list):
        yield value
        for inner in list(value.values()) if isinstance(value, dict) else list(value):
            yield from _containers(inner)


def _members(data: bytes) -> dict[str, bytes] | None:
    if not data.startswith(b"PK"):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


MUTATIONS: tuple[Callable[[bytes, Generator], bytes], ...] = (
    cut, flip, overwrite, splice, edit_zip_header, edit_json, edit_weights,
)  # fmt: skip
SUFFIXES = (".keras", ".weights.h5", ".safetensors")


def make_model() -> Any:
    """A small model with everything that a file holds."""
    import minisgd as keras

    keras.utils.set_random_seed(1)
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model = keras.Sequential(
        [
            keras.layers.Input((2, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.Dense(6),
            keras.layers.Dense(6, "softmax"),
        ]
    )
    sgd = keras.optimizers.SGD(rate, momentum=0.9, use_ema=True)
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"])
    sgd.build(model.trainable_variables)
    for index, variable in enumerate(sgd.variables[1:]):
        variable.assign(np.full(variable.shape, index + 0.5, np.float32))
    return model


def state(model: Any) -> list[bytes]:
    """Weights and optimizer state."""
    variables = list(model.weights)
    if model.optimizer is not None:
        variables += model.optimizer.variables
    return [variable.numpy().tobytes() for variable in variables]


def work(folder: Path, first: int, count: int) -> None:
    """Load the damaged files `first`, `first + 1`, ...; a line of JSON for each, before and after.

    A killed process leaves the number of the file that killed it.
    """
    import minisgd as keras

    warnings.simplefilter("ignore")
    model = make_model()
    originals = {}
    for suffix in SUFFIXES:
        path = folder / f"good{suffix}"
        model.save(path) if suffix == ".keras" else model.save_weights(path)
        originals[suffix] = path.read_bytes()
    victim, right = make_model(), state(model)
    for variable in [*victim.weights, *victim.optimizer.variables]:
        variable.assign(np.zeros(variable.shape, np.float32))
    blank = state(victim)
    unset = _untrained(right)
    fresh = [variable.numpy().copy() for variable in [*victim.weights, *victim.optimizer.variables]]
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        suffix = SUFFIXES[(0, 0, 0, 1, 1, 1, 2)[number % 7]]
        mutate = MUTATIONS[int(rng.integers(0, len(MUTATIONS)))]
        path = folder / f"case{suffix}"
        path.write_bytes(mutate(originals[suffix], rng))
        print(json.dumps({"case": number, "file": suffix, "mutation": mutate.__name__}), flush=True)
        start, result = time.perf_counter(), "loaded"
        try:
            if suffix == ".keras" and rng.random() < 0.8:
                loaded = keras.models.load_model(path)
                # An edited configuration may rightly give another model.
                if mutate is not edit_json and not _all_or_skipped(state(loaded), right, unset):
                    result = "other weights"
            else:
                victim.load_weights(path)
                if suffix == ".safetensors" and state(victim)[:6] != right[:6]:
                    result = "other weights"
                elif suffix != ".safetensors" and not _all_or_skipped(state(victim), right, blank):
                    result = "other weights"
        except ValueError as error:
            result = "refused" if str(error) and type(error).__module__ else "no message"
            if state(victim) != blank:
                result = "changed although it failed"
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        for variable, value in zip(
            [*victim.weights, *victim.optimizer.variables], fresh, strict=True
        ):
            variable.assign(value)
        print(json.dumps({"case": number, "result": result, "seconds": seconds}), flush=True)


def _untrained(right: list[bytes]) -> list[bytes]:
    """State of a model with these weights whose optimizer has not done anything."""
    return [*right[:6], *(bytes(len(value)) for value in right[6:])]


def _all_or_skipped(found: list[bytes], right: list[bytes], blank: list[bytes]) -> bool:
    """The weights are right; the optimizer's state as well, or left alone (with a warning)."""
    return found == right or (found[:6] == right[:6] and found[6:] == blank[6:])


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
