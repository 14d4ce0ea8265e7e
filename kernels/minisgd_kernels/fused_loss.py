"""Softmax cross-entropy of a training step: loss, gradient and number of hits in one pass.

The rounding is that of `classification`. There a row is summed with its classes side by side; here
sixteen samples lie side by side, and each step of that sum is done for all of them at once.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel, part
from minisgd_kernels._math import exp, exp_tail, log, log_tail
from minisgd_kernels._onednn import exp as exp_softmax
from minisgd_kernels._tile import NARROW
from minisgd_kernels.classification import _TILE, _in_packet
from minisgd_kernels.packing import sample_share
from minisgd_kernels.reduce import PACKET, sum_vector

MOST_CLASSES = _TILE  # with more, a row of the gradient has several tiles

_NEAR = np.float32(-1e-6)  # logits nearer than that to the largest may round to its probability


@helper
def _sum_classes(e: Array, sums: Array, total: Array) -> None:
    """``total = sum(e)`` over the first axis in Eigen's order (`reduce`), a column a sample."""
    classes = e.shape[0]
    quads, whole = classes // (4 * PACKET) * 4 * PACKET, classes // PACKET * PACKET
    sums[:] = 0
    for c in range(quads):
        lane = c % (4 * PACKET)
        for i in range(NARROW):
            sums[lane, i] += e[c, i]
    for lane in range(PACKET):
        for i in range(NARROW):
            s = sums[lane, i] + sums[PACKET + lane, i]
            sums[lane, i] = (s + sums[2 * PACKET + lane, i]) + sums[3 * PACKET + lane, i]
    for c in range(quads, whole):
        for i in range(NARROW):
            sums[c % PACKET, i] += e[c, i]
    total[:] = 0
    for c in range(whole, classes):
        for i in range(NARROW):
            total[i] += e[c, i]
    for i in range(NARROW):
        even = (sums[0, i] + sums[4, i]) + (sums[2, i] + sums[6, i])
        odd = (sums[1, i] + sums[5, i]) + (sums[3, i] + sums[7, i])
        total[i] += even + odd


@helper
def _shift_and_exponentiate(
    logits: Array, start: int, last: int, z: Array, e: Array, largest: Array
) -> None:
    """``z = logits - max`` and ``e = exp(z)`` of sixteen samples, classes first."""
    classes = z.shape[0]
    for i in range(NARROW):
        row = logits[min(start + i, last)]
        for c in range(classes):
            z[c, i] = row[c]
    largest[:] = z[0]
    for c in range(1, classes):
        for i in range(NARROW):
            x = z[c, i]
            largest[i] = x if x > largest[i] or x != x else largest[i]
    in_packets = classes // PACKET * PACKET
    for c in range(classes):
        for i in range(NARROW):
            z[c, i] -= largest[i]
    for c in range(in_packets):
        for i in range(NARROW):
            e[c, i] = exp(z[c, i])
    for c in range(in_packets, classes):
        for i in range(NARROW):
            e[c, i] = exp_tail(z[c, i])


@helper
def _predicted(z: Array, i: int, total: Scalar, of_logits: int) -> int:
    """First class of the largest probability (or logit), -1 beside a NaN.

    Probabilities are `classification.softmax`'s: logits so near to the largest that their
    exponential rounds to 1 share its probability, and then the first of them counts.
    """
    if of_logits:
        for c in range(z.shape[0]):
            if z[c, i] == 0:
                return c
    elif total == total:
        for c in range(z.shape[0]):
            if z[c, i] == 0 or (z[c, i] > _NEAR and exp_softmax(z[c, i]) == 1):
                return c
    return -1


@helper
def _gradient(
    z: Array, e: Array, total: Array, start: int, stop: int, count: int, tile: int, g: Array
) -> None:
    """``e / total`` of up to sixteen samples; the exponential is the C library's in no packet."""
    classes = z.shape[0]
    in_packets = classes // PACKET * PACKET
    for c in range(in_packets, classes):  # e holds the C library's
        for i in range(NARROW):
            e[c, i] = exp(z[c, i])
    for n in range(start, stop):
        i, c = n - start, classes - 1
        while c >= 0 and not _in_packet(n, c, count, classes, tile):
            e[c, i] = exp_tail(z[c, i])
            c -= 1
    for c in range(classes):
        for i in range(NARROW):
            e[c, i] /= total[i]
    for n in range(start, stop):
        for c in range(classes):
            g[n, c] = e[c, n - start]


