"""What a geodatabase itself says for a sync, or for work on it that needs no link."""

from engine.clock import Clock
from engine.geodatabase import catalog
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.relations import relations
from engine.geodatabase.replica import get_replica, get_service
from engine.layer_schema import ServiceSchema
from engine.model import SpatialReference
from engine.sync.context import LocalContext, spool_folder
from engine.sync.job import Narrator
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.results import SyncGeodatabaseResult, SyncLayerResult


async def local_context(
    geodatabase: Geodatabase,
    parameters: SyncGeodatabaseParameters,
    clock: Clock,
    narrator: Narrator,
) -> LocalContext:
    """Read the context of ``geodatabase``; its result has an entry for each layer."""
    database = geodatabase.database
    record = await database.read(get_replica)
    stored = await database.read(catalog.stored_layers)
    known = await database.read(get_service)
    entries = await database.read(catalog.entries)
    return LocalContext(
        database=database,
        replica=record,
        tables=[e.table for e in entries],
        srs_ids={e.table.number: e.srs_id for e in entries},
        layers={layer.schema.id: layer.schema for layer in stored},
        relations=relations([(layer.schema, layer.features.table) for layer in stored]),
        spatial_reference=spatial_reference(entries, known),
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
    )


def spatial_reference(entries: list[catalog.Entry], known: ServiceSchema) -> SpatialReference:
    """The geometries' reference, in the service's own spelling where it is the same."""
    ids = {e.srs_id for e in entries if e.table.geometry is not None}
    if not ids:
        return known.spatial_reference
    reference = SpatialReference.of(ids.pop())
    if reference.same_as(known.spatial_reference):
        return known.spatial_reference
    return reference
