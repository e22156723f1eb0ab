"""``fieldsync take`` of a portal's web map."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import TREES, VISITS, ZONES, Command, ServiceThread, write_world
from tests.test_feature_service.world import write_item


def layer(service: str, number: int, where: str = "") -> dict[str, Any]:
    url = f"{{origin}}/arcgis/rest/services/{service}/FeatureServer/{number}"
    return {
        "id": f"{service}_{number}",
        "title": f"{service} {number}",
        "url": url,
        "layerDefinition": {"definitionExpression": where},
    }


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a portal that has a web map."""
    data = tmp_path_factory.mktemp("web_map")
    write_world(data)
    web_map = {
        "operationalLayers": [
            layer("park", TREES, "note = 'tree 7'"),
            layer("closed", ZONES),
            layer("park", ZONES),
        ],
        "tables": [layer("park", VISITS)],
    }
    write_item(data, "map1", {"type": "Web Map", "title": "Town"}, web_map)
    with ServiceThread(data) as service:
        yield service.urls["park"].partition("/arcgis/")[0] + "/portal"


def test_web_map_is_taken_and_what_is_left_out_is_named(
    fieldsync: Command, portal: str, tmp_path: Path
) -> None:
    ended = fieldsync("take", f"{portal}/home/item.html?id=map1", tmp_path / "town")

    assert ended.code == 0, ended.err
    assert "not taken: closed 2: " in ended.out
    told = fieldsync("info", tmp_path / "town", "--json").json
    assert (told["title"], told["item_id"], told["portal"]) == ("Town", "map1", portal)
    assert [one["id"] for one in told["left_out"]] == ["closed_2"]
    rows = {t["layer_id"]: t["rows"] for t in told["geodatabases"][0]["tables"]}
    assert rows == {TREES: 1, VISITS: 0, ZONES: 1}


def test_web_map_is_taken_by_its_id_all_or_nothing(
    fieldsync: Command, portal: str, tmp_path: Path
) -> None:
    ended = fieldsync(
        *("take", "map1", tmp_path / "town", "--portal", portal, "--all-or-nothing", "--json")
    )

    assert ended.json["error"]["code"] == "sync-not-enabled"
    assert not (tmp_path / "town").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("map1", "--layers", "0"), 2, "choose layers and filters in the web map"),
        (("gone",), 1, "has no item gone"),
        (("no/id",), 2, "is no id of a portal item"),
    ],
)
def test_mistake_with_a_web_map_is_one_clear_line(
    fieldsync: Command,
    portal: str,
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    item, *more = words

    ended = fieldsync("take", item, tmp_path / "town", "--portal", portal, *more)

    assert ended.code == code
    assert told.casefold() in ended.err.casefold()
    assert ended.err.count("\n") == 1
