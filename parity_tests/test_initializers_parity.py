"""Every initializer beside live Keras: the same bits from the same seeds, names, configurations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minisgd
from minisgd.parity.compare import compare
from minisgd.parity.tolerances import INITIAL_ORTHOGONAL

pytestmark = pytest.mark.layers

SHAPES = [(7, 5), (5, 7), (1, 1), (784, 128)]
MAKE: dict[str, Callable[[Any], Any]] = {
    "Constant": lambda i: i.Constant(2.5),
    "GlorotNormal": lambda i: i.GlorotNormal(seed=3),
    "GlorotUniform": lambda i: i.GlorotUniform(seed=3),
    "HeNormal": lambda i: i.HeNormal(seed=3),
    "HeUniform": lambda i: i.HeUniform(seed=3),
    "Identity": lambda i: i.Identity(),
    "Identity, gain": lambda i: i.Identity(gain=0.3),
    "LecunNormal": lambda i: i.LecunNormal(seed=3),
    "LecunUniform": lambda i: i.LecunUniform(seed=3),
    "Ones": lambda i: i.Ones(),
    "Orthogonal": lambda i: i.Orthogonal(seed=3),
    "Orthogonal, gain": lambda i: i.Orthogonal(gain=1.4, seed=3),
    "RandomNormal": lambda i: i.RandomNormal(mean=0.5, stddev=2.0, seed=3),
    "RandomUniform": lambda i: i.RandomUniform(minval=-1.0, maxval=3.0, seed=3),
    "TruncatedNormal": lambda i: i.TruncatedNormal(mean=0.5, stddev=2.0, seed=3),
    "VarianceScaling": lambda i: i.VarianceScaling(3.0, "fan_out", "uniform", seed=3),
    "VarianceScaling, normal": lambda i: i.VarianceScaling(3.0, "fan_avg", "normal", seed=3),
    "VarianceScaling, untruncated": lambda i: i.VarianceScaling(
        0.1, "fan_in", "untruncated_normal", seed=3
    ),
    "Zeros": lambda i: i.Zeros(),
}
NAMES = sorted({name.split(",")[0] for name in MAKE})


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def same(name: str, ours: Any, theirs: Any) -> None:
    difference = compare(name, np.asarray(ours), np.asarray(theirs))
    if name.startswith("Orthogonal") and not difference.equal:
        measured = INITIAL_ORTHOGONAL.measured(difference)
        assert INITIAL_ORTHOGONAL.holds(measured), f"{difference}; {INITIAL_ORTHOGONAL}"
    else:
        assert difference.equal, str(difference)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MAKE)
def test_values(keras: Any, name: str, shape: tuple[int, int]) -> None:
    ours, theirs = (MAKE[name](package.initializers) for package in (minisgd, keras))
    same(name, ours(shape), theirs(shape))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"Identity"}))
def test_three_axes(keras: Any, name: str) -> None:
    ours, theirs = (MAKE[name](package.initializers) for package in (minisgd, keras))
    same(name, ours((4, 3, 6)), theirs((4, 3, 6)))


def test_global_seed_by_name(keras: Any) -> None:
    """A layer's constructor draws its initializer's seed; each name draws what Keras draws."""
    drawn = []
    for package in (minisgd, keras):
        package.utils.set_random_seed(9)
        names = ["orthogonal", "he_normal", "identity", "random_normal", "lecun_uniform", "normal"]
        layers = [package.layers.Dense(6, kernel_initializer=name) for name in names]
        for layer in layers:
            layer.build((None, 6))
        drawn.append([np.asarray(layer.get_weights()[0]) for layer in layers])
    for name, ours, theirs in zip(names, *drawn, strict=True):
        same(name.title(), ours, theirs)


def test_every_initializer_is_compared(keras: Any) -> None:
    from keras.src.initializers import ALL_OBJECTS_DICT

    known = {n for n, c in ALL_OBJECTS_DICT.items() if c.__name__ not in ("STFT", "Initializer")}
    ours = minisgd.initializers._BY_NAME | minisgd.initializers._OLD_NAMES
    assert set(ours) == known
    assert {c.__name__ for c in ours.values()} == set(NAMES)
    for name, made in ours.items():
        assert made.__name__ == ALL_OBJECTS_DICT[name].__name__
        assert isinstance(minisgd.initializers.get(name), made)


@pytest.mark.parametrize("name", MAKE)
def test_configurations_go_both_ways(keras: Any, name: str) -> None:
    ours, theirs = (MAKE[name](package.initializers) for package in (minisgd, keras))
    written = minisgd.initializers.serialize(ours)
    if name != "Identity, gain":  # Keras forgets the gain
        assert written == keras.initializers.serialize(theirs)
    again = keras.initializers.deserialize(written)
    same(name, ours((5, 5)), again((5, 5)))
    same(name, minisgd.initializers.get(written)((5, 5)), again((5, 5)))
    assert ours.clone().get_config() == ours.get_config()


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_kerass(keras: Any, name: str) -> None:
    def parameters(package: Any) -> list[Any]:
        function = getattr(package.initializers, name)
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    theirs = [p for p in parameters(keras) if p[0] not in ("input_axes", "output_axes")]
    assert parameters(minisgd) == theirs or name in ("Zeros", "Ones")


def test_a_seed_generator(keras: Any) -> None:
    """A generator draws anew at every call, and is part of the configuration."""
    values = []
    for package in (minisgd, keras):
        generator = package.random.SeedGenerator(5)
        make = package.initializers.GlorotUniform(seed=generator)
        values.append([np.asarray(make((3, 4))) for _ in range(2)])
    for ours, theirs in zip(*values, strict=True):
        same("GlorotUniform", ours, theirs)
    assert not np.array_equal(*values[0])
    config = minisgd.initializers.GlorotUniform(seed=minisgd.random.SeedGenerator(5)).get_config()
    again = keras.initializers.GlorotUniform.from_config(config)
    same("GlorotUniform", values[0][0], again((3, 4)))


def test_arrays_are_initializers(keras: Any) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for package in (minisgd, keras):
        initializer = package.initializers.get(values)
        same("array", initializer((2, 3)), values)
        with pytest.raises(ValueError, match=r"Expected `shape` to be \(2, 3\) for direct tensor"):
            initializer((3, 2))
        assert package.initializers.get(None) is None


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda i: i.Identity()((3,)), "can only be used for 2D matrices"),
        (lambda i: i.Orthogonal()((3,)), "must be at least two-dimensional"),
        (lambda i: i.get("glorot_unifrom"), "Could not interpret initializer identifier"),
        (lambda i: i.get(3), "Could not interpret initializer identifier"),
        (lambda i: i.VarianceScaling(scale=0.0), "must be positive float"),
        (lambda i: i.VarianceScaling(mode="fan"), "Invalid `mode` argument"),
        (lambda i: i.RandomNormal(seed="a"), "should be an instance of"),
    ],
)
def test_what_keras_refuses_we_refuse(keras: Any, use: Callable[[Any], Any], words: str) -> None:
    for package in (keras, minisgd):
        with pytest.raises(ValueError, match=words):
            use(package.initializers)
