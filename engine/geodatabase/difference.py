"""What was edited in a row, and what follows when the service edited it too.

Rows are tuples in the order of :attr:`LayerTable.row_names`. Only columns that the service lets
clients edit count; of the others the service's value is always the right one.
"""

from dataclasses import dataclass

from engine.geodatabase.geometry_blob import same_geometry
from engine.geodatabase.layer_table import Column, LayerTable
from engine.layer_schema import FieldType
from engine.model import normalise_guid

Cell = int | float | str | bytes | None
Row = tuple[Cell, ...]

_GUIDS = (FieldType.GUID, FieldType.GLOBAL_ID)


@dataclass(frozen=True, slots=True)
class Difference:
    """The editable columns that differ, and whether the geometry does."""

    columns: tuple[str, ...] = ()
    geometry: bool = False

    def __bool__(self) -> bool:
        return bool(self.columns) or self.geometry


def difference(table: LayerTable, base: Row, row: Row) -> Difference:
    """What must be done to ``base`` to make it ``row``."""
    if base == row:
        return Difference()
    start = len(base) - len(table.columns)
    columns = tuple(
        column.name
        for column, old, new in zip(table.columns, base[start:], row[start:], strict=True)
        if column.is_editable and old != new and not _same(column, old, new)
    )
    return Difference(columns, table.geometry is not None and not same_geometry(base[1], row[1]))


def names_of(table: LayerTable, change: Difference) -> tuple[str, ...]:
    """The columns of a difference, the geometry among them."""
    if change.geometry and table.geometry is not None:
        return (table.geometry, *change.columns)
    return change.columns


@dataclass(frozen=True, slots=True)
class Merged:
    """The row that comes out of a three-way merge, and the columns both sides changed."""

    row: Row
    conflicts: tuple[str, ...]


def three_way(table: LayerTable, base: Row, mine: Row, theirs: Row, *, theirs_win: bool) -> Merged:
    """Per column: what only one side changed stands; changed by both differently is a conflict.

    In a conflict mine stays, unless ``theirs_win``. The geometry counts as one column.
    """
    start = len(mine) - len(table.columns)
    row = list(mine)
    conflicts = []
    if table.geometry is not None:
        row[1], both = _merge(
            base[1],
            mine[1],
            theirs[1],
            same_geometry(base[1], mine[1]),
            same_geometry(base[1], theirs[1]),
            same_geometry(mine[1], theirs[1]),
            theirs_win,
        )
        if both:
            conflicts.append(table.geometry)
    for at, column in enumerate(table.columns, start):
        old, ours, new = base[at], mine[at], theirs[at]
        if not column.is_editable:
            row[at] = new
            continue
        row[at], both = _merge(
            old,
            ours,
            new,
            _same(column, old, ours),
            _same(column, old, new),
            _same(column, ours, new),
            theirs_win,
        )
        if both:
            conflicts.append(column.name)
    return Merged(tuple(row), tuple(conflicts))


def _merge(
    base: Cell,
    mine: Cell,
    theirs: Cell,
    mine_unchanged: bool,
    theirs_unchanged: bool,
    agree: bool,
    theirs_win: bool,
) -> tuple[Cell, bool]:
    if mine_unchanged or agree:
        return theirs, False
    if theirs_unchanged:
        return mine, False
    return (theirs if theirs_win else mine), True


def _same(column: Column, one: Cell, other: Cell) -> bool:
    if one == other:
        return True
    if column.type in _GUIDS and isinstance(one, str) and isinstance(other, str):
        guid = normalise_guid(one)
        return guid is not None and guid == normalise_guid(other)
    return False
