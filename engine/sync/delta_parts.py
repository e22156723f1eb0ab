"""What a delta file holds for the engine: which parts a table has in it, and how rows go in.

Three contents: ``edits`` of one geodatabase, on their way to the service; the ``acknowledgement``
that comes back for them; and ``changes`` of the service. ``native/SPEC.md`` §7 has every part.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum

from engine.geodatabase.catalog import StoredLayer
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import LayerSchema
from engine.model import EditOperation
from engine.sync.rows import codec_layer
from native.layer import FIELD_TYPES, Column, ColumnType, Layer

GEOMETRY = ""
"""The name of the geometry among a row's cells."""

FIRST, LAST, SIZE, OLDER = ":first", ":last", ":size", ":older"
"""Marks of an edit: the sequence numbers of its first and last touch, how many bytes of an
attachment's data come with it, and whether the row may be on the service in an older version."""

ROLES = 8

Cells = Mapping[str, Cell]


class DeltaContent(Enum):
    """What a delta file is for."""

    EDITS = "edits"
    ACKNOWLEDGEMENT = "acknowledgement"
    CHANGES = "changes"


class Role(IntEnum):
    """What one part of a table is."""

    ROWS = 0
    """The edits: rows added whole, changed cells, deletes."""
    BASE = 1
    """The marks of each edit, and what the service last knew of the cells it changes."""
    DATA = 2
    """The bytes of attachments, in pieces."""
    RESULT = 3
    """What became of each edit."""
    THERE = 4
    """Rows as the service has them."""
    SOURCE = 5
    """Where the data of attachments is to be had."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of one table in a delta; ``id`` is its number there."""

    number: int
    role: Role

    @property
    def id(self) -> int:
        return self.number * ROLES + self.role

    @classmethod
    def of(cls, part_id: int) -> "Part":
        """:exc:`ValueError` for an id that no writer makes."""
        number, role = divmod(part_id, ROLES)
        if number < 0:
            raise ValueError(f"{part_id} is no part of a delta")
        return cls(number, Role(role))


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedEdit:
    """An edit of a table in a delta. ``number`` is the table's, ``cells`` what it writes,
    ``base`` what the service knew of that; of a deleted row ``base`` is all of it.

    ``first`` and ``last`` are the sequence numbers that the edit had where it was made;
    ``size_bytes`` says how much data of an attachment comes with it (None: none).
    ``is_older_there``: of an add, whether the row may be on the service in an older version.
    """

    number: int
    global_id: str
    operation: EditOperation
    first: int
    last: int
    size_bytes: int | None = None
    is_older_there: bool = False
    cells: Cells = field(repr=False)
    base: Cells = field(repr=False)

    @property
    def is_attachment(self) -> bool:
        return bool(self.number & 1)


@dataclass(frozen=True, slots=True)
class TableParts:
    """A table and how its rows travel. ``layer`` has the columns of its rows, its geometry last."""

    table: LayerTable
    layer: Layer

    @classmethod
    def of_features(cls, schema: LayerSchema, table: LayerTable, srs_id: int) -> "TableParts":
        return cls(table, codec_layer(schema, table, srs_id))

    @classmethod
    def of_attachments(cls, table: LayerTable) -> "TableParts":
        columns = [Column(name=table.global_id, type=ColumnType.GUID)]
        columns += [Column(name=c.name, type=FIELD_TYPES[c.type.value]) for c in table.columns]
        return cls(table, Layer(id=table.number, columns=tuple(columns), key=table.global_id))

    @property
    def number(self) -> int:
        return self.table.number

    def part(self, role: Role) -> Layer:
        """The part as the codec is told of it."""
        part_id = Part(self.number, role).id
        match role:
            case Role.ROWS | Role.THERE:
                return replace(self.layer, id=part_id)
            case Role.BASE:
                marks = [FIRST, LAST, *([SIZE] if self.table.is_attachment else []), OLDER]
                more = tuple(Column(name=n, type=ColumnType.INTEGER) for n in marks)
                return replace(self.layer, id=part_id, columns=self.layer.columns + more)
        return plain_part(self.number, role)


def plain_part(number: int, role: Role) -> Layer:
    """A part whose columns are the same for every table."""
    return Layer(id=Part(number, role).id, columns=_PLAIN[role], key="gid")


