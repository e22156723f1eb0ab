"""One geodatabase of a map area's map, made again of its package as that is now."""

import shutil
from pathlib import Path

from engine.clock import Clock
from engine.errors import MapError
from engine.maps.package_info import UPDATE_BY_SYNC, UPDATE_MODES, MapService, PackageInfo
from engine.maps.package_item import PackageItem
from engine.maps.package_reader import (
    BY_PACKAGES,
    PackageSource,
    package_format,
    package_parameters,
    reader_for,
)
from engine.model import PreplannedUpdateMode
from engine.service.portal import Portal
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.generate import GeodatabaseGenerator
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask


def update_mode_of(info: PackageInfo) -> PreplannedUpdateMode:
    """How a map is kept current; :exc:`MapError` for a mode that is not known."""
    for mode, name in UPDATE_MODES.items():
        if name == (info.update_mode or UPDATE_BY_SYNC):
            return mode
    raise MapError(
        f"the map {info.title} has the unknown update mode {info.update_mode!r}",
        remedy="It may have been written by a newer fieldsync; install that",
    )


def is_of_packages(info: PackageInfo) -> bool:
    """Whether the map's rows may only come from the packages of its area."""
    return update_mode_of(info) in BY_PACKAGES


async def package_generator(
    info: PackageInfo,
    service: MapService,
    path: Path,
    *,
    credential: Credentials | None,
    clock: Clock,
) -> GeodatabaseGenerator:
    """What makes the geodatabase ``path``. When it has run, :func:`forget_package`."""
    async with Session(credential=credential, clock=clock) as session:
        portal = Portal(info.portal, session)
        package = PackageItem.from_item(await portal.item(service.package_item_id))
        package.require_definition()
        kind = await package_format(portal, package)
    async with GeodatabaseSyncTask(service.url, credential=credential, clock=clock) as task:
        await task.load()
        source = PackageSource(
            portal=info.portal,
            area_item_id=info.area_item_id,
            package=package,
            update_mode=update_mode_of(info),
            folder=_folder(path),
        )
        reader = reader_for(source, kind, task)
        return task.generator(
            package_parameters(package, task),
            path,
            rows=reader.rows(),
            update_mode=source.update_mode,
        )


def forget_package(path: Path) -> None:
    """Remove what was downloaded to make ``path``."""
    shutil.rmtree(_folder(path), ignore_errors=True)


def _folder(path: Path) -> Path:
    return path.with_name(f".{path.name}.package")
