"""The header of a delta file, written and read: SPEC.md, section 1."""

import json
from collections.abc import Iterator
from typing import Any

from native.delta_model import Base, DeltaHeader, digest
from native.delta_pack import checksum, pack, unpack
from native.delta_source import Source
from native.errors import DeltaError, ErrorCode
from native.layer import Column, ColumnType, Layer

VERSION = 2
MAGIC = b"FSD" + bytes([VERSION])
"""What is written: format version 2."""

_HEADER_LIMIT = 1 << 20


def header_bytes(header: DeltaHeader) -> bytes:
    content: dict[str, Any] = {
        "service": header.service,
        "replica": header.replica,
        "generation": header.generation,
    }
    if header.about:
        content["about"] = dict(header.about)
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
    return start + body + checksum(start + body)


def read_header(source: Source, layers: tuple[Layer, ...] | None) -> tuple[int, DeltaHeader]:
    """The format version and the header."""
    source.start(b"")
    magic = source.take(4)
    if magic[:3] != MAGIC[:3]:
        raise DeltaError(ErrorCode.HEADER, 0)
    version = magic[3]
    if not 1 <= version <= VERSION:
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
        about = content.get("about", {})
        if not isinstance(about, dict):
            raise DeltaError(ErrorCode.SYNTAX, source.at)
        return version, DeltaHeader(
            id=delta_id,
            service=content["service"],
            replica=content["replica"],
            generation=content["generation"],
            layers=layers,
            bases=bases,
            about=about,
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


def _schema_digest(layers: tuple[Layer, ...]) -> str:
    return digest([tuple(_flat(_layer_json(layer))) for layer in layers]).hex()


def _flat(content: Any) -> Iterator[Any]:
    for part in content:
        if isinstance(part, list):
            yield from _flat(part)
        else:
            yield part
