"""Edits of the trees, spread at random over the whole table, from a seed.

``move``: up to 25 m. ``attributes``: height, condition, date and remarks of an inspection within
the last month. ``mix``: half attributes, a fifth moves, a quarter adds, the rest deletes.
"""

import random
import sqlite3
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scripts.benchmark import data

KINDS = ("move", "attributes", "mix", "add", "delete")
_MONTH_S = 30 * 24 * 3600
_MOVE_DEGREES = 2.5e-4
_INSPECTED = datetime(2026, 1, 1, tzinfo=UTC)

Row = tuple[Any, ...]


@dataclass(slots=True)
class Edits:
    """Rows as the codecs take them: the GlobalID, the columns, the geometry.

    ``updates``: the changed places, the row before, the row after.
    """

    adds: list[Row] = field(default_factory=list)
    updates: list[tuple[tuple[int, ...], Row, Row]] = field(default_factory=list)
    deletes: list[Row] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.adds) + len(self.updates) + len(self.deletes)


def make_edits(kind: str, rows: list[Row], names: list[str], count: int) -> Edits:
    """``count`` edits of that kind; ``names`` are the rows' columns, the last one the geometry."""
    rng = random.Random(f"{data.SEED} {kind}")
    edits = Edits()
    parts = {
        "mix": {"attributes": count // 2, "move": count // 5, "add": count // 4},
    }.get(kind, {kind: count})
    if kind == "mix":
        parts["delete"] = count - sum(parts.values())
    chosen = rng.sample(rows, count - parts.get("add", 0))
    for row in chosen[: parts.get("attributes", 0)]:
        edits.updates.append(_inspected(rng, row, names))
    for row in chosen[parts.get("attributes", 0) :][: parts.get("move", 0)]:
        edits.updates.append(((len(names) - 1,), row, (*row[:-1], _moved(rng, row[-1]))))
    edits.deletes = chosen[len(chosen) - parts.get("delete", 0) :]
    for number in range(parts.get("add", 0)):
        edits.adds.append(_added(rng, len(rows) + number + 1, names))
    return edits


def apply_edits(connection: sqlite3.Connection, edits: Edits, names: list[str]) -> None:
    """Carry them out on a table ``trees``, whatever else that table sets off."""
    marks = ",".join("?" * len(names))
    columns = ",".join(f'"{name}"' for name in names)
    connection.executemany(f"INSERT INTO trees ({columns}) VALUES ({marks})", edits.adds)
    for places, before, after in edits.updates:
        changed = ",".join(f'"{names[place]}"=?' for place in places)
        cells = [after[place] for place in places]
        connection.execute(f'UPDATE trees SET {changed} WHERE "GlobalID"=?', (*cells, before[0]))
    connection.executemany(
        'DELETE FROM trees WHERE "GlobalID"=?', ((row[0],) for row in edits.deletes)
    )


def plain_copy(source: Path, target: Path) -> None:
    """The trees of a geodatabase alone in an SQLite file, with a primary key and nothing else."""
    target.unlink(missing_ok=True)
    with sqlite3.connect(target) as connection:
        connection.execute("ATTACH ? AS source", (str(source),))
        names = [row[1] for row in connection.execute("PRAGMA source.table_info(trees)")]
        kinds = [f'"{name}" {_PLAIN.get(name, "")}'.rstrip() for name in names[1:]]
        connection.execute(f"CREATE TABLE trees (fid INTEGER PRIMARY KEY, {', '.join(kinds)})")
        connection.execute("INSERT INTO main.trees SELECT * FROM source.trees")
    connection.close()


_PLAIN = {
    name: kind
    for kind, names in {
        "REAL": ("height", "girth"),
        "INTEGER": ("OBJECTID", "owner", "district", "risk"),
        "TEXT": ("GlobalID", "species", "condition", "planted", "inspected", "remarks", "plate"),
        "BLOB": ("geom",),
    }.items()
    for name in names
}


def _inspected(rng: random.Random, row: Row, names: list[str]) -> tuple[tuple[int, ...], Row, Row]:
    values = {
        "height": round(rng.uniform(1, 40), 1),
        "condition": rng.choice(data.CONDITIONS),
        "inspected": _date(rng),
        "remarks": data.remark(rng),
    }
    places = tuple(names.index(name) for name in values)
    after = list(row)
    for place, value in zip(places, values.values(), strict=True):
        after[place] = value
    return places, row, tuple(after)


def _date(rng: random.Random) -> str:
    moment = _INSPECTED + timedelta(seconds=rng.randrange(_MONTH_S))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _moved(rng: random.Random, blob: bytes) -> bytes:
    x, y = struct.unpack_from("<dd", blob, len(blob) - 16)
    x = data.grid(x + rng.uniform(-_MOVE_DEGREES, _MOVE_DEGREES))
    y = data.grid(y + rng.uniform(-_MOVE_DEGREES, _MOVE_DEGREES))
    return blob[:-16] + struct.pack("<dd", x, y)


def _added(rng: random.Random, number: int, names: list[str]) -> Row:
    feature = data.tree(rng, number)
    cells: dict[str, Any] = dict(feature["attributes"])
    cells["OBJECTID"] = None  # the service gives it
    planted = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=cells["planted"])
    cells["planted"] = planted.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    cells["inspected"] = _date(rng)
    x, y = feature["geometry"]["x"], feature["geometry"]["y"]
    cells["geom"] = b"GP\0\1" + struct.pack("<iBIdd", 4326, 1, 1, x, y)
    return tuple(cells[name] for name in names)
