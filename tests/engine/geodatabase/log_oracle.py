"""Random edits by foreign programs, and an oracle that knows nothing of triggers.

The oracle is the net difference of two snapshots of the table by GlobalID, compared type by type.
"""

import random
import sqlite3
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path

from engine.geodatabase.bookkeeping import TABLES
from engine.geodatabase.change_log import Edit, drop_settled, iterate_pending
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import SQL_TYPES, Column, LayerTable
from engine.geodatabase.sql import quote, quoted
from engine.geodatabase.triggers import LOG_SCHEMA, Permissions, applying, create_log, trigger_sql
from engine.layer_schema import FieldType
from engine.model import EditOperation
from tests.engine.geodatabase.statement_mix import BLOBS, NUMBERS, TEXTS, Mix, draw_from, make_guid

NAMES = ("id", "key", "lazy", "select", 'a"b', "sp ace", "seq", "gid", "ünïcode", "v_x", "x", "s")
KINDS = (
    FieldType.STRING,
    FieldType.INTEGER,
    FieldType.DOUBLE,
    FieldType.DATE,
    FieldType.BIG_INTEGER,
    FieldType.STRING,
)
Mutation = Callable[[Mapping[str, str]], Mapping[str, str]]


def make_table(
    width: int = 13,
    *,
    lazy: bool = False,
    name: str = 'the "tree" layer',
    global_id: str = "GlobalID",
    geometry: str | None = "geom",
    number: int = 6,
) -> LayerTable:
    """A layer with ``width`` columns of every kind, under names that are hard to quote."""
    names = [*NAMES, *(f"f{n}" for n in range(width))][: width - 1]
    return LayerTable(
        number=number,
        layer_id=number // 2,
        name=name,
        key="fid",
        global_id=global_id,
        geometry=geometry,
        columns=(
            Column(name="OBJECTID", type=FieldType.OID, is_editable=False),
            *(Column(name=n, type=KINDS[i % len(KINDS)]) for i, n in enumerate(names)),
        ),
        is_lazy=lazy,
    )


def attachments_of(table: LayerTable) -> LayerTable:
    """The attachment table that belongs to ``table``."""
    return LayerTable(
        number=table.number + 1,
        layer_id=table.layer_id,
        name=f"{table.name}__ATTACH",
        key="ATTACHMENTID",
        global_id="GLOBALID",
        geometry=None,
        columns=(
            Column(name="REL_GLOBALID", type=FieldType.GUID),
            Column(name="ATT_NAME", type=FieldType.STRING),
            Column(name="DATA_SIZE", type=FieldType.INTEGER, is_editable=False),
        ),
        noted=("DATA",),
        is_attachment=True,
    )


def table_sql(table: LayerTable) -> str:
    """The CREATE TABLE of a layer."""
    types = {column.name: SQL_TYPES[column.type] for column in table.columns}
    columns = [
        f"{quote(n)} {types.get(n, 'POINT')}" for n in table.row_names if n != table.global_id
    ]
    columns += [f"{quote(name)} BLOB" for name in table.noted]
    return (
        f"CREATE TABLE {quote(table.name)}({quote(table.key)} INTEGER PRIMARY KEY AUTOINCREMENT"
        f" NOT NULL,{quote(table.global_id)} TEXT UNIQUE,{','.join(columns)})"
    )


def connect(path: Path, *, engine: bool = True) -> sqlite3.Connection:
    """A connection as the engine has it, or as any other program has it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    if engine:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA temp_store=FILE")
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def create_file(
    path: Path,
    *tables: LayerTable,
    permissions: Permissions | None = None,
    mutate: Mutation | None = None,
) -> sqlite3.Connection:
    """A file with ``tables`` and an armed log; ``mutate`` may spoil the triggers."""
    connection = connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    for statement in LOG_SCHEMA:
        connection.execute(statement)
    connection.execute(f"CREATE TABLE fieldsync_fetch {TABLES['fieldsync_fetch']}")
    for table in tables:
        connection.execute(table_sql(table))
        create_log(connection, table, permissions or Permissions())
        if mutate is not None:
            good = trigger_sql(table, permissions or Permissions())
            for name in good:
                connection.execute(f"DROP TRIGGER {quote(name)}")
            for sql in mutate(good).values():
                connection.execute(sql)
    connection.execute("COMMIT")
    return connection


def insert_own(connection: sqlite3.Connection, table: LayerTable, rows: list[Row]) -> None:
    """Rows as the engine loads them."""
    marks = ",".join("?" * len(table.row_names))
    connection.execute("BEGIN IMMEDIATE")
    with applying(connection):
        connection.executemany(
            f"INSERT INTO {quote(table.name)}({quoted(table.row_names)}) VALUES({marks})", rows
        )
    connection.execute("COMMIT")


def empty_log(connection: sqlite3.Connection, table: LayerTable) -> None:
    """What a complete sync leaves behind."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"DELETE FROM {quote(table.base_table)}")
    connection.execute("DELETE FROM fieldsync_change WHERE layer=?", (table.number,))
    connection.execute("COMMIT")


