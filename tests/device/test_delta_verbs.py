"""The verbs that carry edits in files: export, push, import."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.conftest import Command, ServiceThread, Taken, gid, write_world
from tests.device.test_verbs import execute


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Services that no other module's tests share: these change whatever they like."""
    data = tmp_path_factory.mktemp("own")
    write_world(data)
    with ServiceThread(data) as service:
        yield service.urls


def edit(taken: Taken) -> None:
    """Two rows and a photo; the tests share their service, so each makes rows of its own."""
    execute(
        taken,
        "UPDATE Trees SET note=hex(randomblob(8)) WHERE OBJECTID=3",
        f"INSERT INTO Visits(tree,remark) VALUES('{gid(3)}','carried')",
        "INSERT INTO Trees__ATTACH(REL_GLOBALID,CONTENT_TYPE,ATT_NAME,DATA_SIZE,DATA) VALUES("
        f"'{gid(1)}','image/jpeg','new.jpg',5,x'0102030405')",
    )


def pending(fieldsync: Command, taken: Taken) -> int:
    return len(fieldsync("edits", taken.folder, "--json").json["edits"])


def test_edits_go_to_the_service_and_the_answer_comes_back_by_files(
    fieldsync: Command, taken: Taken, tmp_path: Path
) -> None:
    edit(taken)

    exported = fieldsync("export", taken.folder, tmp_path / "trees.delta", "--json")
    pushed = fieldsync("push", tmp_path / "trees.delta", "--json")
    imported = fieldsync("import", taken.folder, tmp_path / "trees.ack.delta", "--json")

    assert (exported.code, pushed.code, imported.code) == (0, 0, 0)
    (file,) = exported.json["files"]
    assert (file["edits"], file["attachments"]) == (2, 1)
    assert file["size_bytes"] == (tmp_path / "trees.delta").stat().st_size
    assert {t["table"]: t["applied"] for t in pushed.json["tables"]} == {
        "Trees": 1,
        "Trees__ATTACH": 1,
        "Visits": 1,
    }
    applied = [g["uploaded"]["applied"] for g in imported.json["geodatabases"][0]["layers"]]
    assert sum(applied) == 2
    assert pending(fieldsync, taken) == 0
    again = fieldsync("sync", taken.folder, "--json")
    assert sum(x["uploaded"]["found"] for x in again.json["geodatabases"][0]["layers"]) == 0


def test_pushing_tells_a_person_what_became_of_the_edits(
    fieldsync: Command, taken: Taken, tmp_path: Path
) -> None:
    edit(taken)
    told = fieldsync("export", taken.folder, tmp_path / "trees.delta")
    assert told.out.startswith(f"{tmp_path / 'trees.delta'}: 2 edits and 1 photo (")

    first = fieldsync("push", tmp_path / "trees.delta", "--ack", tmp_path / "back.delta")
    second = fieldsync("push", tmp_path / "trees.delta", "--ack", tmp_path / "back.delta")

    assert first.code == second.code == 0
    assert "Trees                1" in first.out
    assert f"Carry {tmp_path / 'back.delta'} back" in second.out


def test_a_refused_edit_is_told_by_push_and_set_aside_by_import(
    fieldsync: Command, taken: Taken, tmp_path: Path
) -> None:
    execute(taken, "UPDATE Trees SET kind='larch' WHERE OBJECTID=3")
    fieldsync("export", taken.folder, tmp_path / "trees.delta")

    pushed = fieldsync("push", tmp_path / "trees.delta")
    imported = fieldsync("import", taken.folder, tmp_path / "trees.ack.delta")

    assert (pushed.code, imported.code) == (7, 7)
    assert f"Trees {gid(3)}, update not applied: " in pushed.out
    assert f"Trees {gid(3)}, update not applied: " in imported.out


def test_exporting_nothing_makes_no_file(fieldsync: Command, taken: Taken, tmp_path: Path) -> None:
    ended = fieldsync("export", taken.folder, tmp_path / "trees.delta")

    assert (ended.code, ended.out) == (0, "There are no edits to export.\n")
    assert not (tmp_path / "trees.delta").exists()


def test_a_file_that_is_no_delta_is_neither_replaced_nor_pushed_nor_imported(
    fieldsync: Command, taken: Taken, tmp_path: Path
) -> None:
    edit(taken)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"a photo")

    exported = fieldsync("export", taken.folder, photo)
    pushed = fieldsync("push", photo)
    imported = fieldsync("import", taken.folder, photo)

    assert (exported.code, pushed.code, imported.code) == (2, 1, 1)
    assert "exists and is no delta file" in exported.err
    assert all(one.err.count("\n") == 1 for one in (exported, pushed, imported))
    assert photo.read_bytes() == b"a photo"


def test_edits_are_not_imported_and_an_acknowledgement_is_not_pushed(
    fieldsync: Command, taken: Taken, tmp_path: Path
) -> None:
    edit(taken)
    fieldsync("export", taken.folder, tmp_path / "trees.delta")
    fieldsync("push", tmp_path / "trees.delta")

    imported = fieldsync("import", taken.folder, tmp_path / "trees.delta")
    pushed = fieldsync("push", tmp_path / "trees.ack.delta")

    assert (imported.code, pushed.code) == (1, 1)
    assert "fieldsync push" in imported.err
    assert "fieldsync import" in pushed.err


@pytest.mark.parametrize("service", ["closed", "nowhere"])
def test_edits_are_not_pushed_to_another_service(
    fieldsync: Command, taken: Taken, services: dict[str, str], tmp_path: Path, service: str
) -> None:
    edit(taken)
    fieldsync("export", taken.folder, tmp_path / "trees.delta")
    url = services.get(service, services["park"].replace("park", "nowhere"))

    ended = fieldsync("push", tmp_path / "trees.delta", "--service", url)

    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "trees.ack.delta").exists()


def test_a_delta_of_another_map_is_refused(
    fieldsync: Command, taken: Taken, services: dict[str, str], tmp_path: Path
) -> None:
    edit(taken)
    fieldsync("take", services["park"], tmp_path / "other")
    fieldsync("export", taken.folder, tmp_path / "trees.delta")
    fieldsync("push", tmp_path / "trees.delta")

    ended = fieldsync("import", tmp_path / "other", tmp_path / "trees.ack.delta", "--json")

    assert ended.code == 1
    assert ended.json["error"]["code"] == "delta-mismatch"


def test_a_sync_keeps_what_it_sent_if_asked(fieldsync: Command, taken: Taken) -> None:
    edit(taken)

    kept = fieldsync("sync", taken.folder, "--keep-deltas", "--json")
    without = fieldsync("sync", taken.folder, "--json")

    (geodatabase,) = kept.json["geodatabases"]
    assert Path(geodatabase["upload_delta"]).parent == taken.folder / "park.gpkg-deltas"
    assert without.json["geodatabases"][0]["upload_delta"] is None
