"""``fieldsync check``, and ``fieldsync sync`` of maps that are kept current by packages."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.device.conftest import TREES, Command, ServiceThread, Taken, gid, write_world
from tests.device.test_areas import write_area

Json = dict[str, Any]


class Centre:
    """A map area whose package the office can have refreshed, and a map of it."""

    def __init__(self, service: ServiceThread, data: Path, folder: Path) -> None:
        self.service = service
        self.data = data
        self.folder = folder

    @property
    def portal(self) -> str:
        return self.service.urls["park"].partition("/arcgis/")[0] + "/portal"

    def rename(self, note: str) -> None:
        """What somebody in the office does to a tree, and the refresh of the package after it."""
        changed = {"attributes": {"OBJECTID": 1, "note": note}}
        form = urlencode({"f": "json", "updates": json.dumps([changed])}).encode()
        with urlopen(f"{self.service.urls['park']}/{TREES}/applyEdits", form) as answer:
            assert json.load(answer)["updateResults"][0]["success"]
        assert self.service.refresh_map_area("centre") == {"package": "changed"}

    def bytes_of(self, pattern: str) -> int:
        return sum(p.stat().st_size for p in (self.data / "portal" / "package").glob(pattern))

    def execute(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "park.gpkg")) as connection, connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def centre(fieldsync: Command, tmp_path: Path) -> Iterator[Centre]:
    data = tmp_path / "data"
    write_world(data)
    write_area(data, "centre")
    with ServiceThread(data) as service:
        found = Centre(service, data, tmp_path / "map")
        taken = fieldsync(
            *("take", "centre", found.folder, "--portal", found.portal),
            *("--update-mode", "packages-and-new"),
        )
        assert taken.code == 0, taken.err
        yield found


def test_check_and_sync_of_packages_say_the_same_bytes(fieldsync: Command, centre: Centre) -> None:
    before = fieldsync("check", centre.folder, "--json")
    centre.rename("first")
    centre.rename("second")
    centre.execute(f"INSERT INTO Trees(GlobalID, note) VALUES('{gid(77)}', 'mine')")

    check = fieldsync("check", centre.folder, "--json")
    told = fieldsync("check", centre.folder)
    sync = fieldsync("sync", centre.folder, "--json")
    after = fieldsync("check", centre.folder)

    assert (before.code, before.json["download"], before.json["upload"]) == (0, "none", "none")
    size = centre.bytes_of("resources/*")
    assert (check.json["download"], check.json["upload"]) == ("available", "available")
    assert check.json["scheduled_updates_download_size"] == size > 0
    (geodatabase,) = check.json["geodatabases"]
    assert geodatabase["update_mode"] == "packages-and-new"
    row = told.out.splitlines()[2].split()
    assert row == ["park.gpkg", "packages-and-new", "yes", str(size), "yes"]
    assert sync.code == 0, sync.err
    trees = next(
        layer for layer in sync.json["geodatabases"][0]["layers"] if layer["layer_id"] == 0
    )
    assert (trees["uploaded"]["applied"], trees["downloaded"]["updated"]) == (1, 2)
    assert sync.json["totals"]["received_bytes"] >= size
    assert after.out.splitlines()[2].split() == ["park.gpkg", "packages-and-new", "no", "-", "no"]
    assert centre.execute("SELECT note FROM Trees WHERE OBJECTID=1") == [("second",)]


def test_sync_can_leave_updates_and_whole_packages_for_a_better_link(
    fieldsync: Command, centre: Centre
) -> None:
    centre.rename("first")
    for resource in (centre.data / "portal" / "package" / "resources").iterdir():
        resource.unlink()

    later = fieldsync("sync", centre.folder, "--no-updates")
    thin = fieldsync("sync", centre.folder, "--no-full-download", "--json")
    check = fieldsync("check", centre.folder)
    good = fieldsync("sync", centre.folder, "--json")

    assert (later.code, later.err) == (0, "")
    assert (thin.code, thin.json["error"]["code"]) == (1, "full-download-required")
    assert "all of its package comes, because an update file is missing" in check.out
    assert (good.code, good.json["has_errors"]) == (0, False)
    assert centre.execute("SELECT note FROM Trees WHERE OBJECTID=1") == [("first",)]


def test_check_of_a_portal_that_is_gone_says_so(fieldsync: Command, centre: Centre) -> None:
    (centre.data / "portal" / "package" / "item.json").unlink()

    ended = fieldsync("check", centre.folder, "--json")

    assert ended.code == 1
    assert ended.json["download"] == "indeterminate"
    assert "has no item package" in ended.json["geodatabases"][0]["error"]["message"]


def test_check_of_a_synced_map_tells_its_layers(fieldsync: Command, taken: Taken) -> None:
    ended = fieldsync("check", taken.folder)

    assert ended.code == 0
    assert ended.out.splitlines()[2].split()[1] == "sync"
