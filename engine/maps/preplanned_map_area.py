"""A map area that somebody prepared ahead of time: where it is, its packages, how it is updated.

Sources: ArcGIS REST API, "Create Map Area" and "Related items" (``Map2Area``, ``Area2Package``);
the members are those of the ArcGIS Maps SDK's ``PreplannedMapArea``.
"""

from contextlib import suppress

from engine.clock import Clock, SystemClock
from engine.errors import BadParameterError, MapError, ProtocolError, ServiceRefusedError
from engine.layer_schema import JsonObject
from engine.maps.package_item import PackageItem, extent_in
from engine.maps.package_reader import BY_PACKAGES, PackageFormat, package_format
from engine.maps.update_capabilities import OfflineMapUpdateCapabilities
from engine.model import Envelope, PreplannedPackagingStatus, PreplannedUpdateMode
from engine.service.portal import ItemInfo, Portal, PortalItem
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.loadable import Loadable

MAP_AREA = "Map Area"
"""The item type of a map area."""

_STATUS = {
    "processing": PreplannedPackagingStatus.PROCESSING,
    "failed": PreplannedPackagingStatus.FAILED,
    "complete": PreplannedPackagingStatus.COMPLETE,
}


class PreplannedMapArea(Loadable):
    """A map area of a web map. What is known before :meth:`load` is from the list of areas.

    ``credential``: one for its portal and services, or a store with one for each. Loading fails
    with :exc:`MapError` until its packages are ready to be downloaded.
    """

    def __init__(
        self,
        portal_item: PortalItem,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
        item: ItemInfo | None = None,
    ) -> None:
        super().__init__()
        self.portal_item = portal_item
        self.credential = credential
        self._clock: Clock = clock or SystemClock()
        self._item = item
        self._geometry: JsonObject | None = None
        self._extent: Envelope | None = None
        self._packages: list[PackageItem] = []
        self._formats: dict[str, PackageFormat] = {}
        self._update_capabilities: OfflineMapUpdateCapabilities | None = None

    @property
    def title(self) -> str:
        """Its name; the item's id before the portal was asked."""
        return self.portal_item.item_id if self._item is None else self._item.title

    @property
    def packaging_status(self) -> PreplannedPackagingStatus:
        """Whether it can be downloaded. Areas of older portals do not tell, and can."""
        told = None if self._item is None else self._item.properties.get("status")
        if isinstance(told, str):
            return _STATUS.get(told.casefold(), PreplannedPackagingStatus.UNKNOWN)
        return PreplannedPackagingStatus.UNKNOWN

    @property
    def area_of_interest(self) -> Envelope | None:
        """The rectangle around the area; None before :meth:`load`, and if its portal tells none."""
        return self._extent

    @property
    def geometry(self) -> JsonObject | None:
        """The area as its author drew it: an Esri JSON polygon or envelope."""
        return self._geometry

    @property
    def package_items(self) -> list[PackageItem]:
        """Its packages, of features and of tiles. Empty before :meth:`load`."""
        return list(self._packages)

    @property
    def update_capabilities(self) -> OfflineMapUpdateCapabilities | None:
        """How a map of it can be kept current by this engine; None before :meth:`load`."""
        return self._update_capabilities

    @property
    def size_bytes(self) -> int:
        """What its packages have together, tiles left out, as far as the portal tells sizes."""
        return sum(max(one.size_bytes, 0) for one in self._packages if one.has_features)

    def format_of(self, package: PackageItem) -> PackageFormat | None:
        """What is in a package's file, if that was of interest when the area was loaded."""
        return self._formats.get(package.item_id)

    def supports(self, mode: PreplannedUpdateMode) -> bool:
        """Whether a map of it can be kept current in that way. Whether the services take new
        features shows when they are asked."""
        can = self._update_capabilities
        if can is None or not any(one.has_features for one in self._packages):
            return False
        if mode is PreplannedUpdateMode.NO_UPDATES:
            return True
        syncs = can.supports_sync_with_feature_services
        if mode not in BY_PACKAGES:
            return syncs
        return can.supports_scheduled_updates_for_features and (syncs or not mode.uploads)

    def require_support(self, mode: PreplannedUpdateMode) -> None:
        """:exc:`BadParameterError` with the modes that there are, unless it :meth:`supports` it."""
        if self.supports(mode):
            return
        if not any(one.has_features for one in self._packages):
            raise MapError(
                f"the map area {self.title} has no package with features",
                remedy="Take the web map itself, or have the map area made anew",
            )
        offered = [one.name.lower() for one in PreplannedUpdateMode if self.supports(one)]
        raise BadParameterError(
            f"the map area {self.title} does not offer the update mode {mode.name.lower()}",
            remedy=f"It offers {', '.join(offered)}",
        )

    async def _load(self) -> None:
        async with Session(credential=self.credential, clock=self._clock) as session:
            portal = Portal(self.portal_item.portal, session)
            self._item = item = await portal.item(self.portal_item.item_id)
            _require_area(item)
            self._require_complete(item)
            self._geometry, self._extent = await _area(portal, item)
            related = await portal.related_items(item.id, "Area2Package")
            self._packages = [await _package(portal, one) for one in related]
            features = [one for one in self._packages if one.has_features and not one.problem]
            keeps_updates = any(one.keeps_updates for one in features)
            for one in features if keeps_updates else ():
                with suppress(ServiceRefusedError):  # whose file is not had, is not read
                    self._formats[one.item_id] = await package_format(portal, one)
        found = [self._formats.get(one.item_id, PackageFormat.UNKNOWN) for one in features]
        self._update_capabilities = OfflineMapUpdateCapabilities(
            supports_scheduled_updates_for_features=keeps_updates
            and all(one.has_updates_we_read for one in found),
            supports_sync_with_feature_services=any(one.is_syncable for one in features),
        )

    def _require_complete(self, item: ItemInfo) -> None:
        status = self.packaging_status
        if "status" not in item.properties or status is PreplannedPackagingStatus.COMPLETE:
            return
        told = str(item.properties["status"])
        raise MapError(
            f"the packages of the map area {self.title} are not ready: {told}",
            remedy="Its author must look at it in the settings of the web map"
            if status is PreplannedPackagingStatus.FAILED
            else "Try again when they are; the settings of the web map show how far they are",
        )


def _require_area(item: ItemInfo) -> None:
    if item.type.casefold() != MAP_AREA.casefold():
        raise BadParameterError(
            f"the item {item.id} ({item.title}) is no map area, but of the type "
            f"{item.type or 'unknown'}",
            remedy="Give a map area; `fieldsync areas` lists those of a web map",
        )


async def _area(portal: Portal, item: ItemInfo) -> tuple[JsonObject | None, Envelope | None]:
    """The area's geometry, by value or in a resource beside the item; and its rectangle."""
    found: dict[str, object] = {}
    for name in ("area", "extent"):
        value = item.properties.get(name)
        if isinstance(value, dict) and isinstance(value.get("resource"), str):
            try:
                value = await portal.resource_json(item.id, value["resource"])
            except (ServiceRefusedError, ProtocolError):
                continue  # the other member may tell it
        if value is not None:
            found[name] = value
    drawn = found.get("area", found.get("extent"))
    return drawn if isinstance(drawn, dict) else None, extent_in(found)


async def _package(portal: Portal, item: ItemInfo) -> PackageItem:
    """A portal's list need not have the properties of its items."""
    package = PackageItem.from_item(item)
    if package.has_features and not item.properties:
        return PackageItem.from_item(await portal.item(item.id))
    return package
