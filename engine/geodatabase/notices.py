"""What a person should know of a geodatabase although nothing is wrong with its edits."""

import json
import sqlite3

from engine.geodatabase.backfill import backfills
from engine.geodatabase.catalog import entries
from engine.geodatabase.connection import WAL_WARNING_BYTES
from engine.geodatabase.remembered import recall, remember
from engine.geodatabase.replica import get_service, set_resources
from engine.layer_schema import JsonObject, ServiceSchema

_BUSY = "checkpoint-busy"
_FIRST_LAYERS = "layers-at-first"


def notices(connection: sqlite3.Connection, wal_bytes: int) -> list[str]:
    """One sentence each."""
    tables = {entry.table.number: entry.table.name for entry in entries(connection)}
    found = [
        f"{tables[b.number]}: the values of {', '.join(b.columns)} are still to be fetched; sync"
        for b in backfills(connection)
        if b.number in tables
    ]
    found += [
        f"the service has the new layer {name}; take the map again to have it"
        for name in new_layers(connection)
    ]
    if recall(connection, _BUSY):
        found.append(
            "another program kept the write-ahead log from being emptied after the last sync; "
            "close it, then sync"
        )
    if wal_bytes > WAL_WARNING_BYTES:
        found.append(
            f"the write-ahead log has {wal_bytes >> 20} MB; close the programs that have the file "
            "open, then sync"
        )
    return found


def new_layers(connection: sqlite3.Connection) -> list[str]:
    """Names of the layers and tables that the service did not have when the map was taken."""
    service = get_service(connection)
    first = recall(connection, _FIRST_LAYERS)
    known = set(json.loads(first)) if first else set(service.layer_ids)
    return [name for id_, name in _names(service.resource).items() if id_ not in known]


def note_service(connection: sqlite3.Connection, service: ServiceSchema) -> list[str]:
    """Keep the service resource as it is now; the names of layers that were not known before.

    Needs an open transaction.
    """
    before = get_service(connection)
    if not recall(connection, _FIRST_LAYERS):
        remember(connection, _FIRST_LAYERS, json.dumps(sorted(before.layer_ids)))
    known = set(new_layers(connection))
    set_resources(connection, service=service.resource)
    return [name for name in new_layers(connection) if name not in known]


def note_checkpoint(connection: sqlite3.Connection, is_busy: bool) -> None:
    """Remember whether the write-ahead log could be emptied. Needs an open transaction."""
    remember(connection, _BUSY, "1" if is_busy else "")


def was_busy(connection: sqlite3.Connection) -> bool:
    """Whether the last sync could not empty the write-ahead log."""
    return bool(recall(connection, _BUSY))


def _names(resource: JsonObject) -> dict[int, str]:
    found: dict[int, str] = {}
    for kind in ("layers", "tables"):
        listed = resource.get(kind)
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, dict) and isinstance(item.get("id"), int):
                found[item["id"]] = str(item.get("name") or item["id"])
    return found
