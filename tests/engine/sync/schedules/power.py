"""A device that dies: at once, with what it had written; or by power, with what it had flushed.

Both are played in one process: the files are copied as they are at that instant, the sync is made
to unravel, and then the copies are put back. What SQLite flushes is known from its settings: in WAL
mode with ``synchronous=FULL`` the log is flushed by every commit, with less only by a checkpoint
(sqlite.org/pragma.html#pragma_synchronous). What a program writes with flushes takes the others'
pages of the log along.
"""

import shutil
import sqlite3
from pathlib import Path

_FULL = 2


class Killed(BaseException):
    """Unravels a sync whose device is dead."""


class Flushed:
    """How much of a geodatabase's write-ahead log a loss of power would spare."""

    def __init__(self, path: Path) -> None:
        self._wal = path.with_name(f"{path.name}-wal")
        self._flushed = 0

    def was_flushed(self) -> None:
        """Somebody flushed the log just now."""
        self._flushed = self._size()

    def look(self, connection: sqlite3.Connection) -> int:
        """The bytes that stay, if ``connection`` is who writes."""
        size = self._size()
        if connection.execute("PRAGMA synchronous").fetchone()[0] >= _FULL:
            self._flushed = size
        self._flushed = min(self._flushed, size)  # a checkpoint has emptied it
        return self._flushed

    def _size(self) -> int:
        return self._wal.stat().st_size if self._wal.exists() else 0


class Remains:
    """The files of a device as they were when it died."""

    def __init__(self, path: Path, folder: Path, *, wal_bytes: int | None = None) -> None:
        """``wal_bytes``: what the power loss left of the log, and of the spool what was flushed."""
        self._path = path
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in self._files():
            shutil.copy(file, folder)
        if wal_bytes is not None and (wal := folder / f"{path.name}-wal").exists():
            with open(wal, "r+b") as stream:
                stream.truncate(wal_bytes)
        spool = self._spool
        if spool.is_dir():
            shutil.copytree(spool, folder / spool.name)
        if wal_bytes is not None and spool.is_dir():
            for file in (folder / spool.name).iterdir():
                if not file.name.startswith(("batch-", "canary-")):  # those are flushed
                    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    def put_back(self) -> None:
        """Make the device's files what is left of them; nobody may have them open."""
        for file in (*self._files(), self._path.with_name(f"{self._path.name}-shm")):
            file.unlink(missing_ok=True)
        shutil.rmtree(self._spool, ignore_errors=True)
        shutil.copytree(self._folder, self._path.parent, dirs_exist_ok=True)
        shutil.rmtree(self._folder)

    @property
    def _spool(self) -> Path:
        return self._path.with_name(f"{self._path.name}-spool")

    def _files(self) -> list[Path]:
        names = (self._path.name, f"{self._path.name}-wal")
        return [file for name in names if (file := self._path.with_name(name)).exists()]
