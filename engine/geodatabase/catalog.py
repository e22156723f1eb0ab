"""Which tables the geodatabase has: written when it is made, read whenever it is opened."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from engine.geodatabase.layer_table import Column, LayerTable
from engine.geodatabase.triggers import Permissions
from engine.layer_schema import FieldType, LayerSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One synchronised table: how it lies in the file and what may be done with it.

    ``srs_id`` is what its geometries carry. Until ``is_loaded`` it is empty and has no triggers.
    """

    table: LayerTable
    permissions: Permissions
    srs_id: int
    is_indexed: bool
    is_loaded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """A layer of the service with its table and, if it has attachments, theirs."""

    schema: LayerSchema
    features: Entry
    attachments: Entry | None


def add_entry(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write ``entry`` to the catalog."""
    table = entry.table
    connection.execute(
        "INSERT INTO fieldsync_table (number, layer_id, name, definition, permissions, srs_id, "
        "is_indexed, is_loaded) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            table.number,
            table.layer_id,
            table.name,
            _table_to_text(table),
            json.dumps(asdict(entry.permissions)),
            entry.srs_id,
            entry.is_indexed,
            entry.is_loaded,
        ),
    )


def set_entry(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write an entry that is there already, once its table follows it."""
    connection.execute(
        "UPDATE fieldsync_table SET definition = ?, permissions = ?, is_indexed = ? "
        "WHERE number = ?",
        (
            _table_to_text(entry.table),
            json.dumps(asdict(entry.permissions)),
            entry.is_indexed,
            entry.table.number,
        ),
    )


def entries(connection: sqlite3.Connection) -> list[Entry]:
    """All tables, in the order of their layers, attachments after their features."""
    rows = connection.execute(
        "SELECT definition, permissions, srs_id, is_indexed, is_loaded FROM fieldsync_table "
        "ORDER BY number"
    )
    return [
        Entry(
            table=_table_from_text(definition),
            permissions=Permissions(**json.loads(permissions)),
            srs_id=srs_id,
            is_indexed=bool(is_indexed),
            is_loaded=bool(is_loaded),
        )
        for definition, permissions, srs_id, is_indexed, is_loaded in rows
    ]


def stored_layers(connection: sqlite3.Connection) -> list[StoredLayer]:
    """The layers of the geodatabase with their tables."""
    (service,) = connection.execute("SELECT service FROM fieldsync_replica").fetchone()
    resources: Mapping[int, str] = dict(
        connection.execute("SELECT layer_id, resource FROM fieldsync_layer")
    )
    found = entries(connection)
    attachments = {e.table.layer_id: e for e in found if e.table.is_attachment}
    return [
        StoredLayer(
            schema=LayerSchema.from_json(
                json.loads(resources[entry.table.layer_id]), json.loads(service)
            ),
            features=entry,
            attachments=attachments.get(entry.table.layer_id),
        )
        for entry in found
        if not entry.table.is_attachment
    ]


def _table_to_text(table: LayerTable) -> str:
    value = asdict(table)
    value["columns"] = [
        {"name": c.name, "type": c.type.value, "is_editable": c.is_editable} for c in table.columns
    ]
    return json.dumps(value, ensure_ascii=False)


def _table_from_text(text: str) -> LayerTable:
    value = json.loads(text)
    value["columns"] = tuple(
        Column(name=c["name"], type=FieldType(c["type"]), is_editable=c["is_editable"])
        for c in value["columns"]
    )
    value["noted"] = tuple(value["noted"])
    return LayerTable(**value)
