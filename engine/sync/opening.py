"""What work with a geodatabase and its service begins with: both are looked at, and fit."""

from engine.clock import Clock
from engine.errors import GeodatabaseError, NotAFeatureServiceError
from engine.geodatabase import catalog, replica as replica_record
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.relations import relations
from engine.layer_schema import ServiceSchema
from engine.model import SpatialReference
from engine.service.feature_service import FeatureService
from engine.sync.context import SyncContext, spool_folder
from engine.sync.job import Narrator
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.recovery import lacks_generations
from engine.sync.results import SyncGeodatabaseResult, SyncLayerResult


async def open_context(
    geodatabase: Geodatabase,
    service: FeatureService,
    parameters: SyncGeodatabaseParameters,
    *,
    clock: Clock,
    narrator: Narrator,
) -> SyncContext:
    """Load the service and put together what all steps share.

    :exc:`GeodatabaseError` if another service is at that URL now.
    """
    database = geodatabase.database
    record = await database.read(replica_record.get_replica)
    stored = await database.read(catalog.stored_layers)
    known = await database.read(replica_record.get_service)
    entries = await database.read(catalog.entries)
    try:
        schema = await service.load()
    except NotAFeatureServiceError as error:
        error.remedy = "If it has moved, tell its new URL with `fieldsync relocate`; edits are kept"
        raise
    _check_service(known, schema)
    return SyncContext(
        database=database,
        replica=record,
        tables=[e.table for e in entries],
        srs_ids={e.table.number: e.srs_id for e in entries},
        layers={layer.schema.id: layer.schema for layer in stored},
        relations=relations([(layer.schema, layer.features.table) for layer in stored]),
        schema=schema,
        service=service,
        spatial_reference=_spatial_reference(entries, known),
        parameters=parameters,
        folder=spool_folder(geodatabase.path),
        clock=clock,
        narrator=narrator,
        result=SyncGeodatabaseResult(
            geodatabase_path=geodatabase.path,
            layer_results=[
                SyncLayerResult(layer_id=layer.schema.id, table_name=layer.features.table.name)
                for layer in stored
            ],
        ),
        needs_snapshot=lacks_generations(record),
    )


def _check_service(known: ServiceSchema, schema: ServiceSchema) -> None:
    if known.item_id and schema.item_id and known.item_id != schema.item_id:
        raise GeodatabaseError(
            f"{schema.url} is another service now than the one this map was taken from",
            remedy="Ask the owner of the service; unsent edits are kept",
        )


def _spatial_reference(entries: list[catalog.Entry], known: ServiceSchema) -> SpatialReference:
    """The geometries' reference, in the service's own spelling where it is the same."""
    ids = {e.srs_id for e in entries if e.table.geometry is not None}
    if not ids:
        return known.spatial_reference
    reference = SpatialReference.of(ids.pop())
    if reference.same_as(known.spatial_reference):
        return known.spatial_reference
    return reference
