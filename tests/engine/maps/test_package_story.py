"""Random stories of an office, its packages and a device that adds features and dies at times.

Whatever happens, a map shows the rows of its package, and beside them each feature that was added
on the device exactly once, until a package has it or the office has deleted it.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import faults
from engine.errors import EngineError, UploadRequired
from engine.geodatabase.package_record import get_package
from engine.maps.offline_map import OfflineMap
from engine.model import PreplannedScheduledUpdatesOption, normalise_guid
from tests.engine.maps.area import AND_NEW, Area, area
from tests.engine.sync.fleet import HYDRANTS, edit_inside, gid
from tests.feature_service import Fault, Profile

STEPS = 28
QUICK, LONG = (1,), (0, *range(2, 11))


class _Killed(Exception):
    """The device has died."""


class Story:
    """One story, drawn from a seed, and what must be true in it."""

    def __init__(self, north: Area, seed: int) -> None:
        self.north = north
        self.draw = random.Random(seed)
        self.number = 10_000
        self.added: set[str] = set()
        self.deleted_there: set[str] = set()
        self.is_refusing = False
        self.log: list[str] = []

    async def play(self) -> None:
        steps = [
            self.office_adds,
            self.office_changes,
            self.office_deletes,
            self.device_adds,
            self.device_adds,
            self.refresh,
            self.refresh,
            self.service_turns,
            self.sync,
            self.sync,
            self.sync_and_die,
        ]
        for _ in range(STEPS):
            step = self.draw.choice(steps)
            self.log.append(step.__name__)
            await step()
            await self.check_adds()
        await self.end()

    # --- what happens -----------------------------------------------------------------------------

    async def office_adds(self) -> None:
        self.number += 1
        attributes = {"GlobalID": gid(self.number), "name": f"o{self.number}"}
        self.edit(adds=[{"attributes": attributes, "geometry": {"x": 1, "y": 2}}])

    async def office_changes(self) -> None:
        names = sorted(await self.there())
        if names:
            row = {"GlobalID": self.draw.choice(names), "name": f"c{self.draw.random():.6f}"}
            self.edit(updates=[{"attributes": row}])

    async def office_deletes(self) -> None:
        """Most of all what came from the device."""
        there = await self.there()
        if len(there) > 3:
            gone = self.draw.choice(sorted(there & self.added) or sorted(there))
            self.deleted_there.add(gone)
            self.edit(deletes=[gone])

    async def device_adds(self) -> None:
        self.number += 1
        async with self.north.table(HYDRANTS) as table:
            row = {"GlobalID": gid(self.number), "name": f"d{self.number}"}
            await table.add_feature(row, {"x": 3, "y": 4})
        self.added.add(gid(self.number))

    async def refresh(self) -> None:
        self.north.refresh(days=self.draw.choice([0, 0, 2, 6]))

    async def service_turns(self) -> None:
        """The service answers nothing for a while; the portal does."""
        self.is_refusing = not self.is_refusing

    def some_option(self) -> dict[str, object]:
        """At times no updates are wanted, but what is new here goes up."""
        option = PreplannedScheduledUpdatesOption.NO_UPDATES
        is_wanted = self.draw.random() < 0.7
        return {} if is_wanted else {"preplanned_scheduled_updates_option": option}

    @contextmanager
    def refusing(self) -> Iterator[None]:
        operations = ("applyEdits", "query") if self.is_refusing else ()
        for operation in operations:
            refusal = Fault(kind="status", status=403, operation=operation, times=0)
            self.north.server.faults.add(refusal)
        try:
            yield
        finally:
            self.north.server.faults.clear()

    async def sync(self) -> None:
        pending = await self.pending()
        before, generation = await self.names(), await self.generation()
        option = self.some_option()
        try:
            with self.refusing():
                await self.north.sync(**option)
        except UploadRequired:
            assert pending, "nothing needs to be sent"
            assert self.is_refusing
            assert await self.names() == before, "nothing is replaced while edits are unsent"
            return
        except EngineError:
            assert self.is_refusing
        has_moved = await self.generation() != generation
        await self.check_map(has_moved=has_moved, is_current=not option)

    async def sync_and_die(self) -> None:
        left = self.draw.randrange(1, 12)

        def reached(name: str) -> None:
            nonlocal left
            left -= 1
            if not left:
                self.log.append(name)
                raise _Killed

        try:
            with faults.armed(reached), self.refusing():
                await self.north.sync()
        except (_Killed, EngineError):
            pass

    # --- what must be true ------------------------------------------------------------------------

    async def there(self) -> set[str]:
        features = await self.north.office.features(HYDRANTS)
        return {normalise_guid(f["attributes"]["GlobalID"]) or "" for f in features}

    def edit(self, **edits: Any) -> None:
        edit_inside(self.north.office.inside, HYDRANTS, edits)

    async def names(self) -> dict[str, object]:
        return {g: row["name"] for g, row in (await self.north.rows())[HYDRANTS].items()}

    async def pending(self) -> set[str]:
        async with OfflineMap.open(self.north.map) as map_:
            table = map_.geodatabases[0].table(HYDRANTS)
            return {edit.global_id async for edit in table.get_added_features()}

    async def check_adds(self) -> None:
        """No feature that was added here is ever lost: it waits, or the service has had it."""
        accounted = (await self.there()) | self.deleted_there | await self.pending()
        assert self.added <= accounted, self.added - accounted

    async def generation(self) -> int | None:
        async with OfflineMap.open(self.north.map) as map_:
            record = await map_.geodatabases[0].database.read(get_package)
            assert record is not None
            return record.generations.number

    async def check_map(self, *, has_moved: bool, is_current: bool) -> None:
        here = await self.names()
        own = (self.added & (await self.there())) | await self.pending()
        missing = own - here.keys()
        assert not missing, f"uploaded and not seen any more: {missing}"
        if not is_current:
            return
        package = {g: row["name"] for g, row in self.north.told()[HYDRANTS].items()}
        assert package.keys() <= here.keys(), package.keys() - here.keys()
        assert {g: here[g] for g in package} == package
        beside = here.keys() - package.keys()
        assert beside <= self.added, "a row that no package has, and nobody added here"
        if has_moved and not self.is_refusing:
            assert beside <= own, f"the office has deleted them: {beside - own}"

    async def end(self) -> None:
        """When all is quiet the map is as the service."""
        self.is_refusing = False
        await self.north.sync()
        self.edit(
            updates=[{"attributes": {"GlobalID": sorted(await self.there())[0], "name": "end"}}]
        )
        assert self.north.refresh() == "changed"
        await self.north.sync()
        rows = (await self.north.office.rows())[HYDRANTS]
        assert await self.names() == {g: row["name"] for g, row in rows.items()}
        assert not await self.pending()


async def _play(tmp_path: Path, seed: int) -> None:
    profile = replace(Profile.random(seed), remints_global_ids=False, job_polls=1)
    model = profile.sync_models
    if model == "both":
        model = random.Random(seed).choice(["perLayer", "perReplica"])
    async with area(tmp_path, profile, syncModel=model) as north:
        await north.take(AND_NEW)
        story = Story(north, seed)
        try:
            await story.play()
        except BaseException as error:
            error.add_note(f"seed {seed}, {model}, {profile}: {', '.join(story.log)}")
            raise


@pytest.mark.parametrize("seed", QUICK)
async def test_story_when_played_then_no_feature_is_lost_or_doubled(
    tmp_path: Path, seed: int
) -> None:
    await _play(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", LONG)
async def test_long_story_when_played_then_no_feature_is_lost_or_doubled(
    tmp_path: Path, seed: int
) -> None:
    await _play(tmp_path, seed)
