"""What a disk would hold if the power had gone at any moment of a run.

QEMU's ``blklogwrites`` notes every write and flush in the format of Linux's dm-log-writes
(Documentation/admin-guide/device-mapper/log-writes.rst). A disk keeps what was written before a
flush that it has answered; of what came later it may keep any part. A card that lies keeps less.
"""

import random
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct("<QQQQ")
_SUPER = struct.Struct("<QQQI")
_MAGIC = 0x6A736677736872
_FLUSH, _DISCARD = 1, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A write, or a flush, or both: first the flush, then the write."""

    sector: int
    sectors: int
    is_flush: bool
    is_discard: bool
    offset: int
    """Where its data begin in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A disk as it may be after a power cut."""

    image: Path
    moment: int
    """How many writes and flushes there had been."""


class WriteLog:
    """The log of one disk, also while it grows. ``start`` is the disk before the first write."""

    def __init__(self, path: Path, start: Path) -> None:
        self.entries: list[Entry] = []
        self._path = path
        self._start = start
        self._next = 0
        self._sector = 0

    @staticmethod
    def make_room(path: Path) -> None:
        """An empty log; the file takes no more of the host's disk than is written."""
        with open(path, "wb") as stream:
            stream.truncate(1 << 30)

    def read_on(self) -> int:
        """Read what was noted since; how many entries there are now."""
        with open(self._path, "rb") as stream:
            if not self._sector:
                magic, _, _, self._sector = _SUPER.unpack(stream.read(_SUPER.size))
                assert magic == _MAGIC, "this is no log of writes"
                self._next = self._sector
            while True:
                stream.seek(self._next)
                sector, sectors, flags, _ = _HEADER.unpack(stream.read(_HEADER.size))
                if not (sectors or flags):  # a part of the file that nobody has written
                    return len(self.entries)
                offset = self._next + self._sector
                entry = Entry(
                    sector=sector,
                    sectors=sectors,
                    is_flush=bool(flags & _FLUSH),
                    is_discard=bool(flags & _DISCARD),
                    offset=offset,
                )
                self.entries.append(entry)
                self._next = offset + (0 if entry.is_discard else sectors * self._sector)

    def states(
        self, folder: Path, draw: random.Random, count: int, *, end: int, lost: float = 0.0
    ) -> Iterator[State]:
        """The disk after a power cut at ``count`` moments up to ``end``, which is one of them.

        All is there that came before the last flush, and about half of what came since. ``lost``:
        which part of the flushed writes a lying card does not have. The image is the same file
        each time.
        """
        moments = range(1, end + 1)
        chosen = {*draw.sample(moments, min(count - 1, len(moments))), moments[-1]}
        durable, image = folder / "durable.img", folder / "state.img"
        shutil.copyfile(self._start, durable)
        kept = 0
        with open(self._path, "rb") as log, open(durable, "r+b") as disk:
            for moment in sorted(chosen):
                flushed = [n for n in range(kept, moment) if self.entries[n].is_flush]
                for entry in self.entries[kept : max(flushed, default=kept)]:
                    if draw.random() >= lost:
                        self._write(log, disk, entry)
                kept = max(flushed, default=kept)
                disk.flush()
                shutil.copyfile(durable, image)
                with open(image, "r+b") as torn:
                    for entry in self.entries[kept:moment]:
                        if draw.random() < 0.5:
                            self._write(log, torn, entry)
                yield State(image=image, moment=moment)

    def _write(self, log: BinaryIO, disk: BinaryIO, entry: Entry) -> None:
        disk.seek(entry.sector * self._sector)
        if entry.is_discard:
            disk.write(bytes(entry.sectors * self._sector))
        elif entry.sectors:
            log.seek(entry.offset)
            disk.write(log.read(entry.sectors * self._sector))
