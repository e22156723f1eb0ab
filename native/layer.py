"""What the codecs are told about a layer: its columns in the order of the rows, its geometry."""

import json
from dataclasses import dataclass
from enum import IntEnum, unique

from native._native import ffi, lib
from native.geometry import KINDS


@unique
class ColumnType(IntEnum):
    """How a field travels in Esri JSON and what Python value stands for it in a row."""

    INTEGER = lib.FS_COLUMN_INTEGER
    """A 64-bit integer: int."""
    REAL = lib.FS_COLUMN_REAL
    """A double: float."""
    TEXT = lib.FS_COLUMN_TEXT
    """A string; also DateOnly, TimeOnly and TimestampOffset: str."""
    GUID = lib.FS_COLUMN_GUID
    """A GUID, kept as ``{UPPER-CASE}``: str."""
    DATE = lib.FS_COLUMN_DATE
    """Epoch milliseconds on the wire, in the row ``YYYY-MM-DDTHH:MM:SS.sssZ``: str."""


FIELD_TYPES = {
    "esriFieldTypeOID": ColumnType.INTEGER,
    "esriFieldTypeSmallInteger": ColumnType.INTEGER,
    "esriFieldTypeInteger": ColumnType.INTEGER,
    "esriFieldTypeBigInteger": ColumnType.INTEGER,
    "esriFieldTypeSingle": ColumnType.REAL,
    "esriFieldTypeDouble": ColumnType.REAL,
    "esriFieldTypeString": ColumnType.TEXT,
    "esriFieldTypeDateOnly": ColumnType.TEXT,
    "esriFieldTypeTimeOnly": ColumnType.TEXT,
    "esriFieldTypeTimestampOffset": ColumnType.TEXT,
    "esriFieldTypeGlobalID": ColumnType.GUID,
    "esriFieldTypeGUID": ColumnType.GUID,
    "esriFieldTypeDate": ColumnType.DATE,
}
"""The Esri field types that have a wire form in JSON, and how each is carried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of a layer: its name as the service spells it, and how it is carried."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer or table as the codecs see it.

    A row is a tuple with one value per column, in this order, and the geometry as a GeoPackage
    blob after the last; a table (``geometry_type`` None) has no geometry place at all.
    ``key`` names the column that holds the GlobalID. ``spatial_reference`` is JSON text that the
    encoder puts into each geometry, for a service that would take another one for granted.
    """

    id: int
    columns: tuple[Column, ...]
    key: str | None = None
    geometry_type: str | None = None
    srs_id: int = 4326
    has_z: bool = False
    has_m: bool = False
    spatial_reference: str = ""


class LayerTable:
    """Layers laid out for the core. Keeps alive what the core points at; never changes.

    Raises ValueError for a key that is no column and for too many columns, KeyError for an
    unknown geometry type.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers = layers
        self.array = ffi.new("struct fs_layer[]", len(layers))
        self.columns_max = max((len(layer.columns) for layer in layers), default=0)
        self._alive: list[object] = []
        for index, layer in enumerate(layers):
            self._fill(index, layer)

    def _fill(self, index: int, layer: Layer) -> None:
        count = len(layer.columns)
        columns = ffi.new("struct fs_column[]", count)
        for place, column in enumerate(layer.columns):
            label = f",{json.dumps(column.name, ensure_ascii=False)}:"
            texts = [ffi.from_buffer(text.encode()) for text in (column.name, label)]
            self._alive += texts
            columns[place].name, columns[place].label = texts
            columns[place].name_size, columns[place].label_size = map(len, texts)
            columns[place].type = column.type
        slot_count = 1 << (2 * count + 1).bit_length()
        slots = ffi.new("uint16_t[]", slot_count)
        self._alive += [columns, slots]
        entry = self.array[index]
        entry.id = layer.id
        entry.columns = columns
        entry.column_count = count
        entry.key_column = _key_place(layer)
        entry.geometry_kind = (
            lib.FS_GEOMETRY_ANY if layer.geometry_type is None else KINDS[layer.geometry_type]
        )
        entry.srs_id = layer.srs_id
        entry.dims = (lib.FS_DIMS_Z if layer.has_z else 0) | (lib.FS_DIMS_M if layer.has_m else 0)
        entry.slots = slots
        entry.slot_count = slot_count
        if layer.spatial_reference:
            reference = layer.spatial_reference.encode()
            text = ffi.from_buffer(reference)
            self._alive += [reference, text]
            entry.reference, entry.reference_size = text, len(reference)
        if lib.fs_layer_prepare(ffi.addressof(self.array, index)) != lib.FS_OK:
            raise ValueError(f"layer {layer.id} has {count} columns, more than the core takes")


def _key_place(layer: Layer) -> int:
    names = [column.name for column in layer.columns]
    if layer.key is None:
        return len(names)
    if layer.key not in names:
        raise ValueError(f"layer {layer.id} has no column {layer.key!r} to be its key")
    return names.index(layer.key)
