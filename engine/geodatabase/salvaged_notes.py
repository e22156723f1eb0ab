"""What a damaged geodatabase had noted of its unsent edits, brought along with them.

Sequence numbers are new in the new file, so a note is kept as what it says: whether the last edit
of a row is meant, or an earlier one.
"""

import sqlite3

from engine.geodatabase.carried import carried_sequence, note_salvaged
from engine.geodatabase.deleted_parts import lacks_wholes, note_parts
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sent import read_sent
from engine.geodatabase.sql import quoted

_REFUSAL = (
    *("direction", "layer", "gid", "operation", "code", "reason", "remedy", "seq", "payload"),
    *("held_layer", "held_gid", "recorded_at", "resolved_at", "resolution"),
)


def copy_refusals(connection: sqlite3.Connection, old: sqlite3.Connection) -> None:
    """Keep what ``old`` had set aside of the edits made here, also what was decided; which of the
    edits are set aside still is told by :func:`keep_notes`. What could not be stored of the
    service's rows was fetched again."""
    names = quoted(_REFUSAL)
    rows = old.execute(
        f"SELECT {names} FROM fieldsync_quarantine WHERE direction='outbound' ORDER BY id"
    ).fetchall()
    connection.executemany(
        f"INSERT OR IGNORE INTO fieldsync_quarantine({names})"
        f" VALUES({','.join('?' * len(_REFUSAL))})",
        rows,
    )


def keep_notes(
    logged: LoggedTable, old: sqlite3.Connection, before: LayerTable, gid: str, last: int
) -> None:
    """Keep what ``old`` had noted of a row that was last touched there under the number ``last``,
    in its table ``before``."""
    entry = logged.entry(gid)
    if entry is None:
        return
    connection, table = logged.connection, logged.table
    exported = carried_sequence(old, before, gid)
    if exported is not None:
        sent = read_sent(connection, table, gid)
        if exported >= last:
            note_salvaged(connection, table, gid, entry.seq)
        elif sent is not None and exported >= _last_sent(old, before, gid):
            note_salvaged(connection, table, gid, sent.last)
        else:
            note_salvaged(connection, table, gid, 0)
    connection.execute(
        "UPDATE fieldsync_quarantine SET seq=?1 WHERE layer=?2 AND gid=?3 AND seq>=?4"
        " AND direction='outbound' AND resolved_at IS NULL",
        (entry.seq, table.number, gid, last),
    )
    if lacks_wholes(old):
        return  # as if a program had deleted the parts itself
    went = old.execute(
        "SELECT whole_layer,whole_gid FROM fieldsync_deleted_part WHERE layer=? AND gid=?"
        " AND seq=?",
        (before.number, gid, last),
    ).fetchone()
    if went is not None and logged.stored(gid) is None:
        note_parts(connection, table, [gid], went)


def _last_sent(old: sqlite3.Connection, before: LayerTable, gid: str) -> int:
    found = old.execute(
        "SELECT max(last) FROM fieldsync_sent WHERE layer=? AND gid=?", (before.number, gid)
    )
    return int(found.fetchone()[0] or 0)
