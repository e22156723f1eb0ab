"""Whether a map has something to send or to fetch now, and how much. Asking changes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.clock import Clock
from engine.errors import EngineError
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.package_record import get_package
from engine.maps.offline_map import OfflineMap
from engine.maps.package_update import PackageUpdate
from engine.maps.update_packages import UpdateKind
from engine.model import OfflineUpdateAvailability, PreplannedUpdateMode
from engine.service.session import Session
from engine.sync.update_check import LayerUpdates, check_geodatabase


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapLayerUpdates:
    """What a sync would bring down of one layer; ``estimated_bytes`` as they are on the wire,
    before compression. Edits of this device that it has sent since the last download count too."""

    estimated_rows: int
    estimated_attachments: int
    estimated_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapGeodatabaseUpdates:
    """The same for one geodatabase, and how it is kept current.

    ``whole_package_reason``: why all of its package is needed instead of update files, in the words
    of half a sentence; empty if it is not. ``error``: why it could not be found out.
    """

    path: Path
    update_mode: PreplannedUpdateMode
    download_availability: OfflineUpdateAvailability
    upload_availability: OfflineUpdateAvailability
    scheduled_updates_download_size: int = 0
    whole_package_reason: str = ""
    error: EngineError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapUpdatesInfo:
    """Whether there is something to upload or download now; ask again for a newer answer.

    ``layers``: (geodatabase file, table name) → what would come down, for layers of which that is
    known. ``scheduled_updates_download_size``: of the geodatabases that are kept current by
    packages, exactly the bytes that a sync would download, as far as the portal tells sizes.
    """

    download_availability: OfflineUpdateAvailability
    upload_availability: OfflineUpdateAvailability
    layers: Mapping[tuple[str, str], OfflineMapLayerUpdates] = field(default_factory=dict)
    scheduled_updates_download_size: int = 0
    geodatabases: tuple[OfflineMapGeodatabaseUpdates, ...] = ()

    @property
    def is_mobile_map_package_reopen_required(self) -> bool:
        """Always False: a geodatabase is only ever changed by transactions inside its file."""
        return False


async def check_map(map_: OfflineMap, session: Session, clock: Clock) -> OfflineMapUpdatesInfo:
    """What a sync of the map would do now."""
    layers: dict[tuple[str, str], OfflineMapLayerUpdates] = {}
    found = []
    for geodatabase in map_.geodatabases:
        name = geodatabase.path.name
        one = OfflineMapGeodatabaseUpdates(
            path=geodatabase.path,
            update_mode=geodatabase.replica.update_mode,
            download_availability=OfflineUpdateAvailability.NONE,
            upload_availability=await _uploads(geodatabase),
        )
        if await geodatabase.database.read(get_package) is not None:
            one = await _check_package(one, PackageUpdate(geodatabase, session, clock))
        elif one.update_mode is not PreplannedUpdateMode.NO_UPDATES:
            updates = await check_geodatabase(session, geodatabase)
            one = replace(one, download_availability=updates.availability)
            layers |= {(name, table): _layer(told) for table, told in updates.layers.items()}
        found.append(one)
    return OfflineMapUpdatesInfo(
        download_availability=_together(one.download_availability for one in found),
        upload_availability=_together(one.upload_availability for one in found),
        layers=layers,
        scheduled_updates_download_size=sum(o.scheduled_updates_download_size for o in found),
        geodatabases=tuple(found),
    )


def _layer(updates: LayerUpdates) -> OfflineMapLayerUpdates:
    return OfflineMapLayerUpdates(
        estimated_rows=updates.rows,
        estimated_attachments=updates.attachments,
        estimated_bytes=updates.size_bytes,
    )


async def _uploads(geodatabase: Geodatabase) -> OfflineUpdateAvailability:
    if geodatabase.replica.update_mode.uploads and await geodatabase.has_local_edits():
        return OfflineUpdateAvailability.AVAILABLE
    return OfflineUpdateAvailability.NONE


async def _check_package(
    one: OfflineMapGeodatabaseUpdates, update: PackageUpdate
) -> OfflineMapGeodatabaseUpdates:
    """Whether the package is newer, and the bytes; not known while the portal cannot be asked."""
    try:
        plan = await update.plan()
    except EngineError as error:
        unknown = OfflineUpdateAvailability.INDETERMINATE
        return replace(one, download_availability=unknown, error=error)
    if plan.kind is UpdateKind.NOTHING:
        return one
    return replace(
        one,
        download_availability=OfflineUpdateAvailability.AVAILABLE,
        scheduled_updates_download_size=plan.size_bytes,
        whole_package_reason=plan.reason,
    )


def _together(states: Iterable[OfflineUpdateAvailability]) -> OfflineUpdateAvailability:
    """Something if one has something, else unknown if one is not known."""
    found = set(states)
    for state in (OfflineUpdateAvailability.AVAILABLE, OfflineUpdateAvailability.INDETERMINATE):
        if state in found:
            return state
    return OfflineUpdateAvailability.NONE
