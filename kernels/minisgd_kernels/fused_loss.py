"""Softmax cross-entropy of a training step: loss, gradient and number of hits in one pass.

The rounding is that of `classification`. There a row is summed with its classes side by side; here
up to 32 samples lie side by side, and each step of that sum is done for all of them at once. (How
many is not a constant: LLVM unrolls short loops of known length, and then does not vectorise them.)
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._jit import Array, Scalar, helper, part
from minisgd_kernels._math import exp, exp_tail, log, log_tail
from minisgd_kernels._onednn import exp as exp_softmax
from minisgd_kernels._tile import NARROW
from minisgd_kernels.classification import _TILE, _in_packet
from minisgd_kernels.packing import sample_share
from minisgd_kernels.reduce import PACKET, sum_vector

MOST_CLASSES = _TILE  # with more, a row of the gradient has several tiles

SIDE_BY_SIDE = 32  # samples
_NEAR = np.float32(-1e-6)  # logits nearer than that to the largest may round to its probability


@helper
def _samples_at_once(samples: int) -> int:
    """How many lie side by side: whole packets."""
    return max(1, min((samples + PACKET - 1) // PACKET, SIDE_BY_SIDE // PACKET)) * PACKET


@helper
def _add_row(total: Array, x: Array) -> None:
    for i in range(x.size):
        total[i] += x[i]


@helper
def _sum_classes(e: Array, sums: Array, total: Array) -> None:
    """``total = sum(e)`` over the first axis in Eigen's order (`reduce`), a column a sample."""
    classes = e.shape[0]
    quads, whole = classes // (4 * PACKET) * 4 * PACKET, classes // PACKET * PACKET
    for lane in range(PACKET):
        sums[lane] = 0
    if quads:
        sums[PACKET:] = 0
        for c in range(quads):
            _add_row(sums[c % (4 * PACKET)], e[c])
        for packet in range(1, 4):
            for lane in range(PACKET):
                _add_row(sums[lane], sums[packet * PACKET + lane])
    for c in range(quads, whole):
        _add_row(sums[c % PACKET], e[c])
    total[:] = 0
    for c in range(whole, classes):
        _add_row(total, e[c])
    for i in range(total.size):
        even = (sums[0, i] + sums[4, i]) + (sums[2, i] + sums[6, i])
        odd = (sums[1, i] + sums[5, i]) + (sums[3, i] + sums[7, i])
        total[i] += even + odd


