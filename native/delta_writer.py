"""Writing a delta: rows into sections, sections into blocks."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

from native.delta_columns import ROWS_MAX, ColumnWriter
from native.delta_header import header_bytes
from native.delta_model import DeltaHeader, carries, mask_size, places_of
from native.delta_pack import checksum, pack, varint
from native.layer import ColumnType, Layer, LayerTable
from native.operation import Operation

_SECTION_BYTES = 512 << 10  # of geometry and text in one section: bounds what a block needs
_END = 0


class DeltaWriter:
    """Writes one delta. Belongs to one thread at a time.

    Every method is a generator of the bytes that become ready and has its effect only as it is
    run to its end. Updates and deletes of one call are written in the order of their GlobalIDs,
    which saves more than a byte each; ranks must ascend within a call.

    Raises KeyError for an unknown layer, DeltaError for a value of no known type.
    """

    def __init__(self, header: DeltaHeader) -> None:
        self.header = header
        self._table = LayerTable(header.layers)
        self._places = {layer.id: place for place, layer in enumerate(header.layers)}
        self._columns = ColumnWriter(self._table)
        self._number = 0
        self._edits = 0  # in the open block
        self._total = 0
        self._started = False
        self._hash = sha256()
        self.seal: bytes | None = None

    def adds(self, layer_id: int, rows: Sequence[tuple[Any, ...]]) -> Iterator[bytes]:
        """New rows, whole."""
        layer = self.header.layers[self._places[layer_id]]
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
        layer = self.header.layers[self._places[layer_id]]
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
        if self.header.bases is None:
            keys = sorted(keys)  # type: ignore[assignment]  # one kind
        for start in range(0, len(keys), ROWS_MAX):
            part = keys[start : start + ROWS_MAX]
            yield from self._begin(len(part))
            self._put_head(layer_id, Operation.DELETES, len(part))
            self._put_keys(part)

    def finish(self) -> Iterator[bytes]:
        """The last block and the end mark; from then on ``seal`` is known."""
        yield from self._flush()
        yield from self._start()
        end = bytes([_END]) + varint(self._number) + varint(self._total)
        self._hash.update(end)
        self.seal = self._hash.digest()
        end += self.seal
        yield end + checksum(self.header.id + end)

    # ---- blocks ----

    def _start(self) -> Iterator[bytes]:
        if not self._started:
            self._started = True
            yield self._hashed(header_bytes(self.header))

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
        yield self._hashed(block + checksum(self.header.id + block))
        self._edits = 0

    def _hashed(self, data: bytes) -> bytes:
        self._hash.update(data)
        return data

    # ---- columns ----

    def _put_head(self, layer_id: int, operation: Operation, count: int, masks: int = 0) -> None:
        head = [self._places[layer_id], int(operation), count, masks]
        self._columns.put(ColumnType.INTEGER, head)

    def _put_keys(self, keys: Sequence[str] | Sequence[int]) -> None:
        kind = ColumnType.GUID if self.header.bases is None else ColumnType.INTEGER
        self._columns.put(kind, keys)

    def _put_values(
        self,
        layer: Layer,
        masked: list[tuple[Any, ...]],
        base_rows: Sequence[tuple[Any, ...]] | None,
    ) -> None:
        for place, column in enumerate(places_of(layer)):
            if masked[0][0] is not None and column is not None and column.name == layer.key:
                continue
            chosen = [i for i, row in enumerate(masked) if carries(row[0], place)]
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
        based = self.header.bases is not None
        if count is not None and based != (base_rows is not None):
            raise ValueError("a based delta needs base rows, another must not have them")
        if based and any(a >= b for a, b in pairwise(keys)):  # type: ignore[operator]  # all int
            raise ValueError("ranks must ascend")


def _mask(mask: bytes, layer: Layer) -> bytes:
    """A mask in its one spelling: no bits beyond the row, none for the key, one length."""
    bits = int.from_bytes(mask, "little") & (1 << len(places_of(layer))) - 1
    for place, column in enumerate(layer.columns):
        if column.name == layer.key:
            bits &= ~(1 << place)
    return bits.to_bytes(mask_size(layer), "little")


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
