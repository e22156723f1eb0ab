"""Reading replica, delta and result files, piece by piece, whatever the file's size.

The file is JSON as ``createReplica`` and ``synchronizeReplica`` make it (ArcGIS REST API, "Create
replica", "Synchronize replica", "Sync and attachments"); the decoding is the native core's. It may
be read twice: :func:`read_header` walks it to the end first, so that a cut-off file is refused
before anything of it is used.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.errors import ProtocolError
from engine.layer_schema import JsonObject
from engine.model import normalise_guid
from native.decoder import BadItem, Event, Header, Results, decode
from native.errors import DecodeError, ErrorCode
from native.layer import Layer
from native.operation import Operation

CHUNK_BYTES = 64 * 1024
_SAMPLE_BYTES = 64 * 1024
_PATTERN_BYTES = 200
_FIRST_FEATURE = re.compile(rb'"id"\s*:\s*(\d{1,9})\s*,\s*"features"\s*:\s*\[\s*(?=\{)')


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaHeader:
    """What a file says besides its rows: its small members, and which layers it speaks of.

    ``replaced`` are the layers of which the file has all rows (replica or replacement data), and
    not only what changed.
    """

    members: JsonObject
    layer_ids: frozenset[int]
    replaced: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedResult:
    """One edit result, and the list it stood in; ``layer_id`` None if nothing said whose it is."""

    layer_id: int | None
    of_attachments: bool
    list_name: str
    value: JsonObject


def read_header(path: Path) -> ReplicaHeader:
    """Walk the whole file and give its header. :exc:`ProtocolError` if it is not complete."""
    members: dict[str, object] = {}
    layer_ids: set[int] = set()
    replaced: set[int] = set()
    for event in read_events(path, ()):
        if isinstance(event, Header):
            members |= header_members(event)
        elif isinstance(event, BadItem) and event.layer_id is not None:
            # No layer is known here, so each entry is reported once, and passed over.
            layer_ids.add(event.layer_id)
            if event.operation is Operation.DATA:
                replaced.add(event.layer_id)
    return ReplicaHeader(
        members=members, layer_ids=frozenset(layer_ids), replaced=frozenset(replaced)
    )


def first_attributes(path: Path) -> dict[int, frozenset[str]]:
    """Layer id → the names of the attributes of its first feature, in lower case.

    Of layers that have one, as far as their entry begins with its id and features, and that
    feature is of no unusual size: the decoder takes what is not there for null, and so cannot tell.
    """
    found: dict[int, frozenset[str]] = {}
    with open(path, "rb") as stream:
        window = b""
        while chunk := stream.read(CHUNK_BYTES):
            window += chunk
            while (match := _FIRST_FEATURE.search(window)) is not None:
                window = window[match.end() :] + stream.read(_SAMPLE_BYTES)
                names = _names_in(window[:_SAMPLE_BYTES])
                if names is not None:
                    found.setdefault(int(match[1]), names)
            window = window[-_PATTERN_BYTES:]
    return found


def _names_in(text: bytes) -> frozenset[str] | None:
    """The attributes of the feature at the beginning of ``text``."""
    try:
        feature, _ = json.JSONDecoder().raw_decode(text.decode(errors="ignore"))
    except (ValueError, RecursionError):
        return None
    attributes = feature.get("attributes") if isinstance(feature, dict) else None
    return frozenset(map(str.lower, attributes)) if isinstance(attributes, dict) else None


def read_events(path: Path, layers: Sequence[Layer]) -> Iterator[Event]:
    """What the file holds, in file order. :exc:`ProtocolError` where it is broken or cut off.

    Entries of other layers than ``layers`` are skipped.
    """
    try:
        yield from decode(partial(_chunks, path), layers)
    except DecodeError as error:
        what = "is cut off" if error.code is ErrorCode.TRUNCATED else f"is damaged: {error}"
        raise ProtocolError(f"the result file {path.name} {what}") from error


def header_members(header: Header) -> dict[str, object]:
    """The members of a document's root that are not its data."""
    return {name: json.loads(text) for name, text in header.members}


def bad_value(item: BadItem) -> object:
    """What came in the place of something that cannot be decoded; None if it is too large."""
    if item.raw is None:
        return None
    try:
        return json.loads(item.raw)
    except (ValueError, RecursionError):
        return item.raw.decode(errors="replace")


def global_id_in(item: BadItem, key: str) -> str:
    """The GlobalID of something that cannot be decoded; empty if even that is missing.

    ``key`` is the layer's GlobalID field.
    """
    value = bad_value(item)
    attributes = value.get("attributes", value) if isinstance(value, dict) else {}
    for name, cell in attributes.items() if isinstance(attributes, dict) else ():
        if name.casefold() in (key.casefold(), "globalid"):
            return normalise_guid(cell) or ""
    return ""


def read_results(path: Path) -> list[ListedResult]:
    """The edit results of a file, wherever in it a server may have put them."""
    found: list[ListedResult] = []
    known = [Layer(id=layer_id, columns=()) for layer_id in read_header(path).layer_ids]
    for event in read_events(path, known):
        if isinstance(event, Results):
            for name, text in event.results:
                value = json.loads(text)
                if isinstance(value, dict):
                    found.append(
                        ListedResult(
                            layer_id=event.layer_id,
                            of_attachments=event.of_attachments,
                            list_name=name,
                            value=value,
                        )
                    )
    return found


def generations(members: JsonObject) -> tuple[int | None, dict[int, int]]:
    """(``replicaServerGen``, ``{layer id: serverGen}``) of a header or an answer's envelope.

    The documentation prints ``layerServerGens`` as a list and as a string that holds one.
    """
    folded = {name.casefold(): value for name, value in members.items()}
    return _whole(folded.get("replicaservergen")), _per_layer(folded, "serverGen")


def oldest_generations(members: JsonObject) -> dict[int, int]:
    """``{layer id: minServerGen}`` of a service's ``changeTrackingInfo``."""
    return _per_layer({name.casefold(): value for name, value in members.items()}, "minServerGen")


def _per_layer(folded: JsonObject, name: str) -> dict[int, int]:
    layers = folded.get("layerservergens")
    if isinstance(layers, str):
        try:
            layers = json.loads(layers)
        except (ValueError, RecursionError):
            layers = None
    found: dict[int, int] = {}
    for entry in layers if isinstance(layers, list) else []:
        if isinstance(entry, dict):
            layer_id, generation = _whole(entry.get("id")), _whole(entry.get(name))
            if layer_id is not None and generation is not None:
                found[layer_id] = generation
    return found


def _whole(value: object) -> int | None:
    """A whole number in any of its spellings in JSON: 5, 5.0 or "5"."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
