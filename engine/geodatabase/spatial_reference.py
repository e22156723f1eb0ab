"""Spatial references as rows of ``gpkg_spatial_ref_sys`` (OGC 12-128r18, clause 1.1.2)."""

import sqlite3
import zlib

from engine.model import WEB_MERCATOR, WGS84, SpatialReference

_UNDEFINED_CARTESIAN = -1
_CUSTOM = 1_000_000
"""Ids of references that have only a text start here, beyond every EPSG and Esri number."""

_DEGREE = 'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]]'
_WGS84_GEOGCS = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
    'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,'
    f'AUTHORITY["EPSG","8901"]],{_DEGREE}'
)
_WGS84_WKT = (
    f'{_WGS84_GEOGCS},AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]'
)
_WEB_MERCATOR_WKT = (
    f'PROJCS["WGS 84 / Pseudo-Mercator",{_WGS84_GEOGCS},AUTHORITY["EPSG","4326"]],'
    'PROJECTION["Mercator_1SP"],PARAMETER["central_meridian",0],PARAMETER["scale_factor",1],'
    'PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1,'
    'AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],AXIS["Northing",NORTH],'
    'EXTENSION["PROJ4","+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 '
    '+units=m +nadgrids=@null +wktext +no_defs"],AUTHORITY["EPSG","3857"]]'
)

_Row = tuple[str, int, str, int, str, str]

_ALWAYS: tuple[_Row, ...] = (
    ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined", "undefined Cartesian reference"),
    ("Undefined geographic SRS", 0, "NONE", 0, "undefined", "undefined geographic reference"),
    ("WGS 84", WGS84, "EPSG", WGS84, _WGS84_WKT, "longitude and latitude in degrees"),
)


def srs_id(reference: SpatialReference) -> int:
    """The id that geometries of this reference carry in the GeoPackage."""
    if reference.latest:
        return reference.latest
    if reference.wkt:
        return _CUSTOM + zlib.crc32(reference.wkt.encode()) % _CUSTOM
    return _UNDEFINED_CARTESIAN


def reference_of(number: int, service: SpatialReference) -> SpatialReference:
    """The reference with that id; in the spelling of the ``service``'s if it is the same."""
    if number == srs_id(service) or number <= 0 or number >= _CUSTOM:
        return service
    return SpatialReference.of(number)


def create_reference_table(connection: sqlite3.Connection) -> None:
    """Make ``gpkg_spatial_ref_sys`` with the rows that every GeoPackage has."""
    connection.execute(
        "CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, "
        "srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL, "
        "organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT)"
    )
    for row in _ALWAYS:
        _insert(connection, row)


def add_reference(connection: sqlite3.Connection, reference: SpatialReference) -> int:
    """Make sure that ``reference`` has its row; its id."""
    number = srs_id(reference)
    if number != _UNDEFINED_CARTESIAN:
        _insert(connection, _row(number, reference))
    return number


def _row(number: int, reference: SpatialReference) -> _Row:
    if number == WEB_MERCATOR:
        name = "WGS 84 / Pseudo-Mercator"
        return (name, number, "EPSG", number, _WEB_MERCATOR_WKT, "metres on the web map sphere")
    if not reference.latest:
        return ("custom", number, "NONE", number, reference.wkt, "given by the service as text")
    organization = "ESRI" if _is_esri(number) else "EPSG"
    name = f"{organization}:{number}"
    # Readers look the number up; the text only has to be well-formed and to name the number.
    authority = f'AUTHORITY["{organization}","{number}"]'
    definition = reference.wkt or f'LOCAL_CS["{name}",UNIT["unknown",1],{authority}]'
    return (name, number, organization, number, definition, f"{name}, as the service names it")


def _is_esri(number: int) -> bool:
    """Esri's own numbers (ArcGIS REST API, "Using spatial references") never clash with EPSG's."""
    return number > 32767


def _insert(connection: sqlite3.Connection, row: _Row) -> None:
    connection.execute("INSERT OR IGNORE INTO gpkg_spatial_ref_sys VALUES (?,?,?,?,?,?)", row)
