"""The bytes of a delta file as they are read: their place, their checksum, their framing."""

import zlib
from collections.abc import Callable
from hashlib import sha256

from native.delta_columns import STREAM_LIMIT
from native.delta_pack import read_varint
from native.errors import DeltaError, ErrorCode


class Source:
    """Bytes with their place, a running checksum, and the hash of all that was read."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._crc = 0
        self._hash = sha256()
        self.at = 0

    def take(self, size: int) -> bytes:
        data = self._read(size)
        self.at += len(data)
        if len(data) != size:
            raise DeltaError(ErrorCode.TRUNCATED, self.at)
        self._crc = zlib.crc32(data, self._crc)
        self._hash.update(data)
        return data

    def varint(self) -> int:
        return read_varint(lambda: self.take(1)[0], self)

    def packed(self) -> tuple[int, int, bytes]:
        method = self.take(1)[0]
        size = self.varint()
        if size > STREAM_LIMIT:
            raise DeltaError(ErrorCode.LIMIT, self.at)
        length = self.varint() if method else size
        if length > size:
            raise DeltaError(ErrorCode.SYNTAX, self.at)
        return method, size, self.take(length)

    def seal(self) -> bytes:
        """Read the hash of everything before it; it must fit."""
        expected = self._hash.digest()
        if self.take(len(expected)) != expected:
            raise DeltaError(ErrorCode.CHECKSUM, self.at)
        return expected

    def start(self, seed: bytes) -> None:
        self._crc = zlib.crc32(seed)

    def check(self) -> None:
        expected = self._crc
        if int.from_bytes(self.take(4), "little") != expected:
            raise DeltaError(ErrorCode.CHECKSUM, self.at)
