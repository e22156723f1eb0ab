"""What work with a geodatabase and its service begins with: both are looked at, and fit."""

from dataclasses import fields

from engine.clock import Clock
from engine.errors import GeodatabaseError, NotAFeatureServiceError
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.replica import get_service
from engine.layer_schema import ServiceSchema
from engine.service.feature_service import FeatureService
from engine.sync.context import LocalContext, SyncContext
from engine.sync.job import Narrator
from engine.sync.local_context import local_context
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.recovery import needs_snapshot


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
    local = await local_context(geodatabase, parameters, clock, narrator)
    known = await geodatabase.database.read(get_service)
    try:
        schema = await service.load()
    except NotAFeatureServiceError as error:
        error.remedy = "If it has moved, tell its new URL with `fieldsync relocate`; edits are kept"
        raise
    _check_service(known, schema)
    context = SyncContext(
        **{field.name: getattr(local, field.name) for field in fields(LocalContext)},
        schema=schema,
        service=service,
    )
    context.needs_snapshot = needs_snapshot(context)
    return context


def _check_service(known: ServiceSchema, schema: ServiceSchema) -> None:
    if known.item_id and schema.item_id and known.item_id != schema.item_id:
        raise GeodatabaseError(
            f"{schema.url} is another service now than the one this map was taken from",
            remedy="Ask the owner of the service; unsent edits are kept",
        )
