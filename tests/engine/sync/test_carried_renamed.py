"""A row that left in a file, and that a service which gives GlobalIDs of its own has already."""

from pathlib import Path

import pytest

from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, fleet, gid
from tests.feature_service import Profile

NEW = gid(7001)
CHANNEL = PushChannel.SYNCHRONIZE_REPLICA


@pytest.mark.parametrize(
    ("is_changed", "is_downloaded"),
    [
        (True, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(True, True), (False, False), (False, True)]
        ),
    ],
)
async def test_row_that_the_file_added_once_more_is_deleted_when_the_answer_comes(
    tmp_path: Path, is_changed: bool, is_downloaded: bool
) -> None:
    async with fleet(tmp_path, Profile(remints_global_ids=True)) as world:
        a = await world.device("A", channel=CHANNEL)
        async with a.open() as geodatabase:
            await geodatabase.table(HYDRANTS).add_feature({"GlobalID": NEW, "name": "one"})
        await export(a, tmp_path / "A.delta")
        await a.sync()
        if is_changed:
            async with a.open() as geodatabase:
                table = geodatabase.table(HYDRANTS)
                rows = [f async for f in table.query_features() if f.attributes["name"] == "one"]
                await table.update_feature(rows[0].global_id, {"name": "two"})
            await a.sync()
        await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=CHANNEL)
        if is_downloaded:
            await a.sync()

        for _ in range(2):
            await take_back(a, tmp_path / "A.answer")
            await a.sync()

        names = [row["name"] for row in (await world.rows())[HYDRANTS].values()]
        assert [name for name in names if name in ("one", "two")] == [
            "two" if is_changed else "one"
        ]
        await a.sync()
        await world.assert_agreed()
