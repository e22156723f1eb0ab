"""The engine's own tables (``fieldsync_*``), their schema version and its migrations.

Other programs need not understand them, so they are declared as an extension of scope
``write-only`` (OGC 12-128r18, clause 2.3). Every released version stays readable: a migration
moves the file forward, all steps in one transaction.
"""

import sqlite3
from collections.abc import Callable

from engine.errors import GeodatabaseVersionError, NotAGeodatabaseError
from engine.geodatabase.triggers import LOG_SCHEMA, LOG_TABLES

SCHEMA_VERSION = 1

Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: dict[int, Migration] = {}
"""Version → the step from it to the next one."""

TABLES = {
    "fieldsync_meta": "(name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)",
    "fieldsync_replica": (
        "(id INTEGER PRIMARY KEY CHECK (id = 1), replica_id TEXT NOT NULL, name TEXT NOT NULL, "
        "service_url TEXT NOT NULL, item_id TEXT NOT NULL, sync_model TEXT NOT NULL, "
        "server_generation INTEGER, attachment_direction TEXT NOT NULL, "
        "sync_direction INTEGER NOT NULL, extent TEXT, created_at TEXT NOT NULL, "
        "last_sync_at TEXT, machine_id TEXT NOT NULL, service TEXT NOT NULL)"
    ),
    "fieldsync_layer": (
        "(layer_id INTEGER PRIMARY KEY, generation INTEGER, sync_direction INTEGER NOT NULL, "
        "options TEXT NOT NULL, resource TEXT NOT NULL)"
    ),
    "fieldsync_table": (
        "(number INTEGER PRIMARY KEY, layer_id INTEGER NOT NULL, name TEXT NOT NULL UNIQUE, "
        "definition TEXT NOT NULL, permissions TEXT NOT NULL, srs_id INTEGER NOT NULL, "
        "is_indexed INTEGER NOT NULL, is_loaded INTEGER NOT NULL DEFAULT 0, triggers_sha256 TEXT)"
    ),
    "fieldsync_batch": (
        "(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, channel TEXT NOT NULL, "
        "state TEXT NOT NULL, spool_name TEXT, spool_sha256 TEXT, status_url TEXT, "
        "result_url TEXT, upload_item TEXT, upload_parts TEXT, generations_before TEXT, "
        "generations_after TEXT, counts TEXT, merge_offset INTEGER, error TEXT, "
        "created_at TEXT NOT NULL, updated_at TEXT NOT NULL)"
    ),
    "fieldsync_fetch": (
        "(number INTEGER NOT NULL, gid TEXT NOT NULL, url TEXT, spool_name TEXT, "
        "size_bytes INTEGER, attempts INTEGER NOT NULL DEFAULT 0, error TEXT, "
        "PRIMARY KEY (number, gid)) WITHOUT ROWID"
    ),
}
"""The engine's tables beside those of the change log, and their columns."""


def create_bookkeeping(connection: sqlite3.Connection) -> None:
    """Make the engine's tables, those of the change log included, and declare them."""
    for name, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {name} {columns}")
    for statement in LOG_SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO fieldsync_meta VALUES ('schema_version', ?)", (SCHEMA_VERSION,))
    for name in (*TABLES, *LOG_TABLES):
        declare(connection, name)


def declare(connection: sqlite3.Connection, name: str) -> None:
    """Tell other programs that the table ``name`` is the engine's own."""
    connection.execute(
        "INSERT INTO gpkg_extensions VALUES (?, NULL, 'fieldsync_bookkeeping', ?, 'write-only')",
        (name, "Extension Title: fieldsync bookkeeping (change log, replica, journal)"),
    )


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the file has that table: some are made when they are first needed."""
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,))
    return found.fetchone() is not None


def make_table(connection: sqlite3.Connection, name: str, columns: str) -> None:
    """Make such a table where it is missing, and declare it."""
    if not has_table(connection, name):
        connection.execute(f"CREATE TABLE {name} {columns}")
        declare(connection, name)


def schema_version(connection: sqlite3.Connection) -> int:
    """The file's version; :exc:`NotAGeodatabaseError` if fieldsync did not make the file."""
    try:
        row = connection.execute(
            "SELECT value FROM fieldsync_meta WHERE name = 'schema_version'"
        ).fetchone()
    except sqlite3.OperationalError:
        row = None
    if row is None or not str(row[0]).isdigit():
        raise NotAGeodatabaseError("the file is a GeoPackage, but not one that fieldsync made")
    return int(row[0])


def is_older(connection: sqlite3.Connection) -> bool:
    """True if the file must be moved forward before it is used.

    :exc:`GeodatabaseVersionError` if a newer fieldsync wrote it.
    """
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        raise GeodatabaseVersionError(
            f"the file has schema version {version}; this fieldsync knows {SCHEMA_VERSION}"
        )
    return version < SCHEMA_VERSION


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the file to :data:`SCHEMA_VERSION` inside the open transaction; the version it had."""
    found = schema_version(connection)
    while is_older(connection):
        version = schema_version(connection)
        MIGRATIONS[version](connection)
        connection.execute(
            "UPDATE fieldsync_meta SET value = ? WHERE name = 'schema_version'", (version + 1,)
        )
    return found
