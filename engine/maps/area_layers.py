"""Which layers of a web map come with the packages of a map area, and which do not, and why."""

from collections.abc import Iterable

from engine.errors import EngineError, MapError
from engine.maps.map_source import left_out
from engine.maps.package_info import LeftOut
from engine.maps.package_item import PackageItem
from engine.maps.web_map import WebMap, WebMapLayer


class AreaLayers:
    """Keeps account of the layers of ``web_map``; None if the area's web map cannot be had."""

    def __init__(self, web_map: WebMap | None) -> None:
        self.web_map = web_map
        self._covered: set[tuple[str, int]] = set()

    def cover(
        self, url: str, layer_ids: Iterable[int], package: PackageItem, error: EngineError | None
    ) -> list[LeftOut]:
        """A package of the service at ``url`` has these layers. With an ``error`` they are not
        taken: what the map lacks then, by the ids of the web map, or the package if that shows none
        of them."""
        keys = {(url.casefold(), layer_id) for layer_id in layer_ids}
        self._covered |= keys
        if error is None:
            return []
        shown = [one for one in self._every() if _key(one) in keys]
        return [left_out(one, error) for one in shown] or [package_left_out(package, error)]

    def not_covered(self) -> list[LeftOut]:
        """What comes with no package. What its author keeps online is not missing."""
        found = []
        for layer in self._every():
            if layer.stays_online or layer.is_embedded or _key(layer) in self._covered:
                continue
            why = layer.problem or "the map area has no package with it"
            found.append(
                left_out(
                    layer,
                    MapError(
                        f"{layer.title!r} is not taken: {why}",
                        remedy="The map keeps the reference to it; its author chooses what a map "
                        "area holds",
                    ),
                )
            )
        return found

    def _every(self) -> tuple[WebMapLayer, ...]:
        return () if self.web_map is None else self.web_map.every


def package_left_out(package: PackageItem, error: EngineError) -> LeftOut:
    """The note that a package was not taken."""
    return LeftOut(id=package.item_id, title=package.title, is_table=False, error=error)


def _key(layer: WebMapLayer) -> tuple[str, int]:
    return layer.service_url.casefold(), layer.layer_id
