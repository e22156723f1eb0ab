"""Rows of a geodatabase into Esri JSON: the native encoder, orjson one feature at a time, json."""

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from engine.sync.rows import codec_layer
from native.encoder import EditsEncoder, Form
from native.layer import ColumnType, Layer
from scripts.benchmark.data import data_set

_ROWS = 500
_HEADER = 8
_ENVELOPE = (0, 32, 48, 48, 64)


def encode_ready(*, name: str, geodatabase: str, peer: bool) -> Callable[[], int]:
    """Rows that lie in memory into JSON text, through the native encoder or orjson."""
    import orjson

    layer = codec(name)
    with sqlite3.connect(geodatabase) as connection:
        rows = connection.execute(_select(layer, -1)).fetchall()
    batches = [rows[at : at + _ROWS] for at in range(0, len(rows), _ROWS)]

    def ours() -> int:
        encoder = EditsEncoder([layer], form=Form.APPLY)
        size = sum(len(piece) for batch in batches for piece in encoder.adds(layer.id, batch))
        return size + sum(map(len, encoder.finish()))

    def theirs() -> int:
        return sum(len(orjson.dumps(feature)) for feature in _features(layer, iter(rows)))

    return theirs if peer else ours


def encode(*, name: str, geodatabase: str, target: str, limit: int = -1) -> Callable[[], int]:
    """All rows of a table as adds in a file, through the native encoder."""
    layer = codec(name)

    def work() -> int:
        encoder = EditsEncoder([layer], form=Form.APPLY)
        size = 0
        with open(target, "wb") as stream, sqlite3.connect(geodatabase) as connection:
            rows = connection.execute(_select(layer, limit))
            while batch := rows.fetchmany(_ROWS):
                size += sum(map(stream.write, encoder.adds(layer.id, batch)))
            size += sum(map(stream.write, encoder.finish()))
        return size

    return work


def encode_orjson(*, name: str, geodatabase: str, target: str) -> Callable[[], int]:
    """The peer: a dict per row, its geometry unpacked in Python, ``orjson.dumps``."""
    import orjson

    layer = codec(name)

    def work() -> int:
        size = 0
        with open(target, "wb") as stream, sqlite3.connect(geodatabase) as connection:
            size += stream.write(b'[{"id":0,"adds":[')
            rows = connection.execute(_select(layer, -1))
            for number, feature in enumerate(_features(layer, rows)):
                size += stream.write(b"," * (number > 0) + orjson.dumps(feature))
            size += stream.write(b"]}]")
        return size

    return work


def encode_dict(*, name: str, geodatabase: str, target: str, limit: int = -1) -> Callable[[], int]:
    """What a short script does: all features in a list, then ``json.dump``."""
    layer = codec(name)

    def work() -> int:
        with sqlite3.connect(geodatabase) as connection:
            features = list(_features(layer, connection.execute(_select(layer, limit))))
        with open(target, "w", encoding="utf-8") as stream:
            json.dump([{"id": 0, "adds": features}], stream)
            return stream.tell()

    return work


def codec(name: str) -> Layer:
    """The layer of a data set as the codecs want to be told of it."""
    from engine.geodatabase.layer_table import layer_table

    _, schema = data_set(name, 0).schema()
    return codec_layer(schema, layer_table(schema), 4326)


def _select(layer: Layer, limit: int) -> str:
    names = ", ".join(f'"{column.name}"' for column in layer.columns)
    return f"SELECT {names}, geom FROM {_table(layer)} ORDER BY fid LIMIT {limit}"


def _table(layer: Layer) -> str:
    return "trees" if layer.geometry_type == "esriGeometryPoint" else "parcels"


def _features(layer: Layer, rows: Iterator[Any]) -> Iterator[dict[str, object]]:
    names = [column.name for column in layer.columns]
    dates = [n for n, column in enumerate(layer.columns) if column.type is ColumnType.DATE]
    unpack = _point if layer.geometry_type == "esriGeometryPoint" else _polygon
    for row in rows:
        cells = list(row)
        blob = cells.pop()
        for place in dates:
            if cells[place] is not None:
                cells[place] = round(datetime.fromisoformat(cells[place]).timestamp() * 1000)
        feature: dict[str, object] = {"attributes": dict(zip(names, cells, strict=True))}
        if blob is not None:
            feature["geometry"] = unpack(blob)
        yield feature


def _point(blob: bytes) -> dict[str, object]:
    x, y = struct.unpack_from("<dd", blob, _HEADER + _ENVELOPE[blob[3] >> 1 & 7] + 5)
    return {"x": x, "y": y}


def _polygon(blob: bytes) -> dict[str, object]:
    at = _HEADER + _ENVELOPE[blob[3] >> 1 & 7] + 5
    (polygons,) = struct.unpack_from("<I", blob, at)
    at += 4
    rings = []
    for _ in range(polygons):
        (count,) = struct.unpack_from("<I", blob, at + 5)
        at += 9
        for _ in range(count):
            (points,) = struct.unpack_from("<I", blob, at)
            numbers = struct.unpack_from(f"<{2 * points}d", blob, at + 4)
            # Esri's rings run the other way round.
            rings.append(list(zip(numbers[-2::-2], numbers[::-2], strict=True)))
            at += 4 + 16 * points
    return {"rings": rings}
