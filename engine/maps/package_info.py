"""``package.info`` and ``map.json``: what an offline map is, and how it came here.

``package.info`` is ours; ``map.json`` is a web map as the Web Map Specification has it, whose
operational layers refer to the geodatabase files beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from engine import atomic
from engine.errors import EngineError, MapError, MapNotFoundError
from engine.layer_schema import LayerSchema
from engine.model import Envelope, PreplannedUpdateMode, SpatialReference

INFO_NAME = "package.info"
MAP_NAME = "map.json"
FORMAT = 1
NO_UPDATES = "noUpdates"
UPDATE_BY_SYNC = "syncWithFeatureServices"
UPDATE_BY_PACKAGES = "downloadScheduledUpdates"
UPDATE_BY_PACKAGES_AND_NEW = "downloadScheduledUpdatesAndUploadNewFeatures"
"""Update modes: the names of ``PreplannedUpdateMode`` in the ArcGIS Maps SDK."""
UPDATE_MODES = {
    PreplannedUpdateMode.NO_UPDATES: NO_UPDATES,
    PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES: UPDATE_BY_SYNC,
    PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES: UPDATE_BY_PACKAGES,
    PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES: (
        UPDATE_BY_PACKAGES_AND_NEW
    ),
}
MAX_BYTES = 64 * 1024 * 1024  # a web map with its symbols is far smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class MapService:
    """One geodatabase of the map: its file in the map's folder and its feature service.

    ``package_item_id``: the package of the map area that it was taken from; empty without one.
    """

    file: str
    url: str
    package_item_id: str = ""

    def to_json(self) -> dict[str, object]:
        package = {"package_item_id": self.package_item_id} if self.package_item_id else {}
        return {"file": self.file, "url": self.url, **package}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        return cls(
            file=_file_name(value["file"]),
            url=str(value["url"]),
            package_item_id=str(value.get("package_item_id") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A layer or table of the map that was not taken, and why. ``id``: its id in the map."""

    id: str
    title: str
    is_table: bool
    error: EngineError

    def to_json(self) -> dict[str, object]:
        names = {"id": self.id, "title": self.title, "is_table": self.is_table}
        return {**names, "error": self.error.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        told = value.get("error")
        told = told if isinstance(told, dict) else {}
        error = MapError(str(told.get("message", "")), remedy=str(told.get("remedy", "")))
        error.code = str(told.get("code", error.code))
        return cls(
            id=str(value.get("id", "")),
            title=str(value.get("title", "")),
            is_table=value.get("is_table") is True,
            error=error,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageInfo:
    """How a map was taken. ``taken_at`` is UTC text; ``item_id`` and the URL of its ``portal`` are
    empty without a portal item.

    ``area_item_id``: the map area that was prepared ahead of time, if it was taken from one; then
    ``item_id`` is the web map's, if that is known. ``job_id``: the job that took it; empty if that
    is not known. ``left_out``: what of it was not taken.
    """

    title: str
    taken_at: str
    taken_how: str
    update_mode: str
    services: tuple[MapService, ...]
    item_id: str = ""
    portal: str = ""
    area_item_id: str = ""
    left_out: tuple[LeftOut, ...] = ()
    area: Envelope | None = None
    job_id: str = ""
    extra: dict[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {
            **self.extra,
            "format": FORMAT,
            "title": self.title,
            "item_id": self.item_id,
            "portal": self.portal,
            "area_item_id": self.area_item_id,
            "taken_how": self.taken_how,
            "taken_at": self.taken_at,
            "update_mode": self.update_mode,
            "area": None if self.area is None else self.area.to_json(),
            "job_id": self.job_id,
            "services": [service.to_json() for service in self.services],
            "left_out": [one.to_json() for one in self.left_out],
        }

    @classmethod
    def read(cls, folder: Path) -> Self:
        """From ``package.info`` in the folder.

        :exc:`MapNotFoundError` if there is none, :exc:`MapError` if it cannot be understood.
        """
        value = read_json(folder / INFO_NAME, folder)
        services = value.get("services")
        area = value.get("area")
        if value.get("format") != FORMAT or not isinstance(services, list):
            raise MapError(
                f"{folder / INFO_NAME} is of an unknown format",
                remedy="It may have been written by a newer fieldsync; install that",
            )
        try:
            found = tuple(MapService.from_json(service) for service in services)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MapError(f"{folder / INFO_NAME} names a service without file and url") from error
        known = set(cls.__dataclass_fields__) | {"format"}
        return cls(
            title=str(value.get("title", folder.name)),
            item_id=str(value.get("item_id") or ""),
            portal=str(value.get("portal") or ""),
            area_item_id=str(value.get("area_item_id") or ""),
            left_out=_left_out(value.get("left_out")),
            taken_how=str(value.get("taken_how", "")),
            taken_at=str(value.get("taken_at", "")),
            update_mode=str(value.get("update_mode", "")),
            job_id=str(value.get("job_id") or ""),
            area=Envelope.from_json(area) if isinstance(area, dict) else None,
            services=found,
            extra={k: v for k, v in value.items() if k not in known},
        )

    def write(self, folder: Path) -> None:
        """Write ``package.info``, whole or not at all."""
        atomic.write_json(folder / INFO_NAME, self.to_json())


def _left_out(value: object) -> tuple[LeftOut, ...]:
    listed = value if isinstance(value, list) else []
    return tuple(LeftOut.from_json(one) for one in listed if isinstance(one, dict))


def read_json(path: Path, folder: Path) -> dict[str, object]:
    """The JSON object in a file of a map folder, with errors that say what is wrong with it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MapError(f"{path} is larger than {MAX_BYTES} bytes")
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise MapNotFoundError(f"{folder} holds no offline map (no {path.name})") from None
    except (OSError, ValueError, RecursionError) as error:
        raise MapError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise MapError(f"{path} is no JSON object")
    return value


def _file_name(name: object) -> str:
    """A name that stays inside the map's folder."""
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".gpkg"):
        raise ValueError(name)
    return name


def web_map(
    title: str,
    services: list[tuple[MapService, str, list[tuple[LayerSchema, str]]]],
    spatial_reference: SpatialReference,
) -> dict[str, object]:
    """The web map of a map taken from plain feature services.

    ``services``: each with the item id of its service, and its layers with their definition
    expression (empty: none). A service lists its uppermost layer first, a web map its lowest.
    """
    layers: list[dict[str, object]] = []
    tables: list[dict[str, object]] = []
    for service, item_id, schemas in services:
        for layer, where in reversed(schemas):
            entry: dict[str, object] = {
                "id": f"{Path(service.file).stem}_{layer.id}",
                "title": layer.name,
                "url": f"{service.url}/{layer.id}",
            }
            if item_id:
                entry["itemId"] = item_id
            if where:
                entry["layerDefinition"] = {"definitionExpression": where}
            if layer.geometry_type is None:
                tables.append(entry)
            else:
                layers.append({**entry, "layerType": "ArcGISFeatureLayer", "visibility": True})
    return {
        "operationalLayers": layers,
        "tables": tables,
        "baseMap": {"title": "", "baseMapLayers": []},
        "spatialReference": spatial_reference.to_json(),
        "authoringApp": "fieldsync",
        "version": "2.31",
        "title": title,
    }
