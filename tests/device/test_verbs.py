"""The verbs against a feature service: what they do and what they print."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.maps.package_info import MapService, PackageInfo
from tests.device.conftest import TREES, VISITS, ZONES, Command, Taken, gid


def execute(taken: Taken, *statements: str) -> None:
    """Edit the map as any SQLite program does."""
    with closing(sqlite3.connect(taken.geopackage)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def select(taken: Taken, query: str) -> list[Any]:
    with closing(sqlite3.connect(taken.geopackage)) as connection:
        return connection.execute(query).fetchall()


def counted(report: dict[str, Any]) -> dict[int, int]:
    """Layer id → rows, of a report of ``take`` or ``info``."""
    return {t["layer_id"]: t["rows"] for t in report["geodatabases"][0]["tables"]}


# --- take and info -------------------------------------------------------------------------------


def test_take_brings_rows_and_photos(taken: Taken) -> None:
    assert counted(taken.report) == {TREES: 12, VISITS: 3, ZONES: 1}
    trees = next(t for t in taken.report["geodatabases"][0]["tables"] if t["layer_id"] == TREES)
    assert trees["attachments"] == 2
    assert select(taken, "SELECT sum(length(DATA)) FROM Trees__ATTACH") == [(10_000,)]


def test_take_tells_a_person_what_came(
    fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    ended = fieldsync("take", services["park"], tmp_path / "map", "--area", "0.5,0.5,3.5,3.5")

    assert (ended.code, ended.err) == (0, "")
    assert "area   0.5, 0.5, 3.5, 3.5 (wkid 4326)" in ended.out
    assert " 0  Trees   points       3       2        0               0" in ended.out
    assert ended.out.splitlines()[-1].startswith("Sent ")


def test_take_narrows_layers_and_rows(
    fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    ended = fieldsync(
        *("take", services["park"], tmp_path / "map", "--layers", "0,2", "--no-attachments"),
        *("--where", "0:note = 'tree 7' OR note = 'tree 8'", "--json"),
    )

    assert counted(ended.json) == {TREES: 2, ZONES: 1}
    assert ended.json["geodatabases"][0]["attachment_direction"] == "none"


def test_take_can_ask_for_the_sync_model(
    fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    ended = fieldsync("take", services["park"], tmp_path / "m", "--sync-model=perLayer", "--json")

    assert ended.json["geodatabases"][0]["sync_model"] == "perLayer"


def test_info_says_the_same_as_take(fieldsync: Command, taken: Taken) -> None:
    ended = fieldsync("info", taken.folder, "--json")

    report = ended.json | {"verb": "take", "totals": taken.report["totals"]}
    assert ended.code == 0
    assert report == taken.report


def test_info_tells_what_is_pending(fieldsync: Command, taken: Taken) -> None:
    execute(taken, "UPDATE Trees SET note='x'", "DELETE FROM Visits")

    tables = fieldsync("info", taken.folder, "--json").json["geodatabases"][0]["tables"]

    edits = {t["layer_id"]: t["edits"] for t in tables}
    assert edits[TREES] == {"adds": 0, "updates": 12, "deletes": 0}
    assert edits[VISITS] == {"adds": 0, "updates": 0, "deletes": 3}
    assert "last sync  never" in fieldsync("info", taken.folder).out


# --- edits ---------------------------------------------------------------------------------------


def test_edits_lists_what_was_changed(fieldsync: Command, taken: Taken) -> None:
    execute(
        taken,
        f"UPDATE Trees SET note='x', kind='ash' WHERE GlobalID='{gid(1)}'",
        f"DELETE FROM Visits WHERE GlobalID='{gid(101)}'",
        f"INSERT INTO Visits(GlobalID, tree) VALUES ('{gid(900)}', '{gid(2)}')",
        "DELETE FROM Trees__ATTACH WHERE ATT_NAME='2.jpg'",
    )

    listed = fieldsync("edits", taken.folder, "--json").json["edits"]

    common = {"geodatabase": "park.gpkg", "geometry_changed": False, "state": "pending"}
    row = common | {"attachment": None, "parent_global_id": None}
    tree = row | {"layer_id": TREES, "layer": "Trees"}
    visit = row | {"layer_id": VISITS, "layer": "Visits"}
    photo = next(edit for edit in listed if edit["attachment"])
    assert [edit for edit in listed if edit is not photo] == [
        tree | {"operation": "update", "global_id": gid(1), "columns": ["kind", "note"]},
        visit | {"operation": "delete", "global_id": gid(101), "columns": []},
        visit | {"operation": "add", "global_id": gid(900), "columns": ["tree", "remark"]},
    ]
    assert (photo["operation"], photo["attachment"]) == ("delete", "2.jpg")
    assert photo["parent_global_id"] == gid(2)


def test_edits_are_a_table_for_a_person(fieldsync: Command, taken: Taken) -> None:
    execute(taken, f"UPDATE Trees SET note='x', geom=NULL WHERE GlobalID='{gid(1)}'")

    ended = fieldsync("edits", taken.folder)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "layer  edit    GlobalID                                changed         state",
        "-----  ------  --------------------------------------  --------------  -------",
        f"Trees  update  {gid(1)}  note, geometry  pending",
        "1 edit to send.",
    ]
    assert fieldsync("edits", taken.folder, "--quiet").out == ""


def test_edits_of_a_layer_whose_log_was_damaged_are_an_error(
    fieldsync: Command, taken: Taken
) -> None:
    names = select(
        taken, "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='Trees'"
    )
    execute(
        taken,
        *(f'DROP TRIGGER "{name}"' for (name,) in names),
        "UPDATE Visits SET remark='still known'",
    )

    ended = fieldsync("edits", taken.folder, "--json")

    assert ended.code == 1
    assert ended.json["error"]["code"] == "change-log-broken"
    assert {edit["layer"] for edit in ended.json["edits"]} == {"Visits"}
    assert ended.err.count("\n") == 1


# --- sync ----------------------------------------------------------------------------------------


def test_sync_sends_edits_and_a_second_device_gets_them(
    fieldsync: Command, services: dict[str, str], taken: Taken, tmp_path: Path
) -> None:
    other = Taken(tmp_path / "other")
    fieldsync("take", services["park"], other.folder)
    execute(
        taken,
        f"UPDATE Trees SET note='from the first' WHERE GlobalID='{gid(3)}'",
        f"INSERT INTO Visits(GlobalID, tree, remark) VALUES ('{gid(901)}', '{gid(3)}', 'new')",
    )

    sent = fieldsync("sync", taken.folder, "--json")
    got = fieldsync("sync", other.folder, "--json")

    up = {x["layer_id"]: x["uploaded"]["applied"] for x in sent.json["geodatabases"][0]["layers"]}
    down = {x["layer_id"]: x["downloaded"] for x in got.json["geodatabases"][0]["layers"]}
    assert (sent.code, got.code) == (0, 0)
    assert up == {TREES: 1, VISITS: 1, ZONES: 0}
    assert (down[TREES]["updated"], down[VISITS]["added"]) == (1, 1)
    assert not sent.json["has_errors"]
    assert sent.json["totals"]["sent_bytes"] > 0
    assert select(other, f"SELECT note FROM Trees WHERE GlobalID='{gid(3)}'") == [
        ("from the first",)
    ]
    assert not fieldsync("edits", taken.folder, "--json").json["edits"]


def test_sync_up_brings_nothing_down_and_sync_down_sends_nothing(
    fieldsync: Command, taken: Taken
) -> None:
    execute(taken, f"UPDATE Trees SET note='waits' WHERE GlobalID='{gid(4)}'")

    down = fieldsync("sync", taken.folder, "--direction", "download")
    assert down.code == 0
    assert len(fieldsync("edits", taken.folder, "--json").json["edits"]) == 1

    up = fieldsync("sync", taken.folder, "--direction", "upload")
    assert up.code == 0
    assert not fieldsync("edits", taken.folder, "--json").json["edits"]


def test_both_changed_the_same_value_ends_with_6(
    fieldsync: Command, services: dict[str, str], taken: Taken, tmp_path: Path
) -> None:
    other = Taken(tmp_path / "other")
    fieldsync("take", services["park"], other.folder)
    for one, note in ((taken, "mine"), (other, "yours")):
        execute(one, f"UPDATE Trees SET note='{note}' WHERE GlobalID='{gid(5)}'")
    fieldsync("sync", taken.folder)

    ended = fieldsync("sync", other.folder)

    assert (ended.code, ended.err) == (6, "")
    trees = ended.out.splitlines()[2].split()
    assert trees == ["Trees", "1", "0", "0", "0", "0", "0", "1", "0", "0"]
    fieldsync("sync", taken.folder)
    query = f"SELECT note FROM Trees WHERE GlobalID='{gid(5)}'"
    assert select(taken, query) == select(other, query) == [("yours",)]


def test_a_conflict_kept_for_a_person_is_held(
    fieldsync: Command, services: dict[str, str], taken: Taken, tmp_path: Path
) -> None:
    other = Taken(tmp_path / "other")
    fieldsync("take", services["park"], other.folder)
    for one, note in ((taken, "mine"), (other, "yours")):
        execute(one, f"UPDATE Trees SET note='{note}' WHERE GlobalID='{gid(6)}'")
    fieldsync("sync", taken.folder)

    ended = fieldsync("sync", other.folder, "--conflicts", "manual")

    assert ended.code == 6
    (edit,) = fieldsync("edits", other.folder, "--json").json["edits"]
    assert (edit["global_id"], edit["state"]) == (gid(6), "held")
    assert "1 conflict to be decided by a person." in fieldsync("info", other.folder).out


def test_a_refused_edit_ends_with_7_and_says_why(fieldsync: Command, taken: Taken) -> None:
    execute(
        taken,
        f"UPDATE Trees SET kind='elm' WHERE GlobalID='{gid(7)}'",
        f"UPDATE Trees SET note='good' WHERE GlobalID='{gid(8)}'",
    )

    ended = fieldsync("sync", taken.folder, "--json")

    trees = ended.json["geodatabases"][0]["layers"][0]
    assert ended.code == 7
    assert (trees["uploaded"]["applied"], trees["uploaded"]["quarantined"]) == (1, 1)
    assert trees["edit_results"][0]["global_id"] == gid(7)
    assert ended.json["error"] is None
    assert ended.json["has_errors"]
    (edit,) = fieldsync("edits", taken.folder, "--json").json["edits"]
    assert edit["state"] == "quarantined"
    assert "1 edit refused and set aside." in fieldsync("info", taken.folder).out


# --- unregister ----------------------------------------------------------------------------------


def test_unregister_ends_the_tie_and_keeps_the_folder(
    fieldsync: Command, services: dict[str, str], taken: Taken
) -> None:
    ended = fieldsync("unregister", taken.folder, "--json")

    assert ended.code == 0
    assert ended.json["unregistered"] == [services["park"]]
    assert fieldsync("info", taken.folder, "--json").json["geodatabases"][0]["sync_id"] == ""
    assert "It was not registered." in fieldsync("unregister", taken.folder).out
    again = fieldsync("sync", taken.folder)
    assert again.code != 0
    assert again.err.count("\n") == 1


def test_unregister_asks_the_other_services_when_one_is_gone(
    fieldsync: Command, services: dict[str, str], taken: Taken
) -> None:
    shutil.copy(taken.geopackage, taken.folder / "gone.gpkg")
    with closing(sqlite3.connect(taken.folder / "gone.gpkg")) as connection, connection:
        connection.execute("UPDATE fieldsync_replica SET service_url=service_url||'Gone'")
    info = PackageInfo.read(taken.folder)
    gone = MapService(file="gone.gpkg", url=f"{services['park']}Gone")
    replace(info, services=(gone, *info.services)).write(taken.folder)

    ended = fieldsync("unregister", taken.folder, "--json")

    assert ended.code != 0
    assert ended.json["unregistered"] == [services["park"]]
    assert "Gone" in ended.json["error"]["message"]


def test_unregister_keeps_edits_from_being_lost(fieldsync: Command, taken: Taken) -> None:
    execute(taken, "UPDATE Trees SET note='not sent'")

    refused = fieldsync("unregister", taken.folder, "--json")
    forced = fieldsync("unregister", taken.folder, "--give-up-edits")

    assert refused.code == 1
    assert refused.json["error"]["code"] == "upload-required"
    assert forced.code == 0


# --- register and relocate -----------------------------------------------------------------------


def test_register_lets_an_unregistered_map_sync_again(fieldsync: Command, taken: Taken) -> None:
    execute(taken, f"UPDATE Trees SET note='mine' WHERE GlobalID='{gid(1)}'")
    fieldsync("unregister", taken.folder, "--give-up-edits")
    refused = fieldsync("sync", taken.folder, "--json")

    registered = fieldsync("register", taken.folder, "--json")

    assert refused.code == 1
    assert "fieldsync register" in refused.json["error"]["remedy"]
    assert registered.code == 0
    layers = fieldsync("sync", taken.folder, "--json").json["geodatabases"][0]["layers"]
    assert sum(layer["uploaded"]["applied"] for layer in layers) == 1
    assert registered.json["left"] == []


def test_register_leaves_the_replica_of_the_original(fieldsync: Command, taken: Taken) -> None:
    original = taken.report["geodatabases"][0]["sync_id"]

    ended = fieldsync("register", taken.folder, "--json")

    assert ended.json["left"] == [original]
    assert fieldsync("info", taken.folder, "--json").json["geodatabases"][0]["sync_id"] != original


def test_sync_can_leave_the_full_download_for_a_better_link(
    fieldsync: Command, taken: Taken
) -> None:
    execute(taken, f"UPDATE Trees SET note='mine' WHERE GlobalID='{gid(1)}'")
    fieldsync("unregister", taken.folder, "--give-up-edits")
    fieldsync("register", taken.folder)

    thin = fieldsync("sync", taken.folder, "--no-full-download", "--json")
    left = fieldsync("edits", taken.folder, "--json").json["edits"]
    good = fieldsync("sync", taken.folder, "--json")

    assert (thin.code, thin.json["error"]["code"]) == (1, "full-download-required")
    assert left == []
    assert (good.code, good.json["has_errors"]) == (0, False)


def test_relocate_follows_the_service_and_refuses_another(
    fieldsync: Command, taken: Taken, services: dict[str, str]
) -> None:
    other = next(url for name, url in services.items() if name != "park")

    refused = fieldsync("relocate", taken.folder, other, "--json")
    nowhere = fieldsync(
        "relocate", taken.folder, other.replace("/FeatureServer", "/Nothing"), "--json"
    )
    moved = fieldsync("relocate", taken.folder, services["park"], "--json")

    assert (refused.code, nowhere.code, moved.code) == (1, 1, 0)
    assert moved.json["service_url"] == services["park"]