@helper
def _split(scratch: Array, classes: int) -> tuple[Array, Array, Array, Array, Array]:
    """Scratch as z and e (classes, 16), sums (32, 16), two rows of 16."""
    size = classes * NARROW
    z = scratch[:size].reshape((classes, NARROW))
    e = scratch[size : 2 * size].reshape((classes, NARROW))
    rest = scratch[2 * size :]
    sums = rest[: 4 * PACKET * NARROW].reshape((4 * PACKET, NARROW))
    rest = rest[4 * PACKET * NARROW :]
    return z, e, sums, rest[:NARROW], rest[NARROW : 2 * NARROW]


@part
def softmax_cross_entropy_step(
    thread: int, threads: int, logits: Array, y: Array, rows: Array, first: int, count: int,
    classes: int, factor: Scalar, of_logits: int, g: Array, losses: Array, hits: Array,
    scratch: Array,
) -> None:  # fmt: skip
    """Losses and ``(p - y) * factor`` for own samples; distributions `y` (samples, C).

    ``hits[16 * thread]`` is the number of own samples whose class of the largest probability (of
    the largest logit, if `of_logits` is 1) is that of `y`. No gradient if `g` has no rows.
    """
    begin, end = sample_share(count, thread, threads)
    z, e, sums, total, largest = _split(scratch, classes)
    in_packets = count // PACKET * PACKET
    right = 0
    for start in range(begin, end, NARROW):
        stop = min(start + NARROW, end)
        _shift_and_exponentiate(logits, start, stop - 1, z, e, largest)
        _sum_classes(e, sums, total)
        for n in range(start, stop):
            i, labels = n - start, y[rows[first + n]]
            predicted = _predicted(z, i, total[i], of_logits)
            true = 0
            for c in range(1, classes):
                if not labels[c] <= labels[true] and labels[true] == labels[true]:
                    true = c
            right += predicted == true
        if g.shape[0]:
            _gradient(z, e, total, start, stop, count, _TILE, g)
            for n in range(start, stop):
                labels = y[rows[first + n]]
                for c in range(classes):
                    g[n, c] = (g[n, c] - labels[c]) * factor
        for i in range(NARROW):
            labels = y[rows[first + min(start + i, stop - 1)]]
            log_sum = log(total[i]) if start + i < in_packets else log_tail(total[i])
            for c in range(classes):
                e[c, i] = labels[c] * (log_sum - z[c, i])
        _sum_classes(e, sums, total)
        for n in range(start, stop):
            losses[n] = total[n - start]
    hits[NARROW * thread] = right


@part
def sparse_softmax_cross_entropy_step(
    thread: int, threads: int, logits: Array, y: Array, rows: Array, first: int, count: int,
    classes: int, factor: Scalar, of_logits: int, g: Array, losses: Array, hits: Array,
    scratch: Array,
) -> None:  # fmt: skip
    """The same for class numbers `y` (samples,) int64."""
    begin, end = sample_share(count, thread, threads)
    z, e, sums, total, largest = _split(scratch, classes)
    right = 0
    for start in range(begin, end, NARROW):
        stop = min(start + NARROW, end)
        _shift_and_exponentiate(logits, start, stop - 1, z, e, largest)
        _sum_classes(e, sums, total)
        for n in range(start, stop):
            i, label = n - start, y[rows[first + n]]
            losses[n] = log_tail(total[i]) - z[label, i]
            right += _predicted(z, i, total[i], of_logits) == label
        if g.shape[0]:
            _gradient(z, e, total, start, stop, count, count * classes, g)
            for n in range(start, stop):
                g[n, y[rows[first + n]]] -= 1
                for c in range(classes):
                    g[n, c] *= factor
    hits[NARROW * thread] = right


@kernel
def batch_loss(losses: Array, count: int, lanes: Array) -> Scalar:
    """``sum(losses[:count]) / count``; `lanes` is scratch, shape (4, 8)."""
    mode = flush_denormals()
    out = sum_vector(losses, 0, count, lanes) / losses.dtype.type(count)
    restore_denormals(mode)
    return out
