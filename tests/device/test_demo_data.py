"""The demo's own data: pictures that any program reads, polygons that are right."""

import json
import struct
import zlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.checkout


def test_a_photo_is_a_png_that_depends_on_its_seed_alone() -> None:
    from scripts.demo_story.png import SIGNATURE, photo

    picture = photo("LOWI", width=5, height=3)

    assert picture == photo("LOWI", width=5, height=3)
    assert picture != photo("LSZH", width=5, height=3)
    assert picture.startswith(SIGNATURE)
    chunks = list(png_chunks(picture))
    assert [name for name, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">II", chunks[0][1][:8]) == (5, 3)
    assert len(zlib.decompress(chunks[1][1])) == 3 * (1 + 5 * 3)


def png_chunks(picture: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG file, their checksums compared."""
    chunks, at = [], 8
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        name, content = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", picture, at + 8 + length)
        assert checksum == zlib.crc32(name + content)
        chunks.append((name, content))
        at += 12 + length
    return chunks


# Two unit squares that share an edge; the right one has a hole, drawn as the outer rings are.
TOPOLOGY = {
    "type": "Topology",
    "transform": {"scale": [0.5, 0.5], "translate": [10, 20]},
    "arcs": [
        [[8, 0], [0, 8]],  # the shared edge, upwards
        [[8, 8], [-8, 0], [0, -8], [8, 0]],  # round the left square
        [[8, 8], [8, 0], [0, -8], [-8, 0]],  # round the right square
        [[10, 2], [0, 2], [2, 0], [0, -2], [-2, 0]],  # the hole
    ],
    "objects": {
        "lands": {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "Polygon", "arcs": [[0, 1]], "id": "1", "properties": {"name": "Left"}},
                {
                    "type": "MultiPolygon",
                    "arcs": [[[~0, ~2], [3]]],
                    "properties": {"name": "Right"},
                },
            ],
        }
    },
}


def test_shared_arcs_become_closed_rings_that_turn_the_way_esri_wants(tmp_path: Path) -> None:
    from scripts.demo_story.topojson import read_polygons

    path = tmp_path / "lands.json"
    path.write_text(json.dumps(TOPOLOGY), encoding="utf-8")

    (left, (left_ring,)), (right, (outer, hole)) = read_polygons(path, "lands")

    assert left["id"] == "1"
    assert right["properties"] == {"name": "Right"}
    assert set(left_ring) == {(10, 20), (10, 24), (14, 20), (14, 24)}
    assert set(outer) == {(14, 20), (14, 24), (18, 20), (18, 24)}
    assert set(hole) == {(15, 21), (15, 22), (16, 21), (16, 22)}
    assert all(ring[0] == ring[-1] for ring in (left_ring, outer, hole))
    assert [area(ring) for ring in (left_ring, outer, hole)] == [-16, -16, 1]


def area(ring: list[tuple[float, float]]) -> float:
    """Positive if the ring runs counter-clockwise."""
    doubled = sum(
        x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True)
    )
    return doubled / 2


def test_the_small_service_is_complete_and_the_same_every_time(tmp_path: Path) -> None:
    from scripts.demo_story import data, edits

    topology = json.loads(json.dumps(TOPOLOGY))
    topology["objects"]["countries"] = topology["objects"]["lands"]
    countries = tmp_path / "countries.json"
    countries.write_text(json.dumps(topology), encoding="utf-8")

    counts = data.write_service(tmp_path / "one", countries=countries, is_small=True)
    data.write_service(tmp_path / "two", countries=countries, is_small=True)

    first, second = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in files(tmp_path / name)}
        for name in ("one", "two")
    )
    assert first == second
    known = (tmp_path / "one" / data.SERVICE / "0.ndjson").read_text(encoding="utf-8")
    for icao in (edits.CONTESTED, edits.SHARED, edits.CLEANED, edits.DELETED_BY_A):
        assert data.guid("airport", icao) in known
    assert 100 < counts["airports"] < 1000
    assert counts["photos"] == sum(path.suffix == ".png" for path in first)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
