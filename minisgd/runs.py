"""Where `minisgd train` saves a run: a folder with the model, the history and the options."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from minisgd.saving.atomic import replacing

MODEL, WEIGHTS = "model.keras", "model.weights.h5"
HISTORY, CONFIG = "history.csv", "config.json"


def create_folder(parent: Path, now: datetime | None = None) -> Path:
    """Make a new folder in `parent`, named by date and time; an existing one is never used.

    Parameters
    ----------
    parent : Path
        Made if it does not exist.
    now : datetime, optional

    Returns
    -------
    Path
        E.g. ``runs/2026-01-31_18-05-59``; a second one in the same second ends in ``-2``.

    Raises
    ------
    OSError
        If it can't be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    stamp = (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    for number in count(1):
        folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            # Fails if it exists: two runs that start at once can't get the same folder.
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")


def remove_if_empty(folder: Path) -> None:
    """Remove a run's folder into which nothing was saved."""
    try:
        folder.rmdir()
    except OSError:
        pass  # it holds something


def write_history(
    folder: Path, history: Mapping[str, Sequence[float]], seconds: Sequence[float]
) -> None:
    """Write ``history.csv``: a line an epoch, with all digits, and the seconds that it took."""
    with (
        replacing(folder / HISTORY) as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", *history, "seconds"])
        rows = zip(*history.values(), [round(s, 3) for s in seconds], strict=True)
        writer.writerows([epoch, *row] for epoch, row in enumerate(rows, start=1))


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json``; a figure that is not finite becomes null, which JSON has."""
    text = json.dumps(finite(config), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(folder / CONFIG) as path:
        path.write_text(text + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """`value` with None for every NaN and infinity in it."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
