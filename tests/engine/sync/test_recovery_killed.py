"""A device that dies at any fault point while it recovers its replica ends in the same state."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import Fleet
from tests.engine.sync.stories import Sync
from tests.feature_service import Fault
from tests.feature_service.mishap import strike
from tests.killing import kill_at_points


class Recovery(Sync):
    """The sync of all kinds of edits, after the office has disturbed the replica.

    It is killed where a recovery differs from other syncs, which are killed everywhere.
    """

    only = frozenset(
        {
            "replica.noted",
            "replica.registered",
            "replica.recorded",
            "replica.unregistered",
            "rows.rebased",
            "batch.sending",
            "batch.merged",
            "snapshot.registered",
            "snapshot.fetched",
            "download.staged",
            "generation.moved",
            "snapshot.merged",
        }
    )

    async def _make(self, folder: Path) -> None:
        await super()._make(folder)
        async with self.fleet(folder) as world:
            await self._disturb(world, folder)

    async def _disturb(self, world: Fleet, folder: Path) -> None:
        raise NotImplementedError

    async def _check(self, folder: Path, finished: bool) -> None:
        await super()._check(folder, finished)
        if finished:
            async with self.fleet(folder) as world, self.device(folder).open() as geodatabase:
                listed = {one["replicaID"] for one in await world.client.get("replicas")}
                assert listed - self._others(folder) == {geodatabase.sync_id}

    def _others(self, folder: Path) -> set[str]:
        return set()


class Unregistered(Recovery):
    async def _disturb(self, world: Fleet, folder: Path) -> None:
        for one in await world.client.get("replicas"):
            await world.client.post("unRegisterReplica", replicaID=one["replicaID"])


class UnregisteredReplica(Unregistered):
    channel = PushChannel.SYNCHRONIZE_REPLICA
    faults = (Fault(kind="drop-before-commit", operation="synchronizeReplica", skip=2),)


class Forgotten(Recovery):
    async def _disturb(self, world: Fleet, folder: Path) -> None:
        strike(world.inside, Fault(kind="generation-overtaken"))


class Copied(Recovery):
    channel = PushChannel.SYNCHRONIZE_REPLICA

    async def _disturb(self, world: Fleet, folder: Path) -> None:
        with closing(sqlite3.connect(folder / "A.gpkg")) as connection, connection:
            connection.execute("UPDATE fieldsync_replica SET machine_id='another'")
            query = "SELECT replica_id FROM fieldsync_replica"
            (original,) = connection.execute(query).fetchone()
        (folder / "original").write_text(original)

    def _others(self, folder: Path) -> set[str]:
        return {(folder / "original").read_text()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Unregistered, {"replica.noted", "replica.recorded", "rows.rebased", "snapshot.merged"}),
        (UnregisteredReplica, {"replica.registered", "replica.unregistered"}),
        (Forgotten, {"rows.rebased", "snapshot.fetched", "generation.moved"}),
        (Copied, {"replica.noted", "replica.recorded"}),
    ],
)
def test_recovery_dies_anywhere(
    tmp_path: Path, scenario: type[Recovery], expected: set[str]
) -> None:
    points = kill_at_points(scenario, tmp_path)

    assert expected <= set(points)
