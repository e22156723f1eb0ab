"""Edits drawn at random: through the engine's own tables, by another program, at the office."""

import random
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from engine.geodatabase.geodatabase import Geodatabase
from tests.engine.sync.schedules.ledger import OFFICE, Delete, Entry, Ledger, Photo, Write
from tests.engine.sync.schedules.world import (
    COLUMNS,
    HYDRANTS,
    NOTES,
    PARENTS,
    PIPES,
    TABLES,
    TOKENS,
    VISITS,
    Row,
    gid,
    plain,
    single,
)
from tests.feature_service.hosted import Hosted

_LAYERS = (HYDRANTS, HYDRANTS, HYDRANTS, PIPES, VISITS, VISITS, NOTES)
_NARROW = (HYDRANTS, HYDRANTS, HYDRANTS, VISITS, VISITS, NOTES)
T = TypeVar("T")
_TOO_LONG = 25  # letters; a hydrant's name has 20
_WKID = 102100


class Values:
    """Values that nobody else writes: numbers from ``first`` on make them.

    ``is_narrow``: all parties work on few rows and columns, so that they meet all the time.
    """

    def __init__(self, draw: random.Random, first: int, *, is_narrow: bool = False) -> None:
        self.draw = draw
        self._next = first
        self._is_narrow = is_narrow

    def layer(self) -> int:
        return self.draw.choice(_NARROW if self._is_narrow else _LAYERS)

    def pick(self, rows: Sequence[T]) -> T:
        """One of the rows, more often one of the first: that is where people meet."""
        return rows[int(len(rows) * self.draw.random() ** (8 if self._is_narrow else 2.5))]

    def number(self) -> int:
        self._next += 1
        return self._next - 1

    def guid(self) -> str:
        return gid(900_000 + self.number())

    def token(self) -> str:
        return f"w{self.number()}{self.draw.choice(['', ' é', ' 🌍', ' q'])}"

    def some(self, layer: int, *, is_bad: bool = False) -> dict[str, Any]:
        """New values for some columns of that layer, as the API takes them."""
        name = TOKENS[layer]
        if layer != HYDRANTS or (self._is_narrow and self.draw.random() < 0.6 and not is_bad):
            return {name: self.token()}
        number = self.number()
        choices: list[dict[str, Any]] = [
            {name: self.token()},
            {name: self.token()},
            {name: self.token()},
            {"status": self.draw.choice([1, 2])},
            {"pressure": number / 100},
            {"serial": 1000 + number},
            {"flow": single(number / 7)},
            {"checked": datetime.fromtimestamp(1_700_000_000 + number, UTC)},
            {name: self.token(), "pressure": None},
            {"serial": 1000 + number, "flow": single(number / 7), "status": 1},
        ]
        values = self.draw.choice(choices)
        if is_bad:
            values[name] = f"{self.token()}{'x' * _TOO_LONG}"[:_TOO_LONG]
        return values

    def shape(self, layer: int) -> dict[str, Any] | None:
        """A new place, sometimes finer than the service's grid."""
        part = self.number() / self.draw.choice([8, 8, 7])
        if layer == HYDRANTS:
            return {"x": 1000 + part, "y": 2000 + part}
        if layer == PIPES:
            return {"hasZ": True, "paths": [[[part, 0.0, 1.0], [part, part + 9, 2.5]]]}
        return None


def canonical(layer: int, values: dict[str, Any], shape: object = None) -> Row:
    """What was given to the API, as the ledger keeps it."""
    row = {name: plain(COLUMNS[layer][name], value) for name, value in values.items()}
    return row if shape is None else {**row, "": plain("shape", shape)}


# --- through the engine --------------------------------------------------------------------------


async def edit_by_api(who: str, geodatabase: Geodatabase, values: Values, ledger: Ledger) -> None:
    """One edit as an app makes it."""
    draw = values.draw
    layer = values.layer()
    table = geodatabase.table(layer)
    rows = [f.global_id async for f in table.query_features()]
    what = draw.choice(["add", "add", "update", "update", "update", "move", "delete", "photo"])
    if what == "photo" and layer == HYDRANTS and rows:
        await _photo(who, table, values.pick(rows), values, ledger)
        return
    if what == "add" or not rows:
        await _add(who, geodatabase, layer, values, ledger)
        return
    row = values.pick(rows)
    if what == "delete":
        if draw.random() < 0.6:
            await table.delete_feature(row)
            ledger.note(Delete(who, layer, row))
    elif what == "move" and (shape := values.shape(layer)) is not None:
        await table.update_feature(row, geometry=shape)
        ledger.note(Write(who, layer, row, canonical(layer, {}, shape)))
    else:
        some = values.some(layer)
        if layer in PARENTS and draw.random() < 0.2:
            some[PARENTS[layer][1]] = await _parent(geodatabase, layer, values)
        await table.update_feature(row, some)
        ledger.note(Write(who, layer, row, canonical(layer, some)))


