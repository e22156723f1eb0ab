"""Edits drawn at random: through the engine's own tables, and at the office."""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from engine.errors import EngineError
from engine.geodatabase.geodatabase import Geodatabase
from tests.engine.sync.schedules.ledger import OFFICE, Delete, Entry, Ledger, Photo, Write
from tests.engine.sync.schedules.world import (
    COLUMNS,
    HYDRANTS,
    NOTES,
    PARENTS,
    PIPES,
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
    ``is_wide``: other programs do more to a table.
    """

    def __init__(
        self, draw: random.Random, first: int, *, is_narrow: bool = False, is_wide: bool = False
    ) -> None:
        self.draw = draw
        self.is_wide = is_wide
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
            {"pressure": number / 100 if number < 1600 else (number + 0.5) / 1000},
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


async def album(who: str, geodatabase: Geodatabase, values: Values, ledger: Ledger) -> None:
    """Some attachments of one hydrant, added, replaced or deleted."""
    table = geodatabase.table(HYDRANTS)
    rows = [f.global_id async for f in table.query_features()]
    if rows:
        row = values.pick(rows)
        for _ in range(values.draw.choice([1, 2, 4])):
            await _photo(who, table, row, values, ledger)


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


async def burst(who: str, geodatabase: Geodatabase, values: Values, ledger: Ledger) -> None:
    """A transaction of some edits, mostly of the same rows, kept or rolled back."""
    noted = Ledger()
    await geodatabase.begin_transaction()
    for _ in range(values.draw.choice([2, 3, 4])):
        with suppress(EngineError):  # refused: the others stay
            await edit_by_api(who, geodatabase, values, noted)
    if values.draw.random() < 0.2:
        await geodatabase.rollback_transaction()
        return
    await geodatabase.commit_transaction()
    ledger.note(*noted.entries)


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
