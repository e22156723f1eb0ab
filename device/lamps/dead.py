"""The lamps after the daemon's end: ``python -m device.lamps.dead link sync attn``.

The kernel plays the last rhythm for ever, so that a dead daemon would seem to sync. systemd runs
this when the daemon has stopped, however it did (``ExecStopPost=``): LINK and SYNC go dark, and
ATTN, or the only lamp, is lit. It loads next to nothing, needs no configuration, and fails at no
lamp before it has tried the others.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from device.lamps.led import LEDS, Files, Led, SystemFiles
from device.lamps.rhythm import OFF, SOLID


def play_dead(names: Sequence[str], *, root: Path = LEDS, files: Files | None = None) -> list[str]:
    """The last LED lit, the others dark; a sentence for each that could not be told."""
    files = files or SystemFiles()
    problems = []
    for position, name in enumerate(names, start=1):
        led = Led(root / name, files)
        if not led.play(SOLID if position == len(names) else OFF):
            problems.append(led.problem)
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="device.lamps.dead", description=__doc__)
    parser.add_argument("led", nargs="*", help="the LEDs of the board, ATTN last")
    parser.add_argument("--root", type=Path, default=LEDS, help="where the LEDs are")
    options = parser.parse_args(arguments)
    problems = play_dead(options.led, root=options.root)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
