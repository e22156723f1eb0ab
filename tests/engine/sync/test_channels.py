"""The two ways up: the forms that are sent, and that a service takes them."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable, attachment_table, layer_table
from engine.model import EditOperation as Op, SyncModel
from engine.service.session import Session
from engine.sync.channels import ApplyEditsChannel, SynchronizeReplicaChannel
from tests.engine.geodatabase.schemas import service
from tests.engine.service.waters import gid, waters
from tests.engine.sync.sending import add, apply_edits, edit, sending, synchronize, wire
from tests.fakes.http_server import HttpServer, answer, json_answer
from tests.feature_service import Profile


async def forms(channel_of: Any, folder: Path, reply: bytes, **options: Any) -> dict[str, str]:
    """The form that a channel sends."""
    spool = folder / "spool"
    spool.write_text('[{"id":0}]')
    async with HttpServer(reply) as server, Session() as session:
        channel = channel_of(session, server.origin, **options)
        await channel.send(sending(spool, folder / "target"))
        body = server.requests[0].body.decode()
    names = [part.partition('"')[0] for part in body.split('name="')[1:]]
    return {name: server.requests[0].field(name) for name in names}


NO_EDITS = json_answer({"responseType": "esriReplicaResponseTypeNoEdits"})


async def test_the_form_of_apply_edits(tmp_path: Path) -> None:
    assert await forms(apply_edits, tmp_path, answer("[]")) == {
        "useGlobalIds": "true",
        "rollbackOnFailure": "false",
        "f": "json",
        "edits": '[{"id":0}]',
    }


async def test_the_form_of_a_replica_with_one_generation(tmp_path: Path) -> None:
    assert await forms(synchronize, tmp_path, NO_EDITS) == {
        "replicaID": "{R}",
        "syncDirection": "upload",
        "transportType": "esriTransportTypeEmbedded",
        "dataFormat": "json",
        "returnIdsForAdds": "true",
        "async": "false",
        "f": "json",
        "edits": '[{"id":0}]',
    }


async def test_the_form_of_a_replica_with_a_generation_per_layer(tmp_path: Path) -> None:
    able = service(syncCapabilities={"supportsAsync": True, "supportsRollbackOnFailure": True})

    form = await forms(
        synchronize, tmp_path, NO_EDITS, schema=able, model=SyncModel.PER_LAYER, _0=5, _3=2**53
    )

    assert form["async"] == "false"
    assert form["rollbackOnFailure"] == "false"
    assert json.loads(form["syncLayers"]) == [
        {"id": 0, "serverGen": 5, "syncDirection": "upload"},
        {"id": 3, "serverGen": 2**53, "syncDirection": "upload"},
    ]


async def test_a_branch_version_is_reconciled_only_if_that_was_asked_for(tmp_path: Path) -> None:
    plain = await forms(synchronize, tmp_path, NO_EDITS)
    asked = await forms(synchronize, tmp_path, NO_EDITS, reconcile=True)

    assert "reconcileBranchVersion" not in plain
    assert asked["reconcileBranchVersion"] == "true"


# --- against the reference service ----------------------------------------------------------------


def row(table: LayerTable, global_id: str, **cells: str) -> Row:
    return (global_id, *(cells.get(name) for name in table.row_names[1:]))


@contextmanager
def pictures(data: bytes) -> Iterator[sqlite3.Connection]:
    """A table with the data of one attachment."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Hydrants__ATTACH(ATTACHMENTID INTEGER PRIMARY KEY,DATA)")
    connection.execute("INSERT INTO Hydrants__ATTACH VALUES(1,?)", (data,))
    yield connection
    connection.close()


@pytest.mark.parametrize("place", ["layer", "features", "root"])
@pytest.mark.parametrize("spelling", ["braces-upper", "lower"])
async def test_the_service_takes_what_is_written(place: Any, spelling: Any, tmp_path: Path) -> None:
    profile = Profile(results_place=place, guid_spelling=spelling)
    async with waters(tmp_path, profile) as at:
        made = await at.create(attachmentsSyncDirection="upload")
        server, layers = made.generations
        channels = [
            ApplyEditsChannel(at.service, await at.schema()),
            SynchronizeReplicaChannel(
                at.service,
                await at.schema(),
                replica_id=made.replica_id,
                sync_model=SyncModel.PER_LAYER if server is None else SyncModel.PER_REPLICA,
                generations=layers,
            ),
        ]
        schema = await at.layer(0)
        table = layer_table(schema)
        for number, channel in enumerate(channels):
            picture = edit(
                attachment_table(table),
                (gid(60 + number), gid(20 + number), "image/png", "p.png", 11),
                Op.ADD,
            )
            edits = [
                add(table, row(table, gid(20 + number), name="new one")),
                edit(table, row(table, gid(2 + number), name="new"), Op.UPDATE, columns=("name",)),
                edit(table, row(table, gid(8 + number)), Op.DELETE),
                edit(table, row(table, gid(99)), Op.DELETE),
                picture,
            ]
            spool = tmp_path / "spool"
            with pictures(b"\x89PNG" + bytes(7)) as connection:
                spool.write_bytes(wire(schema, edits, channel.form, connection=connection))

            found = await channel.send(sending(spool, tmp_path / "target"))

            assert {(a.is_attachment, a.operation, a.global_id, a.success) for a in found} == {
                (False, Op.ADD, gid(20 + number), True),
                (False, Op.UPDATE, gid(2 + number), True),
                (False, Op.DELETE, gid(8 + number), True),
                (False, Op.DELETE, gid(99), False),
                (True, Op.ADD, gid(60 + number), True),
            }
            assert await at.service.count(0, {"where": "name='new'"}) == 1 + number
