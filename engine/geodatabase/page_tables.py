"""Rows out of the pages of a damaged SQLite file (sqlite.org/fileformat2, "B-tree Pages").

A table is walked from its root, also one WITHOUT ROWID, which lies there as an index does; a page
that is not what it should be is left out and noted, the others give their rows all the same.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.geodatabase.page_file import HEADER_BYTES, PageFile, leaf_pages

Value = int | float | str | bytes | None

_LEAF, _INTERIOR = 0x0D, 0x05
_INDEX_LEAF, _INDEX_INTERIOR = 0x0A, 0x02
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_MAX_DEPTH = 20
_MAX_HEADER = 64 * 1024


class Damaged(ValueError):
    """These bytes are not what they should be."""


@dataclass(slots=True)
class Damage:
    """What could not be read of a table; ``pages`` are those that were read whole."""

    notes: list[str] = field(default_factory=list)
    pages: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.notes)


class Record:
    """One row as it lies in the file: its rowid (0 where the table has none), and its values, each
    read when it is asked for."""

    def __init__(self, pages: PageFile, page: bytes, at: int, *, has_rowid: bool = True) -> None:
        self._pages = pages
        size, at = _varint(page, at)
        self.rowid = 0
        if has_rowid:
            self.rowid, at = _varint(page, at)
            if self.rowid >= 1 << 63:
                self.rowid -= 1 << 64
        usable = pages.usable_bytes
        local, most = size, usable - 35 if has_rowid else (usable - 12) * 64 // 255 - 23
        self._overflow = 0
        if size > most:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (usable - 4)
            local = local if local <= most else least
            if at + local + 4 > len(page):
                raise Damaged("a row reaches behind its page")
            (self._overflow,) = struct.unpack_from(">I", page, at + local)
        if at + local > len(page):
            raise Damaged("a row reaches behind its page")
        self._local = page[at : at + local]
        self._size = size
        self._types, self._start = self._read_types()

    def __len__(self) -> int:
        return len(self._types)

    def value(self, number: int) -> Value:
        """The value of a column; None for columns that were added after the row was written."""
        if number >= len(self._types):
            return None
        kind = self._types[number]
        data = b"".join(self.pieces(number))
        if kind in (0, 8, 9):
            return {0: None, 8: 0, 9: 1}[kind]
        if kind in _INTEGER_BYTES:
            return int.from_bytes(data, "big", signed=True)
        if kind == 7:
            return float(struct.unpack(">d", data)[0])
        return data if kind % 2 == 0 else data.decode("utf-8", "replace")

    def values(self, count: int) -> list[Value]:
        """The first ``count`` values."""
        return [self.value(number) for number in range(count)]

    def pieces(self, number: int) -> Iterator[bytes]:
        """The bytes of a column's value, in pieces; :exc:`Damaged` if the chain breaks."""
        start = self._start + sum(_length(kind) for kind in self._types[:number])
        end = start + _length(self._types[number])
        at = 0
        for piece in self._payload():
            if at >= end:
                return
            part = piece[max(start - at, 0) : max(end - at, 0)]
            if part:
                yield part
            at += len(piece)
        if at < end:
            raise Damaged("the rest of a long row is missing")

    def _payload(self) -> Iterator[bytes]:
        yield self._local
        left, following, seen = self._size - len(self._local), self._overflow, set[int]()
        while left > 0:
            page = None if following in seen else self._pages.page(following)
            seen.add(following)
            if page is None:
                return
            (following,) = struct.unpack_from(">I", page)
            piece = page[4 : min(self._pages.usable_bytes, left + 4)]
            left -= len(piece)
            yield piece

    def _read_types(self) -> tuple[list[int], int]:
        size, at = _varint(self._local, 0)
        header = self._local
        if size > len(header):
            if size > min(_MAX_HEADER, self._size):
                raise Damaged("a row with a header that cannot be")
            header = b""
            for piece in self._payload():
                header += piece
                if len(header) >= size:
                    break
        types = []
        while at < size:
            kind, at = _varint(header, at)
            if kind in (10, 11):
                raise Damaged("a value of a type that there is not")
            types.append(kind)
        if at != size or size + sum(map(_length, types)) != self._size:
            raise Damaged("a row whose parts do not add up")
        return types, size


def walk(pages: PageFile, root: int, damage: Damage) -> Iterator[Record]:
    """The rows of the table with that root page, as far as they can be read."""
    yield from _walk(pages, root, damage, 0)


def _walk(pages: PageFile, number: int, damage: Damage, depth: int) -> Iterator[Record]:
    page = pages.page(number)
    if page is None or depth > _MAX_DEPTH or number in damage.pages:
        damage.notes.append(f"page {number} is missing")
        return
    start = HEADER_BYTES if number == 1 else 0
    kind = page[start]
    if kind in (_LEAF, _INDEX_LEAF):
        yield from _rows(pages, number, page, damage)
    elif kind in (_INTERIOR, _INDEX_INTERIOR):
        if kind == _INDEX_INTERIOR:
            yield from _rows(pages, number, page, damage)
        damage.pages.add(number)
        for child in _children(page, start, number, damage):
            yield from _walk(pages, child, damage, depth + 1)
    else:
        damage.notes.append(f"page {number} is damaged")


def _children(page: bytes, start: int, number: int, damage: Damage) -> list[int]:
    (count,) = struct.unpack_from(">H", page, start + 3)
    (last,) = struct.unpack_from(">I", page, start + 8)
    found = []
    for at in range(start + 12, min(start + 12 + 2 * count, len(page) - 1), 2):
        (cell,) = struct.unpack_from(">H", page, at)
        if cell + 4 > len(page):
            damage.notes.append(f"page {number} is damaged")
            continue
        found.append(int(struct.unpack_from(">I", page, cell)[0]))
    return [*found, int(last)]


def _rows(pages: PageFile, number: int, page: bytes, damage: Damage) -> Iterator[Record]:
    start = HEADER_BYTES if number == 1 else 0
    (count,) = struct.unpack_from(">H", page, start + 3)
    damage.pages.add(number)
    # A cell of an inner page begins with the page before it.
    kind, child = page[start], 4 if page[start] == _INDEX_INTERIOR else 0
    first = start + 8 + child
    for at in range(first, first + 2 * count, 2):
        try:
            if at + 2 > len(page):
                raise Damaged("more rows than a page holds")
            (cell,) = struct.unpack_from(">H", page, at)
            record = Record(pages, page, cell + child, has_rowid=kind == _LEAF)
        except (Damaged, IndexError):
            damage.notes.append(f"page {number} has a damaged row")
            continue
        yield record


def loose_rows(pages: PageFile, seen: set[int]) -> Iterator[Record]:
    """Rows of pages that no table leads to any more; ``seen`` are the pages that one does."""
    for number, page in leaf_pages(pages, seen):
        yield from _rows(pages, number, page, Damage())


def _length(kind: int) -> int:
    if kind < 12:
        return _INTEGER_BYTES.get(kind, 8 if kind == 7 else 0)
    return (kind - 12) // 2


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(9):
        if at >= len(data):
            raise Damaged("a number without an end")
        byte = data[at]
        at += 1
        if number == 8:
            return (value << 8) | byte, at
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            break
    return value, at
