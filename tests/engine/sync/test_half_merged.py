"""Rows that came with a merge which was broken off, and are deleted before the next download."""

import base64
from contextlib import suppress
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest

from engine import faults
from engine.errors import EngineError
from engine.sync import pull
from engine.sync.deltas import import_delta
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.feature_service import Profile

ROWS = (7001, 7002)


class Died(Exception):
    """The device is gone."""


async def add_rows(world: Fleet) -> None:
    rows = [{"attributes": {"GlobalID": gid(n), "name": f"new {n}"}} for n in ROWS]
    photo = {
        "globalId": gid(7003),
        "parentGlobalId": gid(1),
        "name": "new.jpg",
        "contentType": "image/jpeg",
        "data": base64.b64encode(b"new").decode(),
    }
    await world.edit(HYDRANTS, adds=rows, attachments={"adds": [photo]})


async def delete_rows(world: Fleet) -> None:
    await world.edit(HYDRANTS, deletes=[gid(n) for n in ROWS], attachments={"deletes": [gid(7003)]})


async def dies_at(device: Device, number: int) -> bool:
    """A sync in slices of one row that dies after so many of them; False if there are not."""
    passed: list[str] = []

    def die(point: str) -> None:
        if point == "slice.merged":
            passed.append(point)
            if len(passed) == number:
                raise Died

    with patch.multiple(pull, SLICE_S=0.0, PART_ROWS=1), faults.armed(die), suppress(EngineError):
        await device.sync()
    return len(passed) >= number


async def test_row_of_a_merge_that_died_when_deleted_before_the_next_then_it_goes(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, Profile(supports_async=False)) as world:
        a = await world.device("A")
        for number in count(1):
            await add_rows(world)
            has_died = await dies_at(a, number)
            await delete_rows(world)

            await a.sync()

            await world.assert_agreed()
            if not has_died:
                break
        assert number > len(ROWS)


async def test_row_of_a_layer_whose_generation_waits_when_deleted_then_it_goes(
    tmp_path: Path,
) -> None:
    """One number stands for all layers, and a layer is left out of the sync."""
    async with fleet(tmp_path, Profile(supports_async=False)) as world:
        a = await world.device("A")
        await add_rows(world)
        with patch.object(pull, "_generations", return_value=(None, {})):
            await a.sync()
        assert gid(7001) in (await a.rows())[HYDRANTS]
        await delete_rows(world)

        await a.sync()

        await world.assert_agreed()


async def test_row_of_an_import_that_died_when_deleted_before_the_next_sync_then_it_goes(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, Profile(supports_async=False)) as world:
        a = await world.device("A")
        backup = tmp_path / "backup.gpkg"
        backup.write_bytes(a.path.read_bytes())
        await add_rows(world)
        result = await a.sync(keep_geodatabase_deltas=True)
        assert result.delta_info is not None
        delta = result.delta_info.download_delta_path
        assert delta is not None
        a.path.write_bytes(backup.read_bytes())

        def die(point: str) -> None:
            if point == "block.applied":
                raise Died

        async with a.open() as geodatabase:
            with faults.armed(die), pytest.raises(Died):
                await import_delta(geodatabase, delta, clock=a.clock)
        assert gid(7001) in (await a.rows())[HYDRANTS]
        await delete_rows(world)

        await a.sync()

        await world.assert_agreed()
