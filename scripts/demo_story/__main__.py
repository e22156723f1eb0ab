"""Runs the demo; ends with 0 only if all of its story came true."""

import argparse
import sys
from pathlib import Path

from scripts.demo_story.data import MAP_DATA
from scripts.demo_story.story import Story
from scripts.demo_story.telling import Checks, require, run

DESCRIPTION = """\
Two field devices take the same map of a feature service, are edited without a network, and sync:
A, then B, then A again. Both devices and the service must hold the same then. All of it happens on
this machine, in a folder that is removed at the end."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=DESCRIPTION)
    parser.add_argument(
        "--small", action="store_true", help="only the countries of the Alps: a few seconds"
    )
    parser.add_argument("--keep", action="store_true", help="keep the maps and the service's data")
    options = parser.parse_args()

    def story(place: Path, checks: Checks) -> None:
        require("ogrinfo", "ogr2ogr", MAP_DATA)
        Story(place, checks, is_small=options.small).tell()

    return run("demo", story, is_kept=options.keep)


if __name__ == "__main__":
    sys.exit(main())
