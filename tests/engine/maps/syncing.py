"""A map that is open is synced, as an app does it."""

from typing import Any

from engine.clock import Clock
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_sync_task import (
    OfflineMapSyncJob,
    OfflineMapSyncResult,
    OfflineMapSyncTask,
)
from engine.service.credential_store import ArcGISCredentialStore
from tests.engine.sync.fleet import changed


async def sync_job(
    map_: OfflineMap,
    clock: Clock,
    credential: ArcGISCredentialStore | None = None,
    **changes: Any,
) -> OfflineMapSyncJob:
    """A job with the default parameters and these ``changes`` to them, not yet started."""
    task = OfflineMapSyncTask(map_, credential=credential, clock=clock)
    parameters = await task.create_default_offline_map_sync_parameters()
    return task.create_offline_map_sync_job(changed(parameters, changes))


async def sync_map(map_: OfflineMap, clock: Clock, **changes: Any) -> OfflineMapSyncResult:
    """Sync it to the end."""
    job = await sync_job(map_, clock, **changes)
    job.start()
    return await job.result()
