"""Updates by packages that are not what was told: damaged, purged meanwhile, of other layers."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import faults
from engine.errors import (
    EngineError,
    LinkError,
    ProtocolError,
    SchemaChangedError,
    ServiceRefusedError,
)
from engine.maps.offline_map import OfflineMap
from engine.service import download
from tests.engine.maps.area import ITEMS, PACKAGE, PACKAGES_ONLY, Area, area
from tests.engine.sync.fleet import HYDRANTS, PIPES, assert_same, gid
from tests.feature_service import Fault, Profile

Json = dict[str, Any]


@pytest.fixture
async def north(tmp_path: Path) -> AsyncIterator[Area]:
    async with area(tmp_path, Profile(job_polls=1)) as running:
        await running.take(PACKAGES_ONLY)
        yield running


async def change(north: Area, name: str) -> Path:
    """The update file of one change."""
    await north.office.change(HYDRANTS, gid(1), name=name)
    assert north.refresh() == "changed"
    return north.item / "resources" / north.updates[-1]


async def assert_current(north: Area) -> None:
    assert_same(await north.office.rows(), await north.rows(), "the map")
    assert (await north.check()).scheduled_updates_download_size == 0


def garbage(content: bytes) -> bytes:
    return b"{" * len(content)


def cut(content: bytes) -> bytes:
    """As long as it was told, but no whole document."""
    return content[:-10] + b" " * 10


def of_another_generation(content: bytes) -> bytes:
    document = json.loads(content)
    for entry in document["layerServerGens"]:
        entry["serverGen"] += 5
    return json.dumps(document, separators=(",", ":")).encode()[: len(content)].ljust(len(content))


@pytest.mark.parametrize("damage", [garbage, cut, of_another_generation])
async def test_update_file_when_damaged_then_all_of_the_package(north: Area, damage: Any) -> None:
    await change(north, "first")
    second = await change(north, "second")
    await change(north, "third")
    second.write_bytes(damage(second.read_bytes()))

    result = await north.sync()

    assert not result.has_errors
    assert any("whole package" in text for text in north.messages), north.messages
    await assert_current(north)


async def test_update_file_when_purged_meanwhile_then_looked_again(north: Area) -> None:
    first = await change(north, "first")

    north.server.faults.add(Fault(kind="status", status=404, operation=first.name, times=0))

    result = await north.sync()

    assert not result.has_errors
    await assert_current(north)


async def test_package_when_refreshed_between_two_files_then_the_next_sync_goes_on(
    north: Area,
) -> None:
    await change(north, "first")
    await change(north, "second")
    refreshed: list[str] = []

    def refresh(name: str) -> None:
        if name == "update.applied" and not refreshed:
            refreshed.append(north.refresh(days=6))
            refreshed.append(north.refresh(days=6))

    with faults.armed(refresh):
        result = await north.sync()
    await north.sync()

    assert not result.has_errors
    await assert_current(north)


def tell_size(north: Area, size: int | None) -> None:
    """Let the portal tell another size of the package than it has."""
    path = north.item / "item.json"
    item = json.loads(path.read_text())
    item.pop("size", None)
    path.write_text(json.dumps(item if size is None else {**item, "size": size}))


async def test_package_when_it_changes_while_it_is_downloaded_then_looked_again(
    north: Area,
) -> None:
    (await change(north, "first")).unlink()
    tell_size(north, (north.item / "data.json").stat().st_size + 1)

    def tell_rightly(name: str) -> None:
        if name == "package.fetched":
            tell_size(north, None)

    with faults.armed(tell_rightly):
        result = await north.sync()

    assert not result.has_errors
    assert any("looking again" in text for text in north.messages), north.messages
    await assert_current(north)


@pytest.mark.parametrize("more", [-1, 1])
async def test_package_when_its_size_is_never_as_told_then_nothing_is_changed(
    north: Area, more: int
) -> None:
    (await change(north, "first")).unlink()
    tell_size(north, (north.item / "data.json").stat().st_size + more)
    before = await north.rows()

    with pytest.raises(ProtocolError, match="told"):
        await north.sync()

    assert await north.rows() == before


async def test_package_when_it_lacks_a_layer_then_nothing_is_deleted(north: Area) -> None:
    (await change(north, "first")).unlink()
    path = north.item / "data.json"
    document = json.loads(path.read_text())
    document["layers"] = [one for one in document["layers"] if one["id"] != PIPES]
    path.write_text(json.dumps(document))
    before = await north.rows()

    with pytest.raises(EngineError, match="no rows of the layer Pipes any more"):
        await north.sync()

    assert await north.rows() == before


async def test_package_when_it_is_no_replica_any_more_then_one_clear_error(north: Area) -> None:
    (await change(north, "first")).unlink()
    (north.item / "data.json").write_bytes(b"SQLite format 3\0" + bytes(200))
    before = await north.rows()

    with pytest.raises(EngineError, match=r"download-package|package"):
        await north.sync()

    assert await north.rows() == before


async def test_package_item_when_gone_then_one_clear_error(north: Area) -> None:
    (north.item / "item.json").unlink()

    with pytest.raises(ServiceRefusedError, match="has no item package1"):
        await north.sync()


@pytest.mark.parametrize("is_reachable", [True, False])
async def test_data_of_an_attachment_when_lost_here_then_of_the_service_or_all_of_the_package(
    north: Area, is_reachable: bool
) -> None:
    photo = {"globalId": gid(60), "parentGlobalId": gid(3), "contentType": "image/png"}
    await north.office.edit(
        HYDRANTS, attachments={"adds": [{**photo, "name": "new.png", "data": "AAEC"}]}
    )
    north.refresh()

    def lose(name: str) -> None:
        if name == "package.merged":
            for path in (north.map / "water.gpkg-spool").glob("attachment-*"):
                path.unlink()

    if not is_reachable:
        north.server.faults.add(Fault(kind="status", status=403, operation="query", times=0))
    with faults.armed(lose):
        await north.sync()
    if not is_reachable:
        await north.sync()
        north.server.faults.clear()

    is_whole = any("whole package" in text for text in north.messages)
    assert is_whole != is_reachable, north.messages
    async with north.table(HYDRANTS) as table:
        (new,) = await table.attachments(gid(3))
        assert b"".join([p async for p in table.attachment_data(new.global_id)]) == b"\x00\x01\x02"
    await assert_current(north)


@pytest.mark.parametrize("is_reachable", [True, False])
async def test_layers_when_changed_then_followed_if_the_service_shows_them(
    north: Area, is_reachable: bool
) -> None:
    added = {"name": "colour", "type": "esriFieldTypeString", "length": 20, "editable": True}
    changed = Fault(kind="schema-changed", operation="query", change={"layer": 0, "add": added})
    north.server.faults.add(changed)
    await north.office.features(HYDRANTS)
    await north.office.change(HYDRANTS, gid(1), name="first", colour="red")
    north.refresh()
    if not is_reachable:
        refusal = Fault(kind="status", status=403, operation="service", times=0)
        north.server.faults.add(refusal)

    result = await north.sync()

    assert not result.has_errors, [r.error for r in result.geodatabase_results]
    rows = await north.rows()
    assert rows[HYDRANTS][gid(1)]["name"] == "first"
    assert rows[HYDRANTS][gid(1)].get("colour") == ("red" if is_reachable else None)
    north.server.faults.clear()
    await north.office.change(HYDRANTS, gid(2), colour="blue")
    north.refresh()
    await north.sync()
    await assert_current(north)


async def test_field_when_gone_from_the_service_then_gone_here(north: Area) -> None:
    north.server.faults.add(
        Fault(kind="schema-changed", operation="query", change={"layer": 0, "remove": "pressure"})
    )
    await north.office.features(HYDRANTS)
    await change(north, "without pressure")

    result = await north.sync()

    assert not result.has_errors
    await assert_current(north)


async def test_layer_when_gone_from_the_service_then_the_rows_stay(north: Area) -> None:
    await change(north, "first")
    north.server.faults.add(
        Fault(kind="schema-changed", operation="query", change={"layer": 1, "drop": True})
    )
    await north.office.features(HYDRANTS)
    before = await north.rows()

    with pytest.raises(SchemaChangedError, match="Pipes"):
        await north.sync()

    assert await north.rows() == before


async def test_download_when_the_link_breaks_then_goes_on_where_it_was(north: Area) -> None:
    await north.office.edit(
        HYDRANTS,
        adds=[
            {
                "attributes": {"GlobalID": gid(9000 + n), "name": f"n{n}"},
                "geometry": {"x": n, "y": n},
            }
            for n in range(2000)
        ],
    )
    north.refresh()
    (update,) = north.updates
    size = (north.item / "resources" / update).stat().st_size
    assert size > 500_000
    north.server.faults.add(Fault(kind="cut-response", operation=update, at_byte=400_000))
    gone = Fault(kind="drop-before-commit", operation=update, skip=1, times=0)
    north.server.faults.add(gone)
    with pytest.raises(LinkError):
        await north.sync()
    north.server.faults.clear()
    north.server.traffic.clear()

    await north.sync()

    sent = north.server.traffic[f"{ITEMS}/{PACKAGE}/resources/{update}"]
    assert sent < size - 200_000, "what had come was not asked for again"
    async with OfflineMap.open(north.map) as map_:
        assert await map_.geodatabases[0].table(HYDRANTS).count() == 2009


@contextmanager
def telling_little(north: Area) -> Iterator[None]:
    """In the block the portal tells of the package no generations, and its size stays."""
    path = north.item / "item.json"
    text = path.read_text()
    item = json.loads(text)
    for name in ("layerServerGens", "replicaServerGen"):
        item["properties"].pop(name, None)
    path.write_text(json.dumps(item))
    tell_size(north, None)
    yield
    path.write_text(text)


async def test_package_when_refreshed_after_it_was_fetched_then_fetched_again(
    north: Area, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CHUNK_BYTES", 1024)  # as of a package of many chunks

    def stop(name: str) -> None:
        if name == "package.fetched":
            raise LinkError("the power was lost")

    for day, name in enumerate(("first", "other")):
        await north.office.change(HYDRANTS, gid(1), name=name)
        north.refresh(days=1)
        with telling_little(north):
            if day == 0:
                with faults.armed(stop), pytest.raises(LinkError):
                    await north.sync()
            else:
                await north.sync()

    assert_same(await north.office.rows(), await north.rows(), "the map")