Snapshot = dict[str, Row]
Net = dict[str, tuple[str, tuple[object, ...] | None, tuple[object, ...] | None, frozenset[str]]]


def snapshot(connection: sqlite3.Connection, table: LayerTable) -> Snapshot:
    """The rows by GlobalID."""
    found = connection.execute(f"SELECT {quoted(table.row_names)} FROM {quote(table.name)}")
    return {str(row[0]): row for row in found}


def net(table: LayerTable, before: Snapshot, now: Snapshot) -> Net:
    """GlobalID → operation, old row, new row and changed columns, each cell with its type."""
    editable = {c.name for c in table.columns if c.is_editable} | {table.geometry}
    result: Net = {}
    for gid in before.keys() | now.keys():
        old, new = before.get(gid), now.get(gid)
        if old is None:
            result[gid] = ("add", None, _typed(new), frozenset())
        elif new is None:
            result[gid] = ("delete", _typed(old), None, frozenset())
        else:
            changed = frozenset(
                name
                for name, a, b in zip(table.row_names, old, new, strict=True)
                if name in editable and (type(a), a) != (type(b), b)
            )
            if changed:
                result[gid] = ("update", _typed(old), _typed(new), changed)
    return result


def logged(connection: sqlite3.Connection, table: LayerTable) -> Net:
    """The same, as the change log has it."""
    return {edit.global_id: _entry(edit) for edit in iterate_pending(connection, table)}


def _entry(
    edit: Edit,
) -> tuple[str, tuple[object, ...] | None, tuple[object, ...] | None, frozenset[str]]:
    changed: set[str] = set()
    if edit.operation is EditOperation.UPDATE:
        changed = set(edit.columns)
        if edit.geometry_changed:
            changed.add(str(edit.table.geometry))
    return edit.operation.value, _typed(edit.base), _typed(edit.row), frozenset(changed)


def _typed(row: Row | None) -> tuple[object, ...] | None:
    return None if row is None else tuple((type(cell).__name__, cell) for cell in row)


class Found(Exception):
    """The log says something else than the oracle."""


def first_rows(rng: random.Random, table: LayerTable, count: int) -> list[Row]:
    """Rows as a service may send them."""
    pool = (*TEXTS, *NUMBERS, None)
    return [
        (
            make_guid(rng),
            *(rng.choice(BLOBS if n == 0 else pool) for n in range(len(table.row_names) - 1)),
        )
        for _ in range(count)
    ]


def run_mix(
    path: Path,
    table: LayerTable,
    seed: int,
    *,
    transactions: int,
    mutate: Mutation | None = None,
) -> int:
    """Random transactions by a foreign program, each compared; returns how many statements.

    :exc:`Found` names the seed and the first difference. The log is emptied at random, as a sync
    does: otherwise every row is in it after a while and a missing first touch is not noticed.
    """
    rng = random.Random(seed)
    engine = create_file(path, table, mutate=mutate)
    insert_own(engine, table, first_rows(rng, table, 12))
    foreign = connect(path, engine=False)
    draw_from(foreign, rng)
    before = snapshot(engine, table)
    statements = 0
    try:
        for number in range(transactions):
            foreign.execute(f"PRAGMA recursive_triggers={rng.choice(('ON', 'OFF'))}")
            mix = Mix(rng, table, foreign)
            mix.gone = [gid for gid in before if rng.random() < 0.3]
            foreign.execute("BEGIN")
            for _ in range(rng.randrange(1, 9)):
                mix.next()
                statements += 1
                if not foreign.in_transaction:
                    foreign.execute("BEGIN")
            foreign.execute(rng.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK")))
            if rng.random() < 0.2:
                engine.execute("BEGIN IMMEDIATE")
                drop_settled(engine, table, now="2026-01-01T00:00:00.000Z")
                engine.execute("COMMIT")
            now = snapshot(engine, table)
            expected, found = net(table, before, now), logged(engine, table)
            if expected != found:
                raise Found(_difference(seed, number, expected, found))
            if len(now) < 6:
                insert_own(engine, table, first_rows(rng, table, 6))
                now = snapshot(engine, table)
                empty_log(engine, table)
                before = now
            elif rng.random() < 0.4:
                empty_log(engine, table)
                before = now
    finally:
        foreign.close()
        engine.close()
    return statements


def _difference(seed: int, number: int, expected: Net, found: Net) -> str:
    gid = min(g for g in expected.keys() | found.keys() if expected.get(g) != found.get(g))
    lines = [f"seed {seed}, transaction {number}, row {gid}:"]
    for name, one, other in zip(
        ("operation", "base", "row", "columns"),
        expected.get(gid, ("nothing", (), (), frozenset())),
        found.get(gid, ("nothing", (), (), frozenset())),
        strict=True,
    ):
        if one != other and isinstance(one, tuple) and isinstance(other, tuple):
            pairs = zip_longest(one, other)
            lines += [f" {name}[{n}]: {a} != {b}" for n, (a, b) in enumerate(pairs) if a != b]
        elif one != other:
            lines.append(f" {name}: {one!r} != {other!r}")
    return "\n".join(line[:200] for line in lines)
