"""The codecs once more in plain Python, slow and obvious: what the C core is compared with."""

import base64
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from native.decoder import (
    Attachment,
    AttachmentData,
    BadItem,
    Deletes,
    Event,
    Header,
    PartialRows,
    Results,
    Rows,
)
from native.layer import Column, ColumnType, Layer
from tests.native.wkb import Writer, gpkg

OPERATIONS = {"adds": 1, "updates": 2}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Content:
    """All that a document says, in its order, however it was cut into events."""

    rows: list[tuple[int, int, tuple[Any, ...]]] = field(default_factory=list)
    partial: list[tuple[int, tuple[Any, ...], tuple[int, ...]]] = field(default_factory=list)
    deletes: list[tuple[int, bool, str | int]] = field(default_factory=list)
    attachments: list[tuple[Any, ...]] = field(default_factory=list)
    results: list[tuple[int | None, bool, str, Any]] = field(default_factory=list)
    headers: dict[str, Any] = field(default_factory=dict)
    bad: list[tuple[int, str]] = field(default_factory=list)


def collect(events: Iterable[Event]) -> Content:
    """Flatten the decoder's events."""
    content = Content()
    data: dict[int, bytes] = {}
    for event in events:
        match event:
            case Rows():
                assert len(event.bounds) == 32 * len(event.rows)
                content.rows += [(event.layer_id, event.operation, row) for row in event.rows]
            case PartialRows():
                assert len(event.bounds) == 32 * len(event.rows)
                content.partial += [(event.layer_id, row, gone) for row, gone in event.rows]
            case Deletes():
                content.deletes += [(event.layer_id, event.of_attachments, i) for i in event.ids]
            case AttachmentData():
                data[event.number] = data.get(event.number, b"") + event.data
            case Attachment():
                assert event.error is None
                found = data.pop(event.number, b"") if event.data_size is not None else None
                assert found is None or len(found) == event.data_size
                content.attachments.append(
                    (
                        event.layer_id,
                        int(event.operation),
                        event.attachment_id,
                        event.global_id,
                        event.parent_global_id,
                        event.content_type,
                        event.name,
                        event.size,
                        event.url,
                        found,
                    )
                )
            case Results():
                content.results += [
                    (event.layer_id, event.of_attachments, name, json.loads(text))
                    for name, text in event.results
                ]
            case Header():
                content.headers |= {name: json.loads(text) for name, text in event.members}
            case BadItem():
                content.bad.append((event.layer_id or 0, event.code.name))
            case _:
                raise AssertionError(event)
    return content


def decode(document: dict[str, Any], layers: Iterable[Layer]) -> Content:
    """What a sound document says."""
    by_id = {layer.id: layer for layer in layers}
    content = Content()
    for name, value in document.items():
        if name in ("edits", "layers"):
            for entry in value:
                _decode_entry(entry, by_id[entry["id"]], content)
        else:
            content.headers[name] = value
    return content


def _decode_entry(entry: dict[str, Any], layer: Layer, content: Content) -> None:
    for name, value in entry.items():
        if name.endswith("Results"):
            content.results += [(layer.id, False, name, result) for result in value]
        if name not in ("features", "attachments") or value is None:
            continue
        lists = {"data": value} if isinstance(value, list) else value
        for operation, items in lists.items():
            if operation.endswith("Results"):
                content.results += [(layer.id, name == "attachments", operation, r) for r in items]
            elif operation in ("deletes", "deleteIds"):
                content.deletes += [
                    (layer.id, name == "attachments", i if isinstance(i, int) else guid(i))
                    for i in items
                ]
            elif name == "features":
                for feature in items:
                    if feature is not None:
                        _decode_feature(feature, OPERATIONS.get(operation, 0), layer, content)
            else:
                content.attachments += [
                    _attachment(item, OPERATIONS.get(operation, 0), layer) for item in items
                ]


def _decode_feature(feature: Any, operation: int, layer: Layer, content: Content) -> None:
    attributes = {name.lower(): value for name, value in (feature.get("attributes") or {}).items()}
    row = [value(column, attributes.get(column.name.lower())) for column in layer.columns]
    missing = [
        place for place, column in enumerate(layer.columns) if column.name.lower() not in attributes
    ]
    if layer.geometry_type is not None:
        row.append(geometry(feature.get("geometry"), layer))
        missing += [len(layer.columns)] * ("geometry" not in feature)
    if operation == OPERATIONS["updates"] and missing:
        content.partial.append((layer.id, tuple(row), tuple(missing)))
    else:
        content.rows.append((layer.id, operation, tuple(row)))


def _attachment(item: dict[str, Any], operation: int, layer: Layer) -> tuple[Any, ...]:
    data = item.get("data")
    return (
        layer.id,
        operation,
        item.get("attachmentId"),
        guid(item["globalId"]) if item.get("globalId") else None,
        guid(item["parentGlobalId"]) if item.get("parentGlobalId") else None,
        item.get("contentType"),
        item.get("name"),
        item.get("size"),
        item.get("url"),
        None if data is None else base64.b64decode(data),
    )


def value(column: Column, found: Any) -> Any:
    """One attribute as the row holds it."""
    if found is None:
        return None
    match column.type:
        case ColumnType.GUID:
            return guid(found)
        case ColumnType.DATE:
            return date(found)
        case ColumnType.REAL:
            return float(found)
        case _:
            return found


def guid(text: str) -> str:
    """A GUID in the spelling that is kept."""
    return "{" + str(UUID(text)).upper() + "}"


def date(epoch_ms: int) -> str:
    """Epoch milliseconds as GeoPackage DATETIME text."""
    moment = EPOCH + timedelta(milliseconds=epoch_ms)
    return moment.strftime(f"{moment.year:04d}-%m-%dT%H:%M:%S.{moment.microsecond // 1000:03d}Z")


def geometry(found: dict[str, Any] | None, layer: Layer) -> bytes | None:
    """A geometry of a layer without holes, as its blob."""
    if found is None:
        return None
    writer = Writer(has_z=layer.has_z, has_m=layer.has_m)
    dims = 2 + layer.has_z + layer.has_m

    def vertex(ordinates: list[Any]) -> list[float]:
        padded = ordinates + [None] * (dims - len(ordinates))
        return [math.nan if ordinate is None else float(ordinate) for ordinate in padded]

    match layer.geometry_type:
        case "esriGeometryPoint":
            empty = found.get("x") in (None, "NaN")
            names = ["x", "y"] + ["z"] * layer.has_z + ["m"] * layer.has_m
            point = [None] * dims if empty else [found.get(name) for name in names]
            return gpkg(writer.point(vertex(point)), srs_id=layer.srs_id, empty=empty)
        case "esriGeometryMultipoint":
            vertices = [vertex(point) for point in found["points"]]
            wkb = writer.multipoint(vertices)
        case "esriGeometryPolyline":
            paths = [[vertex(point) for point in path] for path in found["paths"] if path]
            vertices = [point for path in paths for point in path]
            wkb = writer.multiline(paths)
        case _:
            rings = [[vertex(point) for point in ring][::-1] for ring in found["rings"]]
            vertices = [point for ring in rings for point in ring]
            wkb = writer.multipolygon([[ring] for ring in rings])
    if not vertices:
        return gpkg(wkb, srs_id=layer.srs_id, empty=True)
    xs, ys = [point[0] for point in vertices], [point[1] for point in vertices]
    return gpkg(wkb, srs_id=layer.srs_id, bounds=(min(xs), max(xs), min(ys), max(ys)))
