"""Edits that are carried in files arrive once, wherever a program on either machine is killed."""

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from engine.geodatabase.feature_table import FeatureTable
from engine.sync.delta_file import DeltaFile
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid
from tests.engine.sync.stories import Story
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.killing import kill_at_points

ROWS = 100
BLOCK_ROWS = 40


class Push(Story):
    """A push from another machine: a row that is new, and one that somebody else has changed."""

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder) as world:
            a = self.device(folder)
            await a.take()
            async with a.open() as geodatabase:
                hydrants = geodatabase.table(HYDRANTS)
                await hydrants.add_feature({"GlobalID": gid(5001), "name": "new"}, {"x": 5, "y": 6})
                await hydrants.update_feature(gid(6), {"name": "mine"})
                await self._edit(a, hydrants)
            await world.change(HYDRANTS, gid(6), name="theirs")
            await export(a, self.delta(folder))

    async def _edit(self, device: Device, hydrants: FeatureTable) -> None:
        """More edits."""

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            await push(self.delta(folder), self.answer(folder), channel=self.channel)

    def delta(self, folder: Path) -> Path:
        return folder / "A.delta"

    def answer(self, folder: Path) -> Path:
        return folder / "A.ack.delta"

    async def _check(self, folder: Path, finished: bool) -> None:
        if self.answer(folder).exists():
            DeltaFile.open(self.answer(folder))  # whole or not there
        async with self.fleet(folder) as world:
            await self.check_once(world)
            if finished:
                await take_back(self.device(folder), self.answer(folder))
                await self.check_settled(folder, world)

    async def check_once(self, world: Fleet) -> None:
        rows = (await world.rows())[HYDRANTS]
        assert sum(row["name"] == "new" for row in rows.values()) <= 1
        assert len(world.attachments()) <= 2

    async def check_settled(self, folder: Path, world: Fleet) -> None:
        """What was refused is set aside, what met somebody else's is pending, the rest agrees."""
        device = self.device(folder)
        world.devices["A"] = device
        async with device.open() as geodatabase:
            for refused in await geodatabase.quarantine():
                assert refused.global_id == gid(5)
                await geodatabase.discard_quarantined(refused.id)
        pending = await device.pending()
        assert sum(pending.values()) == 1, pending
        await device.sync()
        assert (await world.rows())[HYDRANTS][gid(6)]["name"] == "mine"
        await world.assert_agreed()


class Export(Push):
    """What was not sent, into a file."""

    async def _make(self, folder: Path) -> None:
        await super()._make(folder)
        self.delta(folder).unlink()

    async def _act(self, folder: Path) -> None:
        await export(self.device(folder), self.delta(folder))

    async def _check(self, folder: Path, finished: bool) -> None:
        if self.delta(folder).exists():
            DeltaFile.open(self.delta(folder))  # whole or not there
        else:
            assert not finished
        assert sum((await self.device(folder).pending()).values()) == 2, "nothing was sent yet"
        if finished:
            await Push._act(self, folder)
            await super()._check(folder, finished=True)


class Import(Push):
    """The acknowledgement back on the device; with a photo, a delete, and an edit refused."""

    async def _make(self, folder: Path) -> None:
        await super()._make(folder)
        await super()._act(folder)

    async def _edit(self, device: Device, hydrants: FeatureTable) -> None:
        await hydrants.add_attachment(gid(5001), "new.jpg", None, b"new photo" * 100)
        await hydrants.delete_feature(gid(4))
        foreign(device, f"UPDATE Hydrants SET status=99 WHERE GlobalID='{gid(5)}'")

    async def _act(self, folder: Path) -> None:
        await take_back(self.device(folder), self.answer(folder))

    async def _check(self, folder: Path, finished: bool) -> None:
        if finished:
            async with self.fleet(folder) as world:
                await self.check_settled(folder, world)


class Restore(Story):
    """A backup is brought forward by a kept download of several blocks."""

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder) as world:
            a = self.device(folder)
            await a.take()
            backup = folder / "A.backup.gpkg"
            backup.write_bytes(a.path.read_bytes())
            features = [
                {"attributes": {"GlobalID": gid(700_000 + n), "name": f"n{n}"}, "geometry": None}
                for n in range(ROWS)
            ]
            await world.edit(HYDRANTS, adds=features)
            await world.edit(HYDRANTS, deletes=[gid(4)])
            with patch("native.delta_writer.ROWS_MAX", BLOCK_ROWS):
                await a.sync(keep_geodatabase_deltas=True)

    async def _act(self, folder: Path) -> None:
        await take_back(self.backup(folder), self.delta(folder))

    def backup(self, folder: Path) -> Device:
        device = self.device(folder)
        device.path = folder / "A.backup.gpkg"
        return device

    def delta(self, folder: Path) -> Path:
        (path,) = (folder / "A.gpkg-deltas").glob("*-download.delta")
        return path

    async def _check(self, folder: Path, finished: bool) -> None:
        with closing(sqlite3.connect(folder / "A.backup.gpkg")) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM Hydrants").fetchone()
            (deleted,) = connection.execute(
                "SELECT count(*) FROM Hydrants WHERE GlobalID=?", (gid(4),)
            ).fetchone()
            generation, target = connection.execute(
                "SELECT server_generation,? FROM fieldsync_replica",
                (DeltaFile.open(self.delta(folder)).header.about["to"]["server_generation"],),
            ).fetchone()
        is_whole = rows >= ROWS and not deleted
        assert is_whole or generation < target
        if finished:
            assert is_whole
            assert generation == target


@pytest.mark.slow
def test_a_push_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(Push, tmp_path)

    assert {"folder.renamed", "edits.acknowledged", "acknowledgement.written"} <= set(points)


@pytest.mark.slow
def test_an_export_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(Export, tmp_path)

    assert {"file.renamed", "delta.noted"} <= set(points)


def test_an_import_of_an_acknowledgement_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(Import, tmp_path)

    assert points.count("acknowledgement.applied") >= 2


def test_an_import_of_changes_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(Restore, tmp_path)

    assert points.count("block.applied") >= 3
