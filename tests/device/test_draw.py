"""``fieldsync draw``: the file it makes, what it says of it, and what it refuses."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest

from device.drawing.svg import MAGIC
from tests.device.conftest import Command
from tests.device.drawing.maps import Row, entry, layer, make_map, point

SOME = [point(n, n * 100.0, n * n * 10.0) for n in range(1, 11)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten trees, a hidden layer, a table, and a layer that is not on this device."""
    layers = [entry(0, "Trees"), entry(1, "Hidden", visibility=False), entry(5, "Elsewhere")]
    rows = [
        (layer(), [*SOME, Row(99)]),
        (layer(1, "Old trees"), SOME),
        (layer(9, "Visits", None), [Row(1)]),
    ]
    definition = {"operationalLayers": layers, "tables": [entry(9, "Visits")]}
    return asyncio.run(make_map(tmp_path / "my map", rows, definition=definition))


def test_the_report_says_what_is_in_the_picture(
    fieldsync: Command, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "trees.svg"

    report = fieldsync("draw", folder, path, "--json").json

    trees, hidden = report["layers"]
    assert (trees["title"], trees["features"], trees["without_place"]) == ("Trees", 10, 1)
    assert trees["classes"] == [{"label": "Trees", "features": 10}]
    assert (hidden["title"], hidden["is_drawn"], hidden["features"]) == ("Hidden", False, 0)
    assert [one["title"] for one in report["missing"]] == ["Elsewhere"]
    assert report["size_bytes"] == path.stat().st_size
    assert report["extent"]["spatialReference"]["latestWkid"] == 3857
    root = ElementTree.fromstring(path.read_bytes())
    assert (root.get("width"), root.get("height")) == (
        str(report["width"]),
        str(report["height"]),
    )


def test_a_person_reads_counts_and_what_was_left_out(
    fieldsync: Command, folder: Path, tmp_path: Path
) -> None:
    ended = fieldsync("draw", folder, tmp_path / "trees.svg")

    assert (ended.code, ended.err) == (0, "")
    assert "Trees        10        0              1" in ended.out
    assert "Trees: it has no symbols of its own: a plain symbol stands for it.\n" in ended.out
    assert "Hidden: it has no symbols" in ended.out
    assert "Elsewhere: not on this device: it was not taken.\n" in ended.out
    assert "10 features, 0 edits to send, 0 conflicts, 0 refused" in ended.out.splitlines()[-1]


def test_options_choose_layer_part_and_width(
    fieldsync: Command, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "part.svg"

    ended = fieldsync(
        *("draw", folder, path, "--layer", "hidden", "--width", "800"),
        *("--extent", "-10,-10,250,250,3857", "--json"),
    )

    (only,) = ended.json["layers"]
    assert (only["title"], only["is_drawn"], only["features"], only["outside"]) == (
        *("Hidden", True),
        *(only["features"], 10 - only["features"]),
    )
    assert 1 <= only["features"] < 10
    assert ended.json["width"] == 800
    assert ended.json["extent"]["xmin"] <= -10


def test_an_extent_in_degrees_is_understood(
    fieldsync: Command, folder: Path, tmp_path: Path
) -> None:
    ended = fieldsync("draw", folder, tmp_path / "x.svg", "--extent", "0,0,0.01,0.01", "--json")

    assert ended.json["extent"]["xmax"] > 1113


def test_an_older_drawing_is_replaced(fieldsync: Command, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "trees.svg"
    path.write_text(f"<?xml?>\n{MAGIC}\n")

    assert fieldsync("draw", folder, path).code == 0
    assert fieldsync("draw", folder, path).code == 0


def test_another_file_is_not_replaced_unless_that_is_asked_for(
    fieldsync: Command, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")

    refused = fieldsync("draw", folder, path)
    kept = path.read_text()
    asked = fieldsync("draw", folder, path, "--overwrite")

    assert (refused.code, kept) == (2, "mine")
    assert "exists and is no drawing of fieldsync. Choose another name, or --overwrite" in (
        refused.err
    )
    assert asked.code == 0
    assert MAGIC in path.read_text()


@pytest.mark.parametrize("name", ["map.json", "package.info", "copy"])
def test_data_is_not_replaced_even_if_asked(
    fieldsync: Command, folder: Path, tmp_path: Path, name: str
) -> None:
    path = folder / name
    if name == "copy":  # a geodatabase outside of any map
        path = tmp_path / "copy.gpkg"
        path.write_bytes(next(folder.glob("*.gpkg")).read_bytes())
    before = path.read_bytes()

    ended = fieldsync("draw", folder, path, "--overwrite")

    assert (ended.code, path.read_bytes()) == (2, before)
    assert f"{path} is a map's own data" in ended.err


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("", (), "is no drawing of fieldsync. Choose another name\n"),
        ("no/such/x.svg", (), "there is no folder"),
        ("x.svg", ("--layer", "Roads"), "the map has no layer 'Roads'. It has Trees, Hidden,"),
        ("x.svg", ("--extent", "1,2,3,4,2056"), "XMIN,YMIN,XMAX,YMAX,102100"),
        ("x.svg", ("--extent", "1,2,3"), "'1,2,3' is not xmin"),
        ("x.svg", ("--width", "12"), "'12' is no width from 480 to 6000 pixels"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(
    fieldsync: Command,
    folder: Path,
    tmp_path: Path,
    name: str,
    options: tuple[str, ...],
    complaint: str,
) -> None:
    before = sorted(tmp_path.iterdir())

    ended = fieldsync("draw", folder, tmp_path / name, *options)

    assert ended.code == 2
    assert complaint in ended.err
    assert ended.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_a_map_is_refused(fieldsync: Command, tmp_path: Path) -> None:
    ended = fieldsync("draw", tmp_path, tmp_path / "x.svg")

    assert (ended.code, (tmp_path / "x.svg").exists()) == (2, False)


def test_a_broken_geodatabase_is_told_and_the_rest_is_drawn(
    fieldsync: Command, folder: Path, tmp_path: Path
) -> None:
    info = json.loads((folder / "package.info").read_text())
    info["services"].append({"file": "Lost.gpkg", "url": "https://example.com/Lost/FeatureServer"})
    (folder / "package.info").write_text(json.dumps(info))

    ended = fieldsync("draw", folder, tmp_path / "x.svg", "--json")

    assert ended.code == 1
    assert list(ended.json["broken"]) == ["Lost.gpkg"]
    assert ended.json["layers"][0]["features"] == 10


def test_a_layer_whose_edits_are_not_known_is_drawn_and_told(
    fieldsync: Command, folder: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(folder / "Trees.gpkg")) as connection, connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='Trees'"
        ).fetchall()
        for (name,) in names:
            connection.execute(f'DROP TRIGGER "{name}"')

    ended = fieldsync("draw", folder, tmp_path / "x.svg", "--json")

    assert ended.code == 1
    assert ended.json["error"]["code"] == "change-log-broken"
    assert ended.json["layers"][0]["features"] == 10
