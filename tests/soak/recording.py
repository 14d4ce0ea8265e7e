"""The figures of the soaks as a file: ``docs/reference/recorded/soak.json`` and ``soak.md``.

Each soak writes its own part with ``--record``; the page is made from all of them.
"""

import datetime
import json
import os
import platform
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "docs" / "reference" / "recorded" / "soak.json"
FORM = 1
PARTS = ("kills", "fuzz", "memory")


def environment():
    """What the figures depend on besides the code."""
    import minisgd
    from minisgd.utils import machine

    return {
        "cpu": machine.cpu()["name"],
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": machine.versions(minisgd.__version__),
    }


def record(part, command, figures):
    """Write one part, and the page anew."""
    assert part in PARTS
    whole = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    entry = {"command": command, "date": datetime.date.today().isoformat(), **figures}
    parts = {**whole.get("parts", {}), part: entry}
    whole = {
        "form": FORM,
        "environment": environment(),
        "parts": {name: parts[name] for name in PARTS if name in parts},
    }
    RECORDED.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    RECORDED.with_suffix(".md").write_text(markdown(whole), encoding="utf-8")


def markdown(whole):
    """The page for people."""
    place, parts = whole["environment"], whole["parts"]
    versions = ", ".join(f"{name} {value}" for name, value in place["versions"].items())
    lines = [
        "# Soaks: killed runs, damaged files, memory",
        "",
        f"Recorded by `make soak` on {place['cpu']} ({place['cores']} cores), {place['system']}; "
        f"{versions}. Regenerate it, do not edit it.",
    ]
    for name, text in (("kills", _kills), ("fuzz", _fuzz), ("memory", _memory)):
        if name in parts:
            entry = parts[name]
            lines += ["", *text(entry), "", f"{entry['date']}, `{entry['command']}`."]
    return "\n".join(lines) + "\n"


def _kills(entry):
    yield "## Killed runs"
    yield ""
    yield (
        f"{entry['killed']} runs of `fit` got SIGKILL at random moments while they saved weights, "
        f"a `.keras` file, a CSV log and a backup after every epoch or every third step, compiled "
        f"and not. {entry['with_backup']} of them left a backup, {entry['with_files']} a model and "
        f"its weights. {entry['torn']} files were torn, {entry['missing']} missing. All "
        f"{entry['resumed_to_the_same_bits']} were resumed and ended with the bits of a run that "
        "nobody killed: weights, velocities, History and CSV log."
    )


def _fuzz(entry):
    yield "## Damaged files"
    yield ""
    yield (
        f"{entry['files']} files (`.keras`, `.weights.h5`, `.safetensors`), each a good one with "
        f"seeded damage: {entry['loaded']} loaded rightly, {entry['refused']} were refused with a "
        f"ValueError, {entry['wrong']} did anything else. The slowest took "
        f"{entry['slowest_ms']} ms."
    )


def _memory(entry):
    yield "## Memory and pace"
    yield ""
    yield (
        f"{entry['count']} epochs of one `fit`, and {entry['count']} models that were built, "
        "trained and dropped: growth of private memory after the first five (garbage collected "
        "before each reading), and the median processor time of one, in one thread."
    )
    yield ""
    yield "| soak | growth, KiB | time in the first tenth, ms | time in the last tenth, ms |"
    yield "|---|---|---|---|"
    for name, row in entry["soaks"].items():
        first, last = row["first_tenth_ms"], row["last_tenth_ms"]
        yield f"| {name} | {row['growth_kib']} | {first} | {last} |"
