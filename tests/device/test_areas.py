"""``fieldsync areas``, and ``fieldsync take`` of a map area."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import TREES, ZONES, Command, ServiceThread, write_world
from tests.test_feature_service.world import write_item

Json = dict[str, Any]
EXTENT = {"xmin": -9000, "ymin": -9000, "xmax": 9000, "ymax": 9000}


def write_area(data: Path, area: str, status: str = "complete") -> None:
    """A map area, and the package that it is made of."""
    about: Json = {"title": area.title(), "properties": {"status": status, "extent": EXTENT}}
    related = {"Area2Package": ["package"]}
    write_item(data, area, {"type": "Map Area", "related": related, **about})
    url = "{origin}/arcgis/rest/services/park/FeatureServer"
    made_of: Json = {"url": url, "layers": [TREES, ZONES], "extent": EXTENT}
    made_of |= {"createPkgDeltas": {"maxDeltaAge": 5}, "syncModel": "perLayer"}
    package = {"type": "SQLite Geodatabase", "title": "Park", "properties": made_of}
    write_item(data, "package", package)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a portal that has a web map with two areas, one of which is not ready."""
    data = tmp_path_factory.mktemp("areas")
    write_world(data)
    areas = {"Map2Area": ["centre", "north"]}
    town: Json = {"type": "Web Map", "title": "Town", "related": areas}
    write_item(data, "map1", town, {"operationalLayers": []})
    write_item(data, "map2", {"type": "Web Map", "title": "Village"})
    write_area(data, "centre")
    write_area(data, "north", "processing")
    with ServiceThread(data) as service:
        yield service.urls["park"].partition("/arcgis/")[0] + "/portal"


def test_area_is_taken_and_listed_beside_its_map(
    fieldsync: Command, portal: str, tmp_path: Path
) -> None:
    taken = fieldsync(
        *("take", "centre", tmp_path / "town", "--portal", portal),
        *("--update-mode", "packages-and-new"),
    )
    assert taken.code == 0, taken.err
    assert "packages; new features are sent" in taken.out

    listed = fieldsync("areas", "map1", "--portal", portal, "--maps", tmp_path)

    assert listed.code == 0, listed.err
    centre, north = (line.split() for line in listed.out.splitlines()[2:4])
    assert centre[:3] == ["Centre", "centre", "complete"]
    assert "packages-and-new" in centre
    assert str(tmp_path / "town") in centre
    assert north == ["North", "north", "processing", "-", "-", "-"]
    assert "not ready: processing" in listed.out


def test_areas_are_told_as_json(fieldsync: Command, portal: str, tmp_path: Path) -> None:
    taken = fieldsync("take", "centre", tmp_path / "town", "--portal", portal, "--json").json
    assert (taken["item_id"], taken["area_item_id"], taken["update_mode"]) == (
        "map1",
        "centre",
        "syncWithFeatureServices",
    )

    told = fieldsync("areas", "map1", "--portal", portal, "--maps", tmp_path, "--json").json

    assert (told["portal"], told["item_id"]) == (portal, "map1")
    centre, north = told["areas"]
    assert centre["update_modes"] == ["none", "sync", "packages", "packages-and-new"]
    assert centre["size_bytes"] == centre["packages"][0]["size_bytes"] > 0
    assert centre["maps"][0]["map"] == str(tmp_path / "town")
    assert centre["maps"][0]["size_bytes"] > 0
    assert (north["status"], north["error"]["code"]) == ("processing", "map")


def test_web_map_without_areas_says_so(fieldsync: Command, portal: str) -> None:
    ended = fieldsync("areas", "map2", "--portal", portal)

    assert ended.code == 0
    assert "no map areas" in ended.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("take", "north", "{map}"), 1, "not ready"),
        (("take", "centre", "{map}", "--area", "0,0,1,1"), 2, "--area is not for a map area"),
        (("take", "centre", "{map}", "--sync-model", "perLayer"), 2, "--sync-model is not for"),
        (("take", "centre", "{map}", "--layers", "0"), 2, "--layers and --where are for"),
        (("take", "map1", "{map}", "--update-mode", "packages"), 2, "only a map area"),
        (("areas", "package"), 2, "no web map, but of the type SQLite Geodatabase"),
        (("areas", "gone"), 1, "has no item gone"),
        (("areas", "map1", "--maps", "{map}"), 2, "there is no folder"),
    ],
)
def test_mistake_with_an_area_is_one_clear_line(
    fieldsync: Command, portal: str, tmp_path: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    given = [word.format(map=tmp_path / "town") for word in words]

    ended = fieldsync(*given, "--portal", portal)

    assert ended.code == code
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
