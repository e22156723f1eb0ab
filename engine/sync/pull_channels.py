"""The two ways to learn what has changed on the service since our generation, behind one interface.

``synchronizeReplica`` with a download is the first. Where the service tracks changes,
``extractChanges`` with the replica's own queries is the second, for when the first is refused or
not understood; it needs no replica. Sources: ArcGIS REST API, "Synchronize replica", "Extract
changes (feature service)".
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from engine.geodatabase import journal
from engine.geodatabase.replica import Replica
from engine.layer_schema import ServiceSchema
from engine.model import (
    AttachmentSyncDirection,
    Envelope,
    QueryOption,
    SpatialReference,
)
from engine.service.feature_service import Fetched, wkid_text
from engine.sync.context import SyncContext
from engine.sync.replica_request import filter_form, sync_form


class PullChannel(Protocol):
    """A way to fetch changes. ``name`` is that of the operation."""

    name: str

    async def fetch(self, context: SyncContext, record: Replica, target: Path) -> Fetched:
        """What has changed since the generations of ``record``, in ``target``."""


class ReplicaDownload:
    """``synchronizeReplica`` with a download."""

    name = "synchronizeReplica"

    async def fetch(self, context: SyncContext, record: Replica, target: Path) -> Fetched:
        form = sync_form(
            replica_id=record.replica_id,
            schema=context.schema,
            sync_model=record.sync_model,
            generation=record.server_generation,
            layer_generations={
                layer.layer_id: layer.generation
                for layer in record.layers
                if layer.generation is not None and layer.layer_id in downloading(context)
            },
            direction="download",
            with_attachments=record.attachment_direction is AttachmentSyncDirection.BIDIRECTIONAL,
        )
        sent = await context.database.read(journal.newest_id)
        return await context.service.download_changes(
            form, target, context.narrator.service_says, sent=sent
        )


class ExtractedChanges:
    """``extractChanges`` with the replica's own queries."""

    name = "extractChanges"

    async def fetch(self, context: SyncContext, record: Replica, target: Path) -> Fetched:
        layer_ids = sorted(downloading(context))
        form = extract_form(record, context.spatial_reference, layer_ids)
        sent = await context.database.read(journal.newest_id)
        return await context.service.extract_changes(
            form, target, context.narrator.service_says, sent=sent
        )


def downloading(context: SyncContext) -> set[int]:
    """The layers that this sync brings down."""
    return {t.layer_id for t in context.tables if context.direction(t.layer_id).downloads}


def can_extract(record: Replica, schema: ServiceSchema, layer_ids: Sequence[int]) -> bool:
    """Whether ``extractChanges`` can tell all that a download of the replica would."""
    found = schema.resource.get("extractChangesCapabilities")
    able = found if isinstance(found, dict) else {}
    if not schema.supports_change_tracking or None in _generations(record, layer_ids).values():
        return False
    has_photos = record.attachment_direction is AttachmentSyncDirection.BIDIRECTIONAL
    if has_photos and able.get("supportsReturnAttachments") is not True:
        return False
    # The documentation prints two names for one thing.
    takes_area = able.get("supportsGeometry") is True or able.get("supportsSpatialFilter") is True
    takes_queries = able.get("supportsLayerQueries") is True
    options = [record.layer(layer_id).options for layer_id in layer_ids]
    has_related = any(o.get("queryOption") == QueryOption.NONE.value for o in options)
    # It is not asked for layers that are left out now, and rows may be there by relation to theirs.
    if has_related and {layer.layer_id for layer in record.layers} - set(layer_ids):
        return False
    has_queries = has_related or any(o.get("where") for o in options)
    return (takes_area or record.extent is None) and (takes_queries or not has_queries)


def extract_form(
    record: Replica,
    spatial_reference: SpatialReference,
    layer_ids: Sequence[int],
    *,
    ids_only: bool = False,
) -> dict[str, str]:
    """The form of ``extractChanges`` for what a download of the replica would bring.

    The layers of ``layers`` and ``layerServerGens`` must be the same, or a service refuses all.
    """
    generations = _generations(record, layer_ids)
    queries = {str(i): record.layer(i).options for i in layer_ids if record.layer(i).options}
    form = {
        "layers": ",".join(map(str, layer_ids)),
        "layerServerGens": json.dumps(
            [{"id": layer_id, "serverGen": generations[layer_id]} for layer_id in layer_ids]
        ),
        "returnInserts": "true",
        "returnUpdates": "true",
        "returnDeletes": "true",
        "returnIdsOnly": "true" if ids_only else "false",
        "transportType": "esriTransportTypeUrl",
        "dataFormat": "json",
        "outSR": wkid_text(spatial_reference),
        **filter_form(None if record.extent is None else Envelope.from_json(record.extent)),
    }
    if queries:
        form["layerQueries"] = json.dumps(queries)
    if record.attachment_direction is AttachmentSyncDirection.BIDIRECTIONAL:
        form |= {"returnAttachments": "true", "returnAttachmentsDataByUrl": "true"}
    return form


def _generations(record: Replica, layer_ids: Sequence[int]) -> Mapping[int, int | None]:
    """Up to where we have what changed in each layer; services count all layers together."""
    return {i: record.layer(i).generation or record.server_generation for i in layer_ids}
