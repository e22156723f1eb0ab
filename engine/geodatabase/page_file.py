"""A damaged SQLite file read page by page, with its write-ahead log (sqlite.org/fileformat2).

SQLite itself gives up at the first wrong page. This reads what is there: every page by its number,
in the version that was last committed. Only for files that nobody has open: closing a descriptor
of a live file would drop SQLite's locks.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100

_WAL_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_WAL_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
"""Magic number → the byte order of the log's checksums."""
_DEFAULT_PAGE_BYTES = 4096


class PageFile:
    """The pages of ``path``, a closed database file, and of its ``-wal``. A context manager."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        self._wal: BinaryIO | None = None
        self._frames: dict[int, int] = {}
        wal = path.with_name(f"{path.name}-wal")
        self.has_header = self._read_header()
        if wal.exists():
            self._wal = open(wal, "rb")  # noqa: SIM115
            self._read_frames(self._wal)
        size = self._file.seek(0, 2)
        self.page_count = max(size // self.page_bytes, max(self._frames, default=0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._wal is not None:
            self._wal.close()

    def page(self, number: int) -> bytes | None:
        """The page of that number, counted from 1; None if it is not there."""
        at = self._frames.get(number)
        if at is not None and self._wal is not None:
            self._wal.seek(at)
            found = self._wal.read(self.page_bytes)
        elif number >= 1:
            self._file.seek((number - 1) * self.page_bytes)
            found = self._file.read(self.page_bytes)
        else:
            return None
        return found if len(found) == self.page_bytes else None

    def _read_header(self) -> bool:
        header = self._file.read(HEADER_BYTES)
        self.page_bytes, self.usable_bytes = _DEFAULT_PAGE_BYTES, _DEFAULT_PAGE_BYTES
        if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
            return False
        (size,) = struct.unpack_from(">H", header, 16)
        size = 65536 if size == 1 else size
        if size < 512 or size & (size - 1):
            return False
        self.page_bytes, self.usable_bytes = size, size - header[20]
        return True

    def _read_frames(self, wal: BinaryIO) -> None:
        """Note where the newest committed version of each page lies in the log."""
        header = wal.read(_WAL_HEADER.size)
        if len(header) < _WAL_HEADER.size:
            return
        magic, _, size, _, salt1, salt2, sum1, sum2 = _WAL_HEADER.unpack(header)
        order = _WAL_MAGICS.get(magic)
        if order is None or _checksum(header[:24], order, (0, 0)) != (sum1, sum2):
            return
        if not self.has_header:
            self.page_bytes = self.usable_bytes = size
        elif size != self.page_bytes:
            return
        state, open_ones = (sum1, sum2), dict[int, int]()
        while len(frame := wal.read(_FRAME_HEADER.size)) == _FRAME_HEADER.size:
            number, commit, frame_salt1, frame_salt2, sum1, sum2 = _FRAME_HEADER.unpack(frame)
            at = wal.tell()
            page = wal.read(size)
            if (frame_salt1, frame_salt2) != (salt1, salt2) or len(page) < size:
                return
            state = _checksum(page, order, _checksum(frame[:8], order, state))
            if state != (sum1, sum2):
                return
            open_ones[number] = at
            if commit:
                self._frames |= open_ones
                open_ones = {}


def _checksum(data: bytes, order: str, state: tuple[int, int]) -> tuple[int, int]:
    first, second = state
    words = struct.iter_unpack(f"{order}II", data)
    for one, other in words:
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


def leaf_pages(pages: PageFile, without: set[int]) -> Iterator[tuple[int, bytes]]:
    """Every page that looks like a leaf of a table, but those in ``without``."""
    for number in range(1, pages.page_count + 1):
        if number in without:
            continue
        page = pages.page(number)
        if page is not None and page[HEADER_BYTES if number == 1 else 0] == 0x0D:
            yield number, page
