"""What we ask of ``createReplica`` and ``synchronizeReplica``, and the checks before asking.

Sources: ArcGIS REST API, "Create replica" (parameters, allowed pairs of attachment settings),
"Synchronize replica", "Sync-enabled feature services".
"""

import json
import re
import socket
import uuid
from collections.abc import Mapping, Sequence

from engine.errors import BadParameterError, ServiceRefusedError, SyncNotEnabledError
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import (
    AttachmentSyncDirection,
    Envelope,
    QueryOption,
    SpatialReference,
    SyncModel,
)
from engine.service.feature_service import FeatureService
from engine.sync.parameters import GenerateGeodatabaseParameters, GenerateLayerOption


def require_sync(schema: ServiceSchema) -> None:
    """:exc:`SyncNotEnabledError` unless replicas can be made of the service."""
    if not schema.can_sync:
        raise SyncNotEnabledError(f"the feature service {schema.url} has no Sync capability")
    if not schema.sync_models:
        raise SyncNotEnabledError(f"the feature service {schema.url} offers no sync model")


def require_syncable(layer: LayerSchema) -> None:
    """:exc:`SyncNotEnabledError` unless the layer's rows can be told apart for good."""
    if not layer.global_id_field:
        raise SyncNotEnabledError(
            f"the layer {layer.name!r} has no GlobalID field",
            remedy="Ask the owner of the service to add GlobalIDs, or leave the layer out",
        )


def replica_name() -> str:
    """A name nobody else uses, by which our own replicas are found again after a lost answer."""
    device = re.sub(r"[^A-Za-z0-9]+", "", socket.gethostname())[:24] or "device"
    return f"fieldsync-{device}-{uuid.uuid4()}"


def effective_spatial_reference(
    parameters: GenerateGeodatabaseParameters, schema: ServiceSchema
) -> SpatialReference:
    """The spatial reference the data will be in."""
    return parameters.out_spatial_reference or schema.spatial_reference


def create_form(
    parameters: GenerateGeodatabaseParameters,
    schema: ServiceSchema,
    layers: Sequence[LayerSchema],
    name: str,
) -> dict[str, str]:
    """The form of ``createReplica``. :exc:`BadParameterError` for a pair that is not allowed."""
    if parameters.sync_model not in schema.sync_models:
        offered = ", ".join(model.value for model in schema.sync_models)
        raise BadParameterError(
            f"the service does not offer the sync model {parameters.sync_model.value}",
            remedy=f"It offers {offered}",
        )
    direction, with_data = parameters.attachment_sync_direction, parameters.return_attachments
    has_attachments = any(layer.has_attachments for layer in layers)
    if not has_attachments:
        direction, with_data = AttachmentSyncDirection.NONE, False
    allowed = (
        (AttachmentSyncDirection.BIDIRECTIONAL, AttachmentSyncDirection.UPLOAD)
        if with_data
        else (AttachmentSyncDirection.UPLOAD, AttachmentSyncDirection.NONE)
    )
    if direction not in allowed:
        raise BadParameterError(
            f"attachment_sync_direction {direction.value} does not go with "
            f"return_attachments={with_data}",
            remedy="With attachments: bidirectional or upload; without: upload or none",
        )
    form = {
        "replicaName": name,
        "layers": ",".join(str(layer.id) for layer in layers),
        "layerQueries": json.dumps(
            {str(option.layer_id): option.to_json() for option in parameters.layer_options}
        ),
        "replicaSR": _wkid(effective_spatial_reference(parameters, schema)),
        "transportType": "esriTransportTypeUrl",
        "dataFormat": "json",
        "syncModel": parameters.sync_model.value,
        "targetType": "client",
        "async": "true" if schema.supports_async else "false",
        "returnAttachments": "true" if with_data else "false",
        **filter_form(parameters.extent or _whole_extent(schema)),
    }
    if with_data:
        form["returnAttachmentsDataByUrl"] = "true"
    if schema.supports_direction_control:
        form["syncDirection"] = "bidirectional"
    if schema.supports_attachments_direction:
        form["attachmentsSyncDirection"] = direction.value
    return form


