"""Esri JSON into rows: replica files, delta files, feature sets, extractChanges answers, results.

The input comes in pieces of any size; what comes out is a stream of events, each small enough to
be held: batches of rows ready for ``executemany``, pieces of attachment data, ids of deleted rows,
edit results, members of the document's header. A feature that cannot be decoded is an event too and
does not stop the rest. Memory is a few hundred kilobytes plus the one feature being read.

Sources: ArcGIS REST API "Create replica", "Synchronize replica", "Extract changes", "Apply edits",
"Feature object", "Sync and attachments".
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from native._native import ffi, lib
from native.errors import DecodeError, ErrorCode
from native.layer import Layer, LayerTable
from native.operation import Operation

ITEM_LIMIT = 64 << 20
"""Bytes of JSON that one feature may have, unless the caller says otherwise."""

_ITEM_SIZE = 64 << 10
_WORK_SIZE = 64 << 10
_OUT_SIZE = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Complete rows of one layer, each a tuple as native.layer.Layer describes it.

    ``bounds`` holds four little-endian doubles per row, minx, maxx, miny, maxy, NaN for a row
    without coordinates: ``struct.iter_unpack("<4d", bounds)``.
    """

    layer_id: int
    operation: Operation
    rows: list[tuple[Any, ...]]
    bounds: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialRows:
    """Updates that leave columns out: pairs of a full-width row and the places it does not carry.

    A place that is not carried is None in the row; the geometry's place is the one after the last
    column. ``bounds`` as in Rows.
    """

    layer_id: int
    operation: Operation
    rows: list[tuple[tuple[Any, ...], tuple[int, ...]]]
    bounds: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletes:
    """Ids of deleted rows, or of deleted attachments: ``{GUID}`` text or object ids."""

    layer_id: int
    of_attachments: bool
    ids: list[str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentData:
    """The next bytes of attachment ``number``, in order, before its Attachment event."""

    layer_id: int
    number: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What the document says about one attachment; its bytes, if embedded, came before.

    ``data_size`` counts them; None means that there were none (``url`` or nothing). With ``error``
    the bytes or a GUID are not to be trusted. ``number`` counts from 1 in each pass.
    """

    layer_id: int
    operation: Operation
    number: int
    attachment_id: int | str | None
    global_id: str | None
    parent_global_id: str | None
    content_type: str | None
    name: str | None
    size: int | str | None
    url: str | None
    upload_id: str | None
    data_size: int | None
    error: ErrorCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Edit results: pairs of the list's name (``addResults`` …) and one result's JSON text."""

    layer_id: int | None
    of_attachments: bool
    results: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Members of the document's root other than its data: name and JSON text.

    Members larger than 64 KB are left out.
    """

    members: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadItem:
    """Something that was skipped: a feature, an id, a result, or an entry of an unknown layer.

    ``offset`` and ``size`` are where it lies in the document, ``at`` where in it the trouble is,
    ``column`` whose fault it is if a column's, ``raw`` its text when that is small.
    """

    layer_id: int | None
    operation: Operation
    of_attachments: bool
    code: ErrorCode
    offset: int
    size: int
    at: int
    column: int | None
    raw: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LateLayer:
    """An entry that names its layer only after its rows: it was skipped and needs a second pass."""

    entry: int
    layer_id: int


Event = (
    Rows
    | PartialRows
    | Deletes
    | AttachmentData
    | Attachment
    | Results
    | Header
    | BadItem
    | LateLayer
)


class Decoder:
    """One pass over one document. Belongs to one thread at a time.

    ``layers`` are decoded, others reported once per entry and skipped. ``default_layer`` is the id
    of the layer whose features stand at the root, as in a feature set. ``entries`` makes it the
    second pass for late layers: entry number -> layer id; all else is skipped.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        default_layer: int | None = None,
        entries: Mapping[int, int] | None = None,
        item_limit: int = ITEM_LIMIT,
        rows_per_batch: int = 250,
        raw_limit: int = 16 << 10,
    ) -> None:
        self._table = LayerTable(tuple(layers))
        self._memory = ffi.new("uint8_t[]", lib.fs_decoder_size())
        self._decoder = ffi.cast("struct fs_decoder *", self._memory)
        self._bounds = ffi.new("double[]", 4 * rows_per_batch)
        self._cells = ffi.new("struct fs_cell[]", self._table.columns_max + 1)
        self._buffers = {
            lib.FS_NEED_ITEM: ffi.new("uint8_t[]", _ITEM_SIZE),
            lib.FS_NEED_WORK: ffi.new("uint8_t[]", _WORK_SIZE),
            lib.FS_NEED_OUTPUT: ffi.new("uint8_t[]", _OUT_SIZE),
        }
        self._taken = ffi.new("size_t *")
        self._batch = ffi.new("struct fs_batch *")
        self._result = ffi.new("struct fs_result *")
        config = ffi.new("struct fs_decode_config *")
        config.layers = self._table.array
        config.layer_count = len(self._table.layers)
        if default_layer is not None:
            config.default_layer = ffi.addressof(self._table.array, self._place(default_layer))
        if entries is not None:
            count = max(entries, default=-1) + 1
            self._entries = ffi.new("int64_t[]", [entries.get(n, -(2**63)) for n in range(count)])
            config.entries = self._entries
            config.entry_count = count
        config.cells = self._cells
        config.item = self._buffers[lib.FS_NEED_ITEM]
        config.item_size = _ITEM_SIZE
        config.item_limit = max(item_limit, _ITEM_SIZE)
        config.work = self._buffers[lib.FS_NEED_WORK]
        config.work_size = _WORK_SIZE
        config.work_limit = max(item_limit * 2, _WORK_SIZE)
        config.out = self._buffers[lib.FS_NEED_OUTPUT]
        config.out_size = _OUT_SIZE
        config.out_limit = max(item_limit * 4, _OUT_SIZE)
        config.bounds = self._bounds
        config.rows_max = rows_per_batch
        config.raw_limit = raw_limit
        if lib.fs_decode_init(self._decoder, config) != lib.FS_OK:
            raise ValueError("limits that the core does not take")

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Event]:
        """Take the next piece of the document and yield what it completes.

        Must be run to its end before the next call. Raises DecodeError where the structure of the
        document is broken; every later call raises it again.
        """
        return self._run(data, last=False)

    def finish(self) -> Iterator[Event]:
        """Say that the document is complete and yield the rest.

        Raises DecodeError (TRUNCATED) when it is not.
        """
        return self._run(b"", last=True)

    def _place(self, layer_id: int) -> int:
        return [layer.id for layer in self._table.layers].index(layer_id)

    def _run(self, data: bytes | bytearray | memoryview, *, last: bool) -> Iterator[Event]:
        source = ffi.from_buffer(data)
        size, at = len(source), 0
        while True:
            status = lib.fs_decode_run(
                self._decoder,
                source + at,
                size - at,
                last,
                self._taken,
                self._batch,
                self._result,
            )
            at += self._taken[0]
            if status == lib.FS_BATCH:
                yield from self._events()
            elif status in self._buffers:
                self._grow(status, self._result.size)
            elif status in (lib.FS_NEED_INPUT, lib.FS_DONE):
                return
            else:
                raise DecodeError(ErrorCode(status), self._result.offset)

    def _grow(self, need: int, size: int) -> None:
        buffer = ffi.new("uint8_t[]", size)
        if lib.fs_decode_give(self._decoder, need, buffer, size) != lib.FS_OK:
            raise AssertionError(f"the core refused the {size} bytes that it asked for")
        self._buffers[need] = buffer

    def _events(self) -> Iterator[Event]:
        batch = self._batch
        kind, layer_id = batch.kind, batch.layer
        operation, of_attachments = Operation(batch.operation), bool(batch.attachments)
        data = ffi.buffer(self._buffers[lib.FS_NEED_OUTPUT], batch.size)
        if kind == lib.FS_BATCH_ATTACHMENT_DATA:
            yield AttachmentData(layer_id=layer_id, number=batch.count, data=data[:])
            return
        items = pickle.loads(data)
        if kind == lib.FS_BATCH_ROWS or kind == lib.FS_BATCH_PARTIAL:
            bounds = ffi.buffer(self._bounds, 32 * batch.count)[:]
            make = Rows if kind == lib.FS_BATCH_ROWS else PartialRows
            yield make(layer_id=layer_id, operation=operation, rows=items, bounds=bounds)
        elif kind == lib.FS_BATCH_DELETES:
            yield Deletes(layer_id=layer_id, of_attachments=of_attachments, ids=items)
        elif kind == lib.FS_BATCH_ATTACHMENTS:
            for item in items:
                yield _attachment(layer_id, operation, item)
        elif kind == lib.FS_BATCH_RESULTS:
            yield Results(layer_id=_known(layer_id), of_attachments=of_attachments, results=items)
        elif kind == lib.FS_BATCH_HEADER:
            yield Header(members=items)
        elif kind == lib.FS_BATCH_LATE:
            for entry, late_id in items:
                yield LateLayer(entry=entry, layer_id=late_id)
        else:
            for offset, size, code, at, column, raw in items:
                yield BadItem(
                    layer_id=_known(layer_id),
                    operation=operation,
                    of_attachments=of_attachments,
                    code=ErrorCode(code),
                    offset=offset,
                    size=size,
                    at=at,
                    column=column,
                    raw=raw,
                )


