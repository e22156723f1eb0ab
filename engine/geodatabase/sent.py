"""Batches in flight: which edits they hold, and every value exactly as it was sent.

A batch is recorded in the transaction that creates it and removed edit by edit as each is
acknowledged, or as a whole when it is abandoned. Until then the log keeps the entries of its rows.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import sent_table, value_names
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote
from engine.model import EditOperation

BatchId = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEdit:
    """One edit as it was sent. ``values`` is the row (None for a delete);
    ``last`` the sequence number that the row's entry had.
    ``overtaken``: columns for which a newer value came from the service since."""

    id: int
    global_id: str
    operation: EditOperation
    columns: tuple[str, ...]
    geometry_changed: bool
    data_changed: bool
    key: int | None
    first: int
    last: int
    overtaken: frozenset[str]
    values: Row | None

    def names(self, table: LayerTable) -> tuple[str, ...]:
        """The columns that were sent, the geometry among them."""
        is_add = self.operation is EditOperation.ADD
        if table.geometry is not None and (self.geometry_changed or is_add):
            return (table.geometry, *self.columns)
        return self.columns

    def standing(self, table: LayerTable) -> tuple[str, ...]:
        """Those of them for which nothing newer came; of the others the base is newer."""
        return tuple(name for name in self.names(table) if name not in self.overtaken)


def record_sent(connection: sqlite3.Connection, batch_id: BatchId, edits: Iterable[Edit]) -> None:
    """Note that ``edits``, in this order, make up the batch ``batch_id``.

    A row can be in one batch only: :exc:`sqlite3.IntegrityError` otherwise.
    """
    for number, edit in enumerate(edits):
        cursor = connection.execute(
            "INSERT INTO fieldsync_sent(batch,number,layer,gid,operation,columns,geometry,data,"
            "key,first,last) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
            (
                batch_id,
                number,
                edit.table.number,
                edit.global_id,
                edit.operation.value,
                json.dumps(edit.columns),
                edit.geometry_changed,
                edit.data_changed,
                edit.key,
                edit.first,
                edit.last,
            ),
        )
        if edit.row is not None:
            values = edit.row[1:]
            marks = ",?" * len(values)
            name = quote(sent_table(edit.table))
            connection.execute(f"INSERT INTO {name} VALUES(?{marks})", (cursor.lastrowid, *values))


def sent_edits(
    connection: sqlite3.Connection, batch_id: BatchId, tables: Iterable[LayerTable]
) -> list[Edit]:
    """The edits of the batch that are not acknowledged yet, in the order they were sent.

    ``row`` is the row as it was sent, ``base`` what the service knew before (or, where a merge came
    in between, knows now). ``tables`` must hold every table that the batch speaks of.
    """
    known = {table.number: LoggedTable(connection, table) for table in tables}
    found = connection.execute(
        "SELECT layer,gid FROM fieldsync_sent WHERE batch=? ORDER BY number", (batch_id,)
    ).fetchall()
    edits = []
    for layer, gid in found:
        logged = known[layer]
        sent = read_sent(connection, logged.table, gid)
        if sent is None:
            continue
        entry = logged.entry(gid)
        base = None if entry is None else logged.base(entry, sent.values)
        edits.append(
            Edit(
                table=logged.table,
                global_id=gid,
                operation=sent.operation,
                key=sent.key,
                first=sent.first,
                last=sent.last,
                row=sent.values,
                base=base,
                columns=sent.columns,
                geometry_changed=sent.geometry_changed,
                data_changed=sent.data_changed,
            )
        )
    return edits


def sent_tables(connection: sqlite3.Connection, batch_id: BatchId) -> list[int]:
    """The numbers of the tables of which the batch has edits."""
    found = connection.execute(
        "SELECT DISTINCT layer FROM fieldsync_sent WHERE batch=? ORDER BY layer", (batch_id,)
    )
    return [number for (number,) in found]


def move_sent(
    connection: sqlite3.Connection, batch_id: BatchId, other: BatchId, tables: Iterable[int]
) -> None:
    """Make the batch's edits of those tables a part of another batch."""
    connection.executemany(
        "UPDATE fieldsync_sent SET batch=? WHERE batch=? AND layer=?",
        [(other, batch_id, number) for number in tables],
    )


def read_sent(connection: sqlite3.Connection, table: LayerTable, gid: str) -> SentEdit | None:
    """The edit of the row ``gid`` that is in flight, or None."""
    found = connection.execute(
        "SELECT id,operation,columns,geometry,data,key,first,last,overtaken FROM fieldsync_sent"
        " WHERE layer=? AND gid=?",
        (table.number, gid),
    ).fetchone()
    if found is None:
        return None
    id_, operation, columns, geometry, data, key, first, last, overtaken = found
    names = "".join(f",{quote(name)}" for name in value_names(table))
    values = connection.execute(
        f"SELECT ?{names} FROM {quote(sent_table(table))} WHERE id=?", (gid, id_)
    ).fetchone()
    return SentEdit(
        id=id_,
        global_id=gid,
        operation=EditOperation(operation),
        columns=tuple(json.loads(columns)),
        geometry_changed=bool(geometry),
        data_changed=bool(data),
        key=key,
        first=first,
        last=last,
        overtaken=frozenset(json.loads(overtaken)),
        values=values,
    )


def mark_overtaken(connection: sqlite3.Connection, sent: SentEdit, columns: Iterable[str]) -> None:
    """Note that for these columns the base is newer than what was sent."""
    connection.execute(
        "UPDATE fieldsync_sent SET overtaken=? WHERE id=?",
        (json.dumps(sorted({*sent.overtaken, *columns})), sent.id),
    )


def forget_sent(connection: sqlite3.Connection, table: LayerTable, sent: SentEdit) -> None:
    """Take one edit out of its batch."""
    connection.execute(f"DELETE FROM {quote(sent_table(table))} WHERE id=?", (sent.id,))
    connection.execute("DELETE FROM fieldsync_sent WHERE id=?", (sent.id,))


def release(connection: sqlite3.Connection, batch_id: BatchId) -> int:
    """Give up the batch: what is left of it counts as never sent and is pending again.

    Returns how many edits that were. Releasing a batch twice, or an unknown one, does nothing.
    """
    layers = connection.execute(
        "SELECT DISTINCT layer FROM fieldsync_sent WHERE batch=?", (batch_id,)
    ).fetchall()
    for (number,) in layers:
        connection.execute(
            f"DELETE FROM {quote(f'fieldsync_sent_{number}')}"
            " WHERE id IN(SELECT id FROM fieldsync_sent WHERE batch=?)",
            (batch_id,),
        )
    cursor = connection.execute("DELETE FROM fieldsync_sent WHERE batch=?", (batch_id,))
    return cursor.rowcount


def in_flight(connection: sqlite3.Connection) -> dict[BatchId, int]:
    """The batches that are not settled, oldest first, with the number of their open edits."""
    return dict(
        connection.execute(
            "SELECT batch,count(*) FROM fieldsync_sent GROUP BY batch ORDER BY min(id)"
        ).fetchall()
    )
