"""Geodatabases for tests: made, loaded with some features, and open."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.geopackage import insert_rows
from engine.geodatabase.replica import Replica
from engine.layer_schema import LayerSchema
from native.geometry import esri_json_to_gpkg
from tests.engine.geodatabase.schemas import URL, inspections, service, trees

OAK = "{00000000-0000-4000-8000-00000000000A}"
ELM = "{00000000-0000-4000-8000-00000000000B}"
CHECK = "{00000000-0000-4000-8000-00000000000C}"


async def made(path: Path, layers: Sequence[LayerSchema], **options: object) -> Geodatabase:
    """An open, loaded geodatabase without rows."""
    replica = Replica(replica_id="{R}", service_url=URL)
    geodatabase = await Geodatabase.create(path, service(), layers, replica, **options)  # type: ignore[arg-type]  # passed on as they are
    await geodatabase.load()
    return geodatabase


async def made_trees(path: Path) -> Geodatabase:
    """Two trees, OAK with an inspection CHECK, as the service has them."""
    layers = [trees(), inspections()]
    geodatabase = await Geodatabase.create(
        path, service(), layers, Replica(replica_id="{R}", service_url=URL)
    )
    blob = esri_json_to_gpkg(b'{"x": 1, "y": 2}', "esriGeometryPoint", 3857, False, False)

    def fill(connection: sqlite3.Connection) -> None:
        tree, check = (stored.features.table for stored in geodatabase.layers)
        insert_rows(
            connection,
            tree,
            [
                (OAK, blob, 1, "OAK", 12.5, "1969-12-31T23:59:59.999Z", "ann"),
                (ELM, None, 2, "ELM", None, None, None),
            ],
        )
        insert_rows(connection, check, [(CHECK, 1, OAK, "fine")])

    await geodatabase.load(fill)
    return geodatabase
