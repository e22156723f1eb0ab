"""Columns of edits in the compact form of SPEC.md: the face of the core's delta codec."""

import marshal
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from native._native import ffi, lib
from native.errors import DeltaError, ErrorCode
from native.layer import ColumnType, LayerTable

if TYPE_CHECKING:
    from native._native import _List

ROWS_MAX = 4096
"""Values in one column, and edits in one block."""

STREAMS = 3
"""Numbers, texts, and bytes that do not compress."""

STREAM_LIMIT = 16 << 20
"""Bytes that one stream of a block may have."""

_SCRATCH_LIMIT = 256 << 20


class ColumnWriter:
    """Collects columns into three streams. Belongs to one thread at a time."""

    def __init__(self, table: LayerTable) -> None:
        self._table = table
        self._work = ffi.new("struct fs_delta_work *")
        self._streams = ffi.new("struct fs_delta_streams *")
        self._result = ffi.new("struct fs_result *")
        self._scratch_size = 64 << 10
        self._scratch = ffi.new("uint8_t[]", self._scratch_size)
        self._buffers = [ffi.new("uint8_t[]", 64 << 10) for _ in range(STREAMS)]
        for stream, buffer in enumerate(self._buffers):
            self._streams.data[stream] = buffer
            self._streams.cap[stream] = 64 << 10

    @property
    def size(self) -> int:
        """Bytes in all streams together."""
        return sum(self._streams.size[stream] for stream in range(STREAMS))

    def take(self) -> list[bytes]:
        """The three streams; the next column starts anew."""
        parts = []
        for stream, buffer in enumerate(self._buffers):
            parts.append(ffi.buffer(buffer, self._streams.size[stream])[:])
            self._streams.size[stream] = 0
        return parts

    def put(
        self, kind: ColumnType, values: Sequence[Any], base: Sequence[Any] | None = None
    ) -> None:
        """Append one attribute column; ``base`` has what the base holds for the same rows.

        Raises DeltaError: a value of another type than int, float, str, bytes or None, text that
        is not Unicode, or a stream beyond STREAM_LIMIT.
        """
        with _Lists(values, base) as lists:
            while True:
                status = lib.fs_delta_put(
                    kind, lists.values, lists.base, self._work, self._streams, self._result
                )
                if not self._again(status):
                    return

    def put_geometry(
        self, place: int, values: Sequence[Any], base: Sequence[Any] | None = None
    ) -> None:
        """Append the geometry column of the layer at that place of the table."""
        layer = ffi.addressof(self._table.array, place)
        with _Lists(values, base) as lists:
            while True:
                status = lib.fs_delta_put_geometry(
                    layer,
                    lists.values,
                    lists.base,
                    self._work,
                    self._scratch,
                    self._scratch_size,
                    self._streams,
                    self._result,
                )
                if not self._again(status):
                    return

    def _again(self, status: int) -> bool:
        """True when a buffer was enlarged and the call must be repeated."""
        result = self._result
        if status == lib.FS_OK:
            return False
        if status == lib.FS_NEED_OUTPUT:
            self._grow(result.size)
        elif status == lib.FS_NEED_WORK and result.size <= _SCRATCH_LIMIT:
            self._scratch_size = result.size
            self._scratch = ffi.new("uint8_t[]", self._scratch_size)
        else:
            raise _error(status, result.offset)
        return True

    def _grow(self, stream: int) -> None:
        used = self._streams.size[stream]
        cap = 2 * self._streams.cap[stream]
        if cap > 2 * STREAM_LIMIT:
            raise DeltaError(ErrorCode.LIMIT, used)
        buffer = ffi.new("uint8_t[]", cap)
        ffi.memmove(buffer, self._buffers[stream], used)
        self._buffers[stream] = buffer
        self._streams.data[stream] = buffer
        self._streams.cap[stream] = cap


class ColumnReader:
    """Reads columns back from three streams. Belongs to one thread at a time."""

    def __init__(self, table: LayerTable, streams: Sequence[bytes]) -> None:
        self._table = table
        self._work = ffi.new("struct fs_delta_work *")
        self._streams = ffi.new("struct fs_delta_streams *")
        self._result = ffi.new("struct fs_result *")
        self._scratch_size = self._out_size = 64 << 10
        self._scratch = ffi.new("uint8_t[]", self._scratch_size)
        self._out = ffi.new("uint8_t[]", self._out_size)
        self._alive = [ffi.from_buffer(stream) for stream in streams]
        for place, stream in enumerate(self._alive):
            self._streams.data[place] = ffi.cast("uint8_t *", stream)
            self._streams.size[place] = len(stream)

    @property
    def at_end(self) -> bool:
        """True when all three streams are used up."""
        streams = self._streams
        return all(streams.at[place] == streams.size[place] for place in range(STREAMS))

    @property
    def left(self) -> int:
        """Bytes of numbers that are still unread."""
        return self._streams.size[0] - self._streams.at[0]

    def get(self, kind: ColumnType, count: int, base: Sequence[Any] | None = None) -> list[Any]:
        """Read one attribute column of ``count`` values.

        Raises DeltaError for streams that no writer makes; its offset counts in the numbers.
        """
        with _Lists((), base) as lists:
            while True:
                status = lib.fs_delta_get(
                    kind,
                    count,
                    lists.base,
                    self._work,
                    self._streams,
                    self._out,
                    self._out_size,
                    self._result,
                )
                if not self._again(status):
                    return self._values()

    def get_geometry(self, place: int, count: int, base: Sequence[Any] | None = None) -> list[Any]:
        """Read the geometry column of the layer at that place of the table."""
        layer = ffi.addressof(self._table.array, place)
        with _Lists((), base) as lists:
            while True:
                status = lib.fs_delta_get_geometry(
                    layer,
                    count,
                    lists.base,
                    self._work,
                    self._scratch,
                    self._scratch_size,
                    self._streams,
                    self._out,
                    self._out_size,
                    self._result,
                )
                if not self._again(status):
                    return self._values()

    def _values(self) -> list[Any]:
        values: list[Any] = pickle.loads(ffi.buffer(self._out, self._result.size))
        return values

    def _again(self, status: int) -> bool:
        result = self._result
        if status == lib.FS_OK:
            return False
        if status == lib.FS_NEED_OUTPUT and result.size <= _SCRATCH_LIMIT:
            self._out_size = result.size
            self._out = ffi.new("uint8_t[]", self._out_size)
        elif status == lib.FS_NEED_WORK and result.size <= _SCRATCH_LIMIT:
            self._scratch_size = result.size
            self._scratch = ffi.new("uint8_t[]", self._scratch_size)
        else:
            raise _error(status, result.offset)
        return True


class _Lists:
    """Values and their base as the core reads them, alive for the time of a call."""

    def __init__(self, values: Sequence[Any], base: Sequence[Any] | None) -> None:
        self.values = ffi.new("struct fs_delta_list *")
        self.base = ffi.new("struct fs_delta_list *")
        self._alive = [self._fill(self.values, values)]
        if base is not None:
            self._alive.append(self._fill(self.base, base))

    def _fill(self, target: "_List", values: Sequence[Any]) -> object:
        data = marshal.dumps(list(values), 2)
        source = ffi.from_buffer(data)
        target.data = ffi.cast("uint8_t *", source)
        target.size = len(data)
        return source

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.clear()


def _error(status: int, offset: int) -> DeltaError:
    if status > 0:
        status = lib.FS_ERR_LIMIT
    return DeltaError(ErrorCode(status), offset)
