"""A small layer with two rows, for tests that look at one statement."""

from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from tests.engine.geodatabase.log_oracle import make_table

TREES = make_table(5, name="trees")
LAZY_TREES = make_table(5, name="trees", lazy=True)
G1, G2 = "{AAAAAAAA-1111-4111-8111-111111111111}", "{BBBBBBBB-2222-4222-8222-222222222222}"
G3 = "{CCCCCCCC-3333-4333-8333-333333333333}"
POINT = b"GP\0\1" + b"\0" * 4 + b"\1" + b"\1\0\0\0" + b"\0" * 16
MOVED = POINT[:-1] + b"\x40"
WITH_ENVELOPE = b"GP\0\3" + POINT[4:8] + b"\0" * 32 + POINT[8:]


def two_rows(table: LayerTable) -> list[Row]:
    geometry = () if table.geometry is None else (POINT,)
    cells = [None] * (len(table.columns) - 2)
    return [(gid, *geometry, n, "was", *cells) for n, gid in enumerate((G1, G2), 1)]
