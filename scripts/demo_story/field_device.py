"""A field device of the demo: its map's folder, and the programs that run on it."""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.demo_story.telling import NotSoError

STEP_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step printed as JSON, the most memory it had, and how long it took."""

    report: dict[str, Any]
    peak_bytes: int
    seconds: float


class FieldDevice:
    """Device ``name`` with its map below ``place``."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.map = place / f"device {name}"  # a space, as people have them in their folders

    @property
    def geopackage(self) -> Path:
        """The one GeoPackage of the map."""
        (found,) = self.map.glob("*.gpkg")
        return found

    def fieldsync(self, verb: str, *arguments: str, ends_with: int = 0) -> Outcome:
        """``fieldsync VERB … --json`` in a process of its own, and the exit code it must have."""
        return self._measured("fieldsync", [verb, *arguments, "--json"], ends_with)

    def app(self, task: str) -> Outcome:
        """The field app of the demo, which uses the Python API."""
        return self._measured("app", [task, str(self.map)], 0)

    def idle(self) -> Outcome:
        """A process that has loaded what a sync needs, and does nothing."""
        return self._measured("idle", [], 0)

    def sqlite3(self, *statements: str) -> None:
        """Change the map as a plain SQLite program does, without any function of ours."""
        with closing(sqlite3.connect(self.geopackage)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def program(self, *command: str) -> None:
        """Run another program, such as those of GDAL."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=STEP_WITHIN_S, check=False
        )
        words = (done.stderr or done.stdout).strip()
        # ogrinfo tells an SQL error on standard error, and ends with code 0.
        if done.returncode or "ERROR" in done.stderr:
            raise NotSoError(f"{command[0]} on device {self.name} failed: {words}")

    def _measured(self, program: str, arguments: Sequence[str], ends_with: int) -> Outcome:
        with tempfile.NamedTemporaryFile(prefix="fieldsync-demo-", suffix=".json") as report:
            module = [sys.executable, "-m", "scripts.demo_story.measured", report.name]
            started = time.monotonic()
            done = subprocess.run(
                [*module, program, *arguments],
                stdout=subprocess.PIPE,
                text=True,
                timeout=STEP_WITHIN_S,
                check=False,
            )
            if done.returncode != ends_with:
                raise NotSoError(
                    f"{' '.join([program, *arguments[:1]])} on device {self.name} ended with exit "
                    f"code {done.returncode}: {done.stdout.strip()}"
                )
            seconds = time.monotonic() - started
            peak = json.load(report)["peak_bytes"]
        return Outcome(json.loads(done.stdout), peak, seconds)
