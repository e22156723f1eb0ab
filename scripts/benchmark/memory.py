"""Decoding and merging any number of rows, for the peak of memory."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from native.decoder import Rows, decode
from scripts.benchmark.encode import codec

_PIECE = 64 << 10
_PART = 500
_NOW = "2026-01-01T00:00:00.000Z"


def decode_replica(*, name: str, replica: str) -> Callable[[], int]:
    """A replica file into rows that are let go at once."""
    layer = codec(name)

    def work() -> int:
        events = decode(lambda: _pieces(Path(replica)), [layer])
        return sum(len(event.rows) for event in events if isinstance(event, Rows))

    return work


def decode_dict(*, replica: str) -> Callable[[], int]:
    """What a short script does."""

    def work() -> int:
        return len(json.loads(Path(replica).read_bytes())["layers"][0]["features"])

    return work


def merge(*, name: str, geodatabase: str, replica: str) -> Callable[[], dict[str, int]]:
    """A replacement of all rows: staged, arranged, merged part by part."""
    from engine.geodatabase import catalog
    from engine.geodatabase.connection import _connect as connect
    from engine.geodatabase.merge import merge_table
    from engine.model import ConflictPolicy
    from engine.service.replica_file import read_header
    from engine.sync.incoming import arrange_staged, stage_file
    from engine.sync.rows import codec_layer
    from scripts.benchmark.data import data_set

    _, layer = data_set(name, 0).schema()

    def work() -> dict[str, int]:
        path = Path(replica)
        connection = connect(Path(geodatabase), False, 5.0)
        entries = catalog.entries(connection)
        table = entries[0].table
        layers = [codec_layer(layer, table, entries[0].srs_id)]
        connection.execute("BEGIN")
        staged = stage_file(connection, path, read_header(path), [table], layers, path.parent)
        arrange_staged(connection, [table], staged)
        connection.execute("COMMIT")
        updated = 0
        positions = staged.positions[table.number]
        for first in range(1, positions + 1, _PART):
            connection.execute("BEGIN IMMEDIATE")
            counts = merge_table(
                connection,
                table,
                ConflictPolicy.REMOTE_WINS,
                now=_NOW,
                part=(first, min(first + _PART - 1, positions)),
            )
            connection.execute("COMMIT")
            updated += counts.updated
        connection.close()
        return {"rows": positions, "updated": updated}

    return work


def _pieces(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
