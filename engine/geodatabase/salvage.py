"""What can still be read of a damaged geodatabase, laid into a scratch file of its own.

The scratch file has the engine's tables and the rows that were edited, under their names, so what
reads a geodatabase reads it too. Rows that no table leads to any more are looked for among all the
pages. What a row is worth is not judged here.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.geodatabase import catalog
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import sent_table, value_names
from engine.geodatabase.page_file import PageFile
from engine.geodatabase.page_tables import Damage, Damaged, Record, loose_rows, walk
from engine.geodatabase.sql import quote
from engine.model import normalise_guid

DAMAGE = "salvage_damage"
"""The scratch file's own table: which tables could not be read whole, with notes."""

_ENGINE_TABLES: dict[str, tuple[str, ...]] = {
    "fieldsync_meta": ("name", "value"),
    "fieldsync_replica": (
        *("id", "replica_id", "name", "service_url", "item_id", "sync_model"),
        *("server_generation", "attachment_direction", "sync_direction", "extent", "created_at"),
        *("last_sync_at", "machine_id", "service"),
    ),
    "fieldsync_layer": ("layer_id", "generation", "sync_direction", "options", "resource"),
    "fieldsync_table": (
        *("number", "layer_id", "name", "definition", "permissions", "srs_id", "is_indexed"),
        *("is_loaded", "triggers_sha256"),
    ),
    "fieldsync_state": ("id", "seq", "applying"),
    "fieldsync_change": ("id", "layer", "gid", "had_base", "seq", "data"),
    "fieldsync_sent": (
        *("id", "batch", "number", "layer", "gid", "operation", "columns", "geometry", "data"),
        *("key", "first", "last", "overtaken"),
    ),
    "fieldsync_batch": (
        *("id", "kind", "channel", "state", "spool_name", "spool_sha256", "status_url"),
        *("result_url", "upload_item", "upload_parts", "generations_before"),
        *("generations_after", "counts", "merge_offset", "error", "created_at", "updated_at"),
    ),
    "fieldsync_conflict": (
        *("id", "layer", "gid", "kind", "policy", "columns", "base", "mine", "theirs", "held"),
        *("recorded_at", "resolved_at", "resolution"),
    ),
    "fieldsync_conflict_part": ("id", "conflict", "layer", "gid", "row", "data"),
    "fieldsync_quarantine": (
        *("id", "direction", "layer", "gid", "operation", "code", "reason", "remedy", "seq"),
        *("payload", "held_layer", "held_gid", "recorded_at", "resolved_at", "resolution"),
    ),
}
"""The engine's tables that matter, with their columns if the file does not tell them any more."""

_NOTES: dict[str, tuple[str, ...]] = {
    "fieldsync_exported": ("layer", "gid", "seq", "parent", "noted_at"),
    "fieldsync_deleted_part": ("layer", "gid", "seq", "whole_layer", "whole_gid"),
}
"""Those that are made when they are first needed."""

