"""What root makes in somebody's map is that person's, and nothing else becomes so."""

import os
from pathlib import Path

import pytest

from device.ownership import made_for_the_owner
from tests.device.conftest import Command, Taken

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

DAEMON, GROUP = 4711, 4712


def owners(folder: Path) -> set[tuple[int, int]]:
    return {(one.lstat().st_uid, one.lstat().st_gid) for one in (folder, *folder.rglob("*"))}


def given_to_daemon(folder: Path) -> None:
    for one in (folder, *folder.rglob("*")):
        os.chown(one, DAEMON, GROUP)
    folder.chmod(0o2770)


@pytest.mark.parametrize("verb", ["repair", "sync"])
def test_a_map_that_root_works_on_stays_its_owners(
    fieldsync: Command, taken: Taken, verb: str
) -> None:
    given_to_daemon(taken.folder)
    if verb == "repair":
        taken.geopackage.write_bytes(bytes(100) + taken.geopackage.read_bytes()[100:])
    else:
        (taken.folder / "park.gpkg.lock").unlink()

    assert fieldsync(verb, taken.folder).code == 0

    assert owners(taken.folder) == {(DAEMON, GROUP)}
    assert taken.geopackage.stat().st_mode & 0o060 == 0o060 or verb == "sync"


def test_a_map_that_root_takes_is_of_whoever_has_the_folder_it_is_taken_into(
    fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    given_to_daemon(state)

    assert fieldsync("take", services["park"], state / "maps/trees").code == 0

    assert owners(state) == {(DAEMON, GROUP)}
    assert (state / "maps/trees").stat().st_mode & 0o7777 == 0o2775


def test_a_file_with_another_name_elsewhere_stays_roots(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "shadow"
    theirs.mkdir()
    ours.write_text("root's alone")
    given_to_daemon(theirs)

    with made_for_the_owner(theirs):
        os.link(ours, theirs / "a")
        (theirs / "b").symlink_to(ours)
        (theirs / "c").write_text("new")

    assert ours.stat().st_uid == 0
    assert (theirs / "c").stat().st_uid == DAEMON


def test_roots_own_map_stays_roots(tmp_path: Path) -> None:
    with made_for_the_owner(tmp_path / "map"):
        (tmp_path / "map").mkdir()

    assert owners(tmp_path) == {(0, 0)}
