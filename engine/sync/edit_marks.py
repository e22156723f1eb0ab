"""Which edits a sync has met: told apart without holding more of them than fit into a megabyte."""

import re
import sqlite3
from collections.abc import Iterable

from engine.errors import StorageFullError
from engine.geodatabase.change_log import Edit
from engine.sync.case import Key, key_of

CACHE_KIB = 1024  # 30 000 edits; from there on SQLite writes to a temporary file

_GUID = re.compile(r"\{[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\}")

Mark = tuple[int, bytes] | Key


class EditMarks:
    """A set of edits by their rows, of which some are decided. Nothing of it outlives the sync."""

    def __init__(self) -> None:
        # A database without a name is SQLite's own temporary one: pages, and a file only for those
        # that no longer fit (sqlite.org/inmemorydb.html, "Temporary Databases"). Calls come from
        # the geodatabase's thread as well, one at a time.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode=OFF",
            f"PRAGMA cache_size=-{CACHE_KIB}",
            "CREATE TABLE mark(number INTEGER, gid, is_decided INTEGER NOT NULL,"
            " PRIMARY KEY(number,gid)) WITHOUT ROWID",
            "BEGIN",  # never ended: only a full cache is written
        ):
            self._database.execute(statement)

    def add(self, edits: Iterable[Edit]) -> None:
        """They are met."""
        self._run_many("INSERT OR IGNORE INTO mark VALUES(?,?,0)", edits)

    def decide(self, edit: Edit) -> None:
        """It is met, and it stays so."""
        self._run_many("INSERT OR REPLACE INTO mark VALUES(?,?,1)", [edit])

    def discard(self, edits: Iterable[Edit]) -> None:
        """They are as if they had never been met."""
        self._run_many("DELETE FROM mark WHERE number=? AND gid=?", edits)

    def discard_decided(self, edits: Iterable[Edit]) -> None:
        """Those that are decided are as if they had never been met."""
        self._run_many("DELETE FROM mark WHERE number=? AND gid=? AND is_decided", edits)

    def keep_decided(self) -> None:
        """All others are as if they had never been met."""
        self._database.execute("DELETE FROM mark WHERE NOT is_decided")

    def __contains__(self, edit: Edit) -> bool:
        found = self._database.execute(
            "SELECT 1 FROM mark WHERE number=? AND gid=?", mark_of(edit)
        ).fetchone()
        return found is not None

    def close(self) -> None:
        """Let go of the memory and of the file, if there is one."""
        self._database.close()

    def _run_many(self, statement: str, edits: Iterable[Edit]) -> None:
        try:
            self._database.executemany(statement, map(mark_of, edits))
        except sqlite3.OperationalError as error:
            raise StorageFullError(
                f"cannot write a temporary file: {error}",
                remedy="Free some space in the folder for temporary files (TMPDIR, or /var/tmp)",
            ) from error


def mark_of(edit: Edit) -> Mark:
    """What stands for an edit's key: 16 bytes for a GUID, and the text for anything else."""
    if _GUID.fullmatch(edit.global_id) is None:
        return key_of(edit)
    return edit.table.number, bytes.fromhex(edit.global_id[1:-1].replace("-", ""))
