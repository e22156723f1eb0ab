"""The outer layer of a delta: varints, and streams made small by LZMA when that pays."""

import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from native.errors import DeltaError, ErrorCode

_DICTIONARY = 1 << 20
_STORED = 0
_SAMPLE = 32 << 10  # of a long stream: what of this does not shrink is stored as it is
_LITERAL_BITS = {1: 0, 2: 3, 3: 4}
"""Method -> literal context bits: 0 for numbers, more for text."""


class Placed(Protocol):
    """Something that knows how far it has read."""

    at: int


def varint(value: int) -> bytes:
    """Seven bits a byte, least significant first, the top bit set on all but the last."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(take: Callable[[], int], source: Placed) -> int:
    """Read one varint of at most 63 bits; raises DeltaError (NUMBER) beyond."""
    value = 0
    for shift in range(0, 63, 7):
        byte = take()
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise DeltaError(ErrorCode.NUMBER, source.at)


def checksum(data: bytes) -> bytes:
    """CRC-32 as the four bytes that a file holds."""
    return zlib.crc32(data).to_bytes(4, "little")


def pack(stream: bytes) -> bytes:
    """A stream with its head: method, size, and the packed size unless stored."""
    method, best = _STORED, stream
    for candidate in _LITERAL_BITS if _may_shrink(stream) else ():
        packed = lzma.compress(stream, lzma.FORMAT_RAW, filters=_filters(candidate, len(stream)))
        if len(packed) < len(best):
            method, best = candidate, packed
    if method == _STORED:
        return bytes([method]) + varint(len(stream)) + stream
    return bytes([method]) + varint(len(stream)) + varint(len(best)) + best


def _may_shrink(stream: bytes) -> bool:
    """False for what is too short, and for photos and the like, which would take seconds."""
    if len(stream) <= 4 * _SAMPLE:
        return len(stream) > 16
    start = (len(stream) - _SAMPLE) // 2
    sample = stream[start : start + _SAMPLE]
    return len(zlib.compress(sample, 1)) < _SAMPLE - _SAMPLE // 32


def unpack(method: int, size: int, packed: bytes, *, at: int) -> bytes:
    """The stream again, never more than ``size`` bytes of it in memory.

    Raises DeltaError (SYNTAX) when it is not exactly that long.
    """
    if method == _STORED:
        return packed
    if method not in _LITERAL_BITS:
        raise DeltaError(ErrorCode.SYNTAX, at)
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(method, _DICTIONARY))
    try:
        stream = decoder.decompress(packed, max_length=size + 1)
    except lzma.LZMAError as error:
        raise DeltaError(ErrorCode.SYNTAX, at) from error
    if len(stream) != size or decoder.unused_data:
        raise DeltaError(ErrorCode.SYNTAX, at)
    return stream


def _filters(method: int, size: int) -> list[dict[str, int]]:
    """Raw LZMA1. The writer's dictionary is no larger than its stream, which bounds its memory."""
    dictionary = max(4096, min(_DICTIONARY, 1 << max(size - 1, 1).bit_length()))
    return [
        {
            "id": lzma.FILTER_LZMA1,
            "dict_size": dictionary,
            "lc": _LITERAL_BITS[method],
            "lp": 0,
            "pb": 0,
            "mode": lzma.MODE_NORMAL,
            "nice_len": 64,
            "mf": lzma.MF_BT3,
            "depth": 0,
        }
    ]
