"""A sync that follows a changed schema dies anywhere, and the next one ends in the same state."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.geodatabase.conflicts import ConflictKind
from tests.disk_faults import DiskFault, fail_anywhere
from tests.engine.sync.fleet import HYDRANTS, PIPES, gid
from tests.engine.sync.stories import Story
from tests.feature_service import Profile
from tests.feature_service.mishap import change_schema
from tests.killing import kill_at_points
from tests.test_feature_service.world import field


class ChangedSchema(Story):
    """A field is new, one is gone, one is wider and attachments are on, with edits of all."""

    profile = Profile(supports_async=False, echoes_own_edits=True)

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder) as world:
            a = self.device(folder)
            await a.take()
            async with a.open() as geodatabase:
                hydrants = geodatabase.table(HYDRANTS)
                edit = {"name": "mine", "pressure": 3.5, "serial": 66}
                await hydrants.update_feature(gid(2), edit)
            colour = field("colour", "String", length=12, defaultValue="red")
            change_schema(world.inside, {"layer": HYDRANTS, "add": colour})
            change_schema(world.inside, {"layer": HYDRANTS, "remove": "pressure"})
            wider = {"type": "esriFieldTypeBigInteger"}
            change_schema(world.inside, {"layer": HYDRANTS, "field": "serial", "set": wider})
            change_schema(world.inside, {"layer": PIPES, "members": {"hasAttachments": True}})
            await world.change(HYDRANTS, gid(5), colour="blue", serial=2**40)

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            await self.device(folder).sync()

    async def _check(self, folder: Path, finished: bool) -> None:
        with closing(sqlite3.connect(folder / "A.gpkg")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        async with self.fleet(folder) as world:
            a = self.device(folder)
            async with a.open() as geodatabase:
                assert [t.error for t in geodatabase.feature_tables] == [None] * 4
                conflicts = await geodatabase.conflicts()
            if not finished:
                return
            world.devices["A"] = a
            await world.assert_agreed()
            (kept,) = conflicts
            assert (kept.global_id, kept.kind) == (gid(2), ConflictKind.FIELD_CLOSED)
            rows = (await a.rows())[HYDRANTS]
            names = ("name", "serial", "colour")
            assert [rows[gid(2)][name] for name in names] == ["mine", 66, "red"]
            assert (rows[gid(5)]["serial"], rows[gid(5)]["colour"]) == (2**40, "blue")


@pytest.mark.slow
def test_sync_with_a_changed_schema_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(ChangedSchema, tmp_path)

    assert {"layer.altered", "fields.filled", "batch.sending"} <= set(points)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [DiskFault.ENOSPC, DiskFault.TORN_KILL])
def test_disk_fails_while_a_changed_schema_is_followed_then_the_next_run_ends_well(
    tmp_path: Path, fault: DiskFault
) -> None:
    assert fail_anywhere(ChangedSchema, tmp_path, fault, samples=3, seed=5)
