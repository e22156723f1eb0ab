"""What the service sent, laid ready in temporary tables before the write lock is taken.

Staging touches the temporary database only, so other programs go on writing. Each row lies there
once: the last one staged counts, and a row beats a delete of the same GlobalID.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import SQL_TYPES, LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.sql import quote
from engine.model import Envelope

_SIDES = (("min", "X"), ("min", "Y"), ("max", "X"), ("max", "Y"))


def stage_table(table: LayerTable) -> str:
    """The quoted name of the temporary table with ``table``'s staged rows."""
    return f"temp.{quote(f'fieldsync_stage_{table.number}')}"


def order_table(table: LayerTable) -> str:
    """The quoted name of the temporary table that says in which order to merge."""
    return f"temp.{quote(f'fieldsync_order_{table.number}')}"


def delete_table(table: LayerTable) -> str:
    """The quoted name of the temporary table with the GlobalIDs that are staged as deleted."""
    return f"temp.{quote(f'fieldsync_delete_{table.number}')}"


def data_table(table: LayerTable) -> str:
    """The quoted name of the temporary table with the GlobalIDs whose data was changed there."""
    return f"temp.{quote(f'fieldsync_data_{table.number}')}"


def stage_rows(connection: sqlite3.Connection, table: LayerTable, rows: Iterable[Row]) -> None:
    """Lay ``rows`` ready: tuples in the order of ``table.row_names``, their GlobalIDs in the
    spelling ``{UPPER-CASE}``. May be called again for more rows."""
    with _own_transaction(connection):
        _make(connection, table)
        marks = ",?" * len(table.row_names)
        connection.executemany(
            f"INSERT OR REPLACE INTO {stage_table(table)} VALUES(NULL{marks})", rows
        )


def stage_deletes(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Iterable[str]
) -> None:
    """Lay ready which rows the service deleted. May be called again for more."""
    with _own_transaction(connection):
        _make(connection, table)
        connection.executemany(
            f"INSERT OR IGNORE INTO {delete_table(table)} VALUES(?)",
            ((gid,) for gid in global_ids),
        )


def forget_deletes(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Iterable[str]
) -> None:
    """These rows are not deleted after all."""
    with _own_transaction(connection):
        _make(connection, table)
        connection.executemany(
            f"DELETE FROM {delete_table(table)} WHERE gid=?", ((gid,) for gid in global_ids)
        )


