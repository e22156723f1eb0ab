"""The ``.delta`` file: edits packed small, for keeping, carrying and thin links. See SPEC.md.

Self-contained, rows are named by GlobalID. Based, they are named by their rank among the sorted
GlobalIDs of a base that both sides hold, and values are written against it. A file is a header and
blocks of at most 4096 edits, each with its number and checksum: the unit of resume.
"""

import json
import marshal
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, unique
from hashlib import sha256
from itertools import pairwise
from typing import Any

from native.delta_columns import ROWS_MAX, STREAM_LIMIT, STREAMS, ColumnReader, ColumnWriter
from native.delta_pack import pack, read_varint, unpack, varint
from native.errors import DeltaError, ErrorCode
from native.layer import Column, ColumnType, Layer, LayerTable

MAGIC = b"FSD\x01"
"""Format version 1."""

_HEADER_LIMIT = 1 << 20
_SECTION_BYTES = 512 << 10  # of geometry and text in one section: bounds what a block needs
_END = 0


@unique
class Operation(IntEnum):
    """What a section's edits do."""

    ADDS = 1
    UPDATES = 2
    DELETES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What identifies a layer's base: how many rows it has and its native.delta.digest."""

    count: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaHeader:
    """What a delta is for. ``bases`` per layer id; None makes it self-contained.

    ``id`` is 16 bytes that no other delta has: with a block's number it names a block for ever.
    """

    id: bytes
    service: str
    replica: str
    generation: int
    layers: tuple[Layer, ...]
    bases: Mapping[int, Base] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Edits of one layer and one operation, in the order in which they were written.

    Adds: ``rows`` are full rows. Updates: ``rows`` carry their mask before the first value and
    None in places that the mask does not name; ``keys`` name them. Deletes: ``keys`` only. A key
    is a GlobalID, or in a based delta a rank in the base.
    """

    layer_id: int
    operation: Operation
    keys: list[str] | list[int]
    rows: list[tuple[Any, ...]]


class DeltaWriter:
    """Writes one delta. Belongs to one thread at a time.

    Every method is a generator of the bytes that become ready and has its effect only as it is
    run to its end. Updates and deletes of one call are written in the order of their GlobalIDs,
    which saves more than a byte each; ranks must ascend within a call.

    Raises KeyError for an unknown layer, DeltaError for a value of no known type.
    """

    def __init__(self, header: DeltaHeader) -> None:
        self._header = header
        self._table = LayerTable(header.layers)
        self._places = {layer.id: place for place, layer in enumerate(header.layers)}
        self._columns = ColumnWriter(self._table)
        self._number = 0
        self._edits = 0  # in the open block
        self._total = 0
        self._started = False

    def adds(self, layer_id: int, rows: Sequence[tuple[Any, ...]]) -> Iterator[bytes]:
        """New rows, whole."""
        layer = self._header.layers[self._places[layer_id]]
        for part in _slices(rows):
            yield from self._begin(len(part))
            self._put_head(layer_id, Operation.ADDS, len(part))
            self._put_values(layer, [(None, *row) for row in part], None)

    def updates(
        self,
        layer_id: int,
        keys: Sequence[str] | Sequence[int],
        rows: Sequence[tuple[Any, ...]],
        base_rows: Sequence[tuple[Any, ...]] | None = None,
    ) -> Iterator[bytes]:
        """Changed rows: a mask as EditsEncoder.updates takes it, then the values.

        The key column is never written: the keys say it. A based delta needs the base's rows for
        the same keys.
        """
        self._check_keys(keys, base_rows, len(rows))
        layer = self._header.layers[self._places[layer_id]]
        if base_rows is None:
            order = sorted(range(len(keys)), key=keys.__getitem__)
            keys, rows = [keys[i] for i in order], [rows[i] for i in order]  # type: ignore[assignment]  # one kind
        start = 0
        for part in _slices(rows):
            stop = start + len(part)
            masks = [_mask(row[0], layer) for row in part]
            distinct = list(dict.fromkeys(masks))
            yield from self._begin(len(part))
            self._put_head(layer_id, Operation.UPDATES, len(part), len(distinct))
            self._put_keys(keys[start:stop])
            self._columns.put(ColumnType.TEXT, distinct)
            if len(distinct) > 1:
                self._columns.put(ColumnType.INTEGER, [distinct.index(mask) for mask in masks])
            masked = [(mask, *row[1:]) for mask, row in zip(masks, part, strict=True)]
            self._put_values(layer, masked, None if base_rows is None else base_rows[start:stop])
            start = stop

    def deletes(self, layer_id: int, keys: Sequence[str] | Sequence[int]) -> Iterator[bytes]:
        """Deleted rows."""
        self._check_keys(keys, None, None)
        if self._header.bases is None:
            keys = sorted(keys)  # type: ignore[assignment]  # one kind
        for start in range(0, len(keys), ROWS_MAX):
            part = keys[start : start + ROWS_MAX]
            yield from self._begin(len(part))
            self._put_head(layer_id, Operation.DELETES, len(part))
            self._put_keys(part)

    def finish(self) -> Iterator[bytes]:
        """The last block and the end mark."""
        yield from self._flush()
        yield from self._start()
        end = bytes([_END]) + varint(self._number) + varint(self._total)
        yield end + _checksum(self._header.id + end)

    # ---- blocks ----

    def _start(self) -> Iterator[bytes]:
        if not self._started:
            self._started = True
            yield _header_bytes(self._header)

    def _begin(self, edits: int) -> Iterator[bytes]:
        yield from self._start()
        if self._edits + edits > ROWS_MAX or self._columns.size > 2 * _SECTION_BYTES:
            yield from self._flush()
        self._edits += edits
        self._total += edits

    def _flush(self) -> Iterator[bytes]:
        if self._edits == 0:
            return
        yield from self._start()
        self._number += 1
        block = b"".join(
            [varint(self._edits), varint(self._number), *map(pack, self._columns.take())]
        )
        yield block + _checksum(self._header.id + block)
        self._edits = 0

    # ---- columns ----

    def _put_head(self, layer_id: int, operation: Operation, count: int, masks: int = 0) -> None:
        head = [self._places[layer_id], int(operation), count, masks]
        self._columns.put(ColumnType.INTEGER, head)

    def _put_keys(self, keys: Sequence[str] | Sequence[int]) -> None:
        kind = ColumnType.GUID if self._header.bases is None else ColumnType.INTEGER
        self._columns.put(kind, keys)

    def _put_values(
        self,
        layer: Layer,
        masked: list[tuple[Any, ...]],
        base_rows: Sequence[tuple[Any, ...]] | None,
    ) -> None:
        for place, column in enumerate(_places(layer)):
            if masked[0][0] is not None and column is not None and column.name == layer.key:
                continue
            chosen = [i for i, row in enumerate(masked) if _carries(row[0], place)]
            if not chosen:
                continue
            values = [masked[i][place + 1] for i in chosen]
            base = None if base_rows is None else [base_rows[i][place] for i in chosen]
            if column is None:
                self._columns.put_geometry(self._places[layer.id], values, base)
            else:
                self._columns.put(column.type, values, base)

    def _check_keys(
        self,
        keys: Sequence[str] | Sequence[int],
        base_rows: Sequence[tuple[Any, ...]] | None,
        count: int | None,
    ) -> None:
        if count is not None and count != len(keys):
            raise ValueError(f"{len(keys)} keys for {count} rows")
        based = self._header.bases is not None
        if count is not None and based != (base_rows is not None):
            raise ValueError("a based delta needs base rows, another must not have them")
        if based and any(a >= b for a, b in pairwise(keys)):  # type: ignore[operator]  # all int
            raise ValueError("ranks must ascend")


class Block:
    """One block whose checksum was right: its number, its edits, and how to read them."""

    def __init__(
        self, header: DeltaHeader, table: LayerTable, number: int, edits: int, streams: list[bytes]
    ) -> None:
        self.number = number
        self.edits = edits
        self._header = header
        self._table = table
        self._streams = streams

    def sections(
        self,
        base_rows: Callable[[int, list[int]], Sequence[tuple[Any, ...]]] | None = None,
    ) -> Iterator[Section]:
        """The block's edits. A based delta asks ``base_rows(layer_id, ranks)`` for full rows.

        Raises DeltaError for content that no writer makes; what was yielded before stands for
        nothing then.
        """
        columns = ColumnReader(self._table, self._streams)
        edits = 0
        while edits < self.edits:
            section = self._section(columns, base_rows)
            edits += len(section.keys) or len(section.rows)
            yield section
        if edits != self.edits or not columns.at_end:
            raise DeltaError(ErrorCode.TRAILING, 0)

    def _section(
        self,
        columns: ColumnReader,
        base_rows: Callable[[int, list[int]], Sequence[tuple[Any, ...]]] | None,
    ) -> Section:
        head = columns.get(ColumnType.INTEGER, 4)
        if any(not isinstance(number, int) for number in head):
            raise DeltaError(ErrorCode.SYNTAX, 0)
        place, operation, count, masks = head
        if not (0 <= place < len(self._table.layers) and 1 <= operation <= 3):
            raise DeltaError(ErrorCode.SYNTAX, 0)
        if not (0 < count <= self.edits and 0 <= masks <= count):
            raise DeltaError(ErrorCode.SYNTAX, 0)
        layer = self._table.layers[place]
        keys: list[Any] = []
        rows: list[tuple[Any, ...]] = []
        if operation != Operation.ADDS:
            keys = self._keys(columns, count)
        if operation == Operation.ADDS:
            whole = self._values(columns, place, [None] * count, None)
            rows = list(zip(*whole, strict=True)) if whole else [()] * count
        elif operation == Operation.UPDATES:
            carried = _read_masks(columns, layer, count, masks)
            base = base_rows(layer.id, keys) if base_rows and self._header.bases else None
            values = self._values(columns, place, carried, base)
            rows = list(zip(carried, *values, strict=True))
        return Section(layer_id=layer.id, operation=Operation(operation), keys=keys, rows=rows)

    def _keys(self, columns: ColumnReader, count: int) -> list[Any]:
        if self._header.bases is None:
            keys = columns.get(ColumnType.GUID, count)
            if not all(isinstance(key, str) for key in keys):
                raise DeltaError(ErrorCode.GUID, 0)
            return keys
        keys = columns.get(ColumnType.INTEGER, count)
        if not all(isinstance(key, int) and key >= 0 for key in keys):
            raise DeltaError(ErrorCode.SYNTAX, 0)
        if any(a >= b for a, b in pairwise(keys)):
            raise DeltaError(ErrorCode.SYNTAX, 0)
        return keys

    def _values(
        self,
        columns: ColumnReader,
        place: int,
        masks: Sequence[bytes | None],
        base_rows: Sequence[tuple[Any, ...]] | None,
    ) -> list[list[Any]]:
        """Column by column, None where the mask names nothing."""
        layer = self._table.layers[place]
        found = []
        for index, column in enumerate(_places(layer)):
            chosen = [i for i, mask in enumerate(masks) if _carries(mask, index)]
            if masks[0] is not None and column is not None and column.name == layer.key:
                chosen = []
            base = None if base_rows is None else [base_rows[i][index] for i in chosen]
            values: list[Any] = []
            if chosen and column is None:
                values = columns.get_geometry(place, len(chosen), base)
            elif chosen and column is not None:
                values = columns.get(column.type, len(chosen), base)
            whole: list[Any] = [None] * len(masks)
            for i, value in zip(chosen, values, strict=True):
                whole[i] = value
            found.append(whole)
        return found


class DeltaReader:
    """Reads one delta from ``read(size)``, which gives fewer bytes only at the end.

    The header is read at once. Raises DeltaError: another format (HEADER), another version
    (VERSION), broken or cut short (CHECKSUM, TRUNCATED). ``expect_bases`` must be what this side
    holds for a based delta: any difference is refused (BASE).
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        *,
        layers: tuple[Layer, ...] | None = None,
        expect_bases: Mapping[int, Base] | None = None,
    ) -> None:
        self._source = _Source(read)
        self.header = _read_header(self._source, layers)
        if self.header.bases is not None and self.header.bases != (expect_bases or {}):
            raise DeltaError(ErrorCode.BASE, self._source.at)
        self._table = LayerTable(self.header.layers)

    def blocks(self, *, applied: Iterable[int] = ()) -> Iterator[Block]:
        """The blocks in order, each checked; those whose number was applied are passed over.

        Raises DeltaError at a block that is broken, out of order or cut short: those before it
        are sound and can be kept.
        """
        skip = frozenset(applied)
        number = total = 0
        while True:
            self._source.start(self.header.id)
            edits = self._source.varint()
            number += 1
            if self._source.varint() != number - (edits == _END):
                raise DeltaError(ErrorCode.SYNTAX, self._source.at)
            if edits == _END:
                break
            if edits > ROWS_MAX:
                raise DeltaError(ErrorCode.LIMIT, self._source.at)
            packed = [self._source.packed() for _ in range(STREAMS)]
            self._source.check()
            total += edits
            if number not in skip:
                streams = [unpack(*part, at=self._source.at) for part in packed]
                yield Block(self.header, self._table, number, edits, streams)
        if self._source.varint() != total:
            raise DeltaError(ErrorCode.SYNTAX, self._source.at)
        self._source.check()


