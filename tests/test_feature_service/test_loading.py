"""The data folder, good and bad, and the command line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.feature_service import DataError, FeatureServer
from tests.feature_service.cli import main

from .client import Client
from .world import HYDRANTS, Json, gid, hydrant, service_document, write_service

Spoil = Callable[[Json], object]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda d: d.pop("spatialReference"), "spatialReference needs an integer wkid"),
        (lambda d: d.update(layers=[], tables=[]), "layers lists no layer"),
        (lambda d: d["layers"][0].pop("id"), r"layers\[0\]\.id is not a layer number"),
        (lambda d: d["layers"][1].update(id=0), r"layers\[1\]\.id 0 is used twice"),
        (lambda d: d["layers"][0].update(geometryType="x"), r"layers\[0\]\.geometryType"),
        (lambda d: d["layers"][0].pop("fields"), r"layers\[0\]\.fields is not a list"),
        (
            lambda d: d["layers"][0]["fields"][2].update(type="esriFieldTypeRaster"),
            r"layers\[0\]\.fields\[2\]\.type 'esriFieldTypeRaster' is not served",
        ),
        (
            lambda d: d["layers"][0]["fields"][3].update(name="NAME"),
            r"layers\[0\]\.fields\[3\]\.name NAME is used twice",
        ),
        (
            lambda d: d["layers"][0]["fields"].pop(0),
            r"layers\[0\]\.objectIdField names no field",
        ),
        (
            lambda d: d["layers"][0].update(editFieldsInfo={"editorField": "nobody"}),
            r"editFieldsInfo\.editorField names no field",
        ),
        (
            lambda d: d["tables"][0]["relationships"][0].update(keyField="gone"),
            r"layer 3 relationships\[0\]\.keyField gone is no field",
        ),
        (
            lambda d: d["layers"][0]["relationships"][0].update(relatedTableId=9),
            r"relatedTableId 9 is no layer",
        ),
    ],
)
async def test_service_when_member_is_bad_then_named(
    tmp_path: Path, spoil: Spoil, told: str
) -> None:
    document = service_document()
    spoil(document)
    write_service(tmp_path / "bad", document, {})

    with pytest.raises(DataError, match=told) as caught:
        await FeatureServer(tmp_path).start()

    assert str(caught.value).startswith(str(tmp_path / "bad" / "service.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: is not JSON"),
        ("{}", "line 2: attributes is missing"),
        ('{"attributes": {"colour": 1}}', "line 2: attributes.colour is no field of Hydrants"),
        ('{"attributes": {"serial": "x"}}', "line 2: Setting of Value for serial failed"),
        ('{"attributes": {}, "geometry": {"paths": []}}', "line 2: Geometry could not be set"),
    ],
)
async def test_rows_when_line_is_bad_then_named(tmp_path: Path, line: str, told: str) -> None:
    folder = write_service(tmp_path / "bad", service_document(), {HYDRANTS: [hydrant(1)]})
    with (folder / "0.ndjson").open("a", encoding="utf-8") as file:
        file.write(line + "\n")

    with pytest.raises(DataError, match=told):
        await FeatureServer(tmp_path).start()


async def test_rows_when_global_id_is_twice_then_data_error(tmp_path: Path) -> None:
    rows = [hydrant(1), hydrant(2, GlobalID=gid(1))]
    write_service(tmp_path / "bad", service_document(), {HYDRANTS: rows})

    with pytest.raises(DataError, match=r"0\.ndjson: cannot be loaded"):
        await FeatureServer(tmp_path).start()


async def test_load_when_it_failed_once_then_begins_anew(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "s", service_document(), {HYDRANTS: [{"attributes": 1}]})
    with pytest.raises(DataError):
        await FeatureServer(tmp_path).start()
    (folder / "0.ndjson").write_text(json.dumps(hydrant(1)), encoding="utf-8")

    async with FeatureServer(tmp_path) as server, ClientSession() as session:
        assert await Client(session, server.url("s")).oids(HYDRANTS, "1=1") == [1]


async def test_rows_when_ids_are_missing_then_made(tmp_path: Path) -> None:
    bare = {"attributes": {"serial": 5}, "geometry": {"x": 1, "y": 2}}
    write_service(tmp_path / "s", service_document(), {HYDRANTS: [hydrant(7), bare]})

    async with FeatureServer(tmp_path) as server, ClientSession() as session:
        client = Client(session, server.url("s"))
        assert await client.oids(HYDRANTS, "serial = 5 AND GlobalID IS NOT NULL") == [8]
        added = await client.post("0/applyEdits", adds=[{"attributes": {}}])
        assert added["addResults"][0]["objectId"] == 9


async def test_rows_when_an_object_id_is_twice_then_the_second_gets_another(
    tmp_path: Path,
) -> None:
    rows = [hydrant(1), hydrant(2, OBJECTID=1)]
    write_service(tmp_path / "s", service_document(), {HYDRANTS: rows})

    async with FeatureServer(tmp_path) as server, ClientSession() as session:
        assert await Client(session, server.url("s")).oids(HYDRANTS, "1=1") == [1, 2]


async def test_layer_when_very_wide_then_served(tmp_path: Path) -> None:
    document = service_document()
    wide = [{"name": f"f{number}", "type": "esriFieldTypeInteger"} for number in range(230)]
    document["layers"][0]["fields"] += wide
    row = hydrant(1, **{f"f{number}": number for number in range(230)})
    write_service(tmp_path / "s", document, {HYDRANTS: [row]})

    async with FeatureServer(tmp_path) as server, ClientSession() as session:
        client = Client(session, server.url("s"))
        replica = await client.replica(layers="0")
        assert replica["layers"][0]["features"][0]["attributes"]["f229"] == 229
        assert await client.oids(HYDRANTS, "f100 = 100") == [1]


def test_command_when_folder_is_missing_then_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path / "none")]) == 2

    told = capsys.readouterr().err
    assert told == f"feature_service: {tmp_path / 'none'}: is not a folder\n"


@pytest.mark.parametrize("flags", [["--fault", "{"], ["--user", "ann"], ["--repeated-add", "no"]])
def test_command_when_flag_is_bad_then_usage(
    data_dir: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--data", str(data_dir), *flags])

    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_command_when_started_then_ready_line_and_clean_stop(data_dir: Path) -> None:
    flags = ["--profile-seed", "3", "--echoes-own-edits", "--job-polls", "2"]
    command = [sys.executable, "-m", "tests.feature_service", "--data", str(data_dir), *flags]

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        os.kill(ready["pid"], signal.SIGTERM)
        assert process.wait(timeout=20) == 0

    assert ready["services"]["water"].endswith("/arcgis/rest/services/water/FeatureServer")
    assert ready["portal"] is None
