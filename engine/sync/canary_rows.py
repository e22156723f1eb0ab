"""What an update that is watched carries, and what its row can show afterwards; see
:mod:`engine.sync.partial_updates`."""

import sqlite3
from collections.abc import Sequence
from typing import Any  # of JSON

from engine import values
from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import Column, LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType, LayerSchema
from engine.model import normalise_guid
from engine.sync.batches import object_id_column
from engine.sync.renamed_rows import same_place

Attributes = dict[str, object]
Note = dict[str, Any]
"""What is kept of a canary, from JSON: its row before, what was sent; and, if somebody else may
have emptied the row, what it still had then."""


def editable(table: LayerTable, row: Row) -> Attributes:
    """The attributes that a client may set, as they are on the wire."""
    cells = dict(zip(table.row_names, row, strict=True))
    return {c.name: values.to_wire(c.type, cells[c.name]) for c in table.columns if c.is_editable}


def proof(layer: LayerSchema, row: Attributes) -> tuple[str | None, Attributes]:
    """A column that is empty, and those with values that an update of it would clear."""
    clearable = {name: value for name, value in row.items() if is_clearable(layer, name)}
    empty = next((name for name, value in clearable.items() if value is None), None)
    return empty, {name: value for name, value in clearable.items() if value is not None}


def filled_in_part(
    connection: sqlite3.Connection, table: LayerTable, names: Sequence[str]
) -> list[str]:
    """A few rows in which one of the columns is empty and another one is not."""
    if len(names) < 2:
        return []
    empty = "+".join(f"({quote(name)} IS NULL)" for name in names)
    found = connection.execute(
        f"SELECT {quote(table.global_id)} FROM {quote(table.name)}"
        f" WHERE {empty} BETWEEN 1 AND {len(names) - 1} LIMIT 5"
    )
    return [gid for (gid,) in found]


def is_clearable(layer: LayerSchema, name: str) -> bool:
    field = layer.field(name)
    return field is not None and field.nullable


def omits_values(edit: Edit, layer: LayerSchema) -> bool:
    """Whether the update leaves out an attribute that has a value, and could be cleared."""
    assert edit.row is not None
    cells = dict(zip(edit.table.row_names, edit.row, strict=True))
    return any(
        column.is_editable
        and column.name not in edit.columns
        and cells[column.name] is not None
        and is_clearable(layer, column.name)
        for column in edit.table.columns
    )


def can_prove(edit: Edit, layer: LayerSchema) -> bool:
    """Whether the row had, as far as is known here, a column that is empty, to be set to that once
    more, and another that would be cleared by it."""
    assert edit.base is not None
    cells = dict(zip(edit.table.row_names, edit.base, strict=True))
    clearable = [c for c in edit.table.columns if c.is_editable and is_clearable(layer, c.name)]
    return len({cells[column.name] is None for column in clearable}) == 2


def can_show(edit: Edit) -> bool:
    """Whether the update carries a value by which it may be seen that it arrived."""
    assert edit.row is not None
    cells = dict(zip(edit.table.row_names, edit.row, strict=True))
    if edit.geometry_changed and shape(edit.table, edit.row) is not None:
        return True
    return any(
        column.is_editable and column.name in edit.columns and cells[column.name] is not None
        for column in edit.table.columns
    )


def shows(note: Note, table: LayerTable, row: Row) -> bool:
    """Whether the row shows that the canary arrived. Only a new value does: anybody may have
    emptied something."""
    after, before, sent_values = editable(table, row), note["before"], note["sent"]
    for column in table.columns:
        name, value = column.name, sent_values.get(column.name)
        is_new = value is not None and not _same(column, before.get(name), value)
        if is_new and _same(column, after.get(name), value):
            return True
    sent, was = note.get("shape_sent"), note.get("shape_before")
    if not sent:
        return False
    place = bytes.fromhex(sent)
    is_new = not was or not same_place(bytes.fromhex(was), place)
    return is_new and same_place(row[1], place)


def number(table: LayerTable, row: Row) -> int | None:
    """The object id that the service has given to the row."""
    column = object_id_column(table)
    found = None if column is None else row[table.row_names.index(column)]
    return found if isinstance(found, int) else None


def is_same_row(of_row: Note, table: LayerTable, row: Row) -> bool:
    """Whether it is the row that was noted: somebody may have deleted that, and added another one
    under its GlobalID."""
    return of_row.get("number") in (None, number(table, row))


def shape(table: LayerTable, row: Row | None) -> str | None:
    shape = None if table.geometry is None or row is None else row[1]
    return shape.hex() if isinstance(shape, bytes) else None


def _same(column: Column, one: object, other: object) -> bool:
    """Whether two values on the wire are one, as a service may have rounded it."""
    if normalise_guid(one) is not None:
        return normalise_guid(one) == normalise_guid(other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        if column.type is FieldType.DATE:
            return abs(one - other) < 1000  # milliseconds, of which a service may keep none
        if column.type.is_real:
            return abs(one - other) <= 1e-6 * max(1.0, abs(one))
    return one == other
