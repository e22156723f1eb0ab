"""Tokens that expire at any request: the work goes on with a new one, and nothing is doubled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from engine.errors import AuthenticationError
from engine.geodatabase import journal
from engine.service.credentials import TokenCredential
from engine.sync import batch_sizer
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, PIPES, Device, Fleet, fleet, found, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS
from tests.feature_service import Fault, Profile, Security

SECURITY = Security(
    users={"ann": "correct horse"},
    api_keys={"office-key": "office"},
    owners=frozenset({"ann", "office"}),
)


@asynccontextmanager
async def guarded(folder: Path, profile: Profile | None = None) -> AsyncIterator[Fleet]:
    """A service that wants tokens."""
    async with fleet(folder, profile, security=SECURITY) as world:
        yield world


def ann(world: Fleet, password: str = "correct horse") -> TokenCredential:
    return TokenCredential(world.url, "ann", password)


def expire_at(world: Fleet, number: int) -> None:
    """Every token given so far is refused from that request on, counted from 0."""
    world.server.faults.add(Fault(kind="token-expired", skip=number))


def logins(world: Fleet) -> int:
    return world.server.log.count("generateToken")


async def edit(device: Device, number: int) -> None:
    """One edit of each kind here, with a photo."""
    async with device.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        new = gid(50_000 + number)
        await hydrants.add_feature({"GlobalID": new, "name": f"new {number}"}, {"x": 1, "y": 2})
        await hydrants.add_attachment(new, f"{number}.jpg", "image/jpeg", bytes([number]) * 3000)
        await hydrants.update_feature(gid(2), {"name": f"here {number}"})
        older = [f.global_id async for f in hydrants.query_features() if f.global_id < new]
        if max(older) >= gid(50_000):
            await hydrants.delete_feature(max(older))


async def syncs_with_expiry_at_every_request(
    folder: Path, channel: PushChannel, profile: Profile | None = None, *, step: int = 1
) -> list[str]:
    """Returns the operations that were called."""
    async with guarded(folder, profile) as world:
        device = await world.device("A", channel=channel, credential=ann(world))
        for number in count(step=step):
            await edit(device, number)
            await world.change(PIPES, gid(2001), label=f"there {number}")
            await world.edit(
                HYDRANTS,
                attachments={
                    "adds": [
                        {
                            "globalId": gid(90_000 + number),
                            "parentGlobalId": gid(3),
                            "name": f"office {number}.jpg",
                            "contentType": "image/jpeg",
                            "data": "AAAA",
                        }
                    ]
                },
            )
            before = logins(world)
            expire_at(world, number)

            result = await device.sync()

            has_struck = not len(world.server.faults)
            assert not result.has_errors, (number, result)
            assert found(result).applied == found(result).found > 0
            assert logins(world) - before <= 1, world.server.log
            assert not [text for text in device.messages if "answer was lost" in text]
            assert not [text for text in device.messages if "without an answer" in text]
            await world.assert_agreed()
            if not has_struck:
                assert number >= 8
                assert logins(world) == before
                return list(world.server.log)
    raise AssertionError("unreachable")


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.slow)])
async def test_token_that_expires_at_any_request_of_a_sync_changes_nothing(
    tmp_path: Path, channel: PushChannel, step: int
) -> None:
    await syncs_with_expiry_at_every_request(tmp_path, channel, step=step)


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
async def test_token_that_expires_between_the_parts_of_an_upload_changes_nothing(
    tmp_path: Path, channel: PushChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MIN_BYTES", "START_BYTES", "MAX_BYTES"):
        monkeypatch.setattr(batch_sizer, name, 1500)

    operations = await syncs_with_expiry_at_every_request(tmp_path, channel, step=2)

    assert operations.count("uploadPart") > 20


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", [401])
async def test_token_that_expires_at_any_request_of_a_sync_with_any_service_changes_nothing(
    tmp_path: Path, seed: int, channel: PushChannel
) -> None:
    profile = replace(Profile.random(seed), remints_global_ids=False)
    await syncs_with_expiry_at_every_request(tmp_path, channel, profile, step=2)


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
async def test_token_that_expires_at_any_request_of_a_take_changes_nothing(
    tmp_path: Path, step: int
) -> None:
    async with guarded(tmp_path, Profile(results_on_other_origin=True)) as world:
        credential = ann(world)
        for number in count(step=step):
            before = logins(world)
            expire_at(world, number)

            device = await world.device(f"D{number}", credential=credential)

            has_struck = not len(world.server.faults)
            world.server.faults.clear()
            assert logins(world) - before <= 1 + (number == 0), world.server.log
            assert not [text for text in device.messages if "attachments are left" in text]
            assert len(await world.client.get("replicas")) == len(world.devices)
            if not has_struck:
                break
        assert number > 15
        await world.assert_agreed()


async def test_sign_in_that_is_refused_leaves_the_edits_pending_and_says_so(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as world:
        device = await world.device("A", credential=ann(world))
        await edit(device, 0)
        pending = await device.pending()
        device.credential = ann(world, "wrong")

        with pytest.raises(
            AuthenticationError, match=r"no sign-in at 127\.0\.0\.1.*user ann"
        ) as caught:
            await device.sync()

        assert "wrong" not in str(caught.value)
        assert await device.pending() == pending
        assert logins(world) == 2
        device.credential = ann(world)
        await device.sync()
        await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_push_that_is_refused_for_good_sets_nothing_aside_and_leaves_no_batch(
    tmp_path: Path, channel: PushChannel
) -> None:
    async with guarded(tmp_path) as world:
        device = await world.device("A", channel=channel, credential=ann(world))
        await edit(device, 0)
        pending = await device.pending()
        refused = Fault(kind="status", operation=channel.value, status=401, times=0, skip=0)
        world.server.faults.add(refused)

        with pytest.raises(AuthenticationError, match=r"no sign-in at 127\.0\.0\.1"):
            await device.sync()

        world.server.faults.clear()
        assert await device.pending() == pending
        async with device.open() as geodatabase:
            assert not await geodatabase.quarantine()
            assert not await geodatabase.database.read(journal.unfinished)
        await device.sync()
        await world.assert_agreed()
