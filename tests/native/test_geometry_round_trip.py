"""Any geometry survives Esri JSON -> GeoPackage -> Esri JSON, and GDAL reads what lies between."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from native.geometry import envelope, esri_json_to_gpkg, gpkg_to_esri_json, is_empty

NUMBER = st.floats(-1e12, 1e12, allow_subnormal=False) | st.integers(-(10**9), 10**9)
SYSTEM_PYTHON = Path("/usr/bin/python3")


@st.composite
def dimensions(draw: st.DrawFn) -> tuple[bool, bool]:
    return draw(st.booleans()), draw(st.booleans())


def vertices(has_z: bool, has_m: bool) -> st.SearchStrategy[list[Any]]:
    parts: list[st.SearchStrategy[Any]] = [NUMBER, NUMBER]
    parts += [NUMBER] * has_z
    parts += [NUMBER | st.none()] * has_m
    return st.tuples(*parts).map(list)


def flags(has_z: bool, has_m: bool) -> dict[str, Any]:
    return ({"hasZ": True} if has_z else {}) | ({"hasM": True} if has_m else {})


def there_and_back(value: Any, kind: str, has_z: bool, has_m: bool) -> Any:
    blob = esri_json_to_gpkg(json.dumps(value).encode(), kind, 3857, has_z, has_m)
    assert blob is not None
    return json.loads(gpkg_to_esri_json(blob))


@given(st.data(), dimensions())
def test_points(data: st.DataObject, dims: tuple[bool, bool]) -> None:
    names = ["x", "y"] + ["z"] * dims[0] + ["m"] * dims[1]
    value = dict(zip(names, data.draw(vertices(*dims)), strict=True))

    assert there_and_back(value, "esriGeometryPoint", *dims) == value


@given(st.data(), dimensions())
def test_multipoints(data: st.DataObject, dims: tuple[bool, bool]) -> None:
    value = flags(*dims) | {"points": data.draw(st.lists(vertices(*dims)))}

    assert there_and_back(value, "esriGeometryMultipoint", *dims) == value


@given(st.data(), dimensions())
def test_polylines(data: st.DataObject, dims: tuple[bool, bool]) -> None:
    paths = data.draw(st.lists(st.lists(vertices(*dims), min_size=1)))
    value = flags(*dims) | {"paths": paths}

    assert there_and_back(value, "esriGeometryPolyline", *dims) == value


@given(st.data(), dimensions())
def test_polygons_keep_every_ring(data: st.DataObject, dims: tuple[bool, bool]) -> None:
    rings = [
        [*ring, ring[0]]
        for ring in data.draw(st.lists(st.lists(vertices(*dims), min_size=3, max_size=8)))
    ]

    once = there_and_back(flags(*dims) | {"rings": rings}, "esriGeometryPolygon", *dims)

    def canonical(found: list[Any]) -> list[str]:
        exact = [[[None if n is None else float(n) for n in v] for v in ring] for ring in found]
        return sorted(min(repr(ring), repr(ring[::-1])) for ring in exact)

    assert canonical(once["rings"]) == canonical(rings)


@given(st.lists(vertices(False, False), min_size=1))
def test_envelope_covers_the_vertices(points: list[Any]) -> None:
    text = json.dumps({"points": points}).encode()
    blob = esri_json_to_gpkg(text, "esriGeometryMultipoint", 0, False, False)
    assert blob is not None

    xs, ys = zip(*points, strict=True)

    assert envelope(blob) == (min(xs), max(xs), min(ys), max(ys))
    assert not is_empty(blob)


GDAL_PROGRAM = """
import json, struct, sys
from osgeo import ogr
sizes = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
for line in sys.stdin:
    blob = bytes.fromhex(line)
    body = blob[8 + sizes[blob[3] >> 1 & 7]:]
    print(ogr.CreateGeometryFromWkb(body).ExportToIsoWkt())
"""

CASES = [
    ({"x": 1, "y": 2}, "Point", False, False, "POINT (1 2)"),
    ({"x": 1, "y": 2, "z": 3, "m": 4}, "Point", True, True, "POINT ZM (1 2 3 4)"),
    ({}, "Point", False, False, "POINT EMPTY"),
    ({"points": [[1, 2, 5]]}, "Multipoint", True, False, "MULTIPOINT Z ((1 2 5))"),
    ({"points": []}, "Multipoint", False, False, "MULTIPOINT EMPTY"),
    (
        {"paths": [[[1, 2, 9], [3, 4, 8]]], "hasM": True},
        "Polyline",
        False,
        True,
        "MULTILINESTRING M ((1 2 9,3 4 8))",
    ),
    ({"paths": []}, "Polyline", False, False, "MULTILINESTRING EMPTY"),
    (
        {"rings": [[[0, 0], [0, 9], [9, 9], [0, 0]], [[1, 2], [2, 3], [1, 3], [1, 2]]]},
        "Polygon",
        False,
        False,
        "MULTIPOLYGON (((0 0,9 9,0 9,0 0),(1 2,1 3,2 3,1 2)))",
    ),
    ({"rings": []}, "Polygon", True, False, "MULTIPOLYGON Z EMPTY"),
]


def gdal_is_there() -> bool:
    if not SYSTEM_PYTHON.exists():
        return False
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import osgeo.ogr"], check=False, capture_output=True
    )
    return done.returncode == 0


@pytest.mark.skipif(not gdal_is_there(), reason="GDAL's Python binding is not installed")
def test_gdal_reads_our_blobs() -> None:
    blobs = [
        esri_json_to_gpkg(json.dumps(value).encode(), f"esriGeometry{kind}", 4326, has_z, has_m)
        for value, kind, has_z, has_m, _ in CASES
    ]

    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", GDAL_PROGRAM],
        input="".join(f"{blob.hex()}\n" for blob in blobs if blob is not None),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == [case[4] for case in CASES]
