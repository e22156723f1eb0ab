"""A map whose feature service has moved to another URL."""

from dataclasses import replace

from engine import atomic
from engine.clock import Clock
from engine.errors import BadParameterError
from engine.geodatabase.geodatabase import Geodatabase
from engine.maps.offline_map import OfflineMap
from engine.maps.package_info import MAP_NAME
from engine.service.sign_in import Credentials
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask


async def relocate_service(
    map_: OfflineMap,
    url: str,
    *,
    file: str | None = None,
    credential: Credentials | None = None,
    clock: Clock | None = None,
) -> Geodatabase:
    """From now on the geodatabase ``file`` of ``map_`` is synced with the service at ``url``.

    It must be the same service: the same portal item, or one that knows the replica. ``file`` may
    be left out if the map has one geodatabase, or one of that service's item. Returns the
    geodatabase. Interrupted, it can be repeated.
    """
    async with GeodatabaseSyncTask(url, credential=credential, clock=clock) as task:
        await task.load()
        geodatabase = _chosen(map_.geodatabases, file, task.schema.item_id)
        await task.relocate_geodatabase(geodatabase)
        # The list of services is written last: it tells a repetition which URL was the old one.
        name = geodatabase.path.name
        for service in map_.info.services:
            if service.file == name:
                moved = _moved(map_.definition, service.url, task.url)
                atomic.write_json(map_.folder / MAP_NAME, moved)
        services = tuple(
            replace(s, url=task.url) if s.file == name else s for s in map_.info.services
        )
        replace(map_.info, services=services).write(map_.folder)
    return geodatabase


def _chosen(geodatabases: list[Geodatabase], file: str | None, item_id: str) -> Geodatabase:
    if file is not None:
        found = [g for g in geodatabases if g.path.name == file]
    elif len(geodatabases) > 1:
        found = [g for g in geodatabases if item_id and g.replica.item_id == item_id]
    else:
        found = geodatabases
    if len(found) != 1:
        names = ", ".join(g.path.name for g in geodatabases)
        raise BadParameterError(
            "it is not clear which geodatabase of the map is meant",
            remedy=f"Name one of them: {names}",
        )
    return found[0]


def _moved(value: object, old: str, new: str) -> object:
    """A web map in which everything at the URL ``old`` is at ``new``."""
    if isinstance(value, dict):
        return {name: _moved(inner, old, new) for name, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, old, new) for inner in value]
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value
