"""From edits to the spool file: their wire form, written as it comes.

Synchronous: it runs in the thread and the transaction that makes the batch. The file is an
``edits`` list (ArcGIS REST API, "Synchronize replica", "Apply edits (feature service)", "Sync and
attachments"). One edit that has no wire form, an infinity say, does not hold up the others.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, TypedDict

from engine import values
from engine.geodatabase import attachments, catalog
from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Cell
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.layer_schema import FieldType, JsonObject
from engine.model import EditOperation, normalise_guid
from engine.sync.rows import RowError
from native.encoder import EditsEncoder, Form
from native.errors import EncodeError
from native.geometry import esri_json_to_gpkg
from native.layer import Layer

ENCODED_ROWS = 100  # at once, so that one large batch is never in memory twice

Attributes = Mapping[str, object]
Refused = list[tuple[Edit, str]]
"""Edits without a wire form, and why."""


def write_edits(
    stream: BinaryIO,
    connection: sqlite3.Connection,
    edits: Sequence[Edit],
    form: Form,
    layers: Mapping[int, Layer],
    whole_rows: Mapping[tuple[int, str], Attributes],
) -> Refused:
    """Write ``edits`` as one ``edits`` list; returns those that were left out.

    ``layers`` by layer id, as :func:`~engine.sync.rows.codec_layer` makes them; ``whole_rows``:
    what updates carry beside their own columns, by table number and GlobalID.
    """
    ids = list(dict.fromkeys(edit.table.layer_id for edit in edits))
    encoder = EditsEncoder([layers[i] for i in ids], form=form)
    writer = _Writer(stream, connection, encoder, layers, whole_rows)
    for layer_id in ids:
        some = [edit for edit in edits if edit.table.layer_id == layer_id]
        for is_attachment in (False, True):
            for operation in EditOperation:
                writer.write(
                    layer_id,
                    [
                        e
                        for e in some
                        if e.operation is operation and e.table.is_attachment is is_attachment
                    ],
                )
    writer.put(encoder.finish())
    return writer.refused


def write_update(
    stream: BinaryIO, form: Form, table: LayerTable, layer: Layer, global_id: str, row: Attributes
) -> None:
    """Write an ``edits`` list of one update of just those attributes."""
    encoder = EditsEncoder([layer], form=form)
    cells = attribute_row(table, global_id, row)
    for piece in (*encoder.updates(layer.id, [cells]), *encoder.finish()):
        stream.write(piece)


def write_attachment(
    stream: BinaryIO, edit: Edit, form: Form, layers: Mapping[int, Layer], upload: str
) -> None:
    """Write an ``edits`` list of one attachment whose data is the upload of that id."""
    layer = layers[edit.table.layer_id]
    encoder = EditsEncoder([layer], form=form)
    pieces = encoder.attachment(
        layer.id,
        **_metadata(edit),
        upload_id=upload,
        update=edit.operation is EditOperation.UPDATE,
    )
    for piece in (*pieces, *encoder.finish()):
        stream.write(piece)


class _Writer:
    """Writes the edits of one list after another."""

    def __init__(
        self,
        stream: BinaryIO,
        connection: sqlite3.Connection,
        encoder: EditsEncoder,
        layers: Mapping[int, Layer],
        whole_rows: Mapping[tuple[int, str], Attributes],
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._encoder = encoder
        self._layers = layers
        self._whole_rows = whole_rows
        self.refused: Refused = []

    def put(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._stream.write(piece)

    def write(self, layer_id: int, edits: Sequence[Edit]) -> None:
        """Write edits that are all of one kind and operation."""
        if not edits:
            return
        operation, is_attachment = edits[0].operation, edits[0].table.is_attachment
        if operation is EditOperation.DELETE:
            gids = [edit.global_id for edit in edits]
            deletes = self._encoder.attachment_deletes if is_attachment else self._encoder.deletes
            self.put(deletes(layer_id, gids))
        elif is_attachment:
            for edit in edits:
                self._attachment(layer_id, edit)
        else:
            for at in range(0, len(edits), ENCODED_ROWS):
                self._rows(layer_id, edits[at : at + ENCODED_ROWS])

    def _rows(self, layer_id: int, edits: Sequence[Edit]) -> None:
        rows: list[tuple[object, ...]] = []
        kept: list[Edit] = []
        for edit in edits:
            rest = self._whole_rows.get((edit.table.number, edit.global_id), {})
            if edit.operation is EditOperation.ADD:
                rest = {}
            try:
                rows.append(wire_row(edit, self._layers[layer_id], rest))
            except RowError as error:
                self.refused.append((edit, str(error)))
                continue
            kept.append(edit)

        def bad(error: EncodeError) -> None:
            reason = f"{error.column}: {error.code.sentence}"
            self.refused.append((kept[error.row], reason))

        if edits[0].operation is EditOperation.ADD:
            self.put(self._encoder.adds(layer_id, rows, masked=True, on_bad=bad))
        else:
            self.put(self._encoder.updates(layer_id, rows, on_bad=bad))

    def _attachment(self, layer_id: int, edit: Edit) -> None:
        reason = why_no_attachment(self._connection, edit)
        if reason:
            self.refused.append((edit, reason))
            return
        assert edit.key is not None
        self.put(
            self._encoder.attachment(
                layer_id,
                **_metadata(edit),
                data=attachments.read_chunks(self._connection, edit.table, edit.key),
                update=edit.operation is EditOperation.UPDATE,
            )
        )


class _Metadata(TypedDict):
    global_id: str
    parent_global_id: str
    name: str
    content_type: str


def _metadata(edit: Edit) -> _Metadata:
    value = attachment_cells(edit)
    return {
        "global_id": edit.global_id,
        "parent_global_id": str(value["REL_GLOBALID"]),
        "name": str(value["ATT_NAME"]),
        "content_type": str(value["CONTENT_TYPE"] or "application/octet-stream"),
    }


def why_no_attachment(connection: sqlite3.Connection, edit: Edit) -> str:
    """Why an attachment has no wire form; empty if it has one."""
    value = attachment_cells(edit)
    parent, name = value["REL_GLOBALID"], value["ATT_NAME"]
    if not (isinstance(parent, str) and isinstance(name, str) and name):
        return "an attachment needs REL_GLOBALID and ATT_NAME"
    if is_moved(connection, edit):
        return "an attachment cannot move to another feature: attach the file there, delete it here"
    if lacks_data(connection, edit):
        return "the DATA of the attachment is not on this device"
    return ""


def is_moved(connection: sqlite3.Connection, edit: Edit) -> bool:
    """Whether another program has given the attachment to another feature, for which there is no
    edit. It may also be the same one under a new GlobalID, and then the old one is nowhere."""
    if not edit.table.is_attachment or edit.row is None or edit.base is None:
        return False
    at = edit.table.row_names.index("REL_GLOBALID")
    old, new = normalise_guid(edit.base[at]), normalise_guid(edit.row[at])
    if old is None or old == new:
        return False
    features = [
        e.table for e in catalog.entries(connection) if e.table.number == edit.table.number - 1
    ]
    return any(LoggedTable(connection, table).stored(old) is not None for table in features)


def lacks_data(connection: sqlite3.Connection, edit: Edit) -> bool:
    """Whether the data of the attachment is not on this device."""
    return edit.key is None or not attachments.has_data(connection, edit.table, edit.key)


def estimated_bytes(edit: Edit) -> int:
    """About how many bytes the edit takes on the wire, without attachment data."""
    size = len(edit.global_id) + 32
    if edit.row is None or edit.operation is EditOperation.DELETE:
        return size
    is_add = edit.operation is EditOperation.ADD
    cells = zip(edit.table.row_names, edit.row, strict=True)
    for name, cell in cells:
        if isinstance(cell, bytes):
            size += 2 * len(cell) if is_add or edit.geometry_changed else 0
        elif name in edit.columns and cell is not None:
            size += len(name) + 6 + (len(cell) if isinstance(cell, str) else 12)
    return size


def attachment_cells(edit: Edit) -> dict[str, object]:
    """The cells of an attachment's row by column name (of its base after a delete)."""
    row = edit.row or edit.base
    assert row is not None
    return dict(zip(edit.table.row_names, row, strict=True))


