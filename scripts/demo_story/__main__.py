"""Runs the demo; ends with 0 only if all of its story came true."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from scripts.demo_story.check import DemoFailedError
from scripts.demo_story.field_device import StepFailedError
from scripts.demo_story.story import Story

MAP_DATA = Path(".cache/world-atlas/countries-50m.json")
DESCRIPTION = """\
Two field devices take the same map of a feature service, are edited without a network, and sync:
A, then B, then A again. Both devices and the service must hold the same then. All of it happens on
this machine, in a folder that is removed at the end."""


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = Path(tempfile.mkdtemp(prefix="fieldsync demo "))
    story = Story(place, MAP_DATA, is_small=options.small)
    started = time.monotonic()
    try:
        require_tools()
        story.tell()
    except (DemoFailedError, StepFailedError, RuntimeError, OSError) as error:
        print(f"\ndemo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    finally:
        if options.keep:
            print(f"\nEverything is kept in '{place}'.")
        else:
            shutil.rmtree(place, ignore_errors=True)
    print(f"\nOK: {story.checks.count} checks in {time.monotonic() - started:.0f} s.")
    return 0


def require_tools() -> None:
    """:exc:`DemoFailedError` names what scripts/setup could not put here."""
    missing = [name for name in ("ogrinfo", "ogr2ogr") if shutil.which(name) is None]
    if not MAP_DATA.is_file():
        missing.append(str(MAP_DATA))
    if missing:
        raise DemoFailedError(f"{' and '.join(missing)} missing; see what scripts/setup says")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=DESCRIPTION)
    parser.add_argument(
        "--small", action="store_true", help="only the countries of the Alps: a few seconds"
    )
    parser.add_argument("--keep", action="store_true", help="keep the maps and the service's data")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
