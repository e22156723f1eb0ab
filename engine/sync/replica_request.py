"""What we ask of ``createReplica`` and ``synchronizeReplica``, and the checks before asking.

Sources: ArcGIS REST API, "Create replica" (parameters, allowed pairs of attachment settings),
"Synchronize replica", "Sync-enabled feature services".
"""

import json
import re
import socket
import uuid
from collections.abc import Mapping, Sequence

from engine.errors import (
    AuthenticationError,
    BadParameterError,
    PermissionDeniedError,
    ProtocolError,
    ServiceRefusedError,
    SyncNotEnabledError,
)
from engine.geodatabase.replica import Replica
from engine.layer_schema import JsonObject, LayerSchema, ServiceSchema
from engine.model import (
    AttachmentSyncDirection,
    Envelope,
    QueryOption,
    SpatialReference,
    SyncModel,
)
from engine.service.feature_service import FeatureService, wkid_text
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
    return f"{_device_prefix()}{uuid.uuid4()}"


def is_of_this_device(name: str) -> bool:
    """Whether :func:`replica_name` gave that name on this device."""
    return name.startswith(_device_prefix())


def _device_prefix() -> str:
    device = re.sub(r"[^A-Za-z0-9]+", "", socket.gethostname())[:24] or "device"
    return f"fieldsync-{device}-"


def replica_id_in(members: JsonObject) -> str:
    """The ``replicaID`` of an envelope or a file's header; empty without one."""
    for name, value in members.items():
        if name.casefold() == "replicaid" and isinstance(value, str):
            return value
    return ""


async def replica_id_of(service: FeatureService, members: JsonObject, name: str) -> str:
    """The id of the replica that was made under ``name``; an answer may leave it out.

    :exc:`ProtocolError` if the service does not list it either.
    """
    if found := replica_id_in(members):
        return found
    for listed, replica_id in await service.replicas():
        if listed == name:
            return replica_id
    raise ProtocolError(f"{service.url} made a replica without saying its id")


def definition_of(
    record: Replica,
    schema: ServiceSchema,
    spatial_reference: SpatialReference,
) -> GenerateGeodatabaseParameters:
    """What the replica of ``record`` was made of, to be asked for again."""
    direction = record.attachment_direction
    model = record.sync_model
    return GenerateGeodatabaseParameters(
        extent=None if record.extent is None else Envelope.from_json(record.extent),
        layer_options=[
            GenerateLayerOption.from_json(layer.layer_id, layer.options)
            for layer in record.layers
            if layer.options and layer.layer_id in schema.layer_ids
        ],
        out_spatial_reference=spatial_reference,
        return_attachments=direction is AttachmentSyncDirection.BIDIRECTIONAL,
        attachment_sync_direction=direction,
        sync_model=model if model in schema.sync_models else schema.sync_models[0],
    )


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
        "replicaSR": wkid_text(effective_spatial_reference(parameters, schema)),
        "transportType": "esriTransportTypeUrl",
        "dataFormat": "json",
        "syncModel": parameters.sync_model.value,
        "targetType": "client",
        "async": "true" if schema.supports_async else "false",
        "returnAttachments": "true" if with_data else "false",
        **filter_form(parameters.extent or _whole_extent(schema, layers)),
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
        form["inSR"] = wkid_text(reference)
    return form


async def estimate(
    service: FeatureService,
    layers: Sequence[LayerSchema],
    parameters: GenerateGeodatabaseParameters,
    schema: ServiceSchema,
) -> dict[int, int]:
    """How many rows each layer will give, as :func:`count_rows`.

    This is also where an area beside the data shows, before a replica is registered:
    :exc:`BadParameterError`.
    """
    counts = await count_rows(service, layers, parameters)
    options = {option.layer_id: option for option in parameters.layer_options}
    filtered = []
    for layer in layers:
        option = options.get(layer.id) or GenerateLayerOption(layer_id=layer.id)
        is_filtered = option.query_option is QueryOption.USE_FILTER and option.use_geometry
        if is_filtered and layer.geometry_type is not None:
            filtered.append(layer)
    if (
        parameters.extent is not None
        and filtered
        and not any(counts[layer.id] for layer in filtered)
    ):
        await _require_overlap(service, parameters.extent, filtered, schema)
    return counts


async def count_rows(
    service: FeatureService,
    layers: Sequence[LayerSchema],
    parameters: GenerateGeodatabaseParameters,
) -> dict[int, int]:
    """How many rows each layer has for these parameters, by asking the service.

    Layers whose rows come by their relationships are left out: no query counts those.
    :exc:`BadParameterError` for a ``where_clause`` that the service refuses.
    """
    options = {option.layer_id: option for option in parameters.layer_options}
    counts: dict[int, int] = {}
    for layer in layers:
        option = options.get(layer.id) or GenerateLayerOption(layer_id=layer.id)
        if option.query_option is QueryOption.NONE:
            continue
        form: dict[str, str] = {}
        if option.query_option is QueryOption.USE_FILTER:
            form["where"] = option.where_clause or "1=1"
            if option.use_geometry and layer.geometry_type is not None:
                form |= filter_form(parameters.extent)
                form["spatialRel"] = "esriSpatialRelIntersects"
        try:
            counts[layer.id] = await service.count(layer.id, form)
        except ServiceRefusedError as error:
            is_access = isinstance(error, AuthenticationError | PermissionDeniedError)
            if is_access or not option.where_clause:
                raise
            raise BadParameterError(
                f"layer {layer.id} ({layer.name}): the service refuses the where clause "
                f"{option.where_clause!r}: {error.message}",
                remedy="Test the clause in the service's query page",
            ) from error
    return counts


async def _require_overlap(
    service: FeatureService,
    extent: Envelope,
    layers: Sequence[LayerSchema],
    schema: ServiceSchema,
) -> None:
    """An empty part of the data's area may be taken, to work in; a place beside it is a mistake.

    Only the service can tell where its data lies in the area's own spatial reference.
    """
    reference = extent.spatial_reference or schema.spatial_reference
    found = [await service.extent(layer.id, reference) for layer in layers]
    stated = _stated_extents(layers, schema, reference)  # wider, if the owner made room
    known = [e for e in found if e is not None] or stated
    if not known or any(extent.intersects(e) for e in (*known, *stated)):
        return
    numbers = (
        min(e.xmin for e in known),
        min(e.ymin for e in known),
        max(e.xmax for e in known),
        max(e.ymax for e in known),
    )
    there = ",".join(f"{number:.10g}" for number in numbers)
    raise BadParameterError(
        f"the area lies outside the data of {schema.url}",
        remedy=f"The data is in {there}{f',{reference.wkid}' if reference.wkid else ''}",
    )


def _stated_extents(
    layers: Sequence[LayerSchema], schema: ServiceSchema, reference: SpatialReference
) -> list[Envelope]:
    """What the resources say of the extent, as far as it is in ``reference``."""
    stated = [schema.full_extent, *(layer.extent for layer in layers)]
    return [
        e
        for e in stated
        if e is not None and (e.spatial_reference or schema.spatial_reference).same_as(reference)
    ]


def _whole_extent(schema: ServiceSchema, layers: Sequence[LayerSchema]) -> Envelope:
    """Where all data lies; ``createReplica`` wants a filter even where nothing is filtered."""
    for extent in (schema.full_extent, *(layer.extent for layer in layers)):
        if extent is not None:
            known = extent.spatial_reference is not None
            return extent if known else extent.in_reference(schema.spatial_reference)
    raise BadParameterError(
        f"the service {schema.url} does not say where its data lies", remedy="Give an area"
    )
