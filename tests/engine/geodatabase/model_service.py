"""A feature service in miniature, held in memory: rows, generations, and answers that get lost."""

import struct
from collections.abc import Iterable

from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import FieldType
from engine.model import EditOperation


class ModelService:
    """One layer. ``snaps``: reals and coordinates are rounded when they are stored.
    ``echoes``: a download holds the caller's own edits too."""

    def __init__(self, table: LayerTable, *, snaps: bool, echoes: bool) -> None:
        self.table = table
        self.snaps = snaps
        self.echoes = echoes
        self.generation = 0
        self.rows: dict[str, Row] = {}
        self.history: set[Cell] = set()
        """Every value that any row ever had."""
        self.adds: dict[str, int] = {}
        self._log: list[tuple[int, str, bool]] = []
        self._next_object_id = 1
        self._names = table.row_names
        self._object_id = next(
            at
            for at, name in enumerate(self._names)
            if name in {c.name for c in table.columns if c.type is FieldType.OID}
        )

    def add(self, row: Row, *, own: bool = False) -> bool:
        """False if there is such a row."""
        gid = str(row[0])
        if gid in self.rows:
            return False
        cells = list(row)
        cells[self._object_id] = self._next_object_id
        self._next_object_id += 1
        self.adds[gid] = self.adds.get(gid, 0) + 1
        self._put(tuple(cells), own)
        return True

    def update(self, gid: str, cells: dict[str, Cell], *, own: bool = False) -> bool:
        """False if there is no such row."""
        if gid not in self.rows:
            return False
        row = tuple(
            cells.get(name, old) for name, old in zip(self._names, self.rows[gid], strict=True)
        )
        self._put(row, own)
        return True

    def delete(self, gid: str, *, own: bool = False) -> bool:
        """False if there is no such row."""
        if self.rows.pop(gid, None) is None:
            return False
        self._change(gid, own)
        return True

    def apply(self, edits: Iterable[Edit]) -> dict[str, bool]:
        """An upload: GlobalID → success. A row that is there already is no failure, nor is one
        that is gone already."""
        results = {}
        for edit in edits:
            gid = edit.global_id
            if edit.operation is EditOperation.DELETE:
                self.delete(gid, own=True)
                results[gid] = True
            elif edit.operation is EditOperation.ADD:
                assert edit.row is not None
                self.add(edit.row, own=True)
                results[gid] = True
            else:
                assert edit.row is not None
                sent = dict(zip(self._names, edit.row, strict=True))
                names = [*edit.columns]
                if edit.geometry_changed and self.table.geometry is not None:
                    names.append(self.table.geometry)
                results[gid] = self.update(gid, {n: sent[n] for n in names}, own=True)
        return results

    def changes(self, since: int) -> tuple[list[Row], list[str]]:
        """The rows that changed after that generation, and the GlobalIDs of those deleted."""
        touched = dict.fromkeys(
            gid for generation, gid, own in self._log if generation > since and self._is_sent(own)
        )
        present = [self.rows[gid] for gid in touched if gid in self.rows]
        return present, [gid for gid in touched if gid not in self.rows]

    def _is_sent(self, own: bool) -> bool:
        return self.echoes or not own

    def _put(self, row: Row, own: bool) -> None:
        self.history.update(row)
        if self.snaps:
            row = tuple(_snapped(cell) for cell in row)
        self.rows[str(row[0])] = row
        self._change(str(row[0]), own)

    def _change(self, gid: str, own: bool) -> None:
        self.generation += 1
        self._log.append((self.generation, gid, own))


def make_point(x: float, y: float) -> bytes:
    """A point as GeoPackages hold it."""
    return struct.pack("<2sBBiBIdd", b"GP", 0, 1, 3857, 1, 1, x, y)


def _snapped(cell: Cell) -> Cell:
    if isinstance(cell, float):
        return round(cell, 7)
    if isinstance(cell, bytes):
        x, y = struct.unpack_from("<dd", cell, 13)
        return make_point(round(x, 3), round(y, 3))
    return cell
