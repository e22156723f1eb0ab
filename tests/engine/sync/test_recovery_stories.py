"""Two devices and the office edit the same rows while the office unregisters replicas and forgets
changes; in the end all agree, and nothing is lost or doubled."""

import random
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.model import SyncModel
from engine.sync import machine
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, Device, Fleet, fleet
from tests.engine.sync.test_edits_meanwhile import CHANNELS
from tests.engine.sync.test_two_devices import Story
from tests.feature_service import Fault, Profile
from tests.feature_service.mishap import strike

WAYS = ("A", "all", "forget", "forget", "A")


async def disturb(world: Fleet, devices: dict[str, Device], draw: random.Random) -> None:
    """The office cleans up."""
    what = draw.choice(WAYS)
    if what == "forget":
        strike(world.inside, Fault(kind="generation-overtaken"))
        return
    for entry in await world.client.get("replicas"):
        async with devices["A"].open() as geodatabase:
            is_a = entry["replicaID"].strip("{}").upper() == geodatabase.sync_id.strip("{}").upper()
        if what == "all" or is_a:
            done = await world.client.post("unRegisterReplica", replicaID=entry["replicaID"])
            assert done["success"]


async def run(folder: Path, seed: int, profile: Profile, channel: PushChannel) -> None:
    draw = random.Random(seed)
    async with fleet(folder, profile) as world:
        devices = {name: await world.device(name, channel=channel) for name in "AB"}
        story = Story(seed)
        for _ in range(3):
            for name, device in devices.items():
                async with device.open() as geodatabase:
                    await story.on_device(name, geodatabase, 5)
            await story.at_the_office(world, 3)
            await disturb(world, devices, draw)
            kind = draw.choice(["drop-before-commit", "drop-after-commit"])
            operation = draw.choice(["createReplica", "replicafiles", "query", channel.value])
            world.server.faults.add(
                Fault(kind=kind, operation=operation, skip=draw.randrange(3))  # type: ignore[arg-type]
            )
            for name in draw.choice(["A", "AB", "BA"]):
                with suppress(EngineError):
                    await devices[name].sync()
            world.server.faults.clear()
        for name in "ABAB":
            await devices[name].sync()
        await world.assert_agreed()
        is_reminted = profile.remints_global_ids and channel is not PushChannel.APPLY_EDITS
        story.assert_kept(await world.rows(), is_reminted=is_reminted)
        assert len(await world.client.get("replicas")) == 2


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", [1])
async def test_devices_agree_whatever_is_unregistered_or_forgotten(
    tmp_path: Path, seed: int, channel: PushChannel
) -> None:
    await run(tmp_path, seed, Profile(), channel)


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", [401])
async def test_devices_agree_whatever_the_service_is_like(
    tmp_path: Path, seed: int, channel: PushChannel
) -> None:
    profile = replace(Profile.random(seed), remints_global_ids=False)
    await run(tmp_path, seed, profile, channel)


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
async def test_copied_card_and_its_original_agree_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: PushChannel
) -> None:
    def go_to(name: str) -> Device:
        """The process runs on that device from now on."""
        source = tmp_path / f"machine-{name}"
        source.write_text(f"{name}\n")
        monkeypatch.setattr(machine, "_SYSTEM", (source,))
        return world.devices[name]

    async with fleet(tmp_path) as world:
        for name in "AB":
            world.devices[name] = Device(world.url, tmp_path, SyncModel.PER_REPLICA)
            go_to(name)
            await world.device(name, channel=channel)
        story = Story(6)
        async with go_to("A").open() as geodatabase:
            await story.on_device("A", geodatabase, 6)
        shutil.copy(world.devices["A"].path, tmp_path / "C.gpkg")  # nobody has it open
        world.devices["C"] = replace(world.devices["A"], path=tmp_path / "C.gpkg")
        for _ in range(2):
            for name in "ABC":
                async with go_to(name).open() as geodatabase:
                    await story.on_device(name, geodatabase, 4)
            await story.at_the_office(world, 3)
            for name in "CAB":
                await go_to(name).sync()

        for name in "ABCABC":
            await go_to(name).sync()

        await world.assert_agreed()
        assert len(await world.client.get("replicas")) == 3
        for layer, column in ((HYDRANTS, "name"), (PIPES, "label"), (VISITS, "note")):
            values = [str(row[column]) for row in (await world.rows())[layer].values()]
            words = [value for value in values if value.startswith("w")]
            assert len(words) == len(set(words)), f"a row of layer {layer} is doubled: {words}"
