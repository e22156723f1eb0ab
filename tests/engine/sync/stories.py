"""Takes and syncs that may be stopped anywhere and run again, and what must hold afterwards.

Nothing may be lost, doubled or stuck.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

from engine.model import SyncModel
from engine.sync import batch_sizer, channels
from engine.sync.delta_file import DeltaFile
from engine.sync.geodatabase_jobs import GenerateGeodatabaseJob, SyncGeodatabaseJob
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, PIPES, SERVICE, VISITS, Device, Fleet, fleet, gid
from tests.feature_service import Fault, Faults, Profile
from tests.served_story import ServedStory


class Story(ServedStory):
    """A service and one device."""

    profile = Profile(job_polls=1)
    channel = PushChannel.APPLY_EDITS
    faults: tuple[Fault, ...] = ()

    def prefixes(self, folder: Path) -> Sequence[Path]:
        """What the paths of the device's files begin with."""
        return (folder / "A", folder / ".A")

    def fleet(
        self, folder: Path, faults: tuple[Fault, ...] = ()
    ) -> AbstractAsyncContextManager[Fleet]:
        return fleet(folder, self.profile, Faults(faults), port=self.port)

    def device(self, folder: Path) -> Device:
        device = Device(
            f"http://127.0.0.1:{self.port}/arcgis/rest/services/{SERVICE}/FeatureServer",
            folder / "A.gpkg",
            SyncModel.PER_REPLICA,
        )
        device.parameters.push_channel = self.channel
        return device


class Take(Story):
    """Taking the whole service."""

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder):
            pass

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            device = self.device(folder)
            if not device.path.exists():
                await device.take()

    async def _check(self, folder: Path, finished: bool) -> None:
        async with self.fleet(folder) as world:
            device = self.device(folder)
            if device.path.exists():
                world.devices["A"] = device
                await world.assert_agreed()
            else:
                assert not finished
            if finished:
                left = [p.name for p in folder.iterdir() if p.name.startswith(".")]
                assert not left, left
                replicas = await world.client.get("replicas")
                assert len(replicas) == 1, replicas


class Sync(Story):
    """Edits of every kind on both sides, and a sync of them."""

    NEW, CHILD = gid(5001), gid(5002)

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder) as world:
            a = self.device(folder)
            await a.take()
            async with a.open() as geodatabase:
                hydrants = geodatabase.table(HYDRANTS)
                (old,) = await hydrants.attachments(gid(1))
                await hydrants.add_feature({"GlobalID": self.NEW, "name": "new"}, {"x": 5, "y": 6})
                await hydrants.add_attachment(self.NEW, "new.jpg", None, b"new photo" * 100)
                await hydrants.update_attachment(old.global_id, "other.jpg", None, b"other")
                await hydrants.update_feature(gid(2), {"name": "mine", "pressure": 3.5})
                await hydrants.update_feature(gid(3), geometry={"x": 1.5, "y": 2.5})
                await hydrants.update_feature(gid(6), {"name": "both"})
                await hydrants.delete_feature(gid(4))
                visits = geodatabase.table(VISITS)
                await visits.add_feature({"GlobalID": self.CHILD, "hydrant": self.NEW})
                await geodatabase.table(PIPES).update_feature(gid(2001), {"label": "pipe"})
            await world.change(HYDRANTS, gid(5), name="office")
            await world.change(HYDRANTS, gid(6), name="office too", serial=66)
            await world.edit(HYDRANTS, deletes=[gid(9)])

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder, self.faults):
            await self.device(folder).sync()

    async def _check(self, folder: Path, finished: bool) -> None:
        with closing(sqlite3.connect(folder / "A.gpkg")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not finished:
            return
        async with self.fleet(folder) as world:
            world.devices["A"] = self.device(folder)
            await world.assert_agreed()
            rows = await world.rows()
            hydrants = rows[HYDRANTS]
            assert hydrants[self.NEW]["name"] == "new"
            assert rows[VISITS][self.CHILD]["hydrant"] == self.NEW
            assert (hydrants[gid(2)]["name"], hydrants[gid(2)]["pressure"]) == ("mine", 3.5)
            assert hydrants[gid(3)][""] == [1.5, 2.5]
            assert (hydrants[gid(6)]["name"], hydrants[gid(6)]["serial"]) == ("both", 66)
            assert hydrants[gid(5)]["name"] == "office"
            assert not hydrants.keys() & {gid(4), gid(9)}
            assert rows[PIPES][gid(2001)]["label"] == "pipe"
            assert len(hydrants) == 8
            photos = sorted((name, data) for _, name, _, data in world.attachments().values())
            assert photos == [("new.jpg", b"new photo" * 100), ("other.jpg", b"other")]
            left = list((folder / "A.gpkg-spool").glob("*"))
            assert not left, left


class SyncReplica(Sync):
    channel = PushChannel.SYNCHRONIZE_REPLICA


class SyncReplicaWithoutResults(SyncReplica):
    profile = Profile(job_polls=1, results_place="none", repeated_add="upsert")


class SyncClearing(Sync):
    profile = Profile(job_polls=1, nulls_omitted_attributes=True)


class SyncTogether(Sync):
    """All edits in one call, of which none may go alone to show what partial updates do."""

    only = frozenset({"canary.prepared", "canary.judged"})

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            await self.device(folder).sync(rollback_on_failure=True)


class SyncKeeping(Sync):
    """What goes up and what comes down is kept in files."""

    only = frozenset({"delta.exported", "changes.kept"})

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            await self.device(folder).sync(keep_geodatabase_deltas=True)

    async def _check(self, folder: Path, finished: bool) -> None:
        await super()._check(folder, finished)
        for path in (folder / "A.gpkg-deltas").glob("*.delta"):
            DeltaFile.open(path)  # whole


class SyncCallRefused(Sync):
    """A call that is refused as a whole is taken back and goes in smaller ones."""

    only = frozenset({"batch.discarded"})
    faults = (Fault(kind="status", operation="applyEdits", status=400),)


class Unregister(Story):
    """The end of a replica; the map and its unsent edit stay."""

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder):
            a = self.device(folder)
            await a.take()
            async with a.open() as geodatabase:
                await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            device = self.device(folder)
            async with device.open() as geodatabase, GeodatabaseSyncTask(device.url) as task:
                if geodatabase.sync_id:
                    await task.unregister_geodatabase(geodatabase)

    async def _check(self, folder: Path, finished: bool) -> None:
        async with self.fleet(folder) as world, self.device(folder).open() as geodatabase:
            assert await geodatabase.has_local_edits()
            if finished:
                assert not geodatabase.sync_id
                assert await world.client.get("replicas") == []


