"""A batch whose answer was lost: what the service has now tells what became of it.

Merging the rows as they are there is the whole answer. Their values become the base; what arrived
no longer differs from it, what did not still does and is pending again, column by column, and what
somebody else changed meanwhile stands, with ours kept as a conflict. Acknowledging whole rows would
be too coarse: of one update a column may have been overtaken while another never arrived.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from engine.geodatabase.applying import applying
from engine.geodatabase.conflicts import settle_conflicts
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.merge import Dependent, MergeCounts, merge_table
from engine.geodatabase.quarantine import settle_quarantine
from engine.geodatabase.sent import BatchId, forget_sent, read_sent
from engine.geodatabase.staging import clear_staging, stage_deletes, stage_rows
from engine.model import ConflictPolicy, EditOperation


def reconcile(
    connection: sqlite3.Connection,
    batch_id: BatchId,
    table: LayerTable,
    rows: Iterable[Row],
    policy: ConflictPolicy,
    *,
    now: str,
    dependents: Sequence[Dependent] = (),
) -> MergeCounts:
    """Settle the batch's open edits of ``table`` by reading back.

    ``rows`` are those of the batch's rows that the service has now, read when the batch can no
    longer be applied and after the download since it was sent was merged. A row it does not have: a
    delete arrived; an updated row was deleted there; an add did not arrive and is pending again
    (one that arrived and was deleted since is in that download). Replaces what is staged for
    ``table``. Needs an open transaction.
    """
    found = {str(row[0]): row for row in rows}
    gids = [
        gid
        for (gid,) in connection.execute(
            "SELECT gid FROM fieldsync_sent WHERE batch=? AND layer=? ORDER BY number",
            (batch_id, table.number),
        )
    ]
    sent = {gid: edit for gid in gids if (edit := read_sent(connection, table, gid)) is not None}
    clear_staging(connection, table)
    stage_rows(connection, table, (found[gid] for gid in gids if gid in found))
    stage_deletes(
        connection,
        table,
        (g for g in gids if g not in found and sent[g].operation is not EditOperation.ADD),
    )
    counts = merge_table(connection, table, policy, now=now, dependents=dependents)
    clear_staging(connection, table)
    logged = LoggedTable(connection, table)
    with applying(connection):
        for gid in gids:
            forget_sent(connection, table, sent[gid])
            if logged.settle(gid):
                settle_conflicts(connection, table, gid, "mine", now)
                settle_quarantine(connection, table, gid, "sent", now)
    return counts
