"""The library that lets the disk fail is seen to fire, and to leave other files alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.atomic import new_file
from engine.errors import StorageFullError
from tests.disk_faults import DiskFault, fail_anywhere


class Notes:
    """Writes one file of ours, whole or not at all, and one of somebody else."""

    def prefixes(self, folder: Path) -> Sequence[Path]:
        return (folder / "ours",)

    def prepare(self, folder: Path) -> None:
        (folder / "ours.txt").write_text("old")

    def act(self, folder: Path) -> None:
        (folder / "other.txt").write_text("other")
        with new_file(folder / "ours.txt") as stream:
            stream.write(b"new")

    def check(self, folder: Path, *, finished: bool) -> None:
        assert (folder / "other.txt").read_text() == "other"
        assert (folder / "ours.txt").read_text() in (("new",) if finished else ("old", "new"))


class Careless(Notes):
    """Writes in place: an interrupted run leaves neither the old text nor the new one."""

    def act(self, folder: Path) -> None:
        (folder / "other.txt").write_text("other")
        try:
            with open(folder / "ours.txt", "wb", buffering=0) as stream:
                stream.write(b"new")
        except OSError as error:
            raise StorageFullError(str(error)) from error


def test_every_call_on_our_files_fails_once_and_no_other(tmp_path: Path) -> None:
    outcomes = fail_anywhere(Notes, tmp_path, DiskFault.ENOSPC, samples=0, seed=1)

    assert [o.at for o in outcomes] == list(range(1, outcomes[0].calls + 1))
    assert {"rename"} <= {o.call for o in outcomes}


def test_process_dies_at_every_call(tmp_path: Path) -> None:
    outcomes = fail_anywhere(Notes, tmp_path, DiskFault.KILL, samples=0, seed=1)

    assert len(outcomes) == outcomes[0].calls > 0


@pytest.mark.parametrize("fault", [DiskFault.TORN_KILL, DiskFault.EIO])
def test_careless_writer_is_found_out(tmp_path: Path, fault: DiskFault) -> None:
    with pytest.raises(AssertionError):
        fail_anywhere(Careless, tmp_path, fault, samples=0, seed=1)