async def _add(
    who: str, geodatabase: Geodatabase, layer: int, values: Values, ledger: Ledger
) -> None:
    some, shape, row = values.some(layer), values.shape(layer), values.guid()
    some[TOKENS[layer]] = values.token()
    if layer in PARENTS:
        some[PARENTS[layer][1]] = await _parent(geodatabase, layer, values)
    await geodatabase.table(layer).add_feature({**some, "GlobalID": row}, shape)
    ledger.note(Write(who, layer, row, canonical(layer, some, shape), is_add=True))


async def _parent(geodatabase: Geodatabase, layer: int, values: Values) -> str | None:
    parents = geodatabase.table(PARENTS[layer][0])
    rows = [f.global_id async for f in parents.query_features()]
    return values.pick(rows) if rows else None


async def _photo(who: str, table: Any, row: str, values: Values, ledger: Ledger) -> None:
    draw = values.draw
    present = await table.attachments(row)
    what = draw.choice(["add", "add", "update", "delete"])
    data = draw.randbytes(draw.choice([1, 2, 300, 5000]))
    name = f"p{values.number()}.jpg"
    if what == "add" or not present:
        photo = await table.add_attachment(row, name, "image/jpeg", data)
    elif what == "update":
        photo = draw.choice(present)
        await table.update_attachment(photo.global_id, name, "image/jpeg", data)
    else:
        photo = draw.choice(present)
        await table.delete_attachment(photo.global_id)
        ledger.note(Photo(who, photo.global_id, row, photo.name, None))
        return
    ledger.note(Photo(who, photo.global_id, row, name, data))


# --- by another program --------------------------------------------------------------------------


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
            new, token = values.guid(), values.token()
            connection.execute(
                "UPDATE Pipes SET GlobalID=?,label=? WHERE GlobalID=?", (new, token, row)
            )
            shape = connection.execute(
                "SELECT geom FROM Pipes WHERE GlobalID=?", (new,)
            ).fetchone()[0]
            cells = canonical(layer, {"label": token}, shape)
            return [Delete(who, layer, row), Write(who, layer, new, cells, is_add=True)]
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
    for layer, name in TABLES.items():
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


# --- at the office -------------------------------------------------------------------------------


def draw_office_edit(
    inside: Hosted, values: Values, wanted: Mapping[int, Sequence[str]] | None = None
) -> tuple[int, dict[str, Any], Entry] | None:
    """Layer, the lists of applyEdits, and what to note of it. ``wanted``: rows to edit mostly."""
    draw = values.draw
    layer = values.layer()
    if wanted and draw.random() < 0.8:
        layer = draw.choice(list(wanted))
    else:
        wanted = {}
    found = inside.rows(inside.layer(layer))._store.run(
        f"SELECT gid FROM layer_{layer} WHERE gen_to > ? ORDER BY oid", inside.store.generation
    )
    rows = [row[0] for row in found.fetchall()]
    rows = [row for row in rows if row in wanted.get(layer, ())] or rows
    what = draw.choice(["add", "update", "update", "update", "move", "delete"])
    shape = values.shape(layer)
    if shape is not None:
        shape = {**shape, "spatialReference": {"wkid": _WKID}}
    if what == "add":
        new, some = values.guid(), values.some(layer)
        some[TOKENS[layer]] = values.token()
        feature = {"attributes": _wire({**some, "GlobalID": new}), "geometry": shape}
        write = Write(OFFICE, layer, new, canonical(layer, some, shape), is_add=True)
        return layer, {"adds": [feature]}, write
    if not rows:
        return None
    row = values.pick(rows)
    if what == "delete":
        return (
            (layer, {"deletes": [row]}, Delete(OFFICE, layer, row)) if draw.random() < 0.5 else None
        )
    if what == "move" and shape is not None:
        update = {"attributes": {"GlobalID": row}, "geometry": shape}
        cells = canonical(layer, {}, shape)
    else:
        some = values.some(layer)
        update, cells = {"attributes": _wire({**some, "GlobalID": row})}, canonical(layer, some)
    if inside.profile.nulls_omitted_attributes:
        # Its office knows its own service, and sends whole rows.
        update["attributes"] = {**_whole(inside, layer, row), **update["attributes"]}
    return layer, {"updates": [update]}, Write(OFFICE, layer, row, cells)


def _whole(inside: Hosted, layer_id: int, row: str) -> dict[str, Any]:
    layer = inside.layer(layer_id)
    found = inside.rows(layer).by_gid(row)
    assert found is not None
    own = set(layer.tracking_fields) | {
        f.name.lower() for f in layer.stored_fields if not f.is_editable
    }
    names = {f.name.lower(): f.name for f in layer.stored_fields}
    return {names[n]: v for n, v in found.values.items() if n not in own}


def _wire(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value.timestamp() * 1000) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
