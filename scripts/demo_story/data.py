"""What the demo's feature service holds: real airports and countries, made-up inspections.

Airports are those of the package ``airportsdata``, countries those of Natural Earth; inspections
and photos are drawn from a seed, so that every run has the same.
"""

import json
import random
import uuid
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import airportsdata

from scripts.demo_story.png import photo
from scripts.demo_story.topojson import read_polygons

MAP_DATA = Path(".cache/world-atlas/countries-50m.json")
"""Where scripts/setup puts the countries, as TopoJSON."""
SERVICE = "Airports"
AIRPORTS, INSPECTIONS, COUNTRIES = 0, 1, 2
EPOCH_MS = 1_767_225_600_000  # 2026-01-01, when the first inspection was made
DAY_MS = 86_400_000
INSPECTED_EACH = 9  # every ninth airport was inspected
PHOTOGRAPHED = 60  # so many airports have a photo
ALPS = ("Austria", "Liechtenstein", "Slovenia", "Switzerland")
ALPS_CODES = ("AT", "CH", "LI", "SI")
INSPECTORS = ("A. Moreau", "B. Okafor", "C. Lindqvist", "D. Tanaka", "E. Quispe")
REMARKS = ("", "", "", "Fence damaged", "Windsock torn", "Lights checked", "Grass too high")
STATUS = ("open", "restricted", "closed")

Feature = dict[str, Any]


def guid(*names: str) -> str:
    """The GlobalID of what has those names: the same in every run."""
    return "{" + str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(names))).upper() + "}"


def photo_name(icao: str) -> str:
    return f"{icao}.png"


