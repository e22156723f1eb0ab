"""Measures the rows that are asked for and prints them as a table or as JSON."""

import argparse
import shutil
import sys
from pathlib import Path

from scripts.benchmark.files import Files
from scripts.benchmark.process import WorkerError
from scripts.benchmark.result import Result, table
from scripts.benchmark.rows import ROWS, Bench

FOLDER = Path(".cache/bench")
DESCRIPTION = """\
Measures the codecs and the load beside their peers, on the same rows: CPU seconds (medians) and
peak resident memory, each in a process of its own, without what that needs to start.
ratio is peer / ours. Data sets are made once, in .cache/bench."""


def main() -> int:
    options = _options()
    names = options.row or list(ROWS)
    if shutil.which("ogr2ogr") is None:
        print("bench: ogr2ogr is missing; see what scripts/setup says", file=sys.stderr)
        return 1
    files = Files(options.folder.absolute(), scale=options.scale)
    results: list[Result] = []
    try:
        for name in names:
            for result in ROWS[name](Bench(files=files, runs=options.runs)):
                results.append(result)
                if options.json:
                    print(result.to_json(), flush=True)
    except WorkerError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        files.clean()
    if not options.json:
        print(table(results))
    return int(options.check and not all(result.is_reached for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=DESCRIPTION)
    parser.add_argument("row", nargs="*", help=f"all unless named: {', '.join(ROWS)}")
    parser.add_argument("--runs", type=_positive, default=5, help="of each measure (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--check", action="store_true", help="end with 1 if a goal is missed")
    parser.add_argument("--scale", type=float, default=1.0, help="of the data sets (1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the data sets")
    options = parser.parse_args()
    unknown = [name for name in options.row if name not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    if not 0 < options.scale <= 1:
        parser.error("--scale is more than 0 and at most 1")
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