_PLAIN = {
    Role.DATA: (
        Column(name="gid", type=ColumnType.GUID),
        Column(name="offset", type=ColumnType.INTEGER),
        Column(name="data", type=ColumnType.TEXT),
    ),
    Role.SOURCE: (
        Column(name="gid", type=ColumnType.GUID),
        Column(name="url", type=ColumnType.TEXT),
        Column(name="size", type=ColumnType.INTEGER),
    ),
    Role.RESULT: (
        Column(name="gid", type=ColumnType.GUID),
        Column(name="outcome", type=ColumnType.TEXT),
        Column(name="code", type=ColumnType.TEXT),
        Column(name="description", type=ColumnType.TEXT),
        Column(name="object_id", type=ColumnType.INTEGER),
        Column(name="global_id", type=ColumnType.GUID),
    ),
}


def stored_parts(layers: Iterable[StoredLayer]) -> list[TableParts]:
    """The tables of a geodatabase, attachments after their features."""
    parts: list[TableParts] = []
    for layer in layers:
        features = layer.features
        parts.append(TableParts.of_features(layer.schema, features.table, features.srs_id))
        if layer.attachments is not None:
            parts.append(TableParts.of_attachments(layer.attachments.table))
    return parts


def mask_of(layer: Layer, names: Iterable[str]) -> bytes:
    """The mask that names those columns; :data:`GEOMETRY` is the geometry."""
    places = {column.name: place for place, column in enumerate(layer.columns)}
    places[GEOMETRY] = len(layer.columns)
    bits = sum(1 << places[name] for name in set(names))
    return bits.to_bytes(len(layer.columns) // 8 + 1, "little")


def masked_row(layer: Layer, cells: Cells) -> tuple[Cell, ...]:
    """Some cells of a row as the codec takes an update: the mask, then a value in every place."""
    values = [_portable(cells.get(column.name)) for column in layer.columns]
    if layer.geometry_type is not None:
        values.append(cells.get(GEOMETRY))
    return (mask_of(layer, cells), *values)


def whole_row(layer: Layer, global_id: str, cells: Cells) -> tuple[Cell, ...]:
    """A whole row as the codec takes it; cells that are not given are None."""
    values = [_portable(cells.get(column.name)) for column in layer.columns]
    values[_key_place(layer)] = global_id
    if layer.geometry_type is not None:
        values.append(cells.get(GEOMETRY))
    return tuple(values)


def _key_place(layer: Layer) -> int:
    return next(place for place, c in enumerate(layer.columns) if c.name == layer.key)


def cells_of(layer: Layer, row: tuple[Cell, ...]) -> dict[str, Cell]:
    """All cells of a whole row."""
    names = [column.name for column in layer.columns]
    if layer.geometry_type is not None:
        names.append(GEOMETRY)
    return dict(zip(names, row, strict=True))


def masked_cells(layer: Layer, row: tuple[Cell, ...]) -> dict[str, Cell]:
    """The cells that an update's mask names."""
    mask = row[0]
    assert isinstance(mask, bytes)
    bits = int.from_bytes(mask, "little")
    whole = cells_of(layer, row[1:])
    return {name: cell for place, (name, cell) in enumerate(whole.items()) if bits >> place & 1}


def table_cells(table: LayerTable, row: Row) -> dict[str, Cell]:
    """A row of the table by the names that its cells have in a delta."""
    names = (GEOMETRY if name == table.geometry else name for name in table.row_names)
    return dict(zip(names, row, strict=True))


def table_row(table: LayerTable, global_id: str, cells: Cells) -> Row:
    """A row in the order of ``table.row_names``; cells that are not given are None."""
    folded = {name.casefold(): cell for name, cell in cells.items()}
    names = (GEOMETRY if name == table.geometry else name for name in table.row_names[1:])
    return (global_id, *(folded.get(name.casefold()) for name in names))


def _portable(cell: Cell) -> Cell:
    """Text that is no Unicode travels as the bytes that it is in the file."""
    if isinstance(cell, str) and not cell.isascii():
        try:
            cell.encode()
        except UnicodeEncodeError:
            return cell.encode("utf-8", "surrogateescape")
    return cell