def write_service(folder: Path, *, countries: Path = MAP_DATA, is_small: bool) -> dict[str, int]:
    """Write the data folder of the reference service; give how many of what are in it.

    ``is_small``: only the countries of the Alps, for a quick look.
    """
    service = folder / SERVICE
    service.mkdir(parents=True)
    known = sorted(airportsdata.load("ICAO").values(), key=lambda a: str(a["icao"]))
    if is_small:
        known = [a for a in known if a["country"] in ALPS_CODES]
    chance = random.Random("fieldsync demo")
    (service / "service.json").write_text(json.dumps(_definition(), indent=1), encoding="utf-8")
    inspected = known[::INSPECTED_EACH]
    wanted = ALPS if is_small else ()
    counts = {
        "airports": _write_rows(service, AIRPORTS, _airports(known, chance)),
        "inspections": _write_rows(service, INSPECTIONS, _inspections(inspected, chance)),
        "countries": _write_rows(service, COUNTRIES, _countries(countries, wanted)),
        "photos": 0,
    }
    for airport in known[:: max(1, len(known) // PHOTOGRAPHED)]:
        counts["photos"] += 1
        icao = airport["icao"]
        place = service / "attachments" / str(AIRPORTS) / guid("airport", icao)
        place.mkdir(parents=True)
        (place / photo_name(icao)).write_bytes(photo(icao))
    return counts


def _write_rows(service: Path, layer: int, features: Iterable[Feature]) -> int:
    count = 0
    with open(service / f"{layer}.ndjson", "w", encoding="utf-8") as stream:
        for feature in features:
            stream.write(json.dumps(feature) + "\n")
            count += 1
    return count


def _airports(known: Iterable[Any], chance: random.Random) -> Iterator[Feature]:
    for number, airport in enumerate(known, 1):
        attributes = {
            "OBJECTID": number,
            "GlobalID": guid("airport", airport["icao"]),
            "icao": airport["icao"],
            "name": airport["name"],
            "city": airport["city"] or None,
            "country": airport["country"],
            "elevation_ft": airport["elevation"],
            "status": "open",
            "condition": chance.randint(2, 5),
            "remarks": None,
        }
        yield {"attributes": attributes, "geometry": {"x": airport["lon"], "y": airport["lat"]}}


def _inspections(known: Iterable[Any], chance: random.Random) -> Iterator[Feature]:
    for number, airport in enumerate(known, 1):
        attributes = {
            "OBJECTID": number,
            "GlobalID": guid("inspection", airport["icao"]),
            "airport": guid("airport", airport["icao"]),
            "inspected": EPOCH_MS + chance.randrange(300) * DAY_MS,
            "inspector": chance.choice(INSPECTORS),
            "score": chance.randint(1, 10),
            "remarks": chance.choice(REMARKS) or None,
        }
        yield {"attributes": attributes}


def _countries(path: Path, names: Collection[str]) -> Iterator[Feature]:
    for number, (country, rings) in enumerate(read_polygons(path, "countries"), 1):
        name = country["properties"]["name"]
        if names and name not in names:
            continue
        attributes = {
            "OBJECTID": number,
            "GlobalID": guid("country", name),
            "iso_number": country.get("id"),
            "name": name,
        }
        yield {"attributes": attributes, "geometry": {"rings": rings}}


def _definition() -> dict[str, Any]:
    return {
        "currentVersion": 11.3,
        "serviceDescription": "Airports of the world, their inspections, and countries",
        "capabilities": "Create,Delete,Query,Update,Editing,Sync,Uploads,ChangeTracking",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "maxRecordCount": 2000,
        "layers": [_airport_layer(), _country_layer()],
        "tables": [_inspection_table()],
    }


def _airport_layer() -> dict[str, Any]:
    status = {
        "type": "codedValue",
        "name": "airport_status",
        "codedValues": [{"code": code, "name": code.capitalize()} for code in STATUS],
    }
    condition = {"type": "range", "name": "airport_condition", "range": [1, 5]}
    return {
        "id": AIRPORTS,
        "name": "Airports",
        "geometryType": "esriGeometryPoint",
        "hasAttachments": True,
        "displayField": "name",
        "fields": [
            *_identity(),
            _field("icao", "String", length=4, nullable=False),
            _field("name", "String", length=100),
            _field("city", "String", length=60),
            _field("country", "String", length=2),
            _field("elevation_ft", "Double"),
            _field("status", "String", length=12, domain=status),
            _field("condition", "SmallInteger", domain=condition),
            _field("remarks", "String", length=250),
        ],
        "relationships": [
            {
                "id": 0,
                "name": "Inspections of an airport",
                "relatedTableId": INSPECTIONS,
                "cardinality": "esriRelCardinalityOneToMany",
                "role": "esriRelRoleOrigin",
                "keyField": "GlobalID",
                "composite": False,
            }
        ],
    }


def _inspection_table() -> dict[str, Any]:
    return {
        "id": INSPECTIONS,
        "name": "Inspections",
        "hasAttachments": False,
        "displayField": "inspector",
        "fields": [
            *_identity(),
            _field("airport", "GUID"),
            _field("inspected", "Date"),
            _field("inspector", "String", length=60),
            _field("score", "SmallInteger"),
            _field("remarks", "String", length=250),
        ],
        "relationships": [
            {
                "id": 0,
                "name": "Airport of an inspection",
                "relatedTableId": AIRPORTS,
                "cardinality": "esriRelCardinalityOneToMany",
                "role": "esriRelRoleDestination",
                "keyField": "airport",
                "composite": False,
            }
        ],
    }


def _country_layer() -> dict[str, Any]:
    return {
        "id": COUNTRIES,
        "name": "Countries",
        "geometryType": "esriGeometryPolygon",
        "hasAttachments": False,
        "displayField": "name",
        "fields": [
            *_identity(),
            _field("iso_number", "String", length=3),
            _field("name", "String", length=60),
        ],
    }


def _identity() -> list[dict[str, Any]]:
    return [
        _field("OBJECTID", "OID", nullable=False, editable=False),
        _field("GlobalID", "GlobalID", nullable=False, editable=False, length=38),
    ]


def _field(name: str, kind: str, **more: object) -> dict[str, Any]:
    return {"name": name, "type": f"esriFieldType{kind}", "alias": name, **more}