def wire_row(edit: Edit, layer: Layer, rest: Mapping[str, object]) -> tuple[object, ...]:
    """An add or an update as the native encoder takes it: mask, values, geometry.

    An add carries what has a value and may be edited. An update carries the columns that were
    changed, the geometry only if that was, and of ``rest`` (attributes by the layer's own names)
    what else it must carry. A geometry that was taken away travels as an empty one: null would mean
    that it was not edited. ``layer`` is as :func:`codec_layer` made it. :exc:`RowError` for a value
    with no wire form.
    """
    assert edit.row is not None
    table, row = edit.table, edit.row
    is_add = edit.operation is EditOperation.ADD
    cells: list[object] = [edit.global_id]
    mask = 0
    first = len(row) - len(table.columns)
    for bit, (column, value) in enumerate(zip(table.columns, row[first:], strict=True), 1):
        is_sent = column.is_editable and (
            value is not None if is_add else column.name in edit.columns
        )
        try:
            if is_sent:
                cells.append(_canonical(column.type, value))
            elif column.is_editable and column.name in rest:
                cells.append(values.from_wire(column.type, rest[column.name]))
            else:
                cells.append(None)
                continue
        except ValueError as error:
            raise RowError(f"{column.name}: {error}") from error
        mask |= 1 << bit
    if table.geometry is not None:
        shape = row[1]
        if not is_add and edit.geometry_changed and shape is None:
            shape = empty_geometry(layer)
        if shape is not None and not isinstance(shape, bytes):
            raise RowError("geometry: not a GeoPackage geometry")
        is_sent = shape is not None and (is_add or edit.geometry_changed)
        cells.append(shape if is_sent else None)
        mask |= is_sent << len(table.columns) + 1
    return (_mask_bytes(mask), *cells)