def has_row(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> bool:
    """Whether that row is staged, and not as deleted."""
    _make(connection, table)
    statement = f"SELECT EXISTS(SELECT 1 FROM {stage_table(table)} WHERE gid=?)"
    return bool(connection.execute(statement, (global_id,)).fetchone()[0])


def stage_changed_data(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Iterable[str]
) -> None:
    """Lay ready which of the staged rows have other data (a large column) on the service than
    before. May be called again for more."""
    with _own_transaction(connection):
        _make(connection, table)
        connection.executemany(
            f"INSERT OR IGNORE INTO {data_table(table)} VALUES(?)",
            ((gid,) for gid in global_ids),
        )


def is_data_changed(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> bool:
    """Whether that row is staged with other data."""
    if not table.noted:
        return False
    _make(connection, table)
    statement = f"SELECT EXISTS(SELECT 1 FROM {data_table(table)} WHERE gid=?)"
    return bool(connection.execute(statement, (global_id,)).fetchone()[0])


def staged_deletes(
    connection: sqlite3.Connection, table: LayerTable, *, after: str, limit: int
) -> list[str]:
    """GlobalIDs that are staged as deleted, in their order, behind ``after``."""
    _make(connection, table)
    found = connection.execute(
        f"SELECT gid FROM {delete_table(table)} WHERE gid>? ORDER BY gid LIMIT ?", (after, limit)
    )
    return [gid for (gid,) in found]


def has_deletes(connection: sqlite3.Connection, table: LayerTable) -> bool:
    """Whether any row is staged as deleted."""
    _make(connection, table)
    return connection.execute(f"SELECT 1 FROM {delete_table(table)} LIMIT 1").fetchone() is not None


def is_staged(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> bool:
    """Whether that row is staged, or staged as deleted."""
    _make(connection, table)
    found = connection.execute(
        f"SELECT EXISTS(SELECT 1 FROM {stage_table(table)} WHERE gid=?1)"
        f" OR EXISTS(SELECT 1 FROM {delete_table(table)} WHERE gid=?1)",
        (global_id,),
    )
    return bool(found.fetchone()[0])


def count_staged(connection: sqlite3.Connection, table: LayerTable) -> int:
    """How many rows are staged for ``table``."""
    _make(connection, table)
    return int(connection.execute(f"SELECT count(*) FROM {stage_table(table)}").fetchone()[0])


def absent(
    connection: sqlite3.Connection, table: LayerTable, *, after: str, limit: int
) -> list[str]:
    """GlobalIDs of rows that the service had and that are not staged, also of rows deleted here;
    in their order, behind ``after``."""
    _make(connection, table)
    name, gid, stage = quote(table.name), quote(table.global_id), stage_table(table)
    found = connection.execute(
        f"SELECT t.{gid} FROM main.{name} t WHERE t.{gid}>?1"
        f" AND NOT EXISTS(SELECT 1 FROM {stage} s WHERE s.gid=t.{gid})"
        " AND NOT EXISTS(SELECT 1 FROM fieldsync_change c"
        f" WHERE c.layer=?2 AND c.gid=t.{gid} AND c.had_base=0)"
        " UNION SELECT c.gid FROM fieldsync_change c WHERE c.layer=?2 AND c.gid>?1 AND c.had_base"
        f" AND NOT EXISTS(SELECT 1 FROM {stage} s WHERE s.gid=c.gid)"
        " ORDER BY 1 LIMIT ?3",
        (after, table.number, limit),
    )
    return [gid for (gid,) in found]


def clear_staging(connection: sqlite3.Connection, table: LayerTable) -> None:
    """Forget what is staged for ``table``."""
    for name in (stage_table(table), delete_table(table), order_table(table), data_table(table)):
        connection.execute(f"DROP TABLE IF EXISTS {name}")


def arrange(connection: sqlite3.Connection, table: LayerTable) -> int:
    """Put what is staged in the order of the primary keys here, deletes last; returns how many
    positions there are, the measure of a merge in parts.
    """
    with _own_transaction(connection):
        _make(connection, table)
        order, stage = order_table(table), stage_table(table)
        name, key, gid = quote(table.name), quote(table.key), quote(table.global_id)
        connection.execute(f"DELETE FROM {order}")
        # Neighbours in the file are written together: each page is read and written once.
        if _is_most(connection, stage, f"main.{name}", key):
            # Walking the table needs no memory for sorting.
            connection.execute(
                f"INSERT INTO {order}(gid,sid) SELECT s.gid,s.id FROM main.{name} t"
                f" CROSS JOIN {stage} s WHERE s.gid=t.{gid} ORDER BY t.{key}"
            )
            connection.execute(
                f"INSERT INTO {order}(gid,sid) SELECT s.gid,s.id FROM {stage} s WHERE NOT EXISTS"
                f"(SELECT 1 FROM main.{name} t WHERE t.{gid}=s.gid) ORDER BY s.id"
            )
        else:
            connection.execute(
                f"INSERT INTO {order}(gid,sid) SELECT s.gid,s.id FROM {stage} s LEFT JOIN"
                f" main.{name} t ON t.{gid}=s.gid ORDER BY t.{key} IS NULL,t.{key},s.id"
            )
        connection.execute(
            f"INSERT INTO {order}(gid) SELECT d.gid FROM {delete_table(table)} d"
            f" LEFT JOIN main.{name} t ON t.{gid}=d.gid"
            f" WHERE NOT EXISTS(SELECT 1 FROM {stage} s WHERE s.gid=d.gid)"
            f" ORDER BY t.{key} IS NULL,t.{key},d.gid"
        )
        return int(connection.execute(f"SELECT count(*) FROM {order}").fetchone()[0])


def staged_extent(connection: sqlite3.Connection, table: LayerTable) -> Envelope | None:
    """What holds the geometries that are in the order to be merged; None if there is none."""
    if table.geometry is None:
        return None
    shape = f"s.{quote(value_names(table)[table.row_names.index(table.geometry) - 1])}"
    bounds = ",".join(f"{side}(ST_{side.title()}{axis}({shape}))" for side, axis in _SIDES)
    found = connection.execute(
        f"SELECT {bounds} FROM {order_table(table)} o CROSS JOIN {stage_table(table)} s"
        " WHERE s.id=o.sid"
    ).fetchone()
    if None in found:
        return None
    xmin, ymin, xmax, ymax = found
    return Envelope(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


def _is_most(connection: sqlite3.Connection, stage: str, name: str, key: str) -> bool:
    """Whether so many rows are staged that it pays to walk the whole table."""
    staged = connection.execute(f"SELECT count(*) FROM {stage}").fetchone()[0]
    (last,) = connection.execute(f"SELECT coalesce(max({key}),0) FROM {name}").fetchone()
    return bool(4 * staged > last)


def _make(connection: sqlite3.Connection, table: LayerTable) -> None:
    # Declared as in the layer's own table, so that values are converted here as they are there and
    # a value that was stored compares equal to the one that was staged.
    types = {c.name: SQL_TYPES[c.type] for c in table.columns}
    columns = "".join(
        f",{quote(kept)} {types.get(name, '')}".rstrip()
        for kept, name in zip(value_names(table), table.row_names[1:], strict=True)
    )
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {stage_table(table)}"
        f"(id INTEGER PRIMARY KEY,gid TEXT NOT NULL UNIQUE{columns})"
    )
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {delete_table(table)}(gid TEXT PRIMARY KEY) WITHOUT ROWID"
    )
    if table.noted:
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {data_table(table)}(gid TEXT PRIMARY KEY) WITHOUT ROWID"
        )
    # sid: the staged row, NULL for a delete.
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {order_table(table)}"
        "(position INTEGER PRIMARY KEY,gid TEXT NOT NULL,sid INTEGER)"
    )


@contextmanager
def _own_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction instead of one per statement, unless the caller has one open."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
