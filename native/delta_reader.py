"""Reading a delta: blocks that were checked, their sections, their rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from native.delta_columns import ROWS_MAX, STREAMS, ColumnReader
from native.delta_header import read_header
from native.delta_model import (
    Base,
    DeltaHeader,
    Section,
    carries,
    mask_size,
    places_of,
)
from native.delta_pack import unpack
from native.delta_source import Source
from native.errors import DeltaError, ErrorCode
from native.layer import ColumnType, Layer, LayerTable
from native.operation import Operation

_END = 0


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
        for index, column in enumerate(places_of(layer)):
            chosen = [i for i, mask in enumerate(masks) if carries(mask, index)]
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

    The header is read at once; ``seal``, the hash of all before it, when the blocks were read to
    their end (None in a delta of version 1, which has none). Raises DeltaError: another format
    (HEADER), another version (VERSION), broken or cut short (CHECKSUM, TRUNCATED).
    ``expect_bases`` must be what this side holds for a based delta: any difference is refused
    (BASE).
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        *,
        layers: tuple[Layer, ...] | None = None,
        expect_bases: Mapping[int, Base] | None = None,
    ) -> None:
        self._source = Source(read)
        self.version, self.header = read_header(self._source, layers)
        self.seal: bytes | None = None
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
        if self.version > 1:
            self.seal = self._source.seal()
        self._source.check()


def _read_masks(columns: ColumnReader, layer: Layer, count: int, masks: int) -> list[bytes]:
    distinct = columns.get(ColumnType.TEXT, masks)
    width = mask_size(layer)
    if not distinct or not all(isinstance(m, bytes) and len(m) == width for m in distinct):
        raise DeltaError(ErrorCode.SYNTAX, 0)
    if masks == 1:
        return distinct * count
    indexes = columns.get(ColumnType.INTEGER, count)
    if not all(isinstance(index, int) and 0 <= index < masks for index in indexes):
        raise DeltaError(ErrorCode.SYNTAX, 0)
    return [distinct[index] for index in indexes]
