"""Result files: JSON written piece by piece to disk, kept while somebody reads it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from .guid import bare
from .hosted import Hosted


class JsonFile:
    """Writes one JSON document without ever holding it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_first = [True]

    def open(self, mark: str, name: str | None = None) -> None:
        """Begin an object or a list, as a member when it has a name."""
        self._comma(name)
        self._out.write(mark)
        self._is_first.append(True)

    def close(self, mark: str) -> None:
        """End the object or the list begun last."""
        self._is_first.pop()
        self._out.write(mark)

    def write(self, value: Any, name: str | None = None) -> None:
        """Write one value."""
        self._comma(name)
        self._out.write(json.dumps(value, separators=(",", ":")))

    def write_list(self, name: str, values: Iterable[Any]) -> int:
        """Write a list member by its values; how many there were."""
        self.open("[", name)
        count = 0
        for value in values:
            self.write(value)
            count += 1
        self.close("]")
        return count

    def _comma(self, name: str | None) -> None:
        if not self._is_first[-1]:
            self._out.write(",")
        self._is_first[-1] = False
        if name is not None:
            self._out.write(f"{json.dumps(name)}:")


def new_name(hosted: Hosted) -> str:
    """A name for a new result file."""
    return f"{bare(hosted.mint()).replace('-', '')}.json"


def path_of(hosted: Hosted, name: str) -> Path:
    """Where a result file lies."""
    folder = hosted.folder / "replicafiles"
    folder.mkdir(exist_ok=True)
    return folder / name


def publish(hosted: Hosted, name: str) -> None:
    """Let clients fetch a written file; inside a transaction."""
    hosted.store.run("INSERT OR REPLACE INTO result VALUES (?, ?)", name, hosted.clock.now_ms())


def fetch(hosted: Hosted, name: str) -> Path | None:
    """The file, its idle time begun anew; None when there is none or it has expired.

    Source: ArcGIS REST API, "Error handling with sync operations": files not accessed for ten
    minutes are removed from the output directory.
    """
    found = hosted.store.one("SELECT touched_ms FROM result WHERE name = ?", name)
    if found is None:
        return None
    now_ms = hosted.clock.now_ms()
    with hosted.store.transaction():
        if now_ms - found[0] > hosted.profile.result_life_s * 1000:
            hosted.store.run("DELETE FROM result WHERE name = ?", name)
            path_of(hosted, name).unlink(missing_ok=True)
            return None
        hosted.store.run("UPDATE result SET touched_ms = ? WHERE name = ?", now_ms, name)
    return path_of(hosted, name)
