"""What the core writes is what SPEC.md says: a reader made from the page alone understands it."""

import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from native.delta_columns import ColumnWriter
from native.layer import ColumnType, LayerTable
from tests.native import delta_oracle, oracle
from tests.native.documents import VALUES
from tests.native.test_delta_columns import ANY, exact


def written(kind: ColumnType, values: list[Any], base: list[Any] | None) -> list[bytes]:
    writer = ColumnWriter(LayerTable(()))
    writer.put(kind, values, base)
    return writer.take()


def check(kind: ColumnType, values: list[Any], base: list[Any] | None) -> None:
    streams = delta_oracle.Streams(written(kind, values, base))

    assert exact(delta_oracle.read(kind, streams, len(values), base)) == exact(values)
    assert streams.at_end


def regular(kind: ColumnType) -> st.SearchStrategy[Any]:
    """Values as rows hold them, small ones and repeated ones more often."""
    if kind is ColumnType.DATE:
        return VALUES[kind].map(oracle.date)
    if kind is ColumnType.GUID:
        return VALUES[kind].map(oracle.guid)
    if kind is ColumnType.REAL:
        return VALUES[kind].map(float) | st.integers(-500, 500).map(lambda n: n / 100)
    return VALUES[kind]


@given(st.sampled_from(tuple(ColumnType)), st.booleans(), st.data())
def test_any_column(kind: ColumnType, based: bool, data: st.DataObject) -> None:
    one = regular(kind) | regular(kind) | ANY
    pairs = data.draw(st.lists(st.tuples(one, one), max_size=12))
    base = [old for _, old in pairs] if based else None

    check(kind, [value for value, _ in pairs], base)


@pytest.mark.parametrize("based", [True, False])
def test_long_columns(based: bool) -> None:
    source = random.Random(31)
    count = 300
    start = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    columns: list[tuple[ColumnType, list[Any], list[Any]]] = [
        (
            ColumnType.INTEGER,
            [n * 1000 + source.randint(-9, 9) for n in range(count)],
            [n * 1000 for n in range(count)],
        ),
        (
            ColumnType.REAL,
            [round(source.uniform(0, 9), 3) for _ in range(count)],
            [round(source.uniform(0, 9), 3) for _ in range(count)],
        ),
        (
            ColumnType.REAL,
            [source.random() for _ in range(count)],
            [source.random() for _ in range(count)],
        ),
        (
            ColumnType.DATE,
            [oracle.date(int(start + 60 * n) * 1000) for n in range(count)],
            [oracle.date(int(start) * 1000)] * count,
        ),
        (ColumnType.TEXT, [f"tree {n % 7}" for n in range(count)], ["oak"] * count),
        (
            ColumnType.GUID,
            sorted(
                oracle.guid(str(UUID(int=source.getrandbits(128), version=4))) for _ in range(count)
            ),
            [None] * count,
        ),
    ]
    for kind, values, base in columns:
        check(kind, values, base if based else None)
