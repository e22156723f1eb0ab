"""What of a map is taken offline: parameters, overrides for single layers, and what is possible.

The members are the ArcGIS Maps SDK's ("GenerateOfflineMapParameters" and its family). How a map's
own offline settings become parameters: Web Map Specification, "Offline".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.errors import BadParameterError, EngineError
from engine.layer_schema import LayerSchema
from engine.maps.web_map import EditableDownload, EditableSync, OfflineSettings
from engine.model import (
    AttachmentSyncDirection,
    Envelope,
    GenerateOfflineMapUpdateMode,
    QueryOption,
    ReturnLayerAttachmentOption,
    SyncModel,
)
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import GenerateGeodatabaseParameters


@dataclass(slots=True, kw_only=True)
class GenerateOfflineMapParameters:
    """What of a map is taken. ``title`` names it; the web map's or the folder's name if empty.

    A layer is editable if rows of its service can be added, updated or deleted.
    ``return_schema_only_for_editable_layers`` takes no rows of them.
    ``return_layer_attachment_option`` says of which layers attachments are downloaded; where they
    are not, ``attachment_sync_direction`` bidirectional becomes upload. ``continue_on_errors``:
    layers that cannot be taken are left out, and the map tells why; else the first one ends the
    job. It fails anyhow if nothing is left.
    """

    area_of_interest: Envelope | None
    attachment_sync_direction: AttachmentSyncDirection = AttachmentSyncDirection.BIDIRECTIONAL
    return_layer_attachment_option: ReturnLayerAttachmentOption = (
        ReturnLayerAttachmentOption.ALL_LAYERS
    )
    return_schema_only_for_editable_layers: bool = False
    is_definition_expression_filter_enabled: bool = True
    update_mode: GenerateOfflineMapUpdateMode = (
        GenerateOfflineMapUpdateMode.SYNC_WITH_FEATURE_SERVICES
    )
    continue_on_errors: bool = True
    title: str = ""


@dataclass(slots=True, kw_only=True)
class OfflineMapParametersKey:
    """Where the parameters of a layer are: its service, and its id there."""

    service_url: str
    layer_id: int


@dataclass(slots=True, kw_only=True)
class GenerateOfflineMapParameterOverrides:
    """Finer choices: the parameters for each feature service, by its URL.

    ``keys``: the id of each layer and table in the map → where its parameters are. What has no
    parameters is not taken.
    """

    generate_geodatabase_parameters: dict[str, GenerateGeodatabaseParameters] = field(
        default_factory=dict
    )
    keys: dict[str, OfflineMapParametersKey] = field(default_factory=dict)

    def remove_layer(self, layer: str) -> None:
        """Do not take the layer or table of that id in the map, unless another one shows it, too.

        :exc:`BadParameterError` if there is none.
        """
        key = self.keys.pop(layer, None)
        if key is None:
            raise BadParameterError(
                f"no layer {layer!r} of the map is taken",
                remedy=f"Taken are: {', '.join(sorted(self.keys)) or 'none'}",
            )
        made = self.generate_geodatabase_parameters.get(key.service_url)
        if made is None or key in self.keys.values():
            return
        made.layer_options = [o for o in made.layer_options if o.layer_id != key.layer_id]
        if not made.layer_options:  # none would mean all
            del self.generate_geodatabase_parameters[key.service_url]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineCapability:
    """Whether a layer or table can be taken: ``error`` is why not. One whose author wants that
    ``remains_online`` is no error."""

    supports_offline: bool
    remains_online: bool = False
    error: EngineError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapCapabilities:
    """What of a map can be taken, by the ids of its layers and tables."""

    layer_capabilities: dict[str, OfflineCapability]
    table_capabilities: dict[str, OfflineCapability]

    @property
    def has_errors(self) -> bool:
        every = (*self.layer_capabilities.values(), *self.table_capabilities.values())
        return any(one.error is not None for one in every)


def default_parameters(
    area: Envelope | None, settings: OfflineSettings
) -> GenerateOfflineMapParameters:
    """What the author of a web map wants."""
    of_editable = settings.download is EditableDownload.FEATURES_AND_ATTACHMENTS
    of_readonly = settings.downloads_attachments_of_readonly
    options = {
        (True, True): ReturnLayerAttachmentOption.ALL_LAYERS,
        (True, False): ReturnLayerAttachmentOption.EDITABLE_LAYERS,
        (False, True): ReturnLayerAttachmentOption.READ_ONLY_LAYERS,
        (False, False): ReturnLayerAttachmentOption.NONE,
    }
    return GenerateOfflineMapParameters(
        area_of_interest=area,
        attachment_sync_direction=AttachmentSyncDirection.BIDIRECTIONAL
        if settings.sync is EditableSync.FEATURES_AND_ATTACHMENTS
        else AttachmentSyncDirection.UPLOAD,
        return_layer_attachment_option=options[of_editable, of_readonly],
        return_schema_only_for_editable_layers=settings.download is EditableDownload.NONE,
    )


async def service_parameters(
    task: GeodatabaseSyncTask, parameters: GenerateOfflineMapParameters
) -> GenerateGeodatabaseParameters:
    """The parameters for one service, all of whose layers are taken."""
    made = await task.create_default_generate_geodatabase_parameters(parameters.area_of_interest)
    taken = {option.layer_id for option in made.layer_options}
    _choose_rows(made, task, parameters, taken)
    return made


async def web_map_service_parameters(
    task: GeodatabaseSyncTask,
    parameters: GenerateOfflineMapParameters,
    settings: OfflineSettings,
    clauses: Mapping[int, str],
) -> GenerateGeodatabaseParameters:
    """The parameters for one service of a web map. ``clauses``: layer id → definition expression.

    A table has the rows that are related to those of the map's layers; one that none of them is
    related to, or that has an expression of its own, is taken by itself.
    """
    made = await task.create_default_generate_geodatabase_parameters(parameters.area_of_interest)
    made.layer_options = [o for o in made.layer_options if o.layer_id in clauses]
    schemas = {layer.id: layer for layer in task.layers}
    for option in made.layer_options:
        layer = schemas[option.layer_id]
        if parameters.is_definition_expression_filter_enabled:
            option.where_clause = clauses[option.layer_id]
        if layer.geometry_type is None:
            option.query_option = _rows_of_table(layer, option.where_clause, settings, clauses)
    if SyncModel.PER_LAYER in task.schema.sync_models:
        made.sync_model = SyncModel.PER_LAYER
    _choose_rows(made, task, parameters, set(clauses))
    return made


def _rows_of_table(
    table: LayerSchema, where: str, settings: OfflineSettings, taken: Mapping[int, str]
) -> QueryOption:
    if where:
        return QueryOption.USE_FILTER
    if any(not r.is_origin and r.related_table_id in taken for r in table.relationships):
        return QueryOption.NONE
    return QueryOption.ALL if settings.includes_rows_of_tables else QueryOption.NONE


def _choose_rows(
    made: GenerateGeodatabaseParameters,
    task: GeodatabaseSyncTask,
    parameters: GenerateOfflineMapParameters,
    taken: set[int],
) -> None:
    layers = [layer for layer in task.layers if layer.id in taken]
    is_editable = task.schema.is_editable and any(layer.is_editable for layer in layers)
    if is_editable and parameters.return_schema_only_for_editable_layers:
        for option in made.layer_options:
            option.query_option = QueryOption.NONE
            option.where_clause, option.include_related = "", False
    none, both = AttachmentSyncDirection.NONE, AttachmentSyncDirection.BIDIRECTIONAL
    direction = parameters.attachment_sync_direction
    option_for = ReturnLayerAttachmentOption
    wanted = option_for.EDITABLE_LAYERS if is_editable else option_for.READ_ONLY_LAYERS
    with_data = (
        any(layer.has_attachments for layer in layers)
        and direction is not none
        and parameters.return_layer_attachment_option in (option_for.ALL_LAYERS, wanted)
    )
    if not any(layer.has_attachments for layer in layers):
        direction = none
    elif not is_editable:
        direction = both if with_data else none
    elif not with_data and direction is both:
        direction = AttachmentSyncDirection.UPLOAD
    made.return_attachments, made.attachment_sync_direction = with_data, direction
