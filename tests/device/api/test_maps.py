"""Edits, conflicts and refused rows on the socket: in pages, and decided by those who may."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.api.answers import ConflictPage, DecidedConflicts, DecidedRows, EditPage, QuarantinePage
from device.api.client import ApiClient, ProblemError
from device.api.requests import QuarantineRequest, ResolveRequest
from engine import Side
from tests.device.conftest import Command, ServiceThread, Taken, gid, write_world
from tests.device.test_verbs import execute, select
from tests.fakes.daemon import DaemonThread


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Services that no other module's tests share: these change whatever they like."""
    data = tmp_path_factory.mktemp("own")
    write_world(data)
    with ServiceThread(data) as service:
        yield service.urls


@pytest.fixture
def daemon(taken: Taken, socket_path: Path) -> Iterator[DaemonThread]:
    with DaemonThread(socket_path, {"park": taken.folder}) as running:
        yield running


def pages(client: ApiClient, member: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of a list, as they come."""
    found, after = [], None
    while True:
        page: Any = client.json("GET", "maps", "park", member, limit=limit, after=after)
        found.append(page[member])
        after = page["next"]
        if after is None:
            return found


def test_edits_come_in_pages_that_miss_and_double_nothing(
    daemon: DaemonThread, taken: Taken, fieldsync: Command
) -> None:
    execute(taken, "UPDATE Trees SET note='x' WHERE OBJECTID<=7")
    execute(taken, "UPDATE Visits SET remark='x'")
    execute(taken, "INSERT INTO Zones(name) VALUES('new')")
    execute(taken, "DELETE FROM Trees__ATTACH WHERE rowid=(SELECT min(rowid) FROM Trees__ATTACH)")
    whole = fieldsync("edits", taken.folder, "--json").json["edits"]
    client = ApiClient(daemon.path)

    for limit in (1, 3, 12, 200):
        found = pages(client, "edits", limit)
        assert [edit for page in found for edit in page] == whole
        assert all(len(page) == limit for page in found[:-1])
    assert len(whole) == 12


def test_an_edit_that_is_made_between_two_pages_moves_none(
    daemon: DaemonThread, taken: Taken
) -> None:
    execute(taken, "UPDATE Trees SET note='x' WHERE OBJECTID<=6")
    client = ApiClient(daemon.path)
    first = client.get(EditPage, "maps", "park", "edits", limit=3)
    execute(taken, f"UPDATE Trees SET note='tree 1' WHERE GlobalID='{gid(1)}'")  # no edit any more
    execute(taken, f"UPDATE Trees SET note='x' WHERE GlobalID='{gid(9)}'")

    second = client.get(EditPage, "maps", "park", "edits", limit=9, after=first.next)

    numbers = [int(e.global_id[-13:-1], 16) for e in (*first.edits, *second.edits)]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6, 9]
    assert second.next is None


def test_a_layer_whose_edits_are_not_known_is_told(daemon: DaemonThread, taken: Taken) -> None:
    (trigger,) = select(
        taken, "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='Trees' LIMIT 1"
    )[0]
    execute(taken, f'DROP TRIGGER "{trigger}"')
    execute(taken, "UPDATE Visits SET remark='x'")

    page = ApiClient(daemon.path).get(EditPage, "maps", "park", "edits")

    assert {edit.layer for edit in page.edits} == {"Visits"}
    assert [error.code for error in page.errors] == ["change-log-broken"]


def refuse(fieldsync: Command, taken: Taken, *numbers: int) -> None:
    """Edits that the service refuses."""
    for number in numbers:
        execute(taken, f"UPDATE Trees SET kind='larch' WHERE GlobalID='{gid(number)}'")
    assert fieldsync("sync", taken.folder).code == 7


def test_refused_edits_are_told_as_the_command_tells_them_and_decided(
    daemon: DaemonThread, taken: Taken, fieldsync: Command
) -> None:
    refuse(fieldsync, taken, 3, 4, 5)
    client = ApiClient(daemon.path)
    told = fieldsync("quarantine", taken.folder, "--json").json["quarantine"]
    found = pages(client, "quarantine", 2)
    ids = [one["id"] for page in found for one in page]

    given_up = client.post(
        DecidedRows, "maps", "park", "quarantine", "discard", body=QuarantineRequest(ids=(ids[0],))
    )
    retried = client.post(
        DecidedRows, "maps", "park", "quarantine", "retry", body=QuarantineRequest(ids=(ids[1],))
    )

    assert [one for page in found for one in page] == told
    assert [len(page) for page in found] == [2, 1]
    assert (given_up.decided, retried.decided) == ((ids[0],), (ids[1],))
    assert select(taken, f"SELECT kind FROM Trees WHERE GlobalID='{gid(3)}'") == [("oak",)]
    left = client.get(QuarantinePage, "maps", "park", "quarantine")
    assert [one.id for one in left.quarantine] == ids[2:]
    whole = client.get(QuarantinePage, "maps", "park", "quarantine", resolved=True)
    assert [one.resolution for one in whole.quarantine] == ["discarded", "retried", None]
    assert [what for what, _ in daemon.appliance.asked] == ["decided park"] * 2


def test_what_was_decided_before_a_number_that_is_not_there_stays_decided(
    daemon: DaemonThread, taken: Taken, fieldsync: Command
) -> None:
    refuse(fieldsync, taken, 6)
    client = ApiClient(daemon.path)
    (one,) = client.get(QuarantinePage, "maps", "park", "quarantine").quarantine

    with pytest.raises(ProblemError, match="1 before it were decided") as refused:
        client.post(
            DecidedRows,
            *("maps", "park", "quarantine", "discard"),
            body=QuarantineRequest(ids=(one.id, 999)),
        )

    assert refused.value.status == 404
    assert client.get(QuarantinePage, "maps", "park", "quarantine").quarantine == ()
    assert [what for what, _ in daemon.appliance.asked] == ["decided park"]


def test_a_conflict_is_told_with_both_values_decided_and_decided_again(
    daemon: DaemonThread, taken: Taken, fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    fieldsync("take", services["park"], tmp_path / "office")
    office = Taken(folder=tmp_path / "office")
    for who, note in ((office, "theirs"), (taken, "mine")):
        execute(who, f"UPDATE Trees SET note='{note}' WHERE GlobalID='{gid(7)}'")
    fieldsync("sync", office.folder)
    fieldsync("sync", taken.folder, "--conflicts", "manual")
    client = ApiClient(daemon.path)
    told = fieldsync("conflicts", taken.folder, "--json").json["conflicts"]
    assert client.json("GET", "maps", "park", "conflicts") == {"conflicts": told, "next": None}
    (one,) = client.get(ConflictPage, "maps", "park", "conflicts").conflicts
    notes = []

    for side in (Side.THEIRS, Side.MINE):
        body = ResolveRequest(geodatabase="park.gpkg", **{side.value: (one.id,)})
        client.post(DecidedConflicts, "maps", "park", "conflicts", "resolve", body=body)
        notes += select(taken, f"SELECT note FROM Trees WHERE GlobalID='{gid(7)}'")

    assert notes == [("theirs",), ("mine",)]
    assert client.get(ConflictPage, "maps", "park", "conflicts").conflicts == ()


def test_a_file_that_the_map_does_not_have_is_named(daemon: DaemonThread) -> None:
    client = ApiClient(daemon.path)

    with pytest.raises(ProblemError, match="no geodatabase other") as refused:
        client.json("GET", "maps", "park", "conflicts", geodatabase="other")

    assert refused.value.status == 404
    assert refused.value.remedy == "It has park.gpkg"
