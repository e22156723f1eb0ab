"""Whether a map has something to send or to fetch now, and how much. Asking changes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.clock import Clock
from engine.errors import EngineError
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.package_record import get_package
from engine.maps.offline_map import OfflineMap
from engine.maps.package_update import PackageUpdate
from engine.maps.update_packages import UpdateKind
from engine.model import OfflineUpdateAvailability, PreplannedUpdateMode
from engine.service.session import Session
from engine.sync.update_check import check_geodatabase

SENDS = frozenset(
    {
        PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES,
        PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES,
    }
)
"""Update modes in which edits go up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapLayerUpdates:
    """What a sync would bring down of one layer; ``estimated_bytes`` as they are on the wire,
    before compression. Edits of this device that it has sent since the last download count too."""

    estimated_rows: int
    estimated_attachments: int
    estimated_bytes: int


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

    @property
    def is_mobile_map_package_reopen_required(self) -> bool:
        """Always False: a geodatabase is only ever changed by transactions inside its file."""
        return False


async def check_map(map_: OfflineMap, session: Session, clock: Clock) -> OfflineMapUpdatesInfo:
    """What a sync of the map would do now."""
    states: set[OfflineUpdateAvailability] = set()
    layers: dict[tuple[str, str], OfflineMapLayerUpdates] = {}
    size_bytes = 0
    edits = [await _has_edits_to_send(geodatabase) for geodatabase in map_.geodatabases]
    for geodatabase in map_.geodatabases:
        if await geodatabase.database.read(get_package) is not None:
            state, size = await _check_package(PackageUpdate(geodatabase, session, clock))
            states.add(state)
            size_bytes += size
            continue
        updates = await check_geodatabase(session, geodatabase)
        states.add(updates.availability)
        for name, one in updates.layers.items():
            layers[(geodatabase.path.name, name)] = OfflineMapLayerUpdates(
                estimated_rows=one.rows,
                estimated_attachments=one.attachments,
                estimated_bytes=one.size_bytes,
            )
    return OfflineMapUpdatesInfo(
        download_availability=_together(states),
        upload_availability=OfflineUpdateAvailability.AVAILABLE
        if any(edits)
        else OfflineUpdateAvailability.NONE,
        layers=layers,
        scheduled_updates_download_size=size_bytes,
    )


async def _has_edits_to_send(geodatabase: Geodatabase) -> bool:
    return geodatabase.replica.update_mode in SENDS and await geodatabase.has_local_edits()


async def _check_package(update: PackageUpdate) -> tuple[OfflineUpdateAvailability, int]:
    """Whether the package is newer, and the bytes; not known while the portal cannot be asked."""
    try:
        plan = await update.plan()
    except EngineError:
        return OfflineUpdateAvailability.INDETERMINATE, 0
    if plan.kind is UpdateKind.NOTHING:
        return OfflineUpdateAvailability.NONE, 0
    return OfflineUpdateAvailability.AVAILABLE, plan.size_bytes


def _together(states: Iterable[OfflineUpdateAvailability]) -> OfflineUpdateAvailability:
    """Something if one has something, else unknown if one is not known."""
    found = set(states)
    for state in (OfflineUpdateAvailability.AVAILABLE, OfflineUpdateAvailability.INDETERMINATE):
        if state in found:
            return state
    return OfflineUpdateAvailability.NONE
