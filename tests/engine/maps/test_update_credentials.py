"""Updates by packages from a portal that wants credentials."""

import logging
from pathlib import Path

import pytest

from engine.errors import AuthenticationError
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_sync_task import OfflineMapSyncTask
from engine.model import OfflineUpdateAvailability, PreplannedUpdateMode
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.credentials import TokenCredential
from tests.engine.maps.areas import Areas
from tests.engine.maps.syncing import sync_job
from tests.engine.sync.fleet import HYDRANTS, edit_inside, gid
from tests.feature_service import Fault, Security


async def test_updates_when_a_token_expires_in_between_then_signed_in_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    security = Security(users={"ann": "pass-word"}, owners=frozenset({"bob"}))
    areas = Areas(tmp_path / "service", tmp_path / "town", security=security)
    areas.write()
    async with areas.server:
        areas.credential = ArcGISCredentialStore(
            [TokenCredential(areas.item().portal, "ann", "pass-word")]
        )
        await areas.take(PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES)
        row = {"attributes": {"GlobalID": gid(3), "name": "theirs"}}
        edit_inside(areas.server.hosted("water"), HYDRANTS, {"updates": [row]})
        areas.server.refresh_map_area("area1")
        (update,) = (areas.data / "portal" / "pkg-water" / "resources").iterdir()
        async with OfflineMap.open(areas.folder) as map_:
            table = map_.geodatabases[0].table(HYDRANTS)
            await table.add_feature({"GlobalID": gid(5001), "name": "new"}, {"x": 5, "y": 5})
            alone = OfflineMapSyncTask(map_, clock=areas.clock)
            info = await alone.check_for_updates()
            assert info.download_availability is OfflineUpdateAvailability.INDETERMINATE
            assert isinstance(info.geodatabases[0].error, AuthenticationError)
            areas.server.faults.add(Fault(kind="token-expired", operation=update.name))
            job = await sync_job(map_, areas.clock, areas.credential)
            job.start()

            result = await job.result()

            assert not result.has_errors
            assert (await table.feature(gid(3))).attributes["name"] == "theirs"
            assert await table.feature(gid(5001))
    told = [record.getMessage() for record in caplog.records] + [m.text for m in job.messages]
    assert not any("pass-word" in text for text in told)
