"""Queries for rows, decoded as their answers come in: a few kilobytes of text are held at a time.

Sources: ArcGIS REST API, "Query (feature service/layer)", "FeatureSet object". A service cuts an
answer at its ``maxRecordCount`` or ``maxRecordCount`` of bytes and says ``exceededTransferLimit``;
an answer too large for the memory is cut here in the same way, and the rest asked for again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import LinkError, ProtocolError
from engine.layer_schema import JsonObject, LayerSchema
from engine.model import SpatialReference, normalise_guid
from engine.service.answer import json_object, place, raise_error_in
from engine.service.feature_service import FeatureService, wkid_text
from engine.service.operation import SMALL_ANSWER_BYTES
from engine.service.replica_file import global_id_in, header_members
from native.decoder import BadItem, Decoder, Event, Header, Rows
from native.errors import DecodeError, ErrorCode
from native.layer import Layer

FEATURE_SET_BYTES = 4 * 1024 * 1024
"""Of JSON, behind which no further row of an answer is waited for."""

QUERY_NUMBERS = 1000
"""Object ids in one query."""

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")  # with the dots of a qualified one

CodecRow = tuple[Any, ...]
"""A row in the order of the codec's layer: its columns, then the geometry."""


async def query_by_global_ids(
    service: FeatureService,
    layer: LayerSchema,
    codec: Layer,
    global_ids: Sequence[str],
    reference: SpatialReference,
) -> dict[str, CodecRow | None]:
    """The rows of those GlobalIDs as the service holds them now: all columns and the geometry.

    None: the service has the row, but it cannot be decoded. What is missing, the service has not.
    As many queries are made as it takes to be told of all of them.
    """
    left = list(dict.fromkeys(gid for gid in map(normalise_guid, global_ids) if gid))
    limit = max(1, layer.max_record_count)
    found: dict[str, CodecRow | None] = {}
    while left:
        asked = left[:limit]
        quoted = ",".join(f"'{guid}'" for guid in asked)
        where = f"{_sql_name(layer.global_id_field)} IN ({quoted})"
        answer = await _query(service, layer, codec, reference, {"where": where})
        got = {gid: row for gid, row in answer.found.items() if gid in asked}
        found |= got
        if not answer.is_cut and not answer.nameless:
            left = left[len(asked) :]
        elif got:
            left = [gid for gid in left if gid not in got]
        elif len(asked) > 1:
            limit = len(asked) // 2
        elif answer.nameless:  # asked for alone, it can only be that one
            found[asked[0]] = None
            left = left[1:]
        else:
            raise ProtocolError(f"{place(service.url)}/{layer.id} cuts its answer for a single row")
    return found


async def query_by_object_ids(
    service: FeatureService,
    layer: LayerSchema,
    codec: Layer,
    object_ids: Sequence[int],
    reference: SpatialReference,
) -> dict[str, CodecRow]:
    """Rows among those of these object ids, by their GlobalIDs, as far as they can be decoded.

    A number takes a sixth of the room of a GlobalID. But what is missing may be left out of a cut
    answer, or have another number: it must be asked for by its GlobalID.
    """
    found: dict[str, CodecRow] = {}
    limit = max(1, min(QUERY_NUMBERS, layer.max_record_count))
    for start in range(0, len(object_ids), limit):
        some = ",".join(map(str, object_ids[start : start + limit]))
        answer = await _query(service, layer, codec, reference, {"objectIds": some})
        found |= {gid: row for gid, row in answer.found.items() if row is not None}
    return found


async def query_newer_than(
    service: FeatureService,
    layer: LayerSchema,
    codec: Layer,
    newest: int,
    reference: SpatialReference,
) -> list[CodecRow]:
    """The rows with a larger object id, as far as they can be decoded; in their order."""
    names = [column.name.casefold() for column in codec.columns]
    at = names.index(layer.object_id_field.casefold())
    found: list[CodecRow] = []
    while True:
        form = {
            "where": f"{_sql_name(layer.object_id_field)} > {newest}",
            "orderByFields": layer.object_id_field,
        }
        answer = await _query(service, layer, codec, reference, form)
        rows = [row for row in answer.found.values() if row is not None]
        found += rows
        last = max((row[at] for row in rows if isinstance(row[at], int)), default=newest)
        if not answer.is_cut or last <= newest:
            return found
        newest = last


