"""Map areas prepared ahead of time: their packages, and the update files between two of them.

Source: ArcGIS REST API, "Create Map Area", "Setup Map Area", "Refresh Map Area Package", and
"Scheduled updates" of the offline maps guide. All clients of an area start from the one replica
of its package; every refresh that finds changes adds a resource `d_<new generation>` to the
package item, and old ones are purged after `maxDeltaAge` days.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from .create_replica import create_replica
from .exchange import EMBEDDED, Asked, Delivery
from .hosted import Actor, Hosted
from .parameters import Parameters
from .portal import Item, Portal
from .problem import DataError, ServiceError
from .synchronize import synchronize_replica

_SERVICE = re.compile(r"/services/([^/]+)/FeatureServer")
_DAY_MS = 86_400_000
_BUILDER = Actor(name="packaging", is_owner=True)


class Packer(Protocol):
    """Makes the file a package item or an update resource holds out of a JSON replica file."""

    @property
    def suffix(self) -> str:
        """How the names of its files end."""
        ...

    def pack(self, hosted: Hosted, document: dict[str, Any]) -> bytes:
        """The bytes of the file for a replica or delta document."""
        ...


class JsonPacker:
    """Packages that are JSON replica files."""

    suffix = ".json"

    def pack(self, hosted: Hosted, document: dict[str, Any]) -> bytes:
        return json.dumps(document, separators=(",", ":")).encode()


class MapAreas:
    """Builds and refreshes the packages of a portal."""

    def __init__(self, portal: Portal, hosted: Mapping[str, Hosted], packer: Packer) -> None:
        self._portal = portal
        self._hosted = hosted
        self._packer = packer

    def prepare(self, origin: str) -> None:
        """Build every package that has no data yet; DataError for one that cannot be built."""
        for area in self._portal.items():
            for package in self._portal.related(area, "Area2Package"):
                if package.data() is None:
                    try:
                        self._build(package, origin)
                    except ServiceError as error:
                        told = "; ".join([error.message, *error.details])
                        raise DataError(f"{package.folder / 'item.json'}: {told}") from error

    def refresh(self, area_id: str, origin: str) -> dict[str, str]:
        """Refresh the packages of one area: package id -> `changed` or `unchanged`."""
        area = self._portal.item(area_id)
        packages = self._portal.related(area, "Area2Package")
        return {
            package.id: "changed" if self._refresh(package, origin) else "unchanged"
            for package in packages
            if self._is_made_here(package)
        }

    def _is_made_here(self, package: Item) -> bool:
        return bool((package.document().get("properties") or {}).get("replicaID"))

    def _build(self, package: Item, origin: str) -> None:
        document = package.document()
        properties = document.setdefault("properties", {})
        hosted = self._service(properties)
        fields = {
            "replicaName": f"package_{package.id}",
            "layers": json.dumps(properties.get("layers", list(hosted.service.layers))),
            "layerQueries": json.dumps(properties.get("layerQueries") or {}),
            "returnAttachments": str(bool(properties.get("returnAttachments"))),
            "returnAttachmentsDataByUrl": "false",
            "syncModel": properties.get("syncModel", "perLayer"),
            **_geometry(properties),
        }
        if properties.get("attachmentsSyncDirection"):
            fields["attachmentsSyncDirection"] = properties["attachmentsSyncDirection"]
        answer = _read(create_replica(hosted, _BUILDER, _asked(origin, hosted, fields)))
        _keep(properties, answer)
        properties["replicaID"] = answer["replicaID"]
        properties["lastPurgedGen"] = _generation(properties)
        self._write_package(hosted, package, answer)
        package.save(document)

    def _refresh(self, package: Item, origin: str) -> bool:
        document = package.document()
        properties = document["properties"]
        hosted = self._service(properties)
        fields = {
            **_since(properties),
            "replicaID": properties["replicaID"],
            "returnAttachmentsDataByUrl": "false",  # a package is whole, as when it was built
        }
        delta = self._synchronize(hosted, origin, {**fields, "syncDirection": "download"})
        if delta["responseType"] == "esriReplicaResponseTypeNoEdits":
            return False
        _keep(properties, delta)
        whole = self._synchronize(hosted, origin, {**fields, "syncDirection": "snapshot"})
        self._write_package(hosted, package, whole)
        folder = package.folder / "resources"
        folder.mkdir(exist_ok=True)
        name = f"d_{_generation(properties)}{self._packer.suffix}"
        (folder / name).write_bytes(self._packer.pack(hosted, delta))
        document.setdefault("resourceDates", {})[name] = hosted.clock.now_ms()
        self._purge(package, document, hosted.clock.now_ms())
        document["modified"] = hosted.clock.now_ms()
        package.save(document)
        return True

    def _purge(self, package: Item, document: dict[str, Any], now_ms: int) -> None:
        properties = document["properties"]
        life_ms = int((properties.get("createPkgDeltas") or {}).get("maxDeltaAge", 5)) * _DAY_MS
        dates: dict[str, int] = document["resourceDates"]
        for file in package.resources():
            if _generation_of(file.name) <= properties["lastPurgedGen"]:
                file.unlink()
                dates.pop(file.name, None)
        old = [_generation_of(name) for name, made in dates.items() if now_ms - made > life_ms]
        properties["lastPurgedGen"] = max([properties["lastPurgedGen"], *old])

    def _synchronize(self, hosted: Hosted, origin: str, fields: dict[str, str]) -> dict[str, Any]:
        return _read(synchronize_replica(hosted, _BUILDER, _asked(origin, hosted, fields)))

    def _write_package(self, hosted: Hosted, package: Item, document: dict[str, Any]) -> None:
        path = package.folder / f"data{self._packer.suffix}"
        path.write_bytes(self._packer.pack(hosted, document))

    def _service(self, properties: Mapping[str, Any]) -> Hosted:
        found = _SERVICE.search(str(properties.get("url")))
        if found is None or found.group(1) not in self._hosted:
            raise ServiceError(400, "Invalid package.", f"no service at {properties.get('url')}")
        return self._hosted[found.group(1)]


def _asked(origin: str, hosted: Hosted, fields: Mapping[str, str]) -> Asked:
    base = f"{origin}/arcgis/rest/services/{hosted.service.name}"
    return Asked(
        parameters=Parameters([*fields.items(), ("transportType", EMBEDDED)]),
        service_url=f"{base}/FeatureServer",
        files_url=f"{base}/replicafiles",
    )


def _read(delivery: Delivery) -> dict[str, Any]:
    if delivery.file is None:
        return dict(delivery.document)
    document = json.loads(delivery.file.read_text(encoding="utf-8"))
    delivery.file.unlink()
    return dict(document)


def _geometry(properties: Mapping[str, Any]) -> dict[str, str]:
    area = properties.get("area") or {}
    if "rings" in area:
        return {"geometry": json.dumps(area), "geometryType": "esriGeometryPolygon"}
    return {"geometry": json.dumps(properties.get("extent") or {})}


def _keep(properties: dict[str, Any], answer: Mapping[str, Any]) -> None:
    for member in ("layerServerGens", "replicaServerGen"):
        if member in answer:
            properties[member] = answer[member]


def _generation(properties: Mapping[str, Any]) -> int:
    if properties.get("replicaServerGen") is not None:
        return int(properties["replicaServerGen"])
    return int(properties["layerServerGens"][0]["serverGen"])


def _since(properties: Mapping[str, Any]) -> dict[str, str]:
    if properties.get("replicaServerGen") is not None:
        return {"replicaServerGen": str(properties["replicaServerGen"])}
    return {"syncLayers": json.dumps(properties["layerServerGens"])}


def _generation_of(name: str) -> int:
    found = re.match(r"d_(\d+)\.", name)
    return int(found.group(1)) if found else 1 << 62
