"""What SQLite's result codes mean to a person (sqlite.org/rescode.html)."""

import os
import sqlite3
from pathlib import Path

from engine.errors import (
    EditRefusedError,
    EngineError,
    GeodatabaseBusyError,
    GeodatabaseDamagedError,
    GeodatabaseError,
    NotAGeodatabaseError,
    StorageFullError,
)

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a statement may raise. SQLite's message names what is damaged by its bytes as they are, and
:mod:`sqlite3` raises that it is no UTF-8; texts of rows are read by a factory of our own."""

_FREE_ENOUGH_BYTES = 1024 * 1024


def engine_error(error: BaseException, path: Path) -> EngineError | None:
    """The engine's error for one that SQLite raised about ``path``; None if it is none of ours.

    A sentence from one of our triggers becomes :exc:`EditRefusedError` word for word.
    """
    if isinstance(error, UnicodeDecodeError):  # Python could not read the error's own text
        return GeodatabaseDamagedError(f"{path} is damaged: names in it are no text any more")
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return EditRefusedError(str(error))
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return GeodatabaseBusyError(f"another program is writing to {path}")
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StorageFullError(f"no space left on the disk of {path}")
    if primary == sqlite3.SQLITE_CORRUPT:
        return GeodatabaseDamagedError(f"{path} is damaged: {error}")
    if primary == sqlite3.SQLITE_NOTADB:
        return NotAGeodatabaseError(
            f"{path} is no GeoPackage, or it is damaged: {error}",
            remedy="If it belongs to a map: fieldsync repair MAP. It keeps what can be read",
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return GeodatabaseError(
            f"cannot open {path} for writing: {error}",
            remedy="Check the owner and permissions of the file and its folder, and that the "
            "disk is not read-only",
        )
    if primary == sqlite3.SQLITE_IOERR:
        return GeodatabaseError(
            f"the disk of {path} fails: {error}",
            remedy="Check the storage card; copy the folder to another one",
        )
    return None


def _is_full(path: Path) -> bool:
    """SQLite reports a full disk as an I/O error where it grows its shared-memory file."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _FREE_ENOUGH_BYTES
