"""Runs the demo of maps; ends with 0 only if all of its story came true."""

import argparse
import sys
from pathlib import Path

from scripts.demo_maps_story.story import Story
from scripts.demo_story.data import MAP_DATA
from scripts.demo_story.telling import Checks, require, run

DESCRIPTION = """\
A portal's web map of two services is taken offline: on demand, and as an area prepared ahead of
time in all four update modes. Each map is kept current in its own way, and one is drawn. All of it
happens on this machine, in a folder that is removed at the end."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo-maps", description=DESCRIPTION)
    parser.add_argument("--keep", action="store_true", help="keep the maps and the portal's data")
    parser.add_argument(
        "--picture", metavar="FILE", type=Path, help="leave the last drawing there, an SVG file"
    )
    options = parser.parse_args()

    def story(place: Path, checks: Checks) -> None:
        require(MAP_DATA)
        Story(place, checks).tell(options.picture)

    return run("demo-maps", story, is_kept=options.keep)


if __name__ == "__main__":
    sys.exit(main())