async def _query(
    service: FeatureService,
    layer: LayerSchema,
    codec: Layer,
    reference: SpatialReference,
    form: dict[str, str],
) -> "FeatureSet":
    url = f"{service.url}/{layer.id}/query"
    whole = {
        **form,
        "outFields": "*",
        "returnGeometry": "true",
        "returnZ": "true" if layer.has_z else "false",
        "returnM": "true" if layer.has_m else "false",
        "returnTrueCurves": "false",
        "outSR": wkid_text(reference),
    }
    return await service.session.post_into(
        url, whole, lambda: FeatureSet(codec, url), repeatable=True
    )


@dataclass(slots=True)
class FeatureSet:
    """Takes the answer of a query piece by piece.

    ``found`` has the rows by GlobalID, None where one cannot be decoded, ``nameless`` how many are
    so wrong that not even their GlobalID is known. ``is_cut``: there are more.
    """

    codec: Layer
    url: str
    found: dict[str, CodecRow | None] = field(default_factory=dict)
    nameless: int = 0
    is_cut: bool = False
    _decoder: Decoder = field(init=False)
    _members: JsonObject = field(default_factory=dict)
    _size_bytes: int = 0
    _body: bytearray = field(default_factory=bytearray)
    """The answer, kept while it has shown no row: it may be something else."""

    def __post_init__(self) -> None:
        self._decoder = Decoder([self.codec], default_layer=self.codec.id)

    def feed(self, chunk: bytes) -> bool:
        """Take the next piece; False if no more is wanted."""
        self._size_bytes += len(chunk)
        if not self._has_rows and len(self._body) <= SMALL_ANSWER_BYTES:
            self._body += chunk
        try:
            for event in self._decoder.feed(chunk):
                self._take(event)
        except DecodeError as error:
            raise self._damaged(error) from None
        self.is_cut = self._has_rows and self._size_bytes > FEATURE_SET_BYTES
        return not self.is_cut

    def finish(self) -> None:
        """The answer is complete: :exc:`ProtocolError` if it is no feature set."""
        try:
            for event in self._decoder.finish():
                self._take(event)
        except DecodeError as error:
            raise self._damaged(error) from None
        where = place(self.url)
        raise_error_in(self._members, where)
        if not self._has_rows:
            answer = json_object(bytes(self._body), self.url)
            if not isinstance(answer.get("features"), list):
                raise ProtocolError(f"{where} did not answer with features")
        self.is_cut = self._members.get("exceededTransferLimit") is True

    @property
    def _has_rows(self) -> bool:
        return bool(self.found or self.nameless)

    def _take(self, event: Event) -> None:
        if isinstance(event, Rows):
            for row in event.rows:
                if row[0] is None:
                    self.nameless += 1
                else:
                    self.found[row[0]] = row
        elif isinstance(event, BadItem):
            gid = global_id_in(event, self.codec.key or "")
            if gid:
                self.found[gid] = None
            else:
                self.nameless += 1
        elif isinstance(event, Header):
            self._members = {**self._members, **header_members(event)}
        if self._has_rows:
            self._body.clear()

    def _damaged(self, error: DecodeError) -> Exception:
        where = place(self.url)
        if error.code is ErrorCode.TRUNCATED and (self._has_rows or self._body.strip()):
            return LinkError(f"the answer of {where} was cut off")
        if not self._has_rows:
            json_object(bytes(self._body), self.url)  # says what else it is
        return ProtocolError(f"the answer of {where} is damaged: {error}")


def _sql_name(name: str) -> str:
    """A field's name for a where clause."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


async def query_fields(
    service: FeatureService, layer: LayerSchema, object_ids: Sequence[int], names: Sequence[str]
) -> list[Mapping[str, object]]:
    """Some attributes, and the GlobalID, of the rows with those object ids.

    Asked for in as many queries as the service's limit of rows per answer needs.
    """
    url = f"{service.url}/{layer.id}/query"
    limit = max(1, layer.max_record_count)
    found: list[Mapping[str, object]] = []
    for start in range(0, len(object_ids), limit):
        form = {
            "objectIds": ",".join(map(str, object_ids[start : start + limit])),
            "outFields": ",".join((layer.global_id_field, *names)),
            "returnGeometry": "false",
        }
        answer = await service.session.post(url, form, repeatable=True)
        features = answer.get("features")
        if not isinstance(features, list):
            raise ProtocolError(f"{place(url)} did not answer with features")
        attributes = (f.get("attributes") for f in features if isinstance(f, dict))
        found += [a for a in attributes if isinstance(a, dict)]
    return found
