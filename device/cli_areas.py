"""``fieldsync areas``: the map areas of a web map, and which maps here were taken of them."""

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from device.cli_credentials import credentials
from device.cli_errors import UsageError
from device.cli_parser_take import UPDATE_MODES
from device.cli_run import run_async
from device.console import Console, Report
from device.tables import size, table
from engine import EngineError, OfflineMap, OfflineMapTask, PortalItem, PreplannedMapArea

HEADINGS = ("area", "id", "status", "update modes", "size", "here")
WHEN_STOPPED = "Nothing was changed"

Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapHere:
    """A map on this device that was taken of an area; ``size_bytes`` is all its files'."""

    map: str
    update_mode: str
    taken_at: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaFacts:
    """One map area. Until its packages are ready ``error`` says why nothing more is known."""

    title: str
    item_id: str
    status: str
    update_modes: tuple[str, ...]
    size_bytes: int | None
    extent: Json | None
    packages: tuple[Json, ...]
    maps: tuple[MapHere, ...]
    error: Json | None


def run(options: Namespace, _console: Console) -> Report:
    """List the map areas."""
    return run_async(lambda: _areas(options), when_stopped=WHEN_STOPPED)


async def _areas(options: Namespace) -> Report:
    item = _item(options)
    if not options.maps.is_dir():
        raise UsageError(f"there is no folder {options.maps}", remedy="Give --maps another one")
    async with OfflineMapTask(item, credential=credentials(options)) as task:
        found = [await _facts(one, options.maps) for one in await task.get_preplanned_map_areas()]
    return Report(
        data={
            "item_id": item.item_id,
            "portal": item.portal,
            "areas": [asdict(one) for one in found],
        },
        lines=list(_lines(found)),
    )


def _item(options: Namespace) -> PortalItem:
    if options.portal is None:
        found = PortalItem.find(options.url)
        if found is not None:
            return found
        return PortalItem.parse(options.url)
    return PortalItem.parse(options.url, options.portal)


async def _facts(area: PreplannedMapArea, folder: Path) -> AreaFacts:
    error: Json | None = None
    try:
        await area.load()
    except EngineError as failed:
        error = failed.to_json()
    extent, packages = area.area_of_interest, area.package_items
    return AreaFacts(
        title=area.title,
        item_id=area.portal_item.item_id,
        status=area.packaging_status.name.lower(),
        update_modes=tuple(word for word, mode in UPDATE_MODES.items() if area.supports(mode)),
        size_bytes=None if error is not None else area.size_bytes,
        extent=None if extent is None else extent.to_json(),
        packages=tuple(
            {
                "item_id": one.item_id,
                "title": one.title,
                "type": one.type,
                "size_bytes": one.size_bytes,
            }
            for one in packages
        ),
        maps=tuple(_maps(area, folder)),
        error=error,
    )


def _maps(area: PreplannedMapArea, folder: Path) -> Iterator[MapHere]:
    """The maps of an area among the folders in ``folder``."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            info = OfflineMap.read_info(place)
        except EngineError:
            continue  # no map, or one that `info` has to tell of
        if (info.portal, info.area_item_id) == (area.portal_item.portal, area.portal_item.item_id):
            yield MapHere(
                map=str(place),
                update_mode=info.update_mode,
                taken_at=info.taken_at,
                size_bytes=_bytes_of(place),
            )


def _bytes_of(folder: Path) -> int:
    """What all its files take. One may vanish meanwhile: SQLite's own come and go."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(place, name).stat().st_size
    return size


def _lines(areas: list[AreaFacts]) -> Iterator[str]:
    if not areas:
        yield "This web map has no map areas. They are made in its settings, under Offline."
        return
    rows = [
        (
            one.title,
            one.item_id,
            one.status,
            ", ".join(one.update_modes) or "-",
            "-" if one.size_bytes is None else size(one.size_bytes),
            ", ".join(f"{here.map} ({size(here.size_bytes)})" for here in one.maps) or "-",
        )
        for one in areas
    ]
    yield from table(HEADINGS, rows)
    for one in areas:
        if one.error is not None:
            yield f"{one.title}: {one.error['message']}. {one.error['remedy']}."
