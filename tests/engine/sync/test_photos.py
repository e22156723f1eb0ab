"""Photos go their own way: what becomes of one does not become of its row."""

import pytest

from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS

NEW = gid(5001)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_refused_photo_does_not_hold_back_its_row(world: Fleet, channel: PushChannel) -> None:
    a = await world.device("A", channel=channel)
    world.inside.service.document["allowedUploadFileTypes"] = "jpg"
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 6})
        good = await hydrants.add_attachment(NEW, "good.jpg", None, b"good photo")
        bad = await hydrants.add_attachment(NEW, "bad.exe", None, b"no photo")

    result = await a.sync()

    (layer,) = (r for r in result.layer_results if r.layer_id == HYDRANTS)
    assert (layer.uploaded.found, layer.uploaded.applied) == (1, 1)
    photos = layer.attachments_uploaded
    assert (photos.found, photos.applied, photos.quarantined) == (2, 1, 1)
    assert NEW in (await world.rows())[HYDRANTS]
    assert good.global_id in world.attachments()
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
    assert refused.global_id == bad.global_id
    assert refused.remedy