def attribute_row(
    table: LayerTable, global_id: str, attributes: Mapping[str, object]
) -> tuple[object, ...]:
    """An update of just those attributes, as :func:`wire_row` gives an edit's."""
    cells: list[object] = [global_id]
    mask = 0
    for bit, column in enumerate(table.columns, 1):
        is_sent = column.name in attributes
        value = attributes.get(column.name)
        cells.append(values.from_wire(column.type, value) if is_sent else None)
        mask |= is_sent << bit
    return (_mask_bytes(mask), *cells, *(() if table.geometry is None else (None,)))


def sent_attributes(edit: Edit) -> dict[str, object]:
    """The attributes that an update carries, as they are on the wire; :exc:`RowError` as above."""
    assert edit.row is not None
    cells = dict(zip(edit.table.row_names, edit.row, strict=True))
    sent: dict[str, object] = {}
    for column in edit.table.columns:
        if column.is_editable and column.name in edit.columns:
            try:
                sent[column.name] = values.to_wire(column.type, cells[column.name])
            except ValueError as error:
                raise RowError(f"{column.name}: {error}") from error
    return sent


def empty_geometry(layer: Layer) -> bytes | None:
    """A geometry of the layer's type without coordinates ("Geometry objects", empty geometries)."""
    assert layer.geometry_type is not None
    text = json.dumps(_EMPTY[layer.geometry_type]).encode()
    return esri_json_to_gpkg(text, layer.geometry_type, layer.srs_id, layer.has_z, layer.has_m)


_EMPTY: dict[str, JsonObject] = {
    "esriGeometryPoint": {"x": None},
    "esriGeometryMultipoint": {"points": []},
    "esriGeometryPolyline": {"paths": []},
    "esriGeometryPolygon": {"rings": []},
}


def _canonical(kind: FieldType, value: Cell) -> Cell:
    """What a foreign program may have spelled otherwise, in the spelling of the geodatabase."""
    if value is None or (kind is FieldType.STRING and type(value) is str):
        return value
    return values.from_wire(kind, values.to_wire(kind, value))


def _mask_bytes(mask: int) -> bytes:
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")
