"""Damaged geodatabase files: noticed early, and set aside with all that belongs to them.

A file is moved only while nobody has it open, and never erased. Its write-ahead log goes with it:
left behind, it would be joined with whatever file takes the place.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from engine import faults
from engine.atomic import disk_errors, glob_escape, sync_folder
from engine.errors import GeodatabaseBusyError, GeodatabaseDamagedError

SMALL_FILE_BYTES = 8 * 1024 * 1024
"""Up to this size a whole file is checked when it is opened: that takes some hundredths of a
second."""

_ENGINE_TABLES = (
    *("fieldsync_meta", "fieldsync_replica", "fieldsync_layer", "fieldsync_table"),
    *("fieldsync_state", "fieldsync_change", "fieldsync_batch", "fieldsync_sent"),
)
_PENDING_BYTE = 0x40000000  # sqlite.org/fileformat2, "The Lock-Byte Page"
_LOCK_BYTES = 512
_SHM_DEAD_MAN_BYTE = 128  # held by every connection to a file with a write-ahead log
_SUFFIXES = ("-wal", "-shm")


def check_file(connection: sqlite3.Connection, *, whole: bool = False) -> None:
    """:exc:`GeodatabaseDamagedError` if SQLite finds damage.

    Without ``whole`` a large file is only checked where the engine's own tables lie.
    """
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if whole or pages * page_bytes <= SMALL_FILE_BYTES:
        checks = ["PRAGMA quick_check(1)"]
    else:
        checks = [f"PRAGMA quick_check({name})" for name in _ENGINE_TABLES]
    for check in checks:
        found = connection.execute(check).fetchone()
        if found is not None and found[0] != "ok":
            raise GeodatabaseDamagedError(f"the file is damaged: {' '.join(found[0].split())}")


def broken_files(path: Path) -> list[Path]:
    """What was set aside of ``path``, oldest first."""
    found = path.parent.glob(f"{glob_escape(path.name)}.broken-*")
    return sorted(p for p in found if not p.name.endswith(_SUFFIXES))


def set_aside(path: Path, now: datetime) -> Path:
    """Rename the file with its log to ``<name>.broken-<time>``; the new path.

    :exc:`GeodatabaseBusyError` if a program has it open. Call it holding the file's process lock.
    """
    with disk_errors(path), _held_by_nobody(path):
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        target = path.with_name(f"{path.name}.broken-{stamp}")
        number = 1
        while target.exists():
            number += 1
            target = path.with_name(f"{path.name}.broken-{stamp}-{number}")
        # The file first: without it nobody takes the log that is left for a moment for a live one.
        path.rename(target)
        faults.point("broken.renamed")
        _move_log(path, target)
    faults.point("broken.retired")
    return target


def finish_setting_aside(path: Path) -> None:
    """Go on where :func:`set_aside` was killed: move a log that was left behind."""
    broken = broken_files(path)
    if broken and not path.exists():
        with disk_errors(path):
            _move_log(path, broken[-1])


def _move_log(path: Path, target: Path) -> None:
    for suffix in _SUFFIXES:
        left = path.with_name(f"{path.name}{suffix}")
        if left.exists():
            left.rename(target.with_name(f"{target.name}{suffix}"))
    sync_folder(path.parent)


@contextmanager
def _held_by_nobody(path: Path) -> Iterator[None]:
    """Locks the file as SQLite does, so that no program has it open or opens it meanwhile.

    This process must have no connection to it: closing the descriptor would drop its locks.
    """
    shm = path.with_name(f"{path.name}-shm")
    with ExitStack() as stack:
        for file, start, length in (
            (path, _PENDING_BYTE, _LOCK_BYTES),
            (shm, _SHM_DEAD_MAN_BYTE, 1),
        ):
            if not file.exists():
                continue
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
            except (BlockingIOError, PermissionError):
                raise GeodatabaseBusyError(
                    f"{path} is damaged, and a program still has it open",
                    remedy="Close the program that has the file open, then try again",
                ) from None
        yield
