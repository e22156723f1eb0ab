"""Two devices and the office edit the same map; in the end all three agree, and nothing is lost.

The edits are drawn from a seed. Besides the agreement an oracle knows which values must have
survived: those of cells that only one party touched, in rows that nobody deleted.
"""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.geodatabase.geodatabase import Geodatabase
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import (
    HYDRANTS,
    PIPES,
    VISITS,
    Device,
    Fleet,
    Json,
    coordinates,
    fleet,
    gid,
)
from tests.feature_service import Profile
from tests.feature_service.profile import switches

CHANNELS = (PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA)


class Story:
    """Draws edits and remembers who wrote what."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.number = 0
        self.cells: dict[tuple[int, str, str], list[tuple[str, object]]] = {}
        self.deleted: set[tuple[int, str]] = set()
        self.parents: dict[str, str] = {}
        self.added: set[tuple[int, str]] = set()

    def word(self) -> str:
        self.number += 1
        return f"w{self.number}{self.draw.choice(['', ' é', ' 🌍', ''])}"

    def point(self) -> Json:
        return {"x": self.draw.randrange(0, 100000) / 8, "y": self.draw.randrange(0, 100000) / 8}

    def line(self) -> Json:
        path = [[*self.point().values(), float(self.draw.randrange(9))] for _ in range(3)]
        return {"hasZ": True, "paths": [path]}

    def wrote(self, who: str, layer: int, row: str, values: dict[str, object]) -> None:
        for name, value in values.items():
            self.cells.setdefault((layer, row, name), []).append((who, value))

    def guid(self) -> str:
        self.number += 1
        return gid(900_000 + self.number)

    async def on_device(self, who: str, geodatabase: Geodatabase, edits: int) -> None:
        for _ in range(edits):
            layer = self.draw.choice([HYDRANTS, HYDRANTS, PIPES, VISITS])
            table = geodatabase.table(layer)
            rows = sorted([f.global_id async for f in table.query_features()])
            what = self.draw.choice(["add", "update", "update", "move", "delete", "photo", "photo"])
            if what == "add" or not rows:
                await self._add(who, geodatabase, layer)
            elif what == "delete" and self.draw.random() < 0.5:
                row = self.draw.choice(rows)
                await table.delete_feature(row)
                self.deleted.add((layer, row))
            elif what == "photo" and layer == HYDRANTS:
                await self._photo(table, self.draw.choice(rows))
            elif what == "move" and layer != VISITS:
                shape = self.point() if layer == HYDRANTS else self.line()
                row = self.draw.choice(rows)
                await table.update_feature(row, geometry=shape)
                self.wrote(who, layer, row, {"": coordinates(shape)})
            else:
                row, values = self.draw.choice(rows), self._values(layer)
                await table.update_feature(row, values)
                self.wrote(who, layer, row, values)

    async def _add(self, who: str, geodatabase: Geodatabase, layer: int) -> None:
        values = self._values(layer)
        shape: Json | None = None
        if layer == VISITS:
            hydrants = [f.global_id async for f in geodatabase.table(HYDRANTS).query_features()]
            values["hydrant"] = self.draw.choice(sorted(hydrants))
        else:
            shape = self.point() if layer == HYDRANTS else self.line()
        row = self.guid()
        await geodatabase.table(layer).add_feature({**values, "GlobalID": row}, shape)
        self._added(who, layer, row, values, shape)

    def _added(self, who: str, layer: int, row: str, values: Json, shape: Json | None) -> None:
        self.added.add((layer, row))
        self.wrote(who, layer, row, {**values, "": coordinates(shape)})
        if layer == VISITS:
            self.parents[row] = str(values["hydrant"])

    async def _photo(self, table: Any, row: str) -> None:
        present = await table.attachments(row)
        what = self.draw.choice(["add", "update", "delete"])
        data = self.draw.randbytes(self.draw.choice([1, 2, 300, 5000]))
        if what == "add" or not present:
            await table.add_attachment(row, f"{self.word()}.jpg", "image/jpeg", data)
        elif what == "update":
            photo = self.draw.choice(present)
            await table.update_attachment(photo.global_id, "new.png", "image/png", data)
        else:
            await table.delete_attachment(self.draw.choice(present).global_id)

    def _values(self, layer: int) -> Json:
        if layer == PIPES:
            return {"label": self.word()}
        if layer == VISITS:
            return {"note": self.word()}
        choices: list[Json] = [
            {"name": self.word()},
            {"status": self.draw.choice([1, 2])},
            {"pressure": self.draw.randrange(160) / 10},
            {"serial": self.draw.randrange(1000)},
            {"name": self.word(), "pressure": None},
        ]
        return self.draw.choice(choices)

    async def at_the_office(self, world: Fleet, edits: int) -> None:
        for _ in range(edits):
            layer = self.draw.choice([HYDRANTS, HYDRANTS, PIPES, VISITS])
            features = await world.features(layer)
            rows = sorted(str(f["attributes"]["GlobalID"]).strip("{}").upper() for f in features)
            what = self.draw.choice(["add", "update", "update", "move", "delete"])
            if not rows:
                continue
            row = "{" + self.draw.choice(rows) + "}"
            if what == "add" and layer != VISITS:
                new, values = self.guid(), self._values(layer)
                shape = self.point() if layer == HYDRANTS else self.line()
                feature = {
                    "attributes": {**values, "GlobalID": new},
                    "geometry": {**shape, "spatialReference": {"wkid": 102100}},
                }
                await world.edit(layer, adds=[feature])
                self._added("office", layer, new, values, shape)
            elif what == "delete" and self.draw.random() < 0.4:
                await world.edit(layer, deletes=[row])
                self.deleted.add((layer, row))
            else:
                values = self._values(layer)
                await world.change(layer, row, **values)
                self.wrote("office", layer, row, values)

    def assert_kept(self, rows: dict[int, dict[str, Json]], *, is_reminted: bool = False) -> None:
        """Cells that one party alone wrote have its last value; added rows are there, once.

        ``is_reminted``: the service gives rows GlobalIDs of its own.
        """
        for layer, name in ((HYDRANTS, "name"), (PIPES, "label"), (VISITS, "note")):
            words = [r[name] for r in rows[layer].values() if str(r[name]).startswith("w")]
            assert len(words) == len(set(words)), f"a row of layer {layer} is doubled: {words}"
        for layer, row in self.added - self.deleted:
            if layer == VISITS and (HYDRANTS, self.parents[row]) in self.deleted:
                continue  # composed into a hydrant that somebody deleted
            assert is_reminted or row in rows[layer], f"the added row {layer} {row} is lost"
        for (layer, row, name), written in self.cells.items():
            present = rows[layer].get(row)
            if present is not None and len({who for who, _ in written}) == 1:
                assert present[name] == written[-1][1], (layer, row, name, written)


async def play(world: Fleet, story: Story, a: Device, b: Device, *, rounds: int = 2) -> None:
    """Rounds of edits on all three sides with syncs between, then syncs until all must agree."""
    for _ in range(rounds):
        for name, device in (("A", a), ("B", b)):
            async with device.open() as geodatabase:
                await story.on_device(name, geodatabase, 6)
        await story.at_the_office(world, 3)
        await a.sync()
        await story.at_the_office(world, 2)
        await b.sync()
    for device in (a, b, a, b):
        await device.sync()


async def run(folder: Path, seed: int, profile: Profile, channel: PushChannel) -> None:
    async with fleet(folder, profile) as world:
        a = await world.device("A", channel=channel)
        b = await world.device("B", channel=channel)
        story = Story(seed)
        await play(world, story, a, b)
        await world.assert_agreed()
        is_reminted = profile.remints_global_ids and channel is not PushChannel.APPLY_EDITS
        story.assert_kept(await world.rows(), is_reminted=is_reminted)


def _one_switch_each() -> list[tuple[str, object]]:
    """Every value of every switch of the service that is not the documented behaviour."""
    return [
        (name, value)
        for name, values in switches().items()
        for value in values
        if value != getattr(Profile(), name)
    ]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", [12, 13])
async def test_devices_and_service_agree(tmp_path: Path, seed: int, channel: PushChannel) -> None:
    await run(tmp_path, seed, Profile(), channel)


@pytest.mark.parametrize("seed", [119, 122, 125, 126])
async def test_devices_and_an_unusual_service_agree(tmp_path: Path, seed: int) -> None:
    await run(tmp_path, seed, Profile.random(seed), PushChannel.SYNCHRONIZE_REPLICA)


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("switch", _one_switch_each(), ids=lambda s: f"{s[0]}={s[1]}")
async def test_devices_and_service_agree_with_one_switch_set(
    tmp_path: Path, switch: tuple[str, object], channel: PushChannel
) -> None:
    name, value = switch
    profile = replace(Profile(), **{name: value})  # type: ignore[arg-type]  # one of its values
    await run(tmp_path, 1, profile, channel)


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", range(200, 204))
async def test_devices_and_any_service_agree(
    tmp_path: Path, seed: int, channel: PushChannel
) -> None:
    await run(tmp_path, seed, Profile.random(seed), channel)