@helper
def _shift_and_exponentiate(
    logits: Array, start: int, last: int, z: Array, e: Array, largest: Array
) -> None:
    """``z = logits - max`` and ``e = exp(z)``, classes first; beyond sample `last`, it again."""
    classes, width = z.shape
    for i in range(width):
        row = logits[min(start + i, last)]
        for c in range(classes):
            z[c, i] = row[c]
    for i in range(width):
        largest[i] = z[0, i]
    for c in range(1, classes):
        row = z[c]
        for i in range(width):
            x = row[i]
            largest[i] = x if x > largest[i] or x != x else largest[i]
    for c in range(classes):
        row = z[c]
        for i in range(width):
            row[i] -= largest[i]
    in_packets = classes // PACKET * PACKET * width
    flat_z, flat_e = z.reshape(-1), e.reshape(-1)
    for i in range(in_packets):
        flat_e[i] = exp(flat_z[i])
    for c in range(classes // PACKET * PACKET, classes):
        for i in range(last + 1 - start):
            e[c, i] = exp_tail(z[c, i])


@helper
def _predict(z: Array, total: Array, of_logits: int, found: Array) -> None:
    """First class of the largest probability (or logit) of each sample, -1 beside a NaN.

    Probabilities are `classification.softmax`'s: logits so near to the largest that their
    exponential rounds to 1 share its probability, and then the first of them counts.
    """
    classes, width = z.shape
    found[:] = -1
    near = 0
    for c in range(classes - 1, -1, -1):
        row = z[c]
        for i in range(width):
            found[i] = c if row[i] == 0 else found[i]
            near += (row[i] > _NEAR) & (row[i] < 0)
    if of_logits:
        return
    for i in range(width):
        found[i] = found[i] if total[i] == total[i] else -1
    if near:
        for i in range(width):
            for c in range(int(found[i]) - 1, -1, -1):
                if z[c, i] > _NEAR and exp_softmax(z[c, i]) == 1:
                    found[i] = c


@helper
def _probabilities(
    z: Array, e: Array, total: Array, start: int, stop: int, count: int, tile: int
) -> None:
    """``e / total``; where `e` is of another source than the gradient's, it is replaced first."""
    classes, width = z.shape
    in_packets = classes // PACKET * PACKET * width
    rest_z, rest_e = z.reshape(-1)[in_packets:], e.reshape(-1)[in_packets:]
    for i in range(rest_z.size):  # the sum wanted the C library's
        rest_e[i] = exp(rest_z[i])
    for n in range(start, stop):
        i, c = n - start, classes - 1
        while c >= 0 and not _in_packet(n, c, count, classes, tile):
            e[c, i] = exp_tail(z[c, i])
            c -= 1
    for c in range(classes):
        row = e[c]
        for i in range(stop - start):
            row[i] /= total[i]


@helper
def _split(
    scratch: Array, classes: int, width: int
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Scratch as z, e and labels (classes, width), sums (32, width) and two rows of it."""
    rows = scratch[: rows_of_scratch(classes) * width].reshape((-1, width))
    z, e, labels = rows[:classes], rows[classes : 2 * classes], rows[2 * classes : 3 * classes]
    rest = rows[3 * classes :]
    return z, e, labels, rest[: 4 * PACKET], rest[4 * PACKET], rest[4 * PACKET + 1]


@helper
def rows_of_scratch(classes: int) -> int:
    """How many rows of samples side by side this needs."""
    return 3 * classes + 4 * PACKET + 2


@helper
def _most_probable(labels: Array, largest: Array, found: Array) -> None:
    """First place of each column's largest element; a NaN is larger than any."""
    classes, width = labels.shape
    for i in range(width):
        largest[i], found[i] = labels[0, i], 0
    for c in range(1, classes):
        row = labels[c]
        for i in range(width):
            more = (largest[i] == largest[i]) & (not row[i] <= largest[i])
            largest[i] = row[i] if more else largest[i]
            found[i] = c if more else found[i]


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
    width = _samples_at_once(end - begin)
    z, e, t, sums, total, largest = _split(scratch, classes, width)
    log_sums, in_packets = largest, count // PACKET * PACKET  # the maxima are done with by then
    predicted, wanted = sums[0], sums[1]
    right = 0
    for start in range(begin, end, SIDE_BY_SIDE):
        stop = min(start + SIDE_BY_SIDE, end)
        _shift_and_exponentiate(logits, start, stop - 1, z, e, largest)
        _sum_classes(e, sums, total)
        for n in range(start, stop):
            labels = y[rows[first + n]]
            for c in range(classes):
                t[c, n - start] = labels[c]
        _predict(z, total, of_logits, predicted)
        _most_probable(t, largest, wanted)
        for i in range(stop - start):
            right += predicted[i] == wanted[i]
        if g.shape[0]:
            _probabilities(z, e, total, start, stop, count, _TILE)
            for c in range(classes):
                p, label = e[c], t[c]
                for i in range(width):
                    p[i] = (p[i] - label[i]) * factor
            for n in range(start, stop):
                row = g[n]
                for c in range(classes):
                    row[c] = e[c, n - start]
        for i in range(stop - start):
            log_sums[i] = log(total[i]) if start + i < in_packets else log_tail(total[i])
        for c in range(classes):
            each, label, shifted = e[c], t[c], z[c]
            for i in range(width):
                each[i] = label[i] * (log_sums[i] - shifted[i])
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
    width = _samples_at_once(end - begin)
    z, e, _, sums, total, largest = _split(scratch, classes, width)
    predicted = sums[0]
    right = 0
    for start in range(begin, end, SIDE_BY_SIDE):
        stop = min(start + SIDE_BY_SIDE, end)
        _shift_and_exponentiate(logits, start, stop - 1, z, e, largest)
        _sum_classes(e, sums, total)
        _predict(z, total, of_logits, predicted)
        for n in range(start, stop):
            i, label = n - start, y[rows[first + n]]
            losses[n] = log_tail(total[i]) - z[label, i]
            right += predicted[i] == label
        if g.shape[0]:
            _probabilities(z, e, total, start, stop, count, count * classes)
            for n in range(start, stop):
                row = g[n]
                e[y[rows[first + n]], n - start] -= 1
                for c in range(classes):
                    row[c] = e[c, n - start] * factor
    hits[NARROW * thread] = right


@part
def batch_loss(losses: Array, count: int, scratch: Array) -> Scalar:
    """``sum(losses[:count]) / count``: for one thread."""
    lanes = scratch[: 4 * PACKET].reshape((4, PACKET))
    return sum_vector(losses, 0, count, lanes) / losses.dtype.type(count)
