"""Bytes per edit of the ``.delta`` file, beside geodiff's changeset, compressed."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from native.delta import Base, DeltaHeader, DeltaWriter, digest
from native.layer import Layer
from scripts.benchmark.edits import Edits, Row, apply_edits, make_edits, plain_copy
from scripts.benchmark.encode import codec

_HEADER = {
    "id": bytes(range(16)),
    "service": "https://localhost/arcgis/rest/services/trees/FeatureServer",
    "replica": "{00000000-0000-4000-8000-000000000001}",
    "generation": 1,
}


def delta(*, geodatabase: str, kind: str, count: int, based: bool) -> Callable[[], dict[str, int]]:
    """So many edits of one kind as a delta, against the base or on its own."""
    layer = codec("trees")
    rows = rows_of(Path(geodatabase), layer)
    edits = make_edits(kind, rows, names_of(layer), count)
    rows.sort(key=lambda row: str(row[0]))
    base = Base(count=len(rows), digest=digest(rows)) if based else None

    def work() -> dict[str, int]:
        header = DeltaHeader(
            **_HEADER,  # type: ignore[arg-type]  # four members of four types
            layers=(layer,),
            bases=None if base is None else {layer.id: base},
        )
        ranks = {row[0]: rank for rank, row in enumerate(rows)} if based else None
        size = sum(map(len, _write(DeltaWriter(header), layer, edits, ranks)))
        return {"size": size, "edits": edits.count}

    return work


def changeset(
    *, geodatabase: str, kind: str, count: int, folder: str
) -> Callable[[], dict[str, int]]:
    """The peer, from the same rows and edits."""
    import pygeodiff  # type: ignore[import-untyped]
    import zstandard

    layer = codec("trees")
    edits = make_edits(kind, rows_of(Path(geodatabase), layer), names_of(layer), count)
    base, changed, target = (Path(folder, f"{kind}-{part}") for part in ("base", "new", "diff"))

    def work() -> dict[str, int]:
        plain_copy(Path(geodatabase), base)
        plain_copy(base, changed)
        with sqlite3.connect(changed) as connection:
            connection.execute('CREATE INDEX by_gid ON trees ("GlobalID")')
            apply_edits(connection, edits, names_of(layer))
        connection.close()
        pygeodiff.GeoDiff().create_changeset(str(base), str(changed), str(target))
        packed = zstandard.ZstdCompressor(level=19).compress(target.read_bytes())
        for path in (base, changed, target):
            path.unlink()
        return {"size": len(packed), "edits": edits.count}

    return work


def _write(
    writer: DeltaWriter, layer: Layer, edits: Edits, ranks: dict[Any, int] | None
) -> Iterator[bytes]:
    yield from writer.adds(layer.id, edits.adds)
    updates = sorted(edits.updates, key=lambda update: str(update[1][0]))
    keys: list[Any] = [before[0] for _, before, _ in updates]
    rows = [(_mask(places, layer), *after) for places, _, after in updates]
    deletes: list[Any] = sorted(row[0] for row in edits.deletes)
    if ranks is None:
        yield from writer.updates(layer.id, keys, rows)
        yield from writer.deletes(layer.id, deletes)
    else:
        base_rows = [before for _, before, _ in updates]
        yield from writer.updates(layer.id, [ranks[key] for key in keys], rows, base_rows)
        yield from writer.deletes(layer.id, [ranks[key] for key in deletes])
    yield from writer.finish()


def _mask(places: tuple[int, ...], layer: Layer) -> bytes:
    bits = sum(1 << place for place in places)
    return bits.to_bytes((len(layer.columns) + 8) // 8, "little")


def names_of(layer: Layer) -> list[str]:
    """The columns of a row as the codecs take it."""
    return [*(column.name for column in layer.columns), "geom"]


def rows_of(geodatabase: Path, layer: Layer) -> list[Row]:
    """All trees of a geodatabase."""
    columns = ", ".join(f'"{name}"' for name in names_of(layer))
    with sqlite3.connect(geodatabase) as connection:
        return connection.execute(f"SELECT {columns} FROM trees ORDER BY fid").fetchall()
