"""Items of a portal, and the addresses under which people know them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import (
    AuthenticationError,
    BadParameterError,
    EngineError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.service.credentials import TokenCredential
from engine.service.portal import Portal, PortalItem
from engine.service.session import Session
from tests.engine.sync.fleet import HastyClock
from tests.feature_service import Fault, FeatureServer, ManualClock, Security
from tests.test_feature_service.world import write_item, write_world

ID = "0123456789abcdef0123456789ABCDEF"
ONLINE = "https://www.arcgis.com"
OWN = "https://gis.example.org/portal"


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "portal"),
    [
        (ID, ONLINE),
        (f"https://www.arcgis.com/home/item.html?id={ID}", ONLINE),
        (f"https://town.maps.arcgis.com/home/item.html?id={ID}#overview", None),
        (f"https://www.arcgis.com/apps/mapviewer/index.html?webmap={ID}", ONLINE),
        (f"{OWN}/apps/mapviewer/index.html?webmap={ID}&center=1,2", OWN),
        (f"{OWN}/home/webmap/viewer.html?useExisting=1&webmap={ID}", OWN),
        (f"{OWN}/home/item.html#id={ID}", OWN),
        (f"{OWN}/sharing/rest/content/items/{ID}", OWN),
        (f"{OWN}/sharing/rest/content/items/{ID}/data?f=json", OWN),
    ],
)
def test_item_is_found_in_the_address_that_people_copy(text: str, portal: str | None) -> None:
    expected = PortalItem(portal=portal or "https://town.maps.arcgis.com", item_id=ID)

    assert PortalItem.find(f" {text} ") == expected
    assert PortalItem.parse(text) == expected
    assert PortalItem.parse(expected.url) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://gis.example.org/arcgis/rest/services/Trees/FeatureServer",
        f"https://gis.example.org/arcgis/rest/services/Trees/FeatureServer?id={ID}",
        "https://www.arcgis.com/home/item.html",
        "https://www.arcgis.com/home/item.html?id=a%20b",
        "http://[broken",
        "trees",
        "",
    ],
)
def test_other_addresses_name_no_item(text: str) -> None:
    assert PortalItem.find(text) is None


@pytest.mark.parametrize("text", ["", "a b", "../x", "https://gis.example.org/x", "ftp://x/home/y"])
def test_address_without_an_item_is_refused(text: str) -> None:
    with pytest.raises(BadParameterError):
        PortalItem.parse(text)


def test_id_belongs_to_the_portal_that_is_given() -> None:
    found = PortalItem.parse("map1", f"{OWN}/home/index.html")

    assert found == PortalItem(portal=OWN, item_id="map1")


@pytest.mark.parametrize("url", ["gis.example.org", "http://[x", f"https://me:secret@{OWN[8:]}"])
def test_portal_that_is_no_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(BadParameterError) as caught:
        PortalItem.parse("map1", url)

    assert "secret" not in str(caught.value)


def portal_of(server: FeatureServer) -> str:
    assert server.portal is not None
    return server.portal


# --- items ----------------------------------------------------------------------------------------


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    data = tmp_path / "service"
    write_world(data)
    map_ = {"type": "Web Map", "title": "Town", "typeKeywords": ["Offline"]}
    write_item(
        data, "map1", {**map_, "related": {"Map2Area": ["area1"]}}, {"operationalLayers": []}
    )
    write_item(data, "area1", {"type": "Map Area", "properties": {"status": "complete"}})
    folder = write_item(data, "files", {"type": "SQLite Geodatabase"}, {"any": "file"})
    (folder / "resources").mkdir()
    for number in range(230):
        (folder / "resources" / f"d_{number:03}.json").write_text("x" * number)
    return data


@pytest.fixture
async def portal(data_dir: Path) -> AsyncIterator[Portal]:
    async with (
        FeatureServer(data_dir, clock=ManualClock()) as server,
        Session(clock=HastyClock()) as session,
    ):
        yield Portal(portal_of(server), session)


async def test_item_and_its_data(portal: Portal) -> None:
    item = await portal.item("map1")

    assert (item.id, item.type, item.title) == ("map1", "Web Map", "Town")
    assert item.type_keywords == ("Offline",)
    assert await portal.item_data("map1") == {"operationalLayers": []}


async def test_related_items_of_both_directions(portal: Portal) -> None:
    areas = await portal.related_items("map1", "Map2Area")
    back = await portal.related_items("area1", "Map2Area", reverse=True)

    assert [(one.id, one.properties["status"]) for one in areas] == [("area1", "complete")]
    assert [one.id for one in back] == ["map1"]
    assert await portal.related_items("area1", "Area2Package") == []


async def test_related_items_are_listed_over_all_pages(portal: Portal, data_dir: Path) -> None:
    for number in range(230):
        write_item(data_dir, f"p{number:03}", {"type": "Tile Package"})
    many = {"Area2Package": [f"p{number:03}" for number in range(230)]}
    write_item(data_dir, "area2", {"type": "Map Area", "related": many})

    found = await portal.related_items("area2", "Area2Package")

    assert [one.id for one in found] == many["Area2Package"]


async def test_resources_are_listed_over_all_pages(portal: Portal) -> None:
    found = await portal.resources("files")

    assert [(one.name, one.size) for one in found] == [(f"d_{n:03}.json", n) for n in range(230)]


async def test_files_are_downloaded(portal: Portal, tmp_path: Path) -> None:
    size = await portal.download_resource("files", "d_007.json", tmp_path / "resource")
    await portal.download_item_data("files", tmp_path / "data")

    assert (size, (tmp_path / "resource").read_text()) == (7, "x" * 7)
    assert json.loads((tmp_path / "data").read_bytes()) == {"any": "file"}


async def test_file_that_is_not_there_leaves_no_file(portal: Portal, tmp_path: Path) -> None:
    with pytest.raises(ServiceRefusedError):
        await portal.download_resource("files", "none.json", tmp_path / "resource")

    assert list(tmp_path.glob("resource*")) == []


async def test_item_that_is_not_there_is_named(portal: Portal) -> None:
    with pytest.raises(ServiceRefusedError, match="has no item gone") as caught:
        await portal.item("gone")

    assert "Check the id" in caught.value.remedy


async def test_item_without_data_is_told_of(portal: Portal) -> None:
    with pytest.raises(ProtocolError, match="area1"):
        await portal.item_data("area1")


@pytest.mark.parametrize("item_id", ["", "../users", "a/b", "x" * 200])
async def test_id_that_is_none_asks_nobody(portal: Portal, item_id: str) -> None:
    with pytest.raises(BadParameterError):
        await portal.item(item_id)


async def test_portal_that_is_none_is_told_of(data_dir: Path) -> None:
    async with (
        FeatureServer(data_dir, clock=ManualClock()) as server,
        Session(clock=HastyClock()) as session,
    ):
        with pytest.raises(EngineError, match="map1"):
            await Portal(f"{server.origin}/arcgis", session).item("map1")


async def test_item_is_shown_to_who_signs_in_only(data_dir: Path) -> None:
    security = Security(users={"ann": "pass-word"})
    async with FeatureServer(data_dir, clock=ManualClock(), security=security) as server:
        credential = TokenCredential(portal_of(server), "ann", "pass-word")
        async with Session(clock=HastyClock()) as session:
            with pytest.raises(AuthenticationError):
                await Portal(portal_of(server), session).item("map1")
        async with Session(clock=HastyClock(), credential=credential) as session:
            assert (await Portal(portal_of(server), session).item("map1")).title == "Town"


async def test_list_that_is_cut_is_asked_for_again(data_dir: Path) -> None:
    async with FeatureServer(data_dir, clock=ManualClock()) as server:
        server.faults.add(Fault(kind="cut-response", operation="resources", at_byte=40))
        async with Session(clock=HastyClock()) as session:
            assert len(await Portal(portal_of(server), session).resources("files")) == 230


@pytest.mark.parametrize(
    "value",
    [{"resources": "x"}, {"resources": [{"resource": "../x"}]}, {"resources": [{"size": 1}]}],
)
async def test_list_that_is_none_is_refused(value: dict[str, Any]) -> None:
    class Broken:
        async def get(self, url: str, parameters: object = None) -> dict[str, Any]:
            return value

    with pytest.raises(ProtocolError):
        await Portal(OWN, Broken()).resources("files")  # type: ignore[arg-type]
