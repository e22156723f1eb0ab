"""SPEC.md's test vectors are what the core writes and reads."""

import struct
from pathlib import Path
from typing import Any

import pytest

from native.delta_columns import ColumnReader, ColumnWriter
from native.layer import ColumnType, Layer, LayerTable

SPEC = (Path(__file__).parents[2] / "native/SPEC.md").read_text(encoding="utf-8")
TABLE = LayerTable((Layer(id=0, columns=(), geometry_type="esriGeometryPoint"),))


def point(x: float, y: float) -> bytes:
    return b"GP\0\1" + struct.pack("<i", 4326) + b"\1\1\0\0\0" + struct.pack("<2d", x, y)


VECTORS: list[tuple[str, ColumnType | None, list[Any], list[Any] | None]] = [
    ("10, 20, 40", ColumnType.INTEGER, [10, 20, 40], None),
    ("-1, null, 7", ColumnType.INTEGER, [-1, None, 7], None),
    ("101, 199, 300", ColumnType.INTEGER, [101, 199, 300], [100, 200, 300]),
    ("1.25, -0.5, 3.0", ColumnType.REAL, [1.25, -0.5, 3.0], None),
    ("oak, ash, oak, null", ColumnType.TEXT, ["oak", "ash", "oak", None], None),
    ("bytes 01, 5", ColumnType.TEXT, [b"\x01", 5], None),
    (
        "1970-01-01T00:00:01.000Z, 1970-01-01T00:00:03.000Z",
        ColumnType.DATE,
        ["1970-01-01T00:00:01.000Z", "1970-01-01T00:00:03.000Z"],
        None,
    ),
    (
        "{00112233-4455-4677-8899-AABBCCDDEEFF}",
        ColumnType.GUID,
        ["{00112233-4455-4677-8899-AABBCCDDEEFF}"],
        None,
    ),
    ("POINT (1.5 2.25), POINT (−0.5 2)", None, [point(1.5, 2.25), point(-0.5, 2)], None),
]


def streams_in_spec(title: str) -> list[bytes]:
    (line,) = [line for line in SPEC.splitlines() if f"| {title} |" in line]
    cells = [cell.strip() for cell in line.split("|")][3:6]
    return [b"" if cell == "—" else bytes.fromhex(cell.strip("`")) for cell in cells]


def test_every_vector_of_the_spec_is_checked() -> None:
    table = SPEC.split("## 7. Test vectors")[1]

    assert sum(line.startswith("| ") for line in table.splitlines()) == 1 + len(VECTORS)


@pytest.mark.parametrize(("title", "kind", "values", "base"), VECTORS)
def test_vector(
    title: str, kind: ColumnType | None, values: list[Any], base: list[Any] | None
) -> None:
    streams = streams_in_spec(title)
    writer, reader = ColumnWriter(TABLE), ColumnReader(TABLE, streams)

    if kind is None:
        writer.put_geometry(0, values, base)
        found = reader.get_geometry(0, len(values), base)
    else:
        writer.put(kind, values, base)
        found = reader.get(kind, len(values), base)

    assert writer.take() == streams
    assert found == values
    assert reader.at_end
