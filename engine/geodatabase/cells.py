"""Rows as JSON text, for the stores a person reads: every SQLite value survives the way back."""

import json
import math
from collections.abc import Mapping

from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import FieldType


def encode_row(table: LayerTable, row: Row | None) -> str | None:
    """``row`` as a JSON object of column values; None for None.

    Numbers, text and null are themselves, a blob is ``{"hex": "…"}``, an infinite real
    ``{"real": "inf"}``.
    """
    if row is None:
        return None
    return json.dumps(dict(zip(table.row_names, map(_encode, row), strict=True)))


def decode_row(table: LayerTable, text: str | None) -> Row | None:
    """The row again; columns that ``table`` has gained since are None."""
    if text is None:
        return None
    values: Mapping[str, object] = json.loads(text)
    return tuple(_decode(values.get(name)) for name in table.row_names)


def as_new(table: LayerTable, row: Row) -> Row:
    """``row`` without its object id: that belonged to a row the service no longer has."""
    start = len(row) - len(table.columns)
    cells = zip(table.columns, row[start:], strict=True)
    return row[:start] + tuple(None if c.type is FieldType.OID else cell for c, cell in cells)


def _encode(cell: Cell) -> object:
    if isinstance(cell, bytes):
        return {"hex": cell.hex()}
    if isinstance(cell, float) and not math.isfinite(cell):
        return {"real": str(cell)}
    return cell


def _decode(value: object) -> Cell:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if "hex" in value else float(value["real"])
    if isinstance(value, str):
        # Bytes that were no UTF-8 cannot be bound again as text.
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if value is None or isinstance(value, int | float):
        return value
    raise ValueError(f"a stored cell is {value!r}")
