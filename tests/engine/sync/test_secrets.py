"""Secrets of a take and of syncs, good and bad, stand nowhere but in the requests to their host."""

import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import faults
from engine.errors import EngineError
from engine.service.credentials import (
    ApiKey,
    ArcGISCredential,
    OAuthApplicationCredential,
    PregeneratedTokenCredential,
    TokenCredential,
    TokenInfo,
)
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.feature_service import Fault, Profile, Security

PASSWORD, CLIENT_SECRET, KEY = "pass-mark-7", "client-mark-7", "key-mark-7"
SECURITY = Security(
    users={"ann": PASSWORD},
    clients={"app": CLIENT_SECRET},
    api_keys={"office-key": "office", KEY: "robot"},
    owners=frozenset({"ann", "app", "robot", "office"}),
)
TROUBLE = (
    Fault(kind="token-expired", operation="applyEdits"),
    Fault(kind="status", status=401, operation="replicafiles", times=0),
    Fault(kind="status", status=503, operation="generateToken", times=0),
    Fault(kind="drop-after-commit", operation="applyEdits"),
    Fault(kind="cut-response", at_byte=9, operation="query", times=0),
    Fault(kind="job-failed", operation="synchronizeReplica"),
)


def credentials(world: Fleet) -> Iterator[ArcGISCredential]:
    yield TokenCredential(world.url, "ann", PASSWORD)
    yield OAuthApplicationCredential(world.url, "app", CLIENT_SECRET)
    yield ApiKey(KEY, world.url)
    yield PregeneratedTokenCredential(world.url, TokenInfo(access_token=KEY))


class Watch:
    """Every secret that there has been, and every place where one was seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.credential: ArcGISCredential | None = None
        self.secrets: set[str] = set()
        self.seen: list[str] = []

    def at(self, point: str) -> None:
        """Look into the files beside the geodatabase, while the work goes on."""
        self._learn()
        self.files(point, [p for p in self._all() if ".gpkg" not in p.suffixes[-1:]])

    def files(self, when: str, paths: list[Path] | None = None) -> None:
        self._learn()
        for path in self._all() if paths is None else paths:
            self.text(f"{path.name} at {when}", path.read_bytes().decode("latin-1"))

    def text(self, where: str, text: str) -> None:
        self._learn()
        self.seen += [f"{secret} in {where}" for secret in self.secrets if secret in text]

    def _learn(self) -> None:
        if self.credential is not None:
            self.secrets.update(self.credential.secrets)

    def _all(self) -> list[Path]:
        service = self.folder / "service"
        found = [p for p in self.folder.rglob("*") if p.is_file() and service not in p.parents]
        return [p for p in found if not p.name.endswith("-shm")]


async def edit(device: Device, number: int) -> None:
    async with device.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        new = gid(60_000 + number)
        await hydrants.add_feature({"GlobalID": new, "name": "new"}, {"x": 1, "y": 2})
        await hydrants.add_attachment(new, "a.jpg", "image/jpeg", b"a" * 100)


async def test_no_secret_is_seen_anywhere_but_at_its_host(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "aiosqlite")  # thousands of lines about SQL
    watch = Watch(tmp_path)
    # The other origin of the result files answers 403 to whoever shows it a token.
    profile = Profile(results_on_other_origin=True)
    async with fleet(tmp_path, profile, security=SECURITY) as world:
        for number, credential in enumerate(credentials(world)):
            watch.credential = credential
            with faults.armed(watch.at):
                device = await world.device(f"D{number}", credential=credential)
                for trouble in (None, *(TROUBLE if number == 0 else TROUBLE[:1])):
                    await edit(device, number)
                    await world.change(HYDRANTS, gid(2), name=f"{number} {trouble}"[:20])
                    if trouble is not None:
                        world.server.faults.add(trouble)
                    try:
                        result = await device.sync()
                        watch.text("a result", repr(result))
                    except EngineError as error:
                        watch.text("an error", f"{error!r} {json.dumps(error.to_json())}")
                        watch.text("a traceback", "".join(traceback.format_exception(error)))
                    world.server.faults.clear()
                    watch.text("messages", "\n".join(device.messages))
                    watch.files("the end")
                    async with device.open() as geodatabase:
                        await geodatabase.table(HYDRANTS).delete_feature(gid(60_000 + number))
                await device.sync()
            watch.files("the end")

    watch.text("the log", "\n".join(f"{r.getMessage()} {r.exc_text}" for r in caplog.records))
    assert len(watch.secrets) > 6, "no token was ever got"
    assert "signed in at" in caplog.text
    assert not watch.seen


async def test_the_watch_sees_a_secret_in_a_file(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.secrets = {"pass-mark-7"}
    (tmp_path / "D.gpkg-wal").write_bytes(b"\xff pass-mark-7 \xff")

    watch.files("the end")

    assert watch.seen == ["pass-mark-7 in D.gpkg-wal at the end"]
