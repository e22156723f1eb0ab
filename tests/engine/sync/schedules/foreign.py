"""Edits drawn at random that another program makes, with SQLite alone."""

import random
import sqlite3
import struct
from datetime import datetime
from typing import Any

from engine.geodatabase import catalog
from tests.engine.sync.schedules.edits import Values, canonical
from tests.engine.sync.schedules.ledger import Delete, Entry, Ledger, Photo, Write
from tests.engine.sync.schedules.world import (
    COLUMNS,
    EXTRA,
    HYDRANTS,
    PARENTS,
    PIPES,
    TABLES,
    TOKENS,
    plain,
)


def edit_by_foreigner(
    who: str, connection: sqlite3.Connection, values: Values, ledger: Ledger
) -> None:
    """One transaction of a program that knows nothing of us, committed or rolled back."""
    draw = values.draw
    connection.execute("BEGIN IMMEDIATE")
    noted: list[Entry] = []
    for _ in range(draw.choice([1, 1, 2])):
        noted += _statement(who, connection, values)
    if draw.random() < 0.1:
        connection.execute("ROLLBACK")
        return
    connection.execute("COMMIT")
    ledger.note(*noted)


def _statement(who: str, connection: sqlite3.Connection, values: Values) -> list[Entry]:
    draw = values.draw
    layer, rows = _rows(connection, values)
    table, name = TABLES[layer], TOKENS[layer]
    kinds = ["insert", "update", "update", "update", "replace", "delete", "again", "back"]
    kinds += {HYDRANTS: ["bad", "bad", "photo"], PIPES: ["rekey", "renumber"]}.get(layer, [])
    if values.is_wide:
        kinds += ["rekey", "trample", "extra", "extra"]
    what = draw.choice(kinds)
    if what == "insert" or not rows:
        return [_insert(who, connection, layer, values.guid(), values)]
    row = values.pick(rows)
    match what:
        case "delete":
            connection.execute(f"DELETE FROM {table} WHERE GlobalID=?", (row,))
            return [Delete(who, layer, row)]
        case "again":
            connection.execute(f"DELETE FROM {table} WHERE GlobalID=?", (row,))
            return [Delete(who, layer, row), _insert(who, connection, layer, row, values)]
        case "replace":
            return [_replace(who, connection, layer, row, values)]
        case "rekey":
            return _rekey(who, connection, layer, row, values)
        case "trample":
            return _trample(who, connection, layer, row, values)
        case "extra":
            edit_extra(connection, table, row, values)
            return []
        case "renumber":
            connection.execute(
                "UPDATE Pipes SET fid=(SELECT max(fid)+1 FROM Pipes) WHERE GlobalID=?", (row,)
            )
            return []
        case "back":
            old = connection.execute(f"SELECT {name} FROM {table} WHERE GlobalID=?", (row,))
            text = old.fetchone()[0]
            for value in (values.token(), text):
                connection.execute(f"UPDATE {table} SET {name}=? WHERE GlobalID=?", (value, row))
            return []
        case "photo":
            return _remove_photo(who, connection, draw)
    some = _stored(values.some(layer, is_bad=what == "bad"))
    settings = ",".join(f"{column}=?" for column in some)
    connection.execute(f"UPDATE {table} SET {settings} WHERE GlobalID=?", (*some.values(), row))
    return [Write(who, layer, row, canonical(layer, some))]


def in_flight(connection: sqlite3.Connection) -> dict[int, list[str]]:
    """The rows of a geodatabase that are on their way just now."""
    found: dict[int, list[str]] = {}
    condition = "WHERE GlobalID IN (SELECT gid FROM fieldsync_sent) ORDER BY fid"
    present = {name for (name,) in connection.execute("SELECT name FROM fieldsync_table")}
    for layer, name in TABLES.items():
        if name not in present:  # the machine that sends a file has some of them
            continue
        for (gid_,) in connection.execute(f"SELECT GlobalID FROM {name} {condition}"):
            found.setdefault(layer, []).append(gid_)
    return found


def _rows(connection: sqlite3.Connection, values: Values) -> tuple[int, list[str]]:
    """A layer and its rows; during a sync mostly those that are on their way."""
    sent = in_flight(connection) if values.draw.random() < 0.8 else {}
    for layer, rows in sent.items():
        return layer, rows
    layer = values.layer()
    found = connection.execute(f"SELECT GlobalID FROM {TABLES[layer]} ORDER BY fid")
    return layer, [row[0] for row in found]


