"""The small world the tests of the feature service look at."""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

HYDRANTS, PIPES, ZONES, VISITS = 0, 1, 2, 3


def gid(number: int) -> str:
    """A GlobalID a reader can tell apart."""
    return f"{{00000000-0000-4000-8000-{number:012X}}}"


def field(name: str, kind: str, **more: Any) -> Json:
    return {"name": name, "type": f"esriFieldType{kind}", **more}


def _ids() -> list[Json]:
    return [
        field("OBJECTID", "OID", nullable=False, editable=False),
        field("GlobalID", "GlobalID", length=38, nullable=False, editable=False),
    ]


def service_document() -> Json:
    """Points with attachments and a related table, lines with z, areas with z and m."""
    status = {
        "type": "codedValue",
        "name": "Status",
        "codedValues": [{"name": "Open", "code": 1}, {"name": "Shut", "code": 2}],
    }
    pressure = {"type": "range", "name": "Pressure", "range": [0, 16]}
    return {
        "capabilities": "Create,Delete,Update,Editing,Query,Sync,Uploads,ChangeTracking",
        "spatialReference": {"wkid": 102100, "latestWkid": 3857},
        "maxRecordCount": 100,
        "layers": [
            {
                "id": HYDRANTS,
                "name": "Hydrants",
                "geometryType": "esriGeometryPoint",
                "hasAttachments": True,
                "fields": [
                    *_ids(),
                    field("name", "String", length=20),
                    field("status", "SmallInteger", domain=status, defaultValue=1),
                    field("pressure", "Double", domain=pressure),
                    field("serial", "Integer", nullable=False, defaultValue=0),
                    field("checked", "Date"),
                    field("made", "String", length=10, editable=False),
                    field("created_by", "String", length=50),
                    field("created_at", "Date"),
                    field("edited_by", "String", length=50),
                    field("edited_at", "Date"),
                ],
                "editFieldsInfo": {
                    "creationDateField": "created_at",
                    "creatorField": "created_by",
                    "editDateField": "edited_at",
                    "editorField": "edited_by",
                },
                "relationships": [
                    {
                        "id": 0,
                        "name": "visits",
                        "relatedTableId": VISITS,
                        "cardinality": "esriRelCardinalityOneToMany",
                        "role": "esriRelRoleOrigin",
                        "keyField": "GlobalID",
                        "composite": True,
                    }
                ],
            },
            {
                "id": PIPES,
                "name": "Pipes",
                "geometryType": "esriGeometryPolyline",
                "hasZ": True,
                "fields": [*_ids(), field("label", "String", length=40)],
            },
            {
                "id": ZONES,
                "name": "Zones",
                "geometryType": "esriGeometryPolygon",
                "hasZ": True,
                "hasM": True,
                "capabilities": "Query,Sync",
                "fields": [
                    *_ids(),
                    field("day", "DateOnly"),
                    field("hour", "TimeOnly"),
                    field("moment", "TimestampOffset"),
                    field("big", "BigInteger"),
                    field("weight", "Single"),
                    field("owner_id", "GUID", length=38),
                ],
            },
        ],
        "tables": [
            {
                "id": VISITS,
                "name": "Visits",
                "fields": [
                    *_ids(),
                    field("hydrant", "GUID", length=38),
                    field("note", "String", length=200),
                ],
                "relationships": [
                    {
                        "id": 0,
                        "name": "visits",
                        "relatedTableId": HYDRANTS,
                        "cardinality": "esriRelCardinalityOneToMany",
                        "role": "esriRelRoleDestination",
                        "keyField": "hydrant",
                        "composite": True,
                    }
                ],
            }
        ],
    }


def hydrant(number: int, **more: Any) -> Json:
    """Hydrant n stands at (100 n, 100 n)."""
    attributes = {
        "OBJECTID": number,
        "GlobalID": gid(number),
        "name": f"H{number}",
        "status": 1 + number % 2,
        "pressure": number / 2,
        "serial": number,
        **more,
    }
    return {"attributes": attributes, "geometry": {"x": 100.0 * number, "y": 100.0 * number}}


def visit(number: int, hydrant_number: int) -> Json:
    attributes = {
        "OBJECTID": number,
        "GlobalID": gid(1000 + number),
        "hydrant": gid(hydrant_number),
        "note": f"visit {number}",
    }
    return {"attributes": attributes}


def _pipe(number: int) -> Json:
    path = [[100.0 * number, 0.0, 1.0], [100.0 * number, 1000.0, 2.0]]
    return {
        "attributes": {"OBJECTID": number, "GlobalID": gid(2000 + number), "label": f"P{number}"},
        "geometry": {"hasZ": True, "paths": [path]},
    }


def _zone() -> Json:
    ring = [
        [0.0, 0.0, 1.0, 5.0],
        [0.0, 300.0, 1.0, None],
        [300.0, 300.0, 1.0, 7.0],
        [300.0, 0.0, 1.0, 8.0],
        [0.0, 0.0, 1.0, 5.0],
    ]
    return {
        "attributes": {
            "OBJECTID": 1,
            "GlobalID": gid(3001),
            "day": "2024-02-29",
            "hour": "13:45:00",
            "moment": "2024-02-29T13:45:00+02:00",
            "big": 9007199254740991,
            "weight": 0.1,
            "owner_id": gid(9),
        },
        "geometry": {"hasZ": True, "hasM": True, "rings": [ring]},
    }


def write_service(folder: Path, document: Json, rows: dict[int, list[Json]]) -> Path:
    """Write one service folder."""
    folder.mkdir(parents=True)
    (folder / "service.json").write_text(json.dumps(document), encoding="utf-8")
    for layer_id, features in rows.items():
        lines = "".join(json.dumps(feature) + "\n" for feature in features)
        (folder / f"{layer_id}.ndjson").write_text(lines, encoding="utf-8")
    return folder


def write_item(data_dir: Path, item_id: str, item: object, data: object = None) -> Path:
    """An item of the portal, and its data if it has any; the folder of both."""
    folder = data_dir / "portal" / item_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "item.json").write_text(json.dumps(item), encoding="utf-8")
    if data is not None:
        (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def write_world(data_dir: Path) -> Path:
    """The data folder of the service `water`: nine hydrants, three visits, three pipes, a zone."""
    folder = write_service(
        data_dir / "water",
        service_document(),
        {
            HYDRANTS: [hydrant(number) for number in range(1, 10)],
            PIPES: [_pipe(number) for number in range(1, 4)],
            ZONES: [_zone()],
            VISITS: [visit(1, 1), visit(2, 1), visit(3, 8)],
        },
    )
    picture = folder / "attachments" / "0" / gid(1) / "photo.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"\xff\xd8 a picture")
    return data_dir
