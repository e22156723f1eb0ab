"""What is noted of a take while it runs, so that the next one can go on with it after a kill.

The note lies in the spool folder of the geodatabase that is made. It is written before the service
is asked for a replica, so that a replica of ours is found again even if the answer never came.
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from engine import atomic
from engine.geodatabase.sqlite_errors import SQLITE_ERRORS
from engine.layer_schema import JsonObject, LayerSchema
from engine.model import PreplannedUpdateMode
from engine.sync.job_json import parameters_json
from engine.sync.parameters import GenerateGeodatabaseParameters

NOTE = "taking.json"

KEPT_FOR = timedelta(days=1)
"""Who takes a map expects the data of today; what a take of long ago has left is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """A take from the service ``url`` by a replica ``name``.

    ``request`` names what is taken, in the same words each time; empty if nobody can go on with it.
    ``answer`` is what the service said when it was asked for the replica.
    """

    url: str
    name: str
    request: str = ""
    noted_at: str = ""
    answer: JsonObject | None = None

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The note in a spool folder; None without one that can be understood."""
        with suppress(OSError, ValueError, TypeError):
            note = cls(**json.loads((folder / NOTE).read_bytes()))
            texts = (note.url, note.name, note.request, note.noted_at)
            is_right = isinstance(note.answer, dict | None)
            if is_right and all(isinstance(text, str) for text in texts):
                return note
        return None

    def write(self, folder: Path) -> None:
        """Note it; it is durable then."""
        atomic.write_json(folder / NOTE, asdict(self))

    def is_of(self, request: str, now: datetime) -> bool:
        """Whether a take that asks for this can go on with it."""
        if not request or self.request != request:
            return False
        try:
            age = now - datetime.fromisoformat(self.noted_at)
        except (ValueError, TypeError):
            return False
        return abs(age) < KEPT_FOR


def partial_path(path: Path) -> Path:
    """Where the geodatabase ``path`` is made."""
    return path.with_name(f".{path.name}.partial")


def is_begun(folder: Path) -> bool:
    """Whether a take whose note is in ``folder``, or below, has something of the service's that the
    next one can go on with."""
    notes = [Taking.read(path.parent) for path in folder.rglob(NOTE)]
    return any(note is not None and note.request and note.answer is not None for note in notes)


def request_of(
    url: str,
    parameters: GenerateGeodatabaseParameters,
    layers: Sequence[LayerSchema],
    update_mode: PreplannedUpdateMode,
) -> str:
    """The name of what is taken: a geodatabase that is begun fits the same request only."""
    columns = [
        [layer.id, layer.name, [[f.name, f.type.value, f.length] for f in layer.fields]]
        for layer in layers
    ]
    words = [url, parameters_json(parameters), columns, update_mode.name]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def loaded_replica(path: Path) -> str | None:
    """The id of the replica, perhaps empty, of a geodatabase that has all its rows; None if
    ``path`` is not that."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(path)) as connection:
            (unloaded,) = connection.execute(
                "SELECT count(*) FROM fieldsync_table WHERE NOT is_loaded"
            ).fetchone()
            found = connection.execute("SELECT replica_id FROM fieldsync_replica").fetchone()
    except SQLITE_ERRORS:
        return None
    return None if unloaded or found is None else str(found[0])
