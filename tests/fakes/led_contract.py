"""What an LED answers, step by step: the same for the fake and for a real kernel.

``python3 -m tests.fakes.led_contract FOLDER`` plays it on a kernel's LED and prints the answers.
"""

import errno
import json
import sys
from pathlib import Path

from device.lamps.led import Files, SystemFiles

STEPS: tuple[tuple[str, str], ...] = (
    ("trigger", "no-such-trigger"),
    ("pattern", "1 100 1 0 0 100 0 0"),  # before its trigger is selected
    ("trigger", "pattern"),
    ("pattern", "1 100 1 0 0 100 0 0"),
    ("pattern", "1 1000"),
    ("pattern", "1 1000 1 1000"),
    ("pattern", "255 1000 0 1000"),
    ("pattern", "0 1000 1 1000"),
    ("pattern", "1 100 0"),
    ("pattern", "x"),  # too short for the kernel to look at
    ("pattern", "xy"),
    ("pattern", "1 100 0 100 1"),
    ("pattern", " ".join(["1 10 0 10"] * 200)),
    ("brightness", "1"),
    ("trigger", "pattern"),  # again: everything is made anew
    ("pattern", "0 1000 0 1000"),
    ("brightness", "0"),
    ("pattern", "0 1000 0 1000"),
    ("trigger", "none"),
)
"""File → what is written into it."""


def answers(folder: Path, files: Files) -> list[str]:
    """For each step: how the write ended, which trigger is selected then, what is played."""
    return [f"{name} {text[:20]}: {_answer(folder, files, name, text)}" for name, text in STEPS]


def _answer(folder: Path, files: Files, name: str, text: str) -> str:
    try:
        files.write(folder / name, text)
        outcome = "taken"
    except OSError as error:
        outcome = errno.errorcode[error.errno or 0]
    trigger = next(w for w in files.read(folder / "trigger").split() if w.startswith("["))
    if not (folder / "pattern").exists():
        return f"{outcome}, {trigger}"
    played = " ".join(files.read(folder / "pattern").split())
    return f"{outcome}, {trigger}, plays {played[:60]!r} ({len(played)})"


if __name__ == "__main__":
    print(json.dumps(answers(Path(sys.argv[1]), SystemFiles())))