_KEYS = frozenset({"id", "layer_id", "number"})
_SAFE_TABLE = re.compile(r"\s*CREATE\s+TABLE\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Source:
    """A table of the damaged file: its root page (0: unknown) and its columns as they lie there;
    ``key`` is the one that is the rowid."""

    name: str
    root: int
    columns: tuple[str, ...]
    key: str | None

    def cells(self, record: Record) -> list[object]:
        return [
            record.rowid if name == self.key else record.value(at)
            for at, name in enumerate(self.columns)
        ]


def salvage(source: Path, scratch: Path, every: frozenset[int] = frozenset()) -> None:
    """Read the closed, damaged file ``source`` into the new file ``scratch``.

    ``every``: numbers of the tables of which all rows are wanted, whatever the log of edits says.
    """
    scratch.unlink(missing_ok=True)
    with PageFile(source) as pages, closing(sqlite3.connect(scratch)) as connection:
        connection.execute(f"CREATE TABLE {DAMAGE} (name TEXT, note TEXT)")
        _Salvage(pages, connection, every).run()
        connection.commit()


def damaged(connection: sqlite3.Connection) -> dict[str, str]:
    """The tables that could not be read whole, each with its first note."""
    found = connection.execute(f"SELECT name, min(note) FROM {DAMAGE} GROUP BY name")
    return dict(found.fetchall())


class _Salvage:
    def __init__(
        self, pages: PageFile, connection: sqlite3.Connection, every: frozenset[int]
    ) -> None:
        self._pages = pages
        self._every = every
        self._connection = connection
        self._seen: set[int] = set()
        self._schema = self._read_schema()

    def run(self) -> None:
        for name, columns in (*_ENGINE_TABLES.items(), *_NOTES.items()):
            source = self._source(name, columns, next((c for c in columns if c in _KEYS), None))
            check = _CHECKS.get(name)
            self._copy(source, check or _never, is_checked=check is not None)
        for entry in _entries(self._connection):
            self._copy_base(entry)
            self._copy_sent(entry)
            self._copy_rows(entry)

    def _read_schema(self) -> dict[str, tuple[int, str]]:
        """Table name → root page and SQL."""
        damage, found = Damage(), dict[str, tuple[int, str]]()
        for record in walk(self._pages, 1, damage):
            _note_schema(record, found)
        if damage or not found:
            for record in loose_rows(self._pages, set()):
                _note_schema(record, found)
        self._seen |= damage.pages
        return found

    def _source(self, name: str, columns: Sequence[str], key: str | None) -> _Source:
        root, sql = self._schema.get(name, (0, ""))
        stored = _stored_columns(sql)
        if stored is None:
            return _Source(name, root, tuple(columns), key)
        return _Source(name, root, *stored)

    def _copy(
        self,
        source: _Source,
        belongs: Callable[[list[object]], bool],
        wanted: Callable[[Record], bool] = lambda _record: True,
        *,
        is_checked: bool = False,
    ) -> None:
        """Copy the rows that are ``wanted``; loose ones if they look as if they ``belong``, with
        ``is_checked`` the others too."""
        names = ", ".join(
            f"{quote(n)} INTEGER PRIMARY KEY" if n == source.key else quote(n)
            for n in source.columns
        )
        self._connection.execute(f"CREATE TABLE {quote(source.name)} ({names})")
        if source.name in _NOTES and not source.root:
            return  # it was never needed
        damage = Damage()
        for record in walk(self._pages, source.root, damage):
            try:
                if wanted(record) and not self._insert(
                    source, record, belongs if is_checked else None
                ):
                    damage.notes.append(f"row {record.rowid} is damaged")
            except (Damaged, sqlite3.Error) as error:
                damage.notes.append(f"row {record.rowid}: {error}")
        self._seen |= damage.pages
        if not damage:
            return
        for record in self._loose():
            with suppress(Damaged, sqlite3.Error):
                if len(record) <= len(source.columns) and wanted(record):
                    self._insert(source, record, belongs)
        self._connection.executemany(
            f"INSERT INTO {DAMAGE} VALUES (?, ?)", [(source.name, note) for note in damage.notes]
        )

    def _insert(
        self, source: _Source, record: Record, belongs: Callable[[list[object]], bool] | None
    ) -> bool:
        cells = source.cells(record)
        if belongs is not None and not belongs(cells):
            return False
        marks = ",".join("?" * len(cells))
        self._connection.execute(
            f"INSERT OR IGNORE INTO {quote(source.name)} VALUES ({marks})", cells
        )
        return True

    def _loose(self) -> Iterator[Record]:
        return loose_rows(self._pages, self._seen | self._free_pages())

    def _free_pages(self) -> set[int]:
        """Pages that SQLite has given up: what lies there is old."""
        first = self._pages.page(1)
        if first is None or not self._pages.has_header:
            return set()
        found, trunk = set[int](), int.from_bytes(first[32:36], "big")
        while trunk and trunk not in found and (page := self._pages.page(trunk)) is not None:
            found.add(trunk)
            count = min(int.from_bytes(page[4:8], "big"), len(page) // 4 - 2)
            found |= {int.from_bytes(page[8 + 4 * n : 12 + 4 * n], "big") for n in range(count)}
            trunk = int.from_bytes(page[:4], "big")
        return found

    def _copy_base(self, table: LayerTable) -> None:
        columns = ("id", "key", "lazy", *value_names(table))
        source = self._source(table.base_table, columns, "id")
        ids = {
            id_
            for (id_,) in self._connection.execute(
                "SELECT id FROM fieldsync_change WHERE layer = ? AND had_base", (table.number,)
            )
        }
        lazy = source.columns.index("lazy")
        self._copy(
            source,
            lambda cells: cells[lazy] in (0, 1) and len(cells) == len(columns),
            lambda record: record.rowid in ids,
        )

    def _copy_sent(self, table: LayerTable) -> None:
        columns = ("id", *value_names(table))
        source = self._source(sent_table(table), columns, "id")
        ids = {
            id_
            for (id_,) in self._connection.execute(
                "SELECT id FROM fieldsync_sent WHERE layer = ?", (table.number,)
            )
        }
        self._copy(source, _never, lambda record: record.rowid in ids)

    def _copy_rows(self, table: LayerTable) -> None:
        """The rows that the log names; all of them if it could not be read whole."""
        geometry = () if table.geometry is None else (table.geometry,)
        others = (table.global_id, *(c.name for c in table.columns), *table.noted)
        source = self._source(table.name, (table.key, *geometry, *others), table.key)
        touched: set[object] = {
            gid
            for (gid,) in self._connection.execute(
                "SELECT gid FROM fieldsync_change WHERE layer = ?", (table.number,)
            )
        }
        absent = [n for n in (table.key, *geometry, *others) if n not in source.columns]
        if absent:  # what another program left of the table is not what was edited
            note = f"the column {absent[0]} is missing"
            self._connection.execute(f"INSERT INTO {DAMAGE} VALUES (?, ?)", (table.name, note))
            source = _Source(table.name, 0, (table.key, *geometry, *others), table.key)
        every = "fieldsync_change" in damaged(self._connection) or table.number in self._every
        at = source.columns.index(table.global_id)
        self._copy(
            source,
            lambda cells: _is_guid(cells[at]),
            lambda record: every or record.value(at) in touched,
        )


def _note_schema(record: Record, found: dict[str, tuple[int, str]]) -> None:
    if len(record) != 5:
        return
    try:
        kind, name, _, root, sql = record.values(5)
    except Damaged:
        return
    if kind == "table" and isinstance(name, str) and isinstance(root, int) and root > 0:
        found.setdefault(name, (root, sql if isinstance(sql, str) else ""))


def _stored_columns(sql: str) -> tuple[tuple[str, ...], str | None] | None:
    """The columns that a table's rows hold, and which of them is the rowid; None if unknown."""
    if not _SAFE_TABLE.match(sql):
        return None
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(sql)
            (name,) = connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchone()
            columns = connection.execute(
                "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?)", (name,)
            ).fetchall()
        except (sqlite3.Error, TypeError):
            return None
    stored = tuple(name for name, _, _, hidden in columns if hidden in (0, 3))
    keys = [n for n, kind, pk, _ in columns if pk and kind.upper() == "INTEGER"]
    return stored, keys[0] if len(keys) == 1 and sum(bool(c[2]) for c in columns) == 1 else None


def _entries(connection: sqlite3.Connection) -> list[LayerTable]:
    return [entry.table for entry in catalog.entries(connection)]


def _is_guid(value: object) -> bool:
    return isinstance(value, str) and normalise_guid(value) == value


def _never(_cells: list[object]) -> bool:
    return False


def _has_members(text: object, *names: str) -> bool:
    value = _json(text)
    return isinstance(value, dict) and all(name in value for name in names)


def _has_list(text: object) -> bool:
    return isinstance(_json(text), list)


def _json(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None


_CHECKS: dict[str, Callable[[list[object]], bool]] = {
    "fieldsync_change": lambda c: (
        isinstance(c[1], int)
        and _is_guid(c[2])
        and c[3] in (0, 1)
        and isinstance(c[4], int)
        and isinstance(c[5], int)
    ),
    "fieldsync_sent": lambda c: isinstance(c[3], int) and _is_guid(c[4]) and _has_list(c[6]),
    "fieldsync_batch": lambda c: isinstance(c[3], str) and _has_members(c[12] or "{}"),
    "fieldsync_table": lambda c: isinstance(c[1], int) and _has_members(c[3], "global_id"),
    "fieldsync_layer": lambda c: _has_members(c[3]) and _has_members(c[4], "fields"),
    "fieldsync_replica": lambda c: c[0] == 1 and _has_members(c[13], "capabilities"),
    "fieldsync_conflict": lambda c: isinstance(c[1], int) and _is_guid(c[2]) and _has_list(c[5]),
    "fieldsync_quarantine": lambda c: (
        isinstance(c[2], int)
        and isinstance(c[3], str)
        and isinstance(c[8], int)
        and _has_members(c[9])
    ),
    "fieldsync_exported": lambda c: (
        isinstance(c[0], int) and _is_guid(c[1]) and isinstance(c[2], int)
    ),
    "fieldsync_deleted_part": lambda c: (
        isinstance(c[0], int) and _is_guid(c[1]) and isinstance(c[2], int)
    ),
    "fieldsync_conflict_part": lambda c: (
        isinstance(c[1], int) and isinstance(c[2], int) and _has_members(c[4])
    ),
}
"""Engine table → whether cells can be one of its rows."""
