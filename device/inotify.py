"""Being told by the kernel that a file in a folder was written (Linux, inotify(7)).

The C library's functions are called directly: the standard library has none of its own for them.
"""

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from device.waiting import until_set
from engine import Clock

_HEAD = struct.Struct("iIII")  # wd, mask, cookie, len
_READ_BYTES = 16 * 1024

MODIFY, DELETE_SELF, MOVE_SELF = 0x2, 0x400, 0x800
Q_OVERFLOW, IGNORED = 0x4000, 0x8000
_ONLY_FOLDER = 0x0100_0000


class FolderWatch:
    """Watches folders, not what is below them. A context manager; :meth:`wait` and :meth:`take`.

    A file that is mapped and written so is not told of, nor is one on a network's file system.
    """

    def __init__(self, library: Callable[[], ctypes.CDLL] | None = None) -> None:
        self._library = (library or (lambda: ctypes.CDLL(None, use_errno=True)))()
        self._descriptor = _checked(
            self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify"
        )
        self._folders: dict[int, Path] = {}

    def __enter__(self) -> "FolderWatch":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def add(self, folder: Path) -> None:
        """Watch ``folder``, too. :exc:`OSError` if it is not there or the kernel has no more."""
        number = _checked(
            self._library.inotify_add_watch(
                self._descriptor,
                os.fsencode(folder),
                MODIFY | DELETE_SELF | MOVE_SELF | _ONLY_FOLDER,
            ),
            str(folder),
        )
        self._folders[number] = folder

    async def wait(self, clock: Clock, moment: float | None) -> None:
        """Until there is something to take, or that moment of the monotonic clock."""
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._descriptor, readable.set)
        try:
            await until_set(readable, clock, moment)
        finally:
            loop.remove_reader(self._descriptor)

    def take(self) -> Iterator[tuple[Path | None, str]]:
        """Each (folder, name of the file) that was written since the last time; without waiting.

        An empty name: the folder itself is gone, and not watched any more. A folder None: events
        were lost, so anything may have been written.
        """
        while True:
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                number, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
                at += length
                if mask & Q_OVERFLOW:
                    yield None, ""
                elif mask & (DELETE_SELF | MOVE_SELF | IGNORED):
                    folder = self._folders.pop(number, None)
                    if mask & MOVE_SELF:  # the watch would go with it
                        self._library.inotify_rm_watch(self._descriptor, number)
                    if folder is not None:
                        yield folder, ""
                elif number in self._folders:
                    yield self._folders[number], name


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        remedy = " (fs.inotify.max_user_watches)" if number == errno.ENOSPC else ""
        raise OSError(number, f"cannot be watched: {os.strerror(number)}{remedy}", what)
    return result
