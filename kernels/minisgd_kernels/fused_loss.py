"""Softmax cross-entropy of a training step: loss, gradient and number of hits in one pass.

The rounding is that of `classification`. There a row is summed with its classes side by side; here
up to 32 samples lie side by side, and each step of that sum is done for all of them at once. (How
many is not a constant: LLVM unrolls short loops of known length, and then does not vectorise them.)
So logits are turned when they come in, block by block, and gradients when they go out.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._block import BLOCK, turn_block
from minisgd_kernels._jit import Array, Scalar, helper, part
from minisgd_kernels._math import exp, exp_tail, log, log_tail
from minisgd_kernels._onednn import exp as exp_softmax
from minisgd_kernels._tile import NARROW
from minisgd_kernels.classification import _TILE
from minisgd_kernels.packing import padded, sample_share
from minisgd_kernels.reduce import PACKET, sum_vector

MOST_CLASSES = _TILE  # with more, a row of the gradient has several tiles

SIDE_BY_SIDE = 32  # samples
_FEW = 2  # samples: so many lie side by side as they are, more in whole blocks
_ZERO, _ONE = np.float32(0), np.float32(1)
_NEAR = np.float32(-1e-6)  # logits nearer than that to the largest may round to its probability


@helper
def _samples_at_once(samples: int) -> int:
    """How many lie side by side."""
    return max(samples, 1) if samples <= _FEW else min(padded(samples), SIDE_BY_SIDE)


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
def _turn_in(logits: Array, start: int, stop: int, z: Array) -> None:
    """``z = logits``, classes first; in what fills no block there may be anything."""
    rows, width = z.shape
    if width % BLOCK:
        for i in range(stop - start):
            row = logits[start + i]
            for c in range(rows):
                z[c, i] = row[c]
        return
    for i in range(0, stop - start, BLOCK):
        for c in range(0, rows, BLOCK):
            at, stride = (start + i) * logits.shape[1] + c, logits.shape[1]
            turn_block(logits, at, stride, z, c * width + i, width, BLOCK - 1)


@helper
def _turn_out(z: Array, g: Array, start: int, stop: int) -> None:
    """Classes first, back into rows of `g`."""
    rows, width = z.shape
    if width % BLOCK:
        for i in range(stop - start):
            row = g[start + i]
            for c in range(rows):
                row[c] = z[c, i]
        return
    for i in range(0, stop - start, BLOCK):
        for c in range(0, rows, BLOCK):
            to = (start + i) * g.shape[1] + c
            turn_block(z, c * width + i, width, g, to, g.shape[1], BLOCK - 1)


@helper
def _shift_and_exponentiate(z: Array, e: Array, largest: Array, samples: int) -> None:
    """``z -= max(z)`` and ``e = exp(z)``, with the C library's for classes that fill no packet."""
    classes, width = z.shape[0], z.shape[1]
    for i in range(width):
        largest[i] = z[0, i]
    for c in range(1, classes):
        row = z[c]
        for i in range(width):
            x, so_far = row[i], largest[i]
            largest[i] = x if x > so_far or x != x else so_far
    for c in range(classes):
        row, powers = z[c], e[c]
        for i in range(width):
            row[i] -= largest[i]
            powers[i] = exp(row[i])
    for c in range(classes // PACKET * PACKET, classes):
        row, powers = z[c], e[c]
        for i in range(samples):
            powers[i] = exp_tail(row[i])


@helper
def _predict(
    z: Array, total: Array, samples: int, of_logits: int, found: Array, nearest: Array
) -> None:
    """First class of the largest probability (or logit) of each sample, -1 beside a NaN.

    Probabilities are `classification.softmax`'s: logits so near to the largest that their
    exponential rounds to 1 share its probability, and then the first of them counts.
    """
    classes, width = z.shape[0], z.shape[1]
    found[:] = -1
    nearest[:] = _NEAR
    for c in range(classes - 1, -1, -1):
        row, number = z[c], np.float32(c)
        for i in range(width):
            x, known, nearer = row[i], found[i], nearest[i]
            found[i] = number if x == _ZERO else known
            nearest[i] = max(nearer, x if x < _ZERO else nearer)
    if of_logits:
        return
    near = 0
    for i in range(samples):
        found[i] = found[i] if total[i] == total[i] else -1
        near += nearest[i] > _NEAR
    if near:
        for i in range(samples):
            for c in range(int(found[i]) - 1, -1, -1):
                if z[c, i] > _NEAR and exp_softmax(z[c, i]) == 1:
                    found[i] = c


@helper
def _exponentials_of_gradient(
    z: Array, e: Array, start: int, stop: int, count: int, tile: int
) -> None:
    """Replace the exponentials that the gradient has of another source than the sum.

    The sum has the C library's for the classes that fill no packet. Eigen evaluates the gradient
    in tiles: all of it if it has at most `tile` elements, else as many samples as reach that
    number. There the elements that fill no packet are the last few of a tile.
    """
    classes, width = z.shape[0], z.shape[1]
    for c in range(classes // PACKET * PACKET, classes):
        row, powers = z[c], e[c]
        for i in range(width):
            powers[i] = exp(row[i])
    rows = count if count * classes <= tile else (tile + classes - 1) // classes
    first = start // rows * rows
    while first < stop:
        size = min(rows, count - first) * classes
        for place in range(size // PACKET * PACKET, size):
            n, c = first + place // classes, place % classes
            if start <= n < stop:
                e[c, n - start] = exp_tail(z[c, n - start])
        first += rows


@helper
def _split(
    scratch: Array, classes: int, width: int
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Scratch as z and e (whole blocks of classes), labels (classes), sums (32), and two rows."""
    room = padded(classes)
    rows = scratch[: rows_of_scratch(classes) * width].reshape((rows_of_scratch(classes), width))
    z, e, labels = rows[:room], rows[room : 2 * room], rows[2 * room : 2 * room + classes]
    rest = rows[2 * room + classes :]
    e[classes:] = 0  # goes to the columns of the gradient that are padding
    return z, e, labels, rest[: 4 * PACKET], rest[4 * PACKET], rest[4 * PACKET + 1]


@helper
def rows_of_scratch(classes: int) -> int:
    """How many rows of samples side by side this needs."""
    return 2 * padded(classes) + classes + 4 * PACKET + 2


@helper
def _most_probable(labels: Array, largest: Array, found: Array) -> None:
    """First place of each column's largest element; a NaN is larger than any."""
    classes, width = labels.shape[0], labels.shape[1]
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
    all_z, all_e, t, sums, total, largest = _split(scratch, classes, width)
    z, e = all_z[:classes], all_e[:classes]
    log_sums, in_packets = largest, count // PACKET * PACKET  # the maxima are done with by then
    predicted, wanted = sums[0], sums[1]
    right = 0
    for start in range(begin, end, SIDE_BY_SIDE):
        stop = min(start + SIDE_BY_SIDE, end)
        samples = stop - start
        _turn_in(logits, start, stop, all_z)
        _shift_and_exponentiate(z, e, largest, samples)
        _sum_classes(e, sums, total)
        for i in range(samples):
            labels = y[rows[first + start + i]]
            for c in range(classes):
                t[c, i] = labels[c]
        _predict(z, total, samples, of_logits, predicted, sums[2])
        _most_probable(t, largest, wanted)
        for i in range(samples):
            right += predicted[i] == wanted[i]
        if g.shape[0]:
            _exponentials_of_gradient(z, e, start, stop, count, _TILE)
            for c in range(classes):
                p, label = e[c], t[c]
                for i in range(width):
                    p[i] = (p[i] / total[i] - label[i]) * factor
            _turn_out(all_e, g, start, stop)
        for i in range(samples):
            log_sums[i] = log(total[i]) if start + i < in_packets else log_tail(total[i])
        for c in range(classes):
            each, label, shifted = e[c], t[c], z[c]
            for i in range(width):
                each[i] = label[i] * (log_sums[i] - shifted[i])
        _sum_classes(e, sums, total)
        for i in range(samples):
            losses[start + i] = total[i]
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
    all_z, all_e, _, sums, total, largest = _split(scratch, classes, width)
    z, e = all_z[:classes], all_e[:classes]
    predicted, label, own = sums[0], sums[1], sums[3]
    right = 0
    for start in range(begin, end, SIDE_BY_SIDE):
        stop = min(start + SIDE_BY_SIDE, end)
        samples = stop - start
        _turn_in(logits, start, stop, all_z)
        _shift_and_exponentiate(z, e, largest, samples)
        _sum_classes(e, sums, total)
        _predict(z, total, samples, of_logits, predicted, sums[2])
        for i in range(samples):
            label[i] = y[rows[first + start + i]]
            right += predicted[i] == label[i]
        for c in range(classes):
            row, number = z[c], np.float32(c)
            for i in range(width):
                x, found = row[i], own[i]
                own[i] = x if label[i] == number else found
        for i in range(samples):
            losses[start + i] = log_tail(total[i]) - own[i]
        if g.shape[0]:
            _exponentials_of_gradient(z, e, start, stop, count, count * classes)
            for c in range(classes):
                p, number = e[c], np.float32(c)
                for i in range(width):
                    p[i] = (p[i] / total[i] - (_ONE if label[i] == number else _ZERO)) * factor
            _turn_out(all_e, g, start, stop)
    hits[NARROW * thread] = right


@part
def batch_loss(losses: Array, count: int, scratch: Array) -> Scalar:
    """``sum(losses[:count]) / count``: for one thread."""
    lanes = scratch[: 4 * PACKET].reshape((4, PACKET))
    return sum_vector(losses, 0, count, lanes) / losses.dtype.type(count)