def sync_form(
    *,
    replica_id: str,
    schema: ServiceSchema,
    sync_model: SyncModel,
    generation: int | None,
    layer_generations: Mapping[int, int],
    direction: str,
    with_attachments: bool,
) -> dict[str, str]:
    """The form of ``synchronizeReplica`` for a download or snapshot."""
    form = {
        "replicaID": replica_id,
        "syncDirection": direction,
        "transportType": "esriTransportTypeUrl",
        "dataFormat": "json",
        "closeReplica": "false",
        "returnIdsForAdds": "false",
        "async": "true" if schema.supports_async else "false",
    }
    if with_attachments:
        form["returnAttachmentsDataByUrl"] = "true"
    if sync_model is SyncModel.PER_LAYER:
        form["syncLayers"] = json.dumps(
            [
                {"id": layer_id, "serverGen": number, "syncDirection": direction}
                for layer_id, number in sorted(layer_generations.items())
            ]
        )
    elif generation is not None:
        form["replicaServerGen"] = str(generation)
    return form


def filter_form(extent: Envelope | None) -> dict[str, str]:
    """The spatial filter: an envelope that rows must intersect."""
    if extent is None:
        return {}
    reference = extent.spatial_reference
    envelope = ",".join(repr(v) for v in (extent.xmin, extent.ymin, extent.xmax, extent.ymax))
    form = {"geometry": envelope, "geometryType": "esriGeometryEnvelope"}
    if reference is not None:
        form["inSR"] = _wkid(reference)
    return form


async def estimate(
    service: FeatureService,
    layers: Sequence[LayerSchema],
    parameters: GenerateGeodatabaseParameters,
    schema: ServiceSchema,
) -> dict[int, int]:
    """How many rows each filtered layer will give, by asking the service.

    This is also where a bad ``where_clause`` and an area beside the data show, before a replica
    is registered: :exc:`BadParameterError`.
    """
    options = {option.layer_id: option for option in parameters.layer_options}
    extent = parameters.extent
    counts: dict[int, int] = {}
    for layer in layers:
        option = options.get(layer.id) or GenerateLayerOption(layer_id=layer.id)
        if option.query_option is QueryOption.NONE:
            continue
        form: dict[str, str] = {}
        if option.query_option is QueryOption.USE_FILTER:
            form["where"] = option.where_clause or "1=1"
            if option.use_geometry and layer.geometry_type is not None:
                form |= filter_form(extent) | {"spatialRel": "esriSpatialRelIntersects"}
        try:
            counts[layer.id] = await service.count(layer.id, form)
        except ServiceRefusedError as error:
            if not option.where_clause or error.service_code in (403, 498, 499):
                raise
            raise BadParameterError(
                f"layer {layer.id} ({layer.name}): the service refuses the where clause "
                f"{option.where_clause!r}: {error.message}",
                remedy="Test the clause in the service's query page",
            ) from error
    spatial = [layer for layer in layers if layer.geometry_type and counts.get(layer.id) == 0]
    if extent is not None and spatial and not any(counts.get(layer.id) for layer in layers):
        _require_overlap(extent, spatial, schema)
    return counts


def _require_overlap(
    extent: Envelope, layers: Sequence[LayerSchema], schema: ServiceSchema
) -> None:
    """An empty part of the data's area may be taken, to work in; a place beside it is a mistake."""
    reference = extent.spatial_reference
    known = [
        e
        for e in (schema.full_extent, *(layer.extent for layer in layers))
        if e is not None
        and (
            e.spatial_reference is None
            or reference is None
            or e.spatial_reference.same_as(reference)
        )
    ]
    if not known or any(extent.intersects(e) for e in known):
        return
    there = known[0]
    raise BadParameterError(
        f"the area lies outside the data of {schema.url}",
        remedy=f"The data is in {there.xmin:g},{there.ymin:g},{there.xmax:g},{there.ymax:g}",
    )


def _whole_extent(schema: ServiceSchema) -> Envelope | None:
    extent = schema.full_extent
    if extent is None or extent.spatial_reference is not None:
        return extent
    return extent.in_reference(schema.spatial_reference)


def _wkid(reference: SpatialReference) -> str:
    return str(reference.wkid) if reference.wkid else json.dumps(reference.to_json())
