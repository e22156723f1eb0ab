"""What the portal of the demo has: a web map of two services, and an area prepared ahead of time.

The airports and inspections of the Alps are those of scripts/demo; the countries lie in a service
of their own here, which can only be read.
"""

import json
from pathlib import Path
from typing import Any

from scripts.demo_story import data

BORDERS = "Borders"
WEB_MAP = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
AREA = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
PACKAGES = {data.SERVICE: "aaaa1111bbbb2222cccc3333dddd4444", BORDERS: "eeee5555ffff6666"}
TITLE = "Airports of the Alps"
ON_DEMAND = "5.8,45.6,17.3,49.1"  # Switzerland to Vienna
PREPARED = {"xmin": 5.8, "ymin": 45.6, "xmax": 10.7, "ymax": 48.0}
LEFT_OUT = "SI"  # the web map shows no airports of Slovenia

Json = dict[str, Any]


def write_world(folder: Path) -> dict[str, int]:
    """Write the data folder of the reference service; give how many of what are in it."""
    counts = data.write_service(folder, is_small=True)
    _set_borders_apart(folder)
    _write_item(folder, WEB_MAP, _web_map_item(), _web_map())
    _write_item(folder, AREA, _area_item(), {"mapAreas": {"mapAreasScheduledUpdatesEnabled": True}})
    layers = {data.SERVICE: [data.AIRPORTS, data.INSPECTIONS], BORDERS: [0]}
    for service, item_id in PACKAGES.items():
        _write_item(folder, item_id, _package_item(service, layers[service]))
    return counts


def package_folder(folder: Path, service: str) -> Path:
    """Where the portal keeps the package of a service."""
    return folder / "portal" / PACKAGES[service]


def keep_no_updates(folder: Path, service: str) -> None:
    """From now on the portal clears update files away as soon as there is a newer one."""
    path = package_folder(folder, service) / "item.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["properties"]["createPkgDeltas"]["maxDeltaAge"] = 0
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def _set_borders_apart(folder: Path) -> None:
    airports, borders = folder / data.SERVICE, folder / BORDERS
    document = json.loads((airports / "service.json").read_text(encoding="utf-8"))
    (countries,) = [one for one in document["layers"] if one["id"] == data.COUNTRIES]
    document["layers"].remove(countries)
    apart = {
        **document,
        "serviceDescription": "Countries",
        "capabilities": "Query,Sync,ChangeTracking",
        "layers": [{**countries, "id": 0}],
        "tables": [],
    }
    borders.mkdir()
    for place, value in ((airports, document), (borders, apart)):
        (place / "service.json").write_text(json.dumps(value, indent=1), encoding="utf-8")
    (airports / f"{data.COUNTRIES}.ndjson").rename(borders / "0.ndjson")


def _write_item(folder: Path, item_id: str, item: Json, content: Json | None = None) -> None:
    place = folder / "portal" / item_id
    place.mkdir(parents=True)
    (place / "item.json").write_text(json.dumps(item, indent=1), encoding="utf-8")
    if content is not None:
        (place / "data.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def _web_map_item() -> Json:
    related = {"Map2Area": [AREA]}
    return {"type": "Web Map", "typeKeywords": ["Offline"], "title": TITLE, "related": related}


def _area_item() -> Json:
    extent = {**PREPARED, "spatialReference": {"wkid": 4326}}
    return {
        "type": "Map Area",
        "title": "Western Alps",
        "properties": {"status": "complete", "extent": extent},
        "related": {"Area2Package": [*PACKAGES.values()]},
    }


def _package_item(service: str, layers: list[int]) -> Json:
    return {
        "type": "SQLite Geodatabase",
        "typeKeywords": ["MapAreaPackage", "Replica", "Syncable"],
        "title": service,
        "properties": {
            "url": _url(service),
            "layers": layers,
            "extent": {**PREPARED, "spatialReference": {"wkid": 4326}},
            "syncModel": "perLayer",
            "returnAttachments": True,
            "attachmentsSyncDirection": "bidirectional",
            "createPkgDeltas": {"maxDeltaAge": 5},
        },
    }


def _web_map() -> Json:
    return {
        "operationalLayers": [
            {
                "id": "countries",
                "title": "Countries",
                "layerType": "ArcGISFeatureLayer",
                "url": f"{_url(BORDERS)}/0",
                "opacity": 0.8,
                "layerDefinition": {"drawingInfo": {"renderer": _countries()}},
            },
            {
                "id": "airports",
                "title": "Airports",
                "layerType": "ArcGISFeatureLayer",
                "url": f"{_url(data.SERVICE)}/{data.AIRPORTS}",
                "layerDefinition": {
                    "definitionExpression": f"country <> '{LEFT_OUT}'",
                    "drawingInfo": {"renderer": _airports()},
                },
            },
        ],
        "tables": [
            {
                "id": "inspections",
                "title": "Inspections",
                "url": f"{_url(data.SERVICE)}/{data.INSPECTIONS}",
            }
        ],
        "baseMap": {"title": "Topographic", "baseMapLayers": []},
        "spatialReference": {"wkid": 102100, "latestWkid": 3857},
        "version": "2.31",
    }


def _url(service: str) -> str:
    return f"{{origin}}/arcgis/rest/services/{service}/FeatureServer"


def _airports() -> Json:
    looks = {
        "open": ("esriSMSCircle", [56, 140, 60, 255]),
        "restricted": ("esriSMSDiamond", [245, 160, 0, 255]),
        "closed": ("esriSMSSquare", [190, 30, 45, 255]),
    }
    outline = {
        "type": "esriSLS",
        "style": "esriSLSSolid",
        "color": [255, 255, 255, 255],
        "width": 1,
    }
    infos = [
        {
            "value": status,
            "label": status.capitalize(),
            "symbol": {
                "type": "esriSMS",
                "style": style,
                "color": color,
                "size": 8,
                "outline": outline,
            },
        }
        for status, (style, color) in looks.items()
    ]
    other = {"type": "esriSMS", "style": "esriSMSX", "color": [90, 90, 90, 255], "size": 8}
    return {
        "type": "uniqueValue",
        "field1": "status",
        "uniqueValueInfos": infos,
        "defaultSymbol": other,
        "defaultLabel": "Any other status",
    }


def _countries() -> Json:
    looks = {
        "Austria": ("esriSFSSolid", [226, 214, 190, 255]),
        "Switzerland": ("esriSFSSolid", [214, 224, 200, 255]),
        "Liechtenstein": ("esriSFSSolid", [200, 170, 190, 255]),
        "Slovenia": ("esriSFSBackwardDiagonal", [150, 150, 150, 255]),
    }
    outline = {
        "type": "esriSLS",
        "style": "esriSLSSolid",
        "color": [130, 120, 110, 255],
        "width": 1,
    }
    return {
        "type": "uniqueValue",
        "field1": "name",
        "uniqueValueInfos": [
            {
                "value": name,
                "label": name,
                "symbol": {"type": "esriSFS", "style": style, "color": color, "outline": outline},
            }
            for name, (style, color) in looks.items()
        ],
    }


def _line(color: list[int]) -> Json:
    return {"type": "esriSLS", "style": "esriSLSSolid", "color": color, "width": 1}
