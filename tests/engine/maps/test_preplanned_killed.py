"""A take of a map area that dies at any fault point, or is cancelled at any await."""

import json
import random
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from engine.errors import JobCancelledError
from engine.geodatabase.package_record import get_package
from engine.maps.offline_map import OfflineMap
from engine.maps.preplanned_download import (
    DownloadPreplannedOfflineMapJob,
    DownloadPreplannedOfflineMapResult,
)
from engine.model import PreplannedUpdateMode
from tests.cancelling import CancelledAt
from tests.engine.maps.areas import Areas
from tests.feature_service import Profile
from tests.killing import kill_at_points
from tests.served_story import ServedStory

SYNC = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
SEED = 11


class TakeArea(ServedStory):
    """The map area in a map that is synced, of which two services make a replica each."""

    mode = SYNC
    replicas = 2

    def areas(self, folder: Path) -> Areas:
        profile = Profile(job_polls=0)
        return Areas(folder / "service", folder / "device" / "town", profile, port=self.port)

    async def _make(self, folder: Path) -> None:
        areas = self.areas(folder)
        areas.write()
        async with areas.server:
            job = await areas.job(self.mode)
        (folder / "device").mkdir()
        (folder / "job.json").write_text(json.dumps(job.to_json()))

    async def _act(self, folder: Path) -> None:
        areas = self.areas(folder)
        value = json.loads((folder / "job.json").read_text()) | {"folder": str(areas.folder)}
        async with areas.server:
            job = DownloadPreplannedOfflineMapJob.from_json(value, clock=areas.clock)
            job.start()
            await job.result()

    async def _check(self, folder: Path, finished: bool) -> None:
        areas = self.areas(folder)
        async with areas.server:
            assert areas.folder.exists() or not finished
            if areas.folder.exists():
                assert await areas.rows() == {
                    "water": {"Hydrants": 7, "Visits": 2},
                    "wells": {"Hydrants": 9, "Pipes": 3},
                }
                async with OfflineMap.open(areas.folder) as map_:
                    assert set(map_.layer_errors) == {"radar"}
                    for geodatabase in map_.geodatabases:
                        record = await geodatabase.database.read(get_package)
                        assert (record is None) == (self.replicas == 2)
            if finished:
                assert [path.name for path in (folder / "device").iterdir()] == ["town"]
                names = await areas.replicas()
                assert len(names) == self.replicas, names
                assert all(name.startswith("fieldsync-") for name in names)
                changed = areas.server.refresh_map_area("area1")  # their replicas are still there
                assert set(changed) == {"pkg-water", "pkg-wells"}


class TakeAreaByPackages(TakeArea):
    """The same in a map that sends new features to the one service that takes them."""

    mode = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES
    replicas = 1


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [TakeArea, TakeAreaByPackages])
def test_take_of_an_area_dies_anywhere(tmp_path: Path, scenario: type[TakeArea]) -> None:
    points = kill_at_points(scenario, tmp_path)

    assert {"replica.named", "own-replica.registered", "folder.renamed", "packages.removed"} <= set(
        points
    )


async def test_take_of_an_area_cancelled_at_an_await_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    areas = Areas(tmp_path / "service", tmp_path / "town", Profile(job_polls=0))
    areas.write()

    async def take(at: int) -> int:
        job = await areas.job(SYNC)
        work = CancelledAt(job._run(), at)

        async def run() -> DownloadPreplannedOfflineMapResult:
            return await work

        monkeypatch.setattr(job, "_run", run)
        job.start()
        with pytest.raises(JobCancelledError) if at else nullcontext():
            await job.result()
        return work.count

    async with areas.server:
        total = await take(0)
        shutil.rmtree(areas.folder)
        before = await areas.replicas()
        until_renamed = range(1, total - 4)  # then it is whole
        for at in sorted(random.Random(SEED).sample(until_renamed, 4)):
            await take(at)

            assert areas.left() == [], (at, total)
            assert await areas.replicas() == before, (at, total)
        assert await take(0)
