"""Runs one step of a device in a process of its own, and writes down how much memory it took.

``python -m scripts.demo_story.measured REPORT fieldsync|app|idle ARGUMENT…``
"""

import importlib
import json
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from device.cli import main as fieldsync
from scripts.demo_story import field_app


def main() -> int:
    report, program, *arguments = sys.argv[1:]
    try:
        return PROGRAMS[program](arguments)
    finally:
        Path(report).write_text(json.dumps({"peak_bytes": peak_memory()}), encoding="utf-8")


def idle(_arguments: Sequence[str]) -> int:
    """Load what a sync needs and do nothing: what others are compared with."""
    importlib.import_module("device.cli_take")
    importlib.import_module("device.cli_sync")
    print("{}")
    return 0


PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {
    "app": field_app.main,
    "fieldsync": fieldsync,
    "idle": idle,
}


def peak_memory() -> int:
    """The most bytes of memory this process had resident.

    ``ru_maxrss`` would count the process that started this one, too: the kernel carries the mark
    over when a new program begins.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
