"""Many edits over a thin, bad line: how many bytes it takes until the service has them all.

``python -m tests.engine.sync.thin_line`` tries it at full size, and prints what passed.
"""

import argparse
import asyncio
import io
import json
import random
import sqlite3
import tempfile
import uuid
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import TransientError
from engine.geodatabase import catalog, change_log
from engine.sync.outgoing import write_edits
from engine.sync.parameters import PushChannel
from engine.sync.rows import codec_layer
from native.encoder import Form
from native.geometry import register_functions
from tests.engine.sync.fleet import Device, HastyClock, SyncModel
from tests.fakes.thin_line import ThinLine, Traffic
from tests.feature_service import FeatureServer, ManualClock, Profile, seeded_mint
from tests.feature_service.store import CURRENT, column, table
from tests.test_feature_service.world import HYDRANTS, hydrant, service_document, write_service

BITS_PER_S = 20_000
FAILING = 0.3
MAX_SYNCS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What it took; ``factor`` is all that went up, heads included, to the file of edits."""

    edits: int
    edits_bytes: int
    up_bytes: int
    cut_bytes: int
    down_bytes: int
    requests: int
    failed: int
    up_by_operation: dict[str, int]
    syncs: int
    hours: float

    @property
    def factor(self) -> float:
        return self.up_bytes / self.edits_bytes


async def run(
    folder: Path,
    *,
    edits: int,
    seed: int,
    channel: PushChannel = PushChannel.AUTO,
    failing: float = FAILING,
) -> Report:
    """Make the edits on a device, and sync until none is left; each must have arrived once."""
    draw = random.Random(seed)
    rows = {_guid(draw): number for number in range(1, edits // 2 + 1)}
    _write_service(folder / "service", rows)
    server = FeatureServer(
        folder / "service", profile=Profile(), clock=ManualClock(), mint=seeded_mint(seed)
    )
    clock = HastyClock()

    def pass_time(seconds: float) -> None:
        clock.elapsed_s += seconds

    async with server:
        port = urlsplit(server.origin).port
        assert port is not None
        line = ThinLine(port, pass_time, bits_per_s=BITS_PER_S, draw=draw)
        async with line:
            url = server.url("trees").replace(server.origin, line.origin)
            device = Device(url, folder / "A.gpkg", SyncModel.PER_REPLICA, clock=clock)
            device.parameters.push_channel = channel
            await device.take()
            expected = _edit(device.path, draw, rows, edits)
            size = _edits_bytes(device.path, folder)
            line.traffic = Traffic()
            line.failing, start = failing, clock.monotonic()
            syncs = await _sync_until_done(device)
            traffic = line.traffic
        _assert_arrived(server, expected)
    return Report(
        edits=edits,
        edits_bytes=size,
        up_bytes=traffic.up,
        cut_bytes=traffic.cut,
        down_bytes=traffic.down,
        requests=traffic.requests,
        failed=traffic.failed,
        up_by_operation=dict(traffic.up_by_operation.most_common(4)),
        syncs=syncs,
        hours=(clock.monotonic() - start) / 3600,
    )


async def _sync_until_done(device: Device) -> int:
    for number in range(1, MAX_SYNCS + 1):
        try:
            await device.sync()
        except TransientError:
            continue
        if not any((await device.pending()).values()):
            return number
    raise AssertionError(f"not done after {MAX_SYNCS} syncs")


def _write_service(folder: Path, rows: dict[str, int]) -> None:
    document = service_document()
    (layer, *_) = document["layers"]
    layer |= {"hasAttachments": False, "relationships": []}
    features = [hydrant(number, GlobalID=guid) for guid, number in rows.items()]
    document |= {"layers": [layer], "tables": [], "maxRecordCount": 2000}
    write_service(folder / "trees", document, {HYDRANTS: features})


def _guid(draw: random.Random) -> str:
    return f"{{{str(uuid.UUID(int=draw.getrandbits(128), version=4)).upper()}}}"


def _edit(path: Path, draw: random.Random, rows: dict[str, int], edits: int) -> dict[str, str]:
    """Half of them adds, the others updates, moves and deletes; GlobalID → name afterwards."""
    expected = {guid: f"H{number}" for guid, number in rows.items()}
    with closing(sqlite3.connect(path)) as connection, connection:
        register_functions(connection)
        (shape,) = connection.execute("SELECT geom FROM Hydrants LIMIT 1").fetchone()
        for number, guid in enumerate(draw.sample(sorted(rows), edits - edits // 2)):
            if number % 10 == 0:
                connection.execute("DELETE FROM Hydrants WHERE GlobalID=?", (guid,))
                del expected[guid]
                continue
            expected[guid] = f"edited {number}"
            connection.execute(
                "UPDATE Hydrants SET name=?,pressure=?,checked='2024-05-01T12:00:00.000Z'"
                " WHERE GlobalID=?",
                (expected[guid], draw.randrange(160) / 10, guid),
            )
            if number % 3 == 0:
                connection.execute("UPDATE Hydrants SET geom=? WHERE GlobalID=?", (shape, guid))
        for number in range(edits // 2):
            guid = _guid(draw)
            expected[guid] = f"new {number}"
            connection.execute(
                "INSERT INTO Hydrants(GlobalID,geom,name,status,pressure,serial)"
                " VALUES(?,?,?,1,?,?)",
                (guid, shape, expected[guid], draw.randrange(160) / 10, number),
            )
    return expected


def _edits_bytes(path: Path, folder: Path) -> int:
    """The size of one file with all the edits, as they go up."""
    with closing(sqlite3.connect(path)) as connection:
        register_functions(connection)
        (entry, *_) = catalog.entries(connection)
        (stored, *_) = catalog.stored_layers(connection)
        layer = codec_layer(stored.schema, entry.table, entry.srs_id)
        edits = list(change_log.iterate_pending(connection, entry.table))
        stream = io.BytesIO()
        assert not write_edits(stream, connection, edits, Form.APPLY, {HYDRANTS: layer}, {})
        return len(stream.getvalue())


def _assert_arrived(server: FeatureServer, expected: dict[str, str]) -> None:
    inside = server.hosted("trees")
    layer = inside.layer(HYDRANTS)
    found: list[tuple[str, str]] = inside.store.run(
        f"SELECT gid, {column(layer, 'name')} FROM {table(layer)} WHERE gen_to = {CURRENT}"
    ).fetchall()
    assert len(found) == len(dict(found)), "a row is doubled"
    assert dict(found) == expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failing", type=float, default=FAILING)
    parser.add_argument("--channel", default="auto", choices=[c.value for c in PushChannel])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            run(
                Path(folder),
                edits=asked.edits,
                seed=asked.seed,
                channel=PushChannel(asked.channel),
                failing=asked.failing,
            )
        )
    print(json.dumps({**asdict(report), "factor": round(report.factor, 3)}))


if __name__ == "__main__":
    main()
