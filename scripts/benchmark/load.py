"""Taking a map: a replica file into a complete geodatabase, and what it must cost at least."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.geodatabase import catalog, geopackage
from engine.geodatabase.connection import Database
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.replica import Replica
from engine.service.replica_file import read_header
from engine.sync.incoming import Sinks, Stager
from engine.sync.rows import codec_layer
from native.geometry import envelope, register_functions
from scripts.benchmark.data import DataSet, data_set

_REPLICA = Replica(replica_id="{00000000-0000-4000-8000-000000000001}", server_generation=1)


def load(*, name: str, count: int, replica: str, target: str) -> Callable[[], int]:
    """As the engine takes a map: R-tree, unique GlobalIDs, the change log armed, on the disk."""
    data = data_set(name, count)
    return lambda: build_geodatabase(data, Path(replica), Path(target))


def build_geodatabase(data: DataSet, replica: Path, target: Path) -> int:
    """Make ``target`` anew from a replica file; returns how many rows it has."""
    import asyncio

    remove_database(target)
    return asyncio.run(_build(data, replica, target))


async def _build(data: DataSet, replica: Path, target: Path) -> int:
    service, layer = data.schema()

    def create(connection: sqlite3.Connection) -> None:
        geopackage.create_geopackage(connection, service, [layer], _REPLICA, spatial_index=True)

    async with await Database.open(target, create=True) as database:
        await database.write(create)
        entries = await database.read(catalog.entries)

        def fill(connection: sqlite3.Connection) -> int:
            def rows(table: LayerTable, batch: list[Row], *bounds: bytes | None) -> None:
                geopackage.insert_rows(connection, table, batch, *bounds)

            stager = Stager(
                [entry.table for entry in entries],
                [codec_layer(layer, entry.table, entry.srs_id) for entry in entries],
                target.parent,
                Sinks(rows=rows, incomplete=_refuse, deletes=_refuse, fetches=_ignore),
            )
            header = read_header(replica)
            geopackage.load(connection, lambda _: ignore(stager.read(replica, header)))
            return stager.staged.rows

        count = await database.write(fill)
        await database.use_wal()
        await database.checkpoint()
    return count


def load_floor(*, geodatabase: str, table: str, target: str) -> Callable[[], int]:
    """The least it can cost in Python: ready rows, one statement, the same indexes."""
    with sqlite3.connect(geodatabase) as source:
        rows = source.execute(f'SELECT * FROM "{table}"').fetchall()
        names = [row[1] for row in source.execute(f'PRAGMA table_info("{table}")')]
    bounds = [
        (row[0], *envelope_of)
        for row in rows
        if (envelope_of := envelope(row[names.index("geom")])) is not None
    ]

    def work() -> int:
        remove_database(Path(target))
        with sqlite3.connect(target) as connection:
            register_functions(connection)
            columns = ", ".join(f'"{n}"' for n in names[1:])
            connection.execute(
                f'CREATE TABLE "{table}" (fid INTEGER PRIMARY KEY AUTOINCREMENT, {columns})'
            )
            marks = ",".join("?" * len(names))
            connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)
            connection.execute(f'CREATE UNIQUE INDEX by_gid ON "{table}" ("GlobalID")')
            connection.execute("CREATE VIRTUAL TABLE area USING rtree(id, x1, x2, y1, y2)")
            connection.executemany("INSERT INTO area VALUES (?, ?, ?, ?, ?)", bounds)
        connection.close()
        return len(rows)

    return work


def load_dict(*, replica: str, target: str) -> Callable[[], int]:
    """What a short script does: the whole document as a dict, then ``executemany``."""

    def work() -> int:
        remove_database(Path(target))
        features = json.loads(Path(replica).read_bytes())["layers"][0]["features"]
        names = list(features[0]["attributes"])
        with sqlite3.connect(target) as connection:
            columns = ", ".join(f'"{n}"' for n in names)
            connection.execute(f"CREATE TABLE rows ({columns}, geom)")
            marks = ",".join("?" * (len(names) + 1))
            connection.executemany(
                f"INSERT INTO rows VALUES ({marks})",
                ((*f["attributes"].values(), json.dumps(f["geometry"])) for f in features),
            )
        connection.close()
        return len(features)

    return work


def remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def ignore(_: object) -> None:
    """For a value that is told elsewhere too."""


def _refuse(table: LayerTable, ids: Any) -> None:
    raise ValueError(f"the replica file speaks of changes to {table.name}")


def _ignore(fetches: Any) -> None:
    """Trees and parcels have no attachments."""
