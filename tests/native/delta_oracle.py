"""SPEC.md §3 read once more in plain Python: what the core's streams are compared with."""

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from native.layer import ColumnType
from tests.native.oracle import EPOCH, date

MASK = 2**64 - 1


class Streams:
    """The three streams and a place in each."""

    def __init__(self, streams: Sequence[bytes]) -> None:
        self._streams = streams
        self._at = [0, 0, 0]

    def take(self, stream: int, size: int) -> bytes:
        start = self._at[stream]
        self._at[stream] += size
        return self._streams[stream][start : start + size]

    def byte(self) -> int:
        return self.take(0, 1)[0]

    def varint(self) -> int:
        value = shift = 0
        while (byte := self.byte()) > 0x7F:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def zigzag(self) -> int:
        return unzigzag(self.varint())

    @property
    def at_end(self) -> bool:
        return self._at == [len(stream) for stream in self._streams]


def unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)


def signed(value: int) -> int:
    value &= MASK
    return value - 2**64 if value >> 63 else value


def integers(streams: Streams, count: int, base: Sequence[int] | None) -> list[int]:
    if count == 0:
        return []
    flags = streams.byte()
    predictor, zigzag, planes = flags & 3, flags & 4, flags & 8
    values = [streams.zigzag()] if predictor == 1 else []
    unit = streams.varint()
    offset = 0 if zigzag else streams.zigzag()
    left = count - len(values)
    if planes:
        rows = [streams.take(0, left) for _ in range(streams.byte())]
        ks = [sum(row[i] << 8 * place for place, row in enumerate(rows)) for i in range(left)]
    else:
        ks = [streams.varint() for _ in range(left)]
    for k in map(unzigzag, ks) if zigzag else ks:
        prediction = 0
        if predictor == 1:
            prediction = values[-1]
        elif predictor == 2:
            assert base is not None
            prediction = base[len(values)]
        values.append(signed(prediction + offset + unit * k))
    return values


def tagged(streams: Streams) -> Any:
    tag = streams.byte()
    if tag == 0:
        return streams.zigzag()
    if tag == 1:
        return struct.unpack("<d", streams.take(0, 8))[0]
    size = streams.varint()
    return streams.take(1, size).decode() if tag == 2 else streams.take(2, size)


def bits(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def on_grid(value: float, places: int) -> int | None:
    scaled = value * 10.0**places
    if not abs(scaled) <= 2**53:
        return None
    nearest = int(scaled + (0.5 if scaled >= 0 else -0.5))
    return nearest if bits(nearest / 10.0**places) == bits(value) else None


def milliseconds(value: Any) -> int:
    """A base date; 0 unless it is in the one spelling that is regular."""
    try:
        ms = (datetime.fromisoformat(value) - EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError):
        return 0
    return ms if date(ms) == value else 0


def reals(streams: Streams, count: int, base: Sequence[Any] | None) -> list[float]:
    if count == 0:
        return []
    places = streams.byte()
    doubles = None if base is None else [v if isinstance(v, float) else 0.0 for v in base]
    if places == 255:
        rows = [streams.take(0, count) for _ in range(8)]
        found = [int.from_bytes(bytes(row[i] for row in rows), "little") for i in range(count)]
        old = [0] * count if doubles is None else [bits(value) for value in doubles]
        whole = [(a ^ b).to_bytes(8, "little") for a, b in zip(found, old, strict=True)]
        return [struct.unpack("<d", each)[0] for each in whole]
    grid = None if doubles is None else [on_grid(value, places) or 0 for value in doubles]
    return [value / 10.0**places for value in integers(streams, count, grid)]


def references(streams: Streams, count: int) -> tuple[list[int], int]:
    known, places = 0, []
    for _ in range(count):
        reference = streams.varint()
        places.append(reference - 1 if reference else known)
        known += reference == 0
    return places, known


def texts(streams: Streams, count: int) -> list[str]:
    places, known = references(streams, count)
    sizes = [streams.varint() for _ in range(known)]
    new = [streams.take(1, size).decode() for size in sizes]
    return [new[place] for place in places]


def guids(streams: Streams, count: int) -> list[str]:
    places, known = references(streams, count)
    flags = streams.byte() if known else 0
    firsts = integers(streams, known, None) if flags & 1 else []
    packed = int.from_bytes(streams.take(2, (10 * known + 7) // 8), "little") if flags & 2 else 0
    new = []
    for i in range(known):
        guid = bytearray(16)
        free = set(range(16))
        if flags & 1:
            guid[0:2] = firsts[i].to_bytes(2, "big")
            free -= {0, 1}
        if flags & 2:
            ten = packed >> 10 * i & 0x3FF
            guid[6], guid[8] = 0x40 | ten >> 6, 0x80 | ten & 0x3F
            free -= {6, 8}
        for place in sorted(free):
            guid[place] = streams.take(2, 1)[0]
        new.append("{" + str(UUID(bytes=bytes(guid))).upper() + "}")
    return [new[place] for place in places]


def read(kind: ColumnType, streams: Streams, count: int, base: Sequence[Any] | None) -> list[Any]:
    """One attribute column."""
    classes = streams.take(0, count) if streams.byte() else bytes(count)
    regular = [i for i, value in enumerate(classes) if value == 0]
    old = None if base is None else [base[i] for i in regular]
    values: list[Any]
    match kind:
        case ColumnType.INTEGER:
            known = None if old is None else [v if isinstance(v, int) else 0 for v in old]
            values = list(integers(streams, len(regular), known))
        case ColumnType.DATE:
            known = None if old is None else [milliseconds(v) for v in old]
            values = [date(ms) for ms in integers(streams, len(regular), known)]
        case ColumnType.REAL:
            values = list(reals(streams, len(regular), old))
        case ColumnType.GUID:
            values = list(guids(streams, len(regular)))
        case _:
            values = list(texts(streams, len(regular)))
    following = iter(values)
    return [
        None if each == 1 else tagged(streams) if each == 2 else next(following) for each in classes
    ]