def decode(
    open_chunks: Callable[[], Iterable[bytes]],
    layers: Iterable[Layer],
    *,
    default_layer: int | None = None,
    item_limit: int = ITEM_LIMIT,
) -> Iterator[Event]:
    """Decode a whole document that can be read twice.

    ``open_chunks`` is called once, and a second time only if an entry names its layer after its
    rows. LateLayer events are dealt with here and never come out. Raises DecodeError.
    """
    layers = tuple(layers)
    entries: dict[int, int] = {}
    first = Decoder(layers, default_layer=default_layer, item_limit=item_limit)
    for event in _whole(first, open_chunks()):
        if isinstance(event, LateLayer):
            entries[event.entry] = event.layer_id
        else:
            yield event
    if entries:
        yield from _whole(Decoder(layers, entries=entries, item_limit=item_limit), open_chunks())


def _whole(decoder: Decoder, chunks: Iterable[bytes]) -> Iterator[Event]:
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.finish()


def _known(layer_id: int) -> int | None:
    return None if layer_id == -(2**63) else layer_id


def _attachment(layer_id: int, operation: Operation, item: tuple[Any, ...]) -> Attachment:
    number, attachment_id, global_id, parent, content_type, name, size, url, upload_id = item[:9]
    data_size, error = item[9:]
    return Attachment(
        layer_id=layer_id,
        operation=operation,
        number=number,
        attachment_id=attachment_id,
        global_id=global_id,
        parent_global_id=parent,
        content_type=content_type,
        name=name,
        size=size,
        url=url,
        upload_id=upload_id,
        data_size=data_size,
        error=ErrorCode(error) if error else None,
    )
