"""Runs the demo of maps; ends with 0 only if all of its story came true."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from scripts.demo_maps_story.story import Story
from scripts.demo_story.__main__ import MAP_DATA
from scripts.demo_story.check import DemoFailedError
from scripts.demo_story.field_device import StepFailedError

DESCRIPTION = """\
A portal's web map of two services is taken offline: on demand, and as an area prepared ahead of
time in all four update modes. Each map is kept current in its own way, and one is drawn. All of it
happens on this machine, in a folder that is removed at the end."""


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = Path(tempfile.mkdtemp(prefix="fieldsync maps "))
    story = Story(place, MAP_DATA)
    started = time.monotonic()
    try:
        if not MAP_DATA.is_file():
            raise DemoFailedError(f"{MAP_DATA} is missing; see what scripts/setup says")
        story.tell(options.picture)
    except (DemoFailedError, StepFailedError, RuntimeError, OSError) as error:
        print(f"\ndemo-maps: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo-maps: interrupted", file=sys.stderr)
        return 130
    finally:
        if options.keep:
            print(f"\nEverything is kept in '{place}'.")
        else:
            shutil.rmtree(place, ignore_errors=True)
    print(f"\nOK: {story.checks.count} checks in {time.monotonic() - started:.0f} s.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo-maps", description=DESCRIPTION)
    parser.add_argument("--keep", action="store_true", help="keep the maps and the portal's data")
    parser.add_argument(
        "--picture", metavar="FILE", type=Path, help="leave the last drawing there, an SVG file"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
