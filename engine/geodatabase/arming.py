"""When the change log of a table can be trusted: its triggers are those that the engine made.

The file notes a hash of the triggers it was armed with. So two things can be told apart that look
the same to a comparison with today's text: triggers that an older engine made, which are simply
exchanged, and triggers that another program dropped or altered, after which edits may be missing.
"""

import hashlib
import sqlite3

from engine.geodatabase.catalog import Entry
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.triggers import check_triggers, rearm


def arm(connection: sqlite3.Connection, entry: Entry) -> None:
    """Log the edits of a table from now on, whatever triggers it had."""
    rearm(connection, entry.table, entry.permissions)
    connection.execute(
        "UPDATE fieldsync_table SET is_loaded = 1, triggers_sha256 = ? WHERE number = ?",
        (_sha256(connection, entry.table), entry.table.number),
    )


def log_faults(connection: sqlite3.Connection, entry: Entry) -> list[str]:
    """Why the change log of a table cannot be trusted, one sentence each; empty if it can."""
    faults = check_triggers(connection, entry.table, entry.permissions)
    return [] if faults and is_outdated(connection, entry) else faults


def is_outdated(connection: sqlite3.Connection, entry: Entry) -> bool:
    """True if the triggers are untouched, but not as this engine makes them."""
    table = entry.table
    (noted,) = connection.execute(
        "SELECT triggers_sha256 FROM fieldsync_table WHERE number = ?", (table.number,)
    ).fetchone()
    untouched = noted is not None and noted == _sha256(connection, table)
    return untouched and bool(check_triggers(connection, table, entry.permissions))


def _sha256(connection: sqlite3.Connection, table: LayerTable) -> str:
    """Of the table and its triggers as the file has them: renaming a column rewrites both."""
    digest = hashlib.sha256()
    for name, sql in connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name GLOB ? ORDER BY name",
        (f"fieldsync_{table.number}_*",),
    ):
        digest.update(f"{name}\0{sql}\0".encode())
    columns = connection.execute("SELECT name FROM pragma_table_info(?)", (table.name,))
    present = {name for (name,) in columns}
    missing = {table.key, *table.row_names, *table.noted} - present
    digest.update(repr(sorted(missing)).encode())
    return digest.hexdigest()
