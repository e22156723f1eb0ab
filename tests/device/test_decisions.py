"""The verbs for what needs a person: conflicts and quarantine."""

from collections.abc import Iterator

import pytest

from tests.device.conftest import Command, ServiceThread, Taken, gid, write_world
from tests.device.test_verbs import execute, select


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Services that no other module's tests share: these change whatever they like."""
    data = tmp_path_factory.mktemp("own")
    write_world(data)
    with ServiceThread(data) as service:
        yield service.urls


def refuse(fieldsync: Command, taken: Taken) -> int:
    """An edit that the service refuses; its number in the quarantine."""
    execute(taken, f"UPDATE Trees SET kind='larch' WHERE GlobalID='{gid(3)}'")
    assert fieldsync("sync", taken.folder).code == 7
    (item,) = fieldsync("quarantine", taken.folder, "--json").json["quarantine"]
    return int(item["id"])


def test_nothing_needs_a_person(fieldsync: Command, taken: Taken) -> None:
    conflicts = fieldsync("conflicts", taken.folder)
    quarantine = fieldsync("quarantine", taken.folder)

    assert (conflicts.code, conflicts.out) == (0, "There are no conflicts.\n")
    assert (quarantine.code, quarantine.out) == (0, "Nothing is set aside.\n")


def test_a_refused_edit_is_told_with_its_reason_and_given_up(
    fieldsync: Command, taken: Taken
) -> None:
    number = refuse(fieldsync, taken)
    told = fieldsync("quarantine", taken.folder)

    ended = fieldsync("quarantine", taken.folder, "--discard", str(number))

    assert told.code == 7
    assert f"Trees  {gid(3)}  update" in told.out
    assert (ended.code, ended.out) == (0, "1 edit given up.\n")
    assert select(taken, f"SELECT kind FROM Trees WHERE GlobalID='{gid(3)}'") == [("oak",)]
    again = fieldsync("quarantine", taken.folder, "--all", "--json")
    assert again.json["quarantine"][0]["resolution"] == "discarded"


def test_a_refused_edit_is_tried_again(fieldsync: Command, taken: Taken) -> None:
    number = refuse(fieldsync, taken)

    ended = fieldsync("quarantine", taken.folder, "--retry", str(number), "--json")

    assert ended.json["retried"] == [number]
    assert fieldsync("sync", taken.folder).code == 7


def test_a_conflict_is_told_with_both_values_and_decided(
    fieldsync: Command, taken: Taken, services: dict[str, str], tmp_path: object
) -> None:
    fieldsync("take", services["park"], f"{tmp_path}/office")
    office = Taken(folder=taken.folder.with_name("office"), report={})
    for who, note in ((office, "theirs"), (taken, "mine")):
        execute(who, f"UPDATE Trees SET note='{note}' WHERE GlobalID='{gid(7)}'")
    fieldsync("sync", office.folder)
    fieldsync("sync", taken.folder, "--conflicts", "manual")

    told = fieldsync("conflicts", taken.folder)
    (conflict,) = fieldsync("conflicts", taken.folder, "--json").json["conflicts"]
    ended = fieldsync("conflicts", taken.folder, "--theirs", str(conflict["id"]))

    assert told.code == 6
    assert "changed on both sides  note: mine  note: theirs  held" in told.out
    assert (conflict["mine"]["note"], conflict["theirs"]["note"]) == ("mine", "theirs")
    assert (ended.code, ended.out) == (0, "1 conflict decided; sync to send what was taken.\n")
    assert select(taken, f"SELECT note FROM Trees WHERE GlobalID='{gid(7)}'") == [("theirs",)]


def test_numbers_that_are_not_there_are_one_clear_line(fieldsync: Command, taken: Taken) -> None:
    for verb, option in (("conflicts", "--mine"), ("quarantine", "--retry")):
        ended = fieldsync(verb, taken.folder, option, "99")

        assert ended.code == 1
        assert ended.err.count("\n") == 1
    assert fieldsync("conflicts", taken.folder, "--mine", "x").code == 2
    assert fieldsync("conflicts", taken.folder, "--file", "other").code == 2
