"""TensorFlow's random streams: Philox4x32-10 and what TensorFlow makes of its words.

Philox turns a counter (128 bits, four words) and a key (64 bits) into four random words; block
``b`` of a stream is ``philox(counter + b, key)``. It is a pure function, so a stream needs no state
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; TensorFlow,
core/lib/random/philox_random.h and random_distributions.h).

A `key` is an array of two, a `counter` of four uint32 words, the lowest first.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import float_of, flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel
from minisgd_kernels._math import libm_log, libm_sin_cos

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL0, _WEYL1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_ONE_BITS, _MANTISSA_BITS = np.int32(0x3F800000), np.uint32(0x7FFFFF)
_TWO_PI = 2.0 * np.pi
# TensorFlow's stateless operations scramble a seed with Philox under this key
# (core/kernels/stateless_random_ops_v2.h, GetKeyCounter).
_SCRAMBLE_KEY = (np.uint32(0x3EC8F720), np.uint32(0x02461E29))
_SEEDS = 2**31 - 2  # Keras casts to int32 with a floor modulo (backend/tensorflow/random.py)
# A truncated normal takes at most this many blocks for its four values (chance of more: 1e-300).
_BLOCKS_PER_GROUP = np.uint64(256)


@helper
def _block(key: Array, counter: Array, offset: Scalar, out: Array) -> None:
    """Four words of block `offset` of the stream, into ``out[:4]``."""
    low = (np.uint64(counter[1]) << _32 | np.uint64(counter[0])) + offset
    high = np.uint64(counter[3]) << _32 | np.uint64(counter[2])
    if low < offset:  # carry into the upper half of the counter
        high = high + np.uint64(1)
    c0, c1, c2, c3 = low & _LOW, low >> _32, high & _LOW, high >> _32
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _WEYL0) & _LOW, (k1 + _WEYL1) & _LOW
    out[0], out[1], out[2], out[3] = np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


@helper
def _unit(word: Scalar) -> Scalar:
    """Float32 in [0, 1) from the low 23 bits of a word: they are the mantissa of 1.xxx."""
    return float_of(np.int32(word & _MANTISSA_BITS) | _ONE_BITS) - np.float32(1)


@helper
def _box_muller(word0: Scalar, word1: Scalar) -> Scalar:
    """Two independent standard normals from two words (Box and Muller, 1958); the sine first."""
    u = max(_unit(word0), np.float32(1.0e-7))
    angle = np.float32(_TWO_PI * np.float64(_unit(word1)))
    radius = np.sqrt(np.float32(-2) * libm_log(u))
    sine, cosine = libm_sin_cos(angle)
    return sine * radius, cosine * radius


@kernel
def next_seed_inplace(state: Array) -> Array:
    """The present state ``[seed, draws so far]`` of a seed generator; counts a draw in `state`."""
    now = state.copy()
    state[1] += 1
    return now


@kernel
def philox_stream(seed: Array) -> Array:
    """Stream that belongs to a pair of int64: its key (two words), then its counter (four)."""
    # Element by element: an assignment between slices costs two seconds of Numba's time, since it
    # comes with the code that words a message about shapes that don't match.
    stream, words = np.empty(6, np.uint32), np.empty(4, np.uint32)
    stream[0], stream[1] = _SCRAMBLE_KEY
    stream[2], stream[3] = seed[0] % _SEEDS, np.uint32(0)
    stream[4], stream[5] = seed[1] % _SEEDS, np.uint32(0)
    _block(stream[:2], stream[2:], np.uint64(0), words)
    stream[0], stream[1], stream[2], stream[3] = words[0], words[1], np.uint32(0), np.uint32(0)
    stream[4], stream[5] = words[2], words[3]
    return stream


@kernel
def philox_uint32(key: Array, counter: Array, n: int) -> Array:
    """First `n` words of the stream, uint32."""
    out = np.empty((n + 3) // 4 * 4, np.uint32)
    for b in range(out.size // 4):
        _block(key, counter, np.uint64(b), out[4 * b : 4 * b + 4])
    return out[:n]


@kernel
def philox_uniform(key: Array, counter: Array, low: Scalar, high: Scalar, n: int) -> Array:
    """`n` float32 in ``[low, high)``: ``u * (high - low) + low``, two roundings."""
    mode = flush_denormals()
    words = np.empty(4, np.uint32)
    out = np.empty(n, np.float32)
    span = high - low
    for i in range(n):
        if i % 4 == 0:
            _block(key, counter, np.uint64(i // 4), words)
        out[i] = _unit(words[i % 4]) * span + low
    restore_denormals(mode)
    return out


@kernel
def philox_normal(key: Array, counter: Array, mean: Scalar, stddev: Scalar, n: int) -> Array:
    """`n` float32 normals: ``z * stddev + mean``, two roundings."""
    mode = flush_denormals()
    words = np.empty(4, np.uint32)
    z = np.empty(4, np.float32)
    out = np.empty(n, np.float32)
    for i in range(n):
        if i % 4 == 0:
            _block(key, counter, np.uint64(i // 4), words)
            z[0], z[1] = _box_muller(words[0], words[1])
            z[2], z[3] = _box_muller(words[2], words[3])
        out[i] = z[i % 4] * stddev + mean
    restore_denormals(mode)
    return out


@kernel
def philox_truncated_normal(
    key: Array, counter: Array, mean: Scalar, stddev: Scalar, n: int
) -> Array:
    """`n` float32 normals whose ``|z| < 2``, others being drawn again.

    Every group of four outputs has 256 blocks of the stream to itself and takes, in order, the
    values that it can use.
    """
    mode = flush_denormals()
    words = np.empty(4, np.uint32)
    z = np.empty(4, np.float32)
    out = np.empty(n, np.float32)
    for group in range((n + 3) // 4):
        block = np.uint64(group) * _BLOCKS_PER_GROUP
        i, end = 4 * group, min(4 * group + 4, n)
        while i < end:
            _block(key, counter, block, words)
            block = block + np.uint64(1)
            z[0], z[1] = _box_muller(words[0], words[1])
            z[2], z[3] = _box_muller(words[2], words[3])
            for value in z:
                if abs(value) < np.float32(2) and i < end:
                    out[i] = value * stddev + mean
                    i += 1
    restore_denormals(mode)
    return out


@kernel
def philox_shuffle(key: Array, counter: Array, n: int) -> Array:
    """A permutation of ``0 ... n - 1``, int64: Fisher-Yates, one word a swap, from the front.

    Uses the first ``n - 1`` words of the stream.
    """
    order = np.empty(n, np.int64)
    for i in range(n):  # `np.arange` takes Numba twice as long as all the rest
        order[i] = i
    words = np.empty(4, np.uint32)
    for i in range(n - 1):
        if i % 4 == 0:
            _block(key, counter, np.uint64(i // 4), words)
        j = i + np.int64(words[i % 4] % np.uint32(n - i))
        order[i], order[j] = order[j], order[i]
    return order
