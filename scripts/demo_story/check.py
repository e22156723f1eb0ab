"""What must be true at the end: both devices and the service hold the same, byte for byte."""

import hashlib
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from scripts.demo_story import data
from scripts.demo_story.field_device import FieldDevice
from scripts.demo_story.service import Service
from scripts.demo_story.telling import Checks

TABLES = {data.AIRPORTS: "Airports", data.INSPECTIONS: "Inspections", data.COUNTRIES: "Countries"}
SHOWN = 3  # differing rows that are told in full


def airport(geopackage: Path, icao: str) -> dict[str, Any] | None:
    """An airport as a plain SQLite reader sees it, with its place as ``x`` and ``y``."""
    with closing(sqlite3.connect(geopackage)) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM Airports WHERE icao=?", (icao,)).fetchone()
    if row is None:
        return None
    x, y = _place(row["geom"])
    return dict(row) | {"x": x, "y": y}


def inspections(geopackage: Path, airport_id: str) -> list[str]:
    """The inspectors of an airport's inspections."""
    with closing(sqlite3.connect(geopackage)) as connection:
        rows = connection.execute(
            "SELECT inspector FROM Inspections WHERE airport=? ORDER BY inspector", (airport_id,)
        ).fetchall()
    return [name for (name,) in rows]


def photo_sha256(geopackage: Path, airport_id: str, name: str) -> str:
    """The hash of an attachment's bytes, empty if there is none."""
    with closing(sqlite3.connect(geopackage)) as connection:
        row = connection.execute(
            "SELECT DATA FROM Airports__ATTACH WHERE REL_GLOBALID=? AND ATT_NAME=?",
            (airport_id, name),
        ).fetchone()
    return "" if row is None or row[0] is None else sha256(row[0])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def everything_agrees(checks: Checks, first: FieldDevice, second: FieldDevice) -> None:
    """Every row and every photo is the same on both devices."""
    for name in (*TABLES.values(), "Airports__ATTACH"):
        mine, yours = dict(_rows(first.geopackage, name)), dict(_rows(second.geopackage, name))
        checks.that(
            f"{name}: the {len(mine)} rows of {first.name} and {second.name} are the same",
            is_true=mine == yours,
            evidence=_differences(mine, yours),
        )


def service_agrees(checks: Checks, device: FieldDevice, service: Service) -> None:
    """The service has the same rows as a device: identities, icao, values, places."""
    with closing(sqlite3.connect(device.geopackage)) as connection:
        mine = {
            gid: (*values, *_place(blob))
            for gid, *values, blob in connection.execute(
                "SELECT GlobalID, icao, name, status, condition, remarks, geom FROM Airports"
            )
        }
        known = {gid for (gid,) in connection.execute("SELECT GlobalID FROM Inspections")}
    theirs = {}
    for feature in service.rows(data.AIRPORTS):
        attributes, point = feature["attributes"], feature["geometry"]
        columns = ("icao", "name", "status", "condition", "remarks")
        values = tuple(attributes[column] for column in columns)
        theirs[_braced(attributes["GlobalID"])] = (*values, point["x"], point["y"])
    checks.that(
        f"the service has the same {len(theirs)} airports",
        is_true=mine == theirs,
        evidence=_differences(mine, theirs),
    )
    inspected = {_braced(f["attributes"]["GlobalID"]) for f in service.rows(data.INSPECTIONS)}
    checks.that(
        f"the service has the same {len(inspected)} inspections",
        is_true=known == inspected,
        evidence=known ^ inspected,
    )


def service_photo_sha256(service: Service, icao: str, name: str) -> str:
    """The hash of an attachment as the service gives it out, empty if there is none."""
    (feature,) = service.rows(data.AIRPORTS, f"icao='{icao}'")
    photos = service.photos(data.AIRPORTS, feature["attributes"]["OBJECTID"])
    return sha256(photos[name]) if name in photos else ""


def _rows(geopackage: Path, name: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Rows by GlobalID, without the keys that each device numbers for itself."""
    own_keys = {"fid", "ATTACHMENTID"}
    with closing(sqlite3.connect(geopackage)) as connection:
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
        shared = [column for column in columns if column not in own_keys]
        (identity,) = [column for column in shared if column.casefold() == "globalid"]
        names = ", ".join(f'"{column}"' for column in (identity, *shared))
        for gid, *values in connection.execute(f'SELECT {names} FROM "{name}"'):
            cells = (sha256(v) if isinstance(v, bytes) else v for v in values)
            yield gid, tuple(cells)


def _differences(mine: dict[str, Any], yours: dict[str, Any]) -> list[tuple[str, object, object]]:
    keys = [key for key in {**mine, **yours} if mine.get(key) != yours.get(key)]
    return [(key, mine.get(key), yours.get(key)) for key in keys[:SHOWN]]


def _place(blob: bytes) -> tuple[float, float]:
    """The coordinates of a point: the last two numbers of its GeoPackage blob."""
    x, y = struct.unpack("<dd", blob[-16:])
    return x, y


def _braced(gid: str) -> str:
    return "{" + gid.strip("{}").upper() + "}"
