"""Fields that come to the layers of the service and go, and photos edited beside a sync."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.geodatabase import attachments, catalog
from engine.geodatabase.attachments import Source
from tests.engine.sync.schedules.edits import Values
from tests.engine.sync.schedules.foreign import in_flight
from tests.engine.sync.schedules.ledger import Ledger, Photo
from tests.engine.sync.schedules.world import EXTRA, HYDRANTS, LAYERS
from tests.feature_service.hosted import Hosted
from tests.feature_service.mishap import change_schema
from tests.feature_service.store import column
from tests.test_feature_service.world import field

_PHOTOS = HYDRANTS * 2 + 1  # the number of the table


def extra_fields(inside: Hosted, layer_id: int) -> list[dict[str, Any]]:
    """Those that the layer has now."""
    found = [f for f in inside.layer(layer_id).document["fields"] if f["name"].startswith(EXTRA)]
    return list(found)


def change_layers(inside: Hosted, values: Values) -> None:
    """What an owner does to a layer: a field more, a field less, a field wider or closed."""
    draw = values.draw
    layer = draw.choice(LAYERS)
    present = extra_fields(inside, layer)
    what = draw.choice(["add", "add", "remove", "close", "widen"])
    if what == "add" or not present:
        name = f"{EXTRA}{values.number()}"
        kind = draw.choice(["String", "Integer"])
        default = {"String": "red", "Integer": 7}[kind] if draw.random() < 0.6 else None
        more = {"length": 12} if kind == "String" else {}
        change: dict[str, Any] = {"add": field(name, kind, defaultValue=default, **more)}
    else:
        one = draw.choice(present)
        if what == "remove":
            change = {"remove": one["name"]}
        elif what == "close":
            change = {"field": one["name"], "set": {"editable": not one.get("editable", True)}}
        elif "length" in one:
            change = {"field": one["name"], "set": {"length": one["length"] + 10}}
        else:
            change = {"field": one["name"], "set": {"type": "esriFieldTypeBigInteger"}}
    change_schema(inside, {"layer": layer, **change})


def extras_there(inside: Hosted, layer_id: int) -> dict[str, dict[str, object]]:
    """GlobalID → such fields and their values on the service."""
    layer = inside.layer(layer_id)
    names = [f["name"] for f in extra_fields(inside, layer_id)]
    columns = "".join(f",{column(layer, name)}" for name in names)
    rows = inside.store.run(
        f"SELECT gid{columns} FROM layer_{layer_id} WHERE gen_to > ?", inside.store.generation
    )
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows.fetchall()}


def extras_here(
    connection: sqlite3.Connection, table: str, names: list[str]
) -> dict[str, dict[str, object]]:
    """The same on a device."""
    columns = "".join(f",t.{name}" for name in names)
    rows = connection.execute(f"SELECT t.GlobalID{columns} FROM {table} t")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def edit_photo(who: str, path: Path, values: Values, ledger: Ledger) -> None:
    """A program adds, replaces or deletes an attachment, mostly one that is on its way.

    :exc:`OperationalError` if the file is busy.
    """
    draw = values.draw
    data, name = draw.randbytes(draw.choice([1, 300, 3000])), f"p{values.number()}.jpg"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("BEGIN IMMEDIATE")
        table = next(e.table for e in catalog.entries(connection) if e.table.number == _PHOTOS)
        found = "SELECT GLOBALID,REL_GLOBALID,ATT_NAME FROM Hydrants__ATTACH"
        sent = "SELECT gid FROM fieldsync_sent WHERE layer=?"
        present = connection.execute(f"{found} WHERE GLOBALID IN ({sent})", (_PHOTOS,)).fetchall()
        present = present or connection.execute(f"{found} ORDER BY fid").fetchall()
        what = draw.choice(["add", "update", "update", "delete"])
        if what == "add" or not present:
            rows = in_flight(connection).get(HYDRANTS) or [
                gid for (gid,) in connection.execute("SELECT GlobalID FROM Hydrants ORDER BY fid")
            ]
            if not rows:
                return
            parent = values.pick(rows)
            gid = attachments.add_attachment(
                connection, table, parent, name, "image/jpeg", Source(data)
            ).global_id
            entry = Photo(who, gid, parent, name, data)
        else:
            gid, parent, old = values.pick(present)
            if what == "update":
                attachments.replace_attachment(
                    connection, table, gid, name, "image/jpeg", Source(data)
                )
                entry = Photo(who, gid, parent, name, data)
            else:
                attachments.delete_attachments(connection, table, "GLOBALID", gid)
                entry = Photo(who, gid, parent, old, None)
        connection.execute("COMMIT")
    ledger.note(entry)
