"""The rows of one layer: reading the living ones, and writing new versions of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .definition import Layer
from .field import Value
from .geometry import box_of
from .store import CURRENT, Store, column, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One living row version."""

    vid: int
    oid: int
    gid: str
    gen_from: int
    shape: str | None
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Who makes a change, and in which generation."""

    generation: int
    origin: str


class Rows:
    """The rows of one layer in one store."""

    def __init__(self, store: Store, layer: Layer) -> None:
        self._store = store
        self._layer = layer
        self._table = table(layer)
        self._names = [field.name.lower() for field in layer.stored_fields]
        self._columns = [column(layer, name) for name in self._names]
        listed = "".join(f", {name}" for name in self._columns)
        self._select = f"SELECT vid, oid, gid, gen_from, shape{listed} FROM {self._table}"
        marks = ", ?" * (12 + len(self._columns))
        self.insert_sql = (
            f"INSERT INTO {self._table} (oid, gid, gen_from, gen_to, origin_from, origin_to,"
            f" moved, shape, xmin, ymin, xmax, ymax{listed}) VALUES ({marks[2:]})"
        )

    def by_gid(self, gid: str) -> Row | None:
        """The living row of that GlobalID."""
        return self._one("gid", gid)

    def by_oid(self, oid: int) -> Row | None:
        """The living row of that ObjectID."""
        return self._one("oid", oid)

    def by_value(self, field_name: str, value: Value) -> list[Row]:
        """The living rows with that value in a field."""
        sql = f"{self._select} WHERE gen_to = ? AND {column(self._layer, field_name)} = ?"
        return [self._row(found) for found in self._store.run(sql, CURRENT, value).fetchall()]

    def _one(self, key: str, value: Value) -> Row | None:
        found = self._store.one(f"{self._select} WHERE gen_to = {CURRENT} AND {key} = ?", value)
        return None if found is None else self._row(found)

    def _row(self, found: tuple[Any, ...]) -> Row:
        vid, oid, gid, gen_from, shape, *values = found
        return Row(
            vid=vid,
            oid=oid,
            gid=gid,
            gen_from=gen_from,
            shape=shape,
            values=dict(zip(self._names, values, strict=True)),
        )

    def take_oid(self) -> int:
        """The next ObjectID of the layer; inside a transaction."""
        found = self._store.one(
            "UPDATE layer_state SET next_oid = next_oid + 1 WHERE layer = ? RETURNING next_oid",
            self._layer.id,
        )
        assert found is not None, "every layer has its state row"
        return int(found[0]) - 1

    def version(
        self,
        oid: int,
        gid: str,
        values: Mapping[str, Value],
        shape: dict[str, Any] | None,
        stamp: Stamp,
        *,
        moved: bool = True,
    ) -> tuple[Any, ...]:
        """The bound values of `insert_sql` for a living version."""
        text = None if shape is None else json.dumps(shape, separators=(",", ":"))
        box = box_of(shape) or (None, None, None, None)
        head = (oid, gid, stamp.generation, CURRENT, stamp.origin, "", int(moved), text, *box)
        return (*head, *(values.get(name) for name in self._names))

    def insert(
        self,
        oid: int,
        gid: str,
        values: Mapping[str, Value],
        shape: dict[str, Any] | None,
        stamp: Stamp,
    ) -> None:
        """Add a row."""
        self._store.run(self.insert_sql, *self.version(oid, gid, values, shape, stamp))

    def update(
        self,
        row: Row,
        values: Mapping[str, Value],
        shape: dict[str, Any] | None,
        stamp: Stamp,
        *,
        moved: bool,
    ) -> None:
        """Replace a living row by a new version of it."""
        self._end(row, stamp)
        version = self.version(row.oid, row.gid, values, shape, stamp, moved=moved)
        self._store.run(self.insert_sql, *version)

    def delete(self, row: Row, stamp: Stamp) -> None:
        """End a living row."""
        self._end(row, stamp)

    def _end(self, row: Row, stamp: Stamp) -> None:
        """Let a version end; one made in this same generation was never alive for anybody."""
        self._store.run(
            f"UPDATE {self._table} SET gen_to = ?, origin_to = ? WHERE vid = ?",
            stamp.generation,
            stamp.origin,
            row.vid,
        )