class _Source:
    """Bytes with their place, and a running checksum."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._crc = 0
        self.at = 0

    def take(self, size: int) -> bytes:
        data = self._read(size)
        self.at += len(data)
        if len(data) != size:
            raise DeltaError(ErrorCode.TRUNCATED, self.at)
        self._crc = zlib.crc32(data, self._crc)
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

    def start(self, seed: bytes) -> None:
        self._crc = zlib.crc32(seed)

    def check(self) -> None:
        expected = self._crc
        if int.from_bytes(self.take(4), "little") != expected:
            raise DeltaError(ErrorCode.CHECKSUM, self.at)


def _header_bytes(header: DeltaHeader) -> bytes:
    content: dict[str, Any] = {
        "service": header.service,
        "replica": header.replica,
        "generation": header.generation,
    }
    if header.bases is None:
        content["layers"] = [_layer_json(layer) for layer in header.layers]
    else:
        content["schema"] = _schema_digest(header.layers)
        content["bases"] = {
            str(layer): [base.count, base.digest.hex()] for layer, base in header.bases.items()
        }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    start = MAGIC + header.id
    body = pack(text)
    return start + body + _checksum(start + body)


def _read_header(source: _Source, layers: tuple[Layer, ...] | None) -> DeltaHeader:
    source.start(b"")
    magic = source.take(4)
    if magic[:3] != MAGIC[:3]:
        raise DeltaError(ErrorCode.HEADER, 0)
    if magic != MAGIC:
        raise DeltaError(ErrorCode.VERSION, 3)
    delta_id = source.take(16)
    method, size, data = source.packed()
    if size > _HEADER_LIMIT:
        raise DeltaError(ErrorCode.LIMIT, source.at)
    source.check()
    try:
        content = json.loads(unpack(method, size, data, at=source.at))
        if "schema" in content:
            if layers is None or content["schema"] != _schema_digest(layers):
                raise DeltaError(ErrorCode.BASE, source.at)
            bases = {
                int(layer): Base(count=count, digest=bytes.fromhex(digest))
                for layer, (count, digest) in content["bases"].items()
            }
        else:
            layers, bases = tuple(map(_layer_from_json, content["layers"])), None
        return DeltaHeader(
            id=delta_id,
            service=content["service"],
            replica=content["replica"],
            generation=content["generation"],
            layers=layers,
            bases=bases,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeltaError(ErrorCode.SYNTAX, source.at) from error


def _layer_json(layer: Layer) -> list[Any]:
    columns = [[column.name, int(column.type)] for column in layer.columns]
    dims = layer.has_z + 2 * layer.has_m
    return [layer.id, columns, layer.key, layer.geometry_type, layer.srs_id, dims]


def _layer_from_json(content: list[Any]) -> Layer:
    layer_id, columns, key, geometry_type, srs_id, dims = content
    return Layer(
        id=layer_id,
        columns=tuple(Column(name=name, type=ColumnType(kind)) for name, kind in columns),
        key=key,
        geometry_type=geometry_type,
        srs_id=srs_id,
        has_z=bool(dims & 1),
        has_m=bool(dims & 2),
    )


def _read_masks(columns: ColumnReader, layer: Layer, count: int, masks: int) -> list[bytes]:
    distinct = columns.get(ColumnType.TEXT, masks)
    width = _mask_size(layer)
    if not distinct or not all(isinstance(m, bytes) and len(m) == width for m in distinct):
        raise DeltaError(ErrorCode.SYNTAX, 0)
    if masks == 1:
        return distinct * count
    indexes = columns.get(ColumnType.INTEGER, count)
    if not all(isinstance(index, int) and 0 <= index < masks for index in indexes):
        raise DeltaError(ErrorCode.SYNTAX, 0)
    return [distinct[index] for index in indexes]


def _places(layer: Layer) -> list[Column | None]:
    """The columns of a row; None stands for the geometry."""
    return [*layer.columns, *([None] if layer.geometry_type is not None else [])]


def _mask_size(layer: Layer) -> int:
    return (len(_places(layer)) + 7) // 8


def _mask(mask: bytes, layer: Layer) -> bytes:
    """A mask in its one spelling: no bits beyond the row, none for the key, one length."""
    bits = int.from_bytes(mask, "little") & (1 << len(_places(layer))) - 1
    for place, column in enumerate(layer.columns):
        if column.name == layer.key:
            bits &= ~(1 << place)
    return bits.to_bytes(_mask_size(layer), "little")


def _carries(mask: bytes | None, place: int) -> bool:
    return mask is None or bool(mask[place // 8] >> place % 8 & 1)


def _slices(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Runs of rows that fit a section, by number and by bytes."""
    start = size = 0
    for index, row in enumerate(rows):
        weight = sum(len(value) for value in row if isinstance(value, (bytes, str)))
        if index - start == ROWS_MAX or (index > start and size + weight > _SECTION_BYTES):
            yield rows[start:index]
            start, size = index, 0
        size += weight
    if start < len(rows):
        yield rows[start:]


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _schema_digest(layers: tuple[Layer, ...]) -> str:
    return digest([tuple(_flat(_layer_json(layer))) for layer in layers]).hex()


def _flat(content: Any) -> Iterator[Any]:
    for part in content:
        if isinstance(part, list):
            yield from _flat(part)
        else:
            yield part


def digest(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """SHA-256 of rows in their order: of the marshalled tuples of SPEC.md, one after the other.

    For a base: its full rows, sorted by GlobalID.
    """
    total = sha256()
    for row in rows:
        total.update(marshal.dumps(row, 2))
    return total.digest()
