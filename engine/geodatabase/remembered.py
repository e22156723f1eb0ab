"""Small facts about a geodatabase's service that were found out once and hold from then on.

Writing needs an open transaction.
"""

import sqlite3


def recall(connection: sqlite3.Connection, name: str) -> str:
    """The fact of that name; empty if it is not known."""
    found = connection.execute(
        "SELECT value FROM fieldsync_meta WHERE name = ?", (name,)
    ).fetchone()
    return "" if found is None else str(found[0])


def remember(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a fact in place of an earlier one."""
    connection.execute("INSERT OR REPLACE INTO fieldsync_meta VALUES (?, ?)", (name, value))
