"""What a schedule leaves to judge by: all the service ever had, and what its devices kept."""

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engine.sync.schedules.world import COLUMNS, LAYERS, TABLES, TOKENS, Row, Value, plain
from tests.feature_service.hosted import Hosted
from tests.feature_service.store import CURRENT

Key = tuple[int, str]  # layer, GlobalID


@dataclass(slots=True)
class Version:
    """A row, or an attachment, as it was for some generations."""

    cells: Row
    begin: int
    end: int

    @property
    def is_alive(self) -> bool:
        return self.end == CURRENT


History = dict[Key, list[Version]]


class Past:
    """All that the service ever had. A service may forget; so look before it does."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str, int], Version] = {}
        self._photos: dict[tuple[str, int], Version] = {}

    def look(self, inside: Hosted) -> None:
        """Remember what the service knows now."""
        for (layer, gid), versions in history(inside).items():
            self._rows |= {(layer, gid, v.begin): v for v in versions}
        for gid, versions in photo_history(inside).items():
            self._photos |= {(gid, v.begin): v for v in versions}

    @property
    def rows(self) -> History:
        found: History = {}
        for (layer, gid, _), version in sorted(self._rows.items(), key=lambda item: item[0]):
            found.setdefault((layer, gid), []).append(version)
        return found

    @property
    def photos(self) -> dict[str, list[Version]]:
        found: dict[str, list[Version]] = {}
        for (gid, _), version in sorted(self._photos.items(), key=lambda item: item[0]):
            found.setdefault(gid, []).append(version)
        return found


def history(inside: Hosted) -> History:
    """All that the service knows, oldest version first."""
    found: History = {}
    for layer_id in LAYERS:
        columns = COLUMNS[layer_id]
        names = ",".join(f'"c_{n.lower()}"' if n else "shape" for n in columns)
        rows = inside.store.run(
            f"SELECT gid,gen_from,gen_to,{names} FROM layer_{layer_id} ORDER BY vid"
        )
        for gid, begin, end, *values in rows.fetchall():
            cells = {n: plain(k, v) for (n, k), v in zip(columns.items(), values, strict=True)}
            found.setdefault((layer_id, gid), []).append(Version(cells, begin, end))
    return found


def photo_history(inside: Hosted) -> dict[str, list[Version]]:
    """All attachments that the service knows."""
    found: dict[str, list[Version]] = {}
    rows = inside.store.run(
        "SELECT a.gid,a.gen_from,a.gen_to,a.parent_gid,a.name,hex(c.data) FROM attachment a"
        " JOIN content c ON c.id=a.content_id ORDER BY a.vid"
    )
    for gid, begin, end, parent, name, data in rows.fetchall():
        cells: Row = {"parent": parent, "name": name, "data": data}
        found.setdefault(gid, []).append(Version(cells, begin, end))
    return found


def without_unseen(found: History, known: Collection[Key]) -> History:
    """Leave out rows that came under a GlobalID of the service's and went with their parent in the
    same call, if they came again: they were there for nobody, and without results the device sends
    them once more."""
    unseen = {
        key
        for key, versions in found.items()
        if key not in known and all(version.begin == version.end for version in versions)
    }
    seen = {
        (layer, version.cells[TOKENS[layer]])
        for (layer, gid), versions in found.items()
        for version in versions
        if (layer, gid) not in unseen
    }
    return {
        (layer, gid): versions
        for (layer, gid), versions in found.items()
        if (layer, gid) not in unseen
        or not any((layer, version.cells[TOKENS[layer]]) in seen for version in versions)
    }


def initial_rows(inside: Hosted) -> History:
    """What the service had before anything happened."""
    return {key: versions[-1:] for key, versions in history(inside).items()}


@dataclass(slots=True)
class Stores:
    """What one device keeps of edits that it did not get through."""

    cells: set[tuple[int, str, Value]] = field(default_factory=set)
    """Layer, column and value of all rows in the conflict store and in the quarantine."""
    photos: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    """GlobalIDs of rows whose delete met a conflict, or was refused."""
    given_up: set[Key] = field(default_factory=set)
    """Layer (attachments -1) and GlobalID of refused adds that were given up: their rows are
    deleted, also where a file brings them to the service."""


def stores(path: Path) -> Stores:
    """Read them past the engine."""
    found = Stores()
    with closing(sqlite3.connect(path)) as connection:
        layers = _layers(connection)
        sources = (
            "SELECT layer,mine FROM fieldsync_conflict WHERE resolution IS NOT 'mine'",
            "SELECT layer,row FROM fieldsync_conflict_part",
            "SELECT layer,json_extract(payload,'$.row') FROM fieldsync_quarantine"
            " WHERE direction='outbound'",
        )
        for source in sources:
            for number, text in connection.execute(source):
                _keep(found, layers.get(number), json.loads(text or "null"))
        found.deletes |= {
            gid
            for (gid,) in connection.execute(
                "SELECT gid FROM fieldsync_conflict WHERE kind='deleted_here' UNION"
                " SELECT gid FROM fieldsync_quarantine WHERE operation='delete'"
            )
        }
        refused = connection.execute(
            "SELECT layer,gid FROM fieldsync_quarantine"
            " WHERE operation='add' AND resolution='discarded'"
        )
        found.given_up |= {(layers.get(number, -1), gid) for number, gid in refused}
    return found


def _layers(connection: sqlite3.Connection) -> dict[int, int]:
    """Table number → layer, for feature tables; attachments are -1."""
    numbers: dict[int, int] = {}
    by_name = {name: layer for layer, name in TABLES.items()}
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
    for (name,) in rows:
        parts = name.split("_")
        if parts[0] != "fieldsync" or parts[-1] != "ai":
            continue
        table = connection.execute(
            "SELECT tbl_name FROM sqlite_master WHERE name=?", (name,)
        ).fetchone()[0]
        numbers[int(parts[1])] = by_name.get(table, -1)
    return numbers


def _keep(found: Stores, layer: int | None, row: dict[str, Any] | None) -> None:
    if row is None or layer is None:
        return
    if layer == -1:
        found.photos.add(str(row.get("ATT_NAME")))
        return
    for name, kind in COLUMNS[layer].items():
        found.cells.add((layer, name, plain(kind, row.get(name or "geom"))))
