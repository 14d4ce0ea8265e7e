"""A line chart in characters: braille dots where the terminal has them, else ASCII."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

# Bit of each dot in a braille character (U+2800 + bits), by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800
_MIN_WIDTH = 20


def can_draw_braille() -> bool:
    """Whether standard output is a terminal that can be expected to show braille dots."""
    stream = sys.stdout
    if stream is None or not stream.isatty() or os.environ.get("TERM") in ("dumb", "linux"):
        return False
    try:
        chr(_BRAILLE).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def draw_curve(
    values: Sequence[float],
    title: str = "",
    x_label: str = "",
    width: int = 64,
    height: int = 9,
    braille: bool = False,
) -> str:
    """Draw values over 1, 2, 3, ... as lines of text.

    Parameters
    ----------
    values : sequence of float
        At least one. NaN and infinities leave a gap.
    title, x_label : str
        Shown above, and below in the middle.
    width, height : int
        Characters of the whole chart, and lines of the plot without title and axis.
    braille : bool
        Draw with braille dots, eight a character, instead of asterisks.

    Examples
    --------
    >>> print(draw_curve([4.0, 2.0, 1.0, 1.0], "loss", "epoch", width=28, height=4))
    loss
    4.00 | **
         |   ****
         |       *****
    1.00 |           ***********
         +----------------------
           1       epoch       4
    """
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return f"{title}: no finite value to draw".lstrip(": ")
    low, high = min(finite), max(finite)
    ticks = _ticks(low, high, height)
    gutter = max(len(tick) for tick in ticks)
    columns = max(width, _MIN_WIDTH) - gutter - 3
    across, down = (2, 4) if braille else (1, 1)
    dots = _dots(values, low, high, columns * across, height * down)
    side, corner, floor = ("│", "└", "─") if braille else ("|", "+", "-")
    lines = [title] if title else []
    for row in range(height):
        cells = "".join(_cell(dots, row, column, braille) for column in range(columns))
        lines.append(f"{ticks[row]:>{gutter}} {side} {cells}".rstrip())
    lines.append(f"{'':{gutter}} {corner}{floor * (columns + 1)}")
    last = str(len(values)) if len(values) > 1 else ""
    middle = f"{x_label:^{columns - 1 - len(last)}}"
    lines.append(f"{'':{gutter}}   1{middle}{last}".rstrip())
    return "\n".join(lines)


def _ticks(low: float, high: float, height: int) -> list[str]:
    """Label of each line of the plot, empty for those between the evenly spaced labels."""
    if low == high:
        return [""] * (height - 1) + [f"{low:.4g}"]
    last = height - 1
    spacing = next(n for n in (2, 3, max(last, 1)) if last % n == 0)
    # Three digits of the range; beyond a million, or below a millionth, powers of ten.
    decimals = 2 - math.floor(math.log10(high - low))
    plain = decimals <= 6 and max(abs(low), abs(high)) < 1e6
    spec = f".{max(decimals, 0)}f" if plain else ".3g"
    return [
        format(high - (high - low) * row / max(last, 1), spec) if row % spacing == 0 else ""
        for row in range(height)
    ]


def _dots(
    values: Sequence[float], low: float, high: float, across: int, down: int
) -> set[tuple[int, int]]:
    """Dots (row from the top, column) of the line through all values."""
    step = (across - 1) / max(len(values) - 1, 1)
    scale = (down - 1) / (high - low) if high > low else 0.0
    points = [
        (index * step, (high - value) * scale if high > low else float(down - 1))
        for index, value in enumerate(values)
    ]
    dots: set[tuple[int, int]] = set()
    for index, (x0, y0) in enumerate(points):
        # A last point has no line to the right: it stands by itself.
        x1, y1 = points[min(index + 1, len(points) - 1)]
        if not math.isfinite(y0):
            continue
        if not math.isfinite(y1):
            x1, y1 = x0, y0
        count = max(math.ceil(abs(x1 - x0)), math.ceil(abs(y1 - y0)), 1)
        for i in range(count + 1):
            part = i / count
            dots.add((round(y0 + (y1 - y0) * part), round(x0 + (x1 - x0) * part)))
    return dots


def _cell(dots: set[tuple[int, int]], row: int, column: int, braille: bool) -> str:
    """Character for a cell of the plot."""
    if not braille:
        return "*" if (row, column) in dots else " "
    bits = 0
    for y, pair in enumerate(_DOTS):
        for x, bit in enumerate(pair):
            if (4 * row + y, 2 * column + x) in dots:
                bits |= bit
    return chr(_BRAILLE + bits) if bits else " "