class SyncAnswerLost(Sync):
    stride = 2  # the points of Sync, and those of finding out
    faults = (
        Fault(kind="drop-after-commit", operation="applyEdits"),
        Fault(kind="drop-before-commit", operation="applyEdits", skip=1),
    )


class SyncReplicaAnswerLost(SyncReplica):
    stride = 2
    faults = (
        Fault(kind="drop-after-commit", operation="synchronizeReplica", skip=1),
        Fault(kind="drop-before-commit", operation="synchronizeReplica", skip=3),
    )


class SyncUpload(Story):
    """A photo that goes up in three parts or more."""

    PHOTO = b"new photo" * 100

    def act(self, folder: Path) -> None:
        batch_sizer.MIN_BYTES = batch_sizer.START_BYTES = batch_sizer.MAX_BYTES = 350
        channels.ASYNC_BYTES = 0  # and the call that names the upload is a job
        super().act(folder)

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder):
            a = self.device(folder)
            await a.take()
            async with a.open() as geodatabase:
                hydrants = geodatabase.table(HYDRANTS)
                await hydrants.add_attachment(gid(2), "new.jpg", None, self.PHOTO)

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder, self.faults) as world:
            await self.device(folder).sync()
            # Each run sends what is left, and the part again that was on its way.
            left = world.server.log.count("uploadPart")
            assert left <= 5, left

    async def _check(self, folder: Path, finished: bool) -> None:
        if not finished:
            return
        async with self.fleet(folder) as world:
            world.devices["A"] = self.device(folder)
            await self.device(folder).sync()
            await world.assert_agreed()
            photos = [data for _, name, _, data in world.attachments().values()]
            assert photos.count(self.PHOTO) == 1
            left = list((folder / "A.gpkg-spool").glob("*"))
            assert not left, left


class SyncReplicaUpload(SyncUpload):
    channel = PushChannel.SYNCHRONIZE_REPLICA


class TakeAgain(Take):
    """The same by a job that is made again from its JSON after each death."""

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            device = self.device(folder)
            note = folder / "job.json"
            if not note.exists():
                async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
                    parameters = await task.create_default_generate_geodatabase_parameters(None)
                    new = task.create_generate_geodatabase_job(parameters, device.path)
                note.write_text(json.dumps(new.to_json()))
            value = json.loads(note.read_text())
            job = GenerateGeodatabaseJob.from_json(value, clock=device.clock)
            job.start()
            assert await job.result() == device.path


class SyncAgain(Sync):
    """The same by a job that is made again from its JSON after each death."""

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            device = self.device(folder)
            note = folder / "job.json"
            if not note.exists():
                async with device.open() as geodatabase, GeodatabaseSyncTask(device.url) as task:
                    new = task.create_sync_geodatabase_job(device.parameters, geodatabase)
                note.write_text(json.dumps(new.to_json()))
            job = SyncGeodatabaseJob.from_json(json.loads(note.read_text()), clock=device.clock)
            job.start()
            await job.result()
