"""What the two devices change while they have no network, with programs of every kind."""

import json
import tempfile
from pathlib import Path

from scripts.demo_story.data import guid
from scripts.demo_story.field_device import FieldDevice

CONTESTED = "LOWI"  # Innsbruck: both devices set its status
SHARED = "LSZS"  # Samedan: one device moves it, the other one judges its condition
SHARED_PLACE = (9.8840, 46.5341)
CLEANED = "LSZH"  # Zurich: inspected by SQLite, photographed by the other device
DELETED_BY_A, DELETED_BY_B = "LSGN", "LSZG"  # Neuchatel, Grenchen
ADDED_BY_A = "XA01"
STRIPS = {"XB01": (7.4012, 46.2204), "XB02": (7.5533, 46.3101), "XB03": (7.6128, 46.1497)}
ODD_REMARK = "O'Brien said: 100 % — «schön» 🛩"


def id_of(icao: str) -> str:
    """The GlobalID of an airport of the service."""
    return guid("airport", icao)


def new_photo_name(icao: str) -> str:
    """The file name of a photo that is taken during the demo."""
    return f"{icao}-new.png"


def with_sqlite_on_a(device: FieldDevice) -> None:
    """Statements that any SQLite program may run: nothing of fieldsync is loaded."""
    device.sqlite3(
        f"DELETE FROM Airports WHERE icao='{DELETED_BY_A}'",
        f"UPDATE Airports SET remarks='{ODD_REMARK.replace(chr(39), chr(39) * 2)}'"
        f" WHERE icao='{CLEANED}'",
        "INSERT INTO Inspections(airport, inspected, inspector, score, remarks)"
        f" VALUES ('{id_of(CLEANED)}', '2026-11-20T09:30:00.000Z', 'SQLite', 8, 'All lights on')",
    )


def with_sqlite_on_b(device: FieldDevice) -> None:
    device.sqlite3(f"UPDATE Airports SET condition=1 WHERE icao='{SHARED}'")


def with_gdal_on_b(device: FieldDevice) -> None:
    """What the command line of GDAL does, and any GIS that is built on it."""
    geopackage = str(device.geopackage)
    device.program(
        "ogrinfo",
        geopackage,
        "-sql",
        f"UPDATE Airports SET status='restricted' WHERE icao='{CONTESTED}'",
    )
    device.program(
        "ogrinfo", geopackage, "-sql", f"DELETE FROM Airports WHERE icao='{DELETED_BY_B}'"
    )
    with tempfile.TemporaryDirectory(prefix="fieldsync-demo-") as folder:
        strips = Path(folder) / "strips.geojson"
        strips.write_text(json.dumps(_strips()), encoding="utf-8")
        device.program("ogr2ogr", "-append", geopackage, str(strips), "-nln", "Airports")


def _strips() -> dict[str, object]:
    """Three airstrips as somebody might have drawn them."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": list(place)},
                "properties": {
                    "icao": icao,
                    "name": f"Airstrip {icao}",
                    "country": "CH",
                    "elevation_ft": 4100.5,
                    "status": "open",
                    "condition": 3,
                },
            }
            for icao, place in STRIPS.items()
        ],
    }
