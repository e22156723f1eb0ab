"""Rows into Esri JSON: the ``edits`` that synchronizeReplica and applyEdits take.

Everything is written as it comes: rows in batches, attachment bytes in pieces, the text out in
pieces of one size. Memory is a few hundred kilobytes plus the largest feature.

Sources: ArcGIS REST API "Synchronize replica" (edits), "Apply edits" (feature service level),
"Feature object", "Sync and attachments".
"""

import json
import marshal
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any

from native._native import ffi, lib
from native.errors import EncodeError, ErrorCode
from native.layer import Layer, LayerTable

_OUT_SIZE = 64 << 10
_PART_SIZE = 48 << 10  # of the rows that cross at once: larger blocks are fresh pages each time
_FIRST_PART_ROWS = 20
_BASE64_STEP = 48 << 10  # a multiple of three: no padding inside


class Form(Enum):
    """Where an entry's lists of features stand."""

    SYNC = "synchronizeReplica"
    """``{"id", "features": {"adds", …}, "attachments": {…}}``"""
    APPLY = "applyEdits"
    """``{"id", "adds", …, "attachments": {…}}``"""


_ORDER = ("adds", "updates", "deletes")


class EditsEncoder:
    """Writes one ``edits`` list. Belongs to one thread at a time.

    Layer by layer, each once, and within a layer in the order adds, updates, deletes, attachment
    adds, attachment updates, attachment deletes; each may be called again while it is the last.
    Every method is a generator of text pieces of exactly ``chunk_size`` bytes and has its effect
    only as it is run to its end; ``finish`` yields what is left.

    Raises ValueError for calls out of order, KeyError for an unknown layer.
    """

    def __init__(
        self, layers: Iterable[Layer], *, form: Form = Form.SYNC, chunk_size: int = 64 << 10
    ) -> None:
        self._table = LayerTable(tuple(layers))
        self._places = {layer.id: place for place, layer in enumerate(self._table.layers)}
        self._form = form
        self._chunk_size = chunk_size
        self._room = chunk_size + _OUT_SIZE
        self._out = ffi.new("uint8_t[]", self._room)
        self._filled = 0  # of the room; from chunk_size on it is handed out
        self._result = ffi.new("struct fs_result *")
        self._progress = ffi.new("struct fs_encode_progress *")
        self._done: set[int] = set()
        self._layer_id: int | None = None
        self._list: tuple[str, str] | None = None  # ("features" | "attachments", list name)
        self._written = 0  # items in the open list
        self._part_rows = _FIRST_PART_ROWS
        self._put(b"[")

    def adds(
        self,
        layer_id: int,
        rows: Sequence[tuple[Any, ...]],
        *,
        masked: bool = False,
        on_bad: Callable[[EncodeError], None] | None = None,
    ) -> Iterator[bytes]:
        """New features: full rows as native.layer.Layer describes them.

        Every column is written, NULL too; a NULL geometry is left out. ``masked`` rows have a mask
        as in updates instead, so that what it leaves out gets the service's default. A row that
        cannot be written raises EncodeError, or is handed to ``on_bad`` and left out.
        """
        form = lib.FS_ENCODE_UPDATES if masked else lib.FS_ENCODE_ADDS
        yield from self._rows(layer_id, "adds", form, rows, on_bad)

    def updates(
        self,
        layer_id: int,
        rows: Sequence[tuple[Any, ...]],
        *,
        on_bad: Callable[[EncodeError], None] | None = None,
    ) -> Iterator[bytes]:
        """Changed features: full rows with a mask before the first value.

        The mask is little-endian bytes: bit i for column i, the bit after the last column for
        the geometry. What it names is written, and always the key column. Errors as in adds.
        """
        yield from self._rows(layer_id, "updates", lib.FS_ENCODE_UPDATES, rows, on_bad)

    def deletes(self, layer_id: int, global_ids: Iterable[str]) -> Iterator[bytes]:
        """Deleted features, by GlobalID."""
        yield from self._ids(layer_id, "features", global_ids)

    def attachment(
        self,
        layer_id: int,
        *,
        global_id: str,
        parent_global_id: str,
        name: str,
        content_type: str,
        data: Iterable[bytes] | None = None,
        upload_id: str | None = None,
        update: bool = False,
    ) -> Iterator[bytes]:
        """One new or changed attachment: its bytes, encoded as they come, or an upload's id."""
        yield from self._open(layer_id, "attachments", "updates" if update else "adds")
        members = {
            "globalId": global_id,
            "parentGlobalId": parent_global_id,
            "contentType": content_type,
            "name": name,
        } | ({} if upload_id is None else {"uploadId": upload_id})
        self._put(self._comma() + _text(members)[:-1])
        if data is not None:
            self._put(b',"data":"')
            yield from self._base64(data)
            self._put(b'"')
        self._put(b"}")
        yield from self._whole_chunks()

    def attachment_deletes(self, layer_id: int, global_ids: Iterable[str]) -> Iterator[bytes]:
        """Deleted attachments, by their GlobalID."""
        yield from self._ids(layer_id, "attachments", global_ids)

    def finish(self) -> Iterator[bytes]:
        """Close the list and yield the rest, the last piece as short as it is."""
        self._put(self._closing() + b"]")
        self._layer_id = self._list = None
        yield from self._whole_chunks()
        if self._filled:
            yield ffi.buffer(self._out, self._filled)[:]
            self._filled = 0

    # ---- structure ----

    def _open(self, layer_id: int, group: str, name: str) -> Iterator[bytes]:
        if (self._layer_id, self._list) == (layer_id, (group, name)):
            return
        if self._layer_id != layer_id:
            self._enter_layer(layer_id)
        self._enter_list(group, name)
        yield from self._whole_chunks()

    def _enter_layer(self, layer_id: int) -> None:
        if layer_id in self._done:
            raise ValueError(f"layer {layer_id} has been written already")
        if layer_id not in self._places:
            raise KeyError(layer_id)
        closing = self._closing() + b"," if self._done else b""
        self._put(closing + b'{"id":%d' % layer_id)
        self._done.add(layer_id)
        self._layer_id, self._list = layer_id, None

    def _enter_list(self, group: str, name: str) -> None:
        nested = group == "attachments" or self._form is Form.SYNC
        if self._list is None or self._list[0] != group:
            if self._list is not None and group == "features":
                raise ValueError(f"features of layer {self._layer_id} after its attachments")
            self._put(self._closing_list() + (b',"%s":{' % group.encode() if nested else b","))
        elif _ORDER.index(name) < _ORDER.index(self._list[1]):
            raise ValueError(f"{name} of layer {self._layer_id} after its {self._list[1]}")
        else:
            self._put(b"],")
        self._put(b'"%s":[' % name.encode())
        self._list = (group, name)
        self._written = 0

    def _closing_list(self) -> bytes:
        if self._list is None:
            return b""
        nested = self._list[0] == "attachments" or self._form is Form.SYNC
        return b"]}" if nested else b"]"

    def _closing(self) -> bytes:
        return b"" if self._layer_id is None else self._closing_list() + b"}"

    # ---- content ----

    def _rows(
        self,
        layer_id: int,
        name: str,
        form: int,
        rows: Sequence[tuple[Any, ...]],
        on_bad: Callable[[EncodeError], None] | None,
    ) -> Iterator[bytes]:
        yield from self._open(layer_id, "features", name)
        start = 0
        while start < len(rows):
            part = list(rows[start : start + self._part_rows])
            batch = marshal.dumps(part, 2)
            self._part_rows = max(1, len(part) * _PART_SIZE // len(batch))
            try:
                yield from self._batch(layer_id, form, batch)
                start += len(part)
            except EncodeError as error:
                bad = start + error.row
                error = EncodeError(error.code, error.offset, bad, error.column)
                if on_bad is None:
                    raise error from None
                on_bad(error)
                start = bad + 1

    def _batch(self, layer_id: int, form: int, batch: bytes) -> Iterator[bytes]:
        source = ffi.from_buffer(batch)
        place = self._places[layer_id]
        layer = ffi.addressof(self._table.array, place)
        progress, result = self._progress, self._result
        progress.at = progress.row = 0
        progress.written = self._written
        while True:
            free = self._out + self._filled, self._room - self._filled
            status = lib.fs_encode_rows(layer, form, source, len(batch), progress, *free, result)
            self._written = progress.written
            if status == lib.FS_NEED_OUTPUT:
                self._grow(result.size)
                continue
            self._filled += result.size
            yield from self._whole_chunks()
            if status == lib.FS_OK:
                return
            if status != lib.FS_BATCH:
                column = _column_name(self._table.layers[place], progress.column)
                raise EncodeError(ErrorCode(status), result.offset, progress.row, column)

    def _ids(self, layer_id: int, group: str, global_ids: Iterable[str]) -> Iterator[bytes]:
        yield from self._open(layer_id, group, "deletes")
        for global_id in global_ids:
            self._put(self._comma() + _text(global_id))
            yield from self._whole_chunks()

    def _base64(self, data: Iterable[bytes]) -> Iterator[bytes]:
        rest = b""
        for piece in data:
            rest += piece
            whole = len(rest) - len(rest) % 3
            for at in range(0, whole, _BASE64_STEP):
                end = min(at + _BASE64_STEP, whole)
                self._put(b2a_base64(rest[at:end], newline=False))
                yield from self._whole_chunks()
            rest = rest[whole:]
        self._put(b2a_base64(rest, newline=False))

    def _comma(self) -> bytes:
        self._written += 1
        return b"," if self._written > 1 else b""

    def _put(self, text: bytes) -> None:
        size = len(text)
        if size > self._room - self._filled:
            self._grow(size)
        ffi.memmove(self._out + self._filled, text, size)
        self._filled += size

    def _grow(self, more: int) -> None:
        """Make room for so many bytes behind those that wait."""
        self._room = self._filled + more
        out = ffi.new("uint8_t[]", self._room)
        ffi.memmove(out, self._out, self._filled)
        self._out = out

    def _whole_chunks(self) -> Iterator[bytes]:
        size = self._chunk_size
        at = 0
        while self._filled - at >= size:
            yield ffi.buffer(self._out + at, size)[:]
            at += size
        if at:
            self._filled -= at
            ffi.memmove(self._out, self._out + at, self._filled)


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _column_name(layer: Layer, place: int) -> str | None:
    if place < len(layer.columns):
        return layer.columns[place].name
    return "geometry" if place == len(layer.columns) else None
