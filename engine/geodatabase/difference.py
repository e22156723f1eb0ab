"""What was edited in a row, and what follows when the service edited it too.

Rows are tuples in the order of :attr:`LayerTable.row_names`. Only columns that the service lets
clients edit count; of the others the service's value is always the right one.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from engine.geodatabase.geometry_blob import nearly_same_geometry, same_geometry
from engine.geodatabase.layer_table import Column, LayerTable
from engine.layer_schema import FieldType
from engine.model import normalise_guid

Cell = int | float | str | bytes | None
Row = tuple[Cell, ...]

_GUIDS = (FieldType.GUID, FieldType.GLOBAL_ID)
_ROUNDING = 1e-6
_ROUNDING_S = 1.0


@dataclass(frozen=True, slots=True)
class Difference:
    """The editable columns that differ, and whether the geometry does."""

    columns: tuple[str, ...] = ()
    geometry: bool = False

    def __bool__(self) -> bool:
        return bool(self.columns) or self.geometry


def difference(table: LayerTable, base: Row, row: Row) -> Difference:
    """What must be done to ``base`` to make it ``row``."""
    return _difference(table, base, row, _is_same)


def changed_there(table: LayerTable, base: Row, theirs: Row) -> Difference:
    """What somebody did to ``base`` on the service to make it ``theirs``.

    Less than :func:`difference`: a service that rounds what it is sent (coordinates to its grid,
    reals to their column's scale, times to seconds) has not edited it.
    """
    return _difference(table, base, theirs, _is_rounded)


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
    row = list(mine)
    conflicts = []
    for at, name, column in _cells(table):
        old, ours, new = base[at], mine[at], theirs[at]
        is_owned = column is not None and not column.is_editable
        if is_owned or _is_same(column, old, ours) or _is_same(column, ours, new):
            row[at] = new
        elif not _is_rounded(column, old, new):
            conflicts.append(name)
            if theirs_win:
                row[at] = new
    return Merged(tuple(row), tuple(conflicts))


def _difference(
    table: LayerTable,
    one: Row,
    other: Row,
    agree: Callable[[Column | None, Cell, Cell], bool],
) -> Difference:
    if one == other:
        return Difference()
    columns, geometry = [], False
    for at, name, column in _cells(table):
        if one[at] == other[at] or (column is not None and not column.is_editable):
            continue
        if not agree(column, one[at], other[at]):
            if column is None:
                geometry = True
            else:
                columns.append(name)
    return Difference(tuple(columns), geometry)


def _cells(table: LayerTable) -> Iterator[tuple[int, str, Column | None]]:
    """Position, name and column of each cell but the GlobalID; the geometry's column is None."""
    at = 1
    if table.geometry is not None:
        yield at, table.geometry, None
        at += 1
    for column in table.columns:
        yield at, column.name, column
        at += 1


def _is_same(column: Column | None, one: Cell, other: Cell) -> bool:
    if one == other:
        return True
    if column is None:
        return same_geometry(one, other)
    if column.type in _GUIDS and isinstance(one, str) and isinstance(other, str):
        guid = normalise_guid(one)
        return guid is not None and guid == normalise_guid(other)
    return False


def _is_rounded(column: Column | None, one: Cell, other: Cell) -> bool:
    if column is None:
        return nearly_same_geometry(one, other)
    if column.type.is_real and isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if column.type is FieldType.DATE and isinstance(one, str) and isinstance(other, str):
        return _seconds_apart(one, other) < _ROUNDING_S
    return _is_same(column, one, other)


def _seconds_apart(one: str, other: str) -> float:
    try:
        apart = datetime.fromisoformat(one) - datetime.fromisoformat(other)
    except (ValueError, TypeError):
        # No date, or one with and one without a zone.
        return 0.0 if one == other else math.inf
    return abs(apart.total_seconds())
