"""Files and folders that exist whole or not at all, and a lock between processes.

The pattern is always the same: write beside the target, flush to the disk, rename, flush the
folder. A crash at any instruction leaves either the old state or the new one, and at most a
temporary sibling (``.<name>.partial-…``) that :func:`remove_leftovers` clears.
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from engine import faults
from engine.errors import BadParameterError, EngineError, MapExistsError, StorageFullError

SPACE_FACTOR = 3

_PARTIAL = ".partial-"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {
    errno.EACCES,
    errno.EEXIST,
    errno.EFBIG,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def sync_folder(folder: Path) -> None:
    """Flush the folder's entries, so that a rename or a new file survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}{_PARTIAL}{secrets.token_hex(4)}")


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn "no space" and "cannot be written" into errors with a remedy; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageFullError(f"no space left on the disk of {where}") from error
        if error.errno in _NOT_WRITABLE:
            raise EngineError(
                f"cannot write to {where}: {error.strerror}",
                remedy="Check the path, the owner and permissions of the folder, and that the "
                "disk is not read-only",
            ) from error
        raise


def require_space(where: Path, coming_bytes: int) -> None:
    """:exc:`StorageFullError` unless the disk has room for three times what comes.

    What comes lies there as it was received, in the write-ahead log and in the file itself, and
    sorting it for an index takes as much again for a moment.
    """
    needed = SPACE_FACTOR * coming_bytes
    free = _free_bytes(where)
    if needed > free:
        raise StorageFullError(
            f"{_megabytes(needed)} are needed on the disk of {where}, {_megabytes(free)} are free"
        )


def _free_bytes(where: Path) -> int:
    folder = next(parent for parent in where.absolute().parents if parent.is_dir())
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under ``path`` only when the block ends without an error."""
    partial = _sibling(path)
    try:
        with disk_errors(path):
            with open(partial, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            faults.point("file.written")
            os.replace(partial, path)
            sync_folder(path.parent)
            faults.point("file.renamed")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file ``path`` by ``content``, whole or not at all."""
    with new_file(path) as stream:
        stream.write(content)


def write_json(path: Path, value: object) -> None:
    """Replace the file ``path`` by ``value`` as readable JSON, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    write_bytes(path, text.encode() + b"\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears under ``path`` only when the block ends without an error.

    Yields the temporary folder to write to. :exc:`MapExistsError` if ``path`` exists already,
    unless it is an empty folder.
    """
    partial = _sibling(path)
    try:
        with disk_errors(path):
            refuse_existing(path)
            _make_folder(path.parent)
            partial.mkdir()
            yield partial
            publish_folder(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def publish_folder(partial: Path, path: Path) -> None:
    """Let a folder that is filled appear under ``path``, durably and at once."""
    for folder, _, names in os.walk(partial):
        for name in names:
            _sync_file(Path(folder, name))
        sync_folder(Path(folder))
    faults.point("folder.written")
    refuse_existing(path)
    os.replace(partial, path)  # atomic also over an empty folder
    sync_folder(path.parent)
    faults.point("folder.renamed")


def _make_folder(path: Path) -> None:
    """Make the folder with its parents, each of them durable."""
    if not path.is_dir():
        _make_folder(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
            raise BadParameterError(
                f"the folder {path} cannot be made: {error.strerror}",
                remedy="Choose a folder in a place where folders can be made",
            ) from error
        sync_folder(path.parent)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_existing(path: Path) -> None:
    """:exc:`MapExistsError` unless ``path`` is free (absent, or an empty folder)."""
    if path.is_dir() and not path.is_symlink():
        if any(path.iterdir()):
            raise MapExistsError(f"the folder {path} is not empty")
    elif path.exists() or path.is_symlink():
        raise MapExistsError(f"{path} already exists and is no folder")


def remove_leftovers(path: Path) -> None:
    """Clear what crashed writers of ``path`` left beside it. Call it holding ``path``'s lock."""
    for left in path.parent.glob(f".{glob_escape(path.name)}{_PARTIAL}*"):
        remove(left)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def glob_escape(name: str) -> str:
    """``name`` with the wildcards of :mod:`glob` made literal."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


class ProcessLock:
    """An exclusive lock between processes, on a file of its own beside what it protects.

    The kernel drops it when the process ends, however it ends, so it can never be stale. It is
    never taken on the geodatabase itself: closing any descriptor of a SQLite file would drop
    SQLite's own POSIX locks (sqlite.org/howtocorrupt.html, section 2.2).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock now; False if another process or another lock object holds it."""
        with disk_errors(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back. Does nothing if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