def _insert(
    who: str, connection: sqlite3.Connection, layer: int, row: str, values: Values
) -> Write:
    some = _stored(values.some(layer))
    some[TOKENS[layer]] = values.token()
    if layer in PARENTS:
        above, key, _ = PARENTS[layer]
        parents = connection.execute(f"SELECT GlobalID FROM {TABLES[above]} ORDER BY fid")
        some[key] = values.draw.choice([*(r[0] for r in parents), None])
    shape: bytes | None = None
    if layer == HYDRANTS:
        place = values.shape(layer)
        assert place is not None
        shape = struct.pack("<2sBBiBIdd", b"GP", 0, 1, 3857, 1, 1, place["x"], place["y"])
        some |= {"geom": shape, "serial": 1000 + values.number()}
    names = ",".join(["GlobalID", *some])
    marks = ",?" * len(some)
    connection.execute(
        f"INSERT INTO {TABLES[layer]}({names}) VALUES(?{marks})", (row, *some.values())
    )
    some.pop("geom", None)
    return Write(who, layer, row, canonical(layer, some, shape), is_add=True)


def _replace(
    who: str, connection: sqlite3.Connection, layer: int, row: str, values: Values
) -> Write:
    """The whole row again, as many programs save it, with one value changed."""
    table, name, token = TABLES[layer], TOKENS[layer], values.token()
    found = connection.execute(f"SELECT * FROM {table} WHERE GlobalID=?", (row,))
    columns = [d[0] for d in found.description]
    cells = dict(zip(columns, found.fetchone(), strict=True)) | {name: token}
    connection.execute(
        f"INSERT OR REPLACE INTO {table}({','.join(columns)}) VALUES({','.join('?' * len(cells))})",
        tuple(cells.values()),
    )
    return Write(who, layer, row, canonical(layer, {name: token}))


def _rekey(
    who: str, connection: sqlite3.Connection, layer: int, row: str, values: Values
) -> list[Entry]:
    """The row under another GlobalID: to the service one is gone, and another is new."""
    table, name, new, token = TABLES[layer], TOKENS[layer], values.guid(), values.token()
    connection.execute(
        f"UPDATE {table} SET GlobalID=?,{name}=? WHERE GlobalID=?", (new, token, row)
    )
    columns = COLUMNS[layer]
    names = ",".join(f'"{column or "geom"}"' for column in columns)
    found = connection.execute(f"SELECT {names} FROM {table} WHERE GlobalID=?", (new,)).fetchone()
    cells = {n: plain(k, v) for (n, k), v in zip(columns.items(), found, strict=True)}
    return [Delete(who, layer, row), Write(who, layer, new, cells, is_add=True)]


def _trample(
    who: str, connection: sqlite3.Connection, layer: int, row: str, values: Values
) -> list[Entry]:
    """The row under another's number, which goes."""
    table, name, token = TABLES[layer], TOKENS[layer], values.token()
    other = connection.execute(
        f"SELECT fid,GlobalID FROM {table} WHERE GlobalID<>? ORDER BY fid DESC LIMIT 1", (row,)
    ).fetchone()
    if other is None:
        return []
    connection.execute(
        f"UPDATE OR REPLACE {table} SET fid=?,{name}=? WHERE GlobalID=?", (other[0], token, row)
    )
    return [Delete(who, layer, other[1]), Write(who, layer, row, {name: token})]


def edit_extra(connection: sqlite3.Connection, table: str, row: str, values: Values) -> None:
    """A field that came later, if the table has one that takes edits."""
    entry = next(e for e in catalog.entries(connection) if e.table.name == table)
    names = [c for c in entry.table.columns if c.name.startswith(EXTRA) and c.is_editable]
    if names:
        one = values.draw.choice(names)
        value: object = values.number() if one.type.is_integer else f"x{values.number()}"
        connection.execute(f"UPDATE {table} SET {one.name}=? WHERE GlobalID=?", (value, row))


def _remove_photo(who: str, connection: sqlite3.Connection, draw: random.Random) -> list[Entry]:
    names = "GLOBALID,REL_GLOBALID,ATT_NAME"
    found = connection.execute(
        f"SELECT {names} FROM Hydrants__ATTACH ORDER BY ATTACHMENTID"
    ).fetchall()
    if not found:
        return []
    row, parent, name = draw.choice(found)
    connection.execute("DELETE FROM Hydrants__ATTACH WHERE GLOBALID=?", (row,))
    return [Photo(who, row, parent, name, None)]


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    """As a GeoPackage has them."""
    return {
        name: f"{value:%Y-%m-%dT%H:%M:%S}.000Z" if isinstance(value, datetime) else value
        for name, value in values.items()
    }
