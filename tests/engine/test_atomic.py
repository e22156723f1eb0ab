"""Files and folders exist whole or not at all; a lock between processes is never stale."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import atomic, faults
from engine.errors import BadParameterError, EngineError, MapExistsError, StorageFullError
from tests.killing import kill_at_lines, kill_at_points

OLD, NEW = b"old " * 3000, b"new " * 5000


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# --- killed everywhere ----------------------------------------------------------------------------


class ReplaceFile:
    def prepare(self, folder: Path) -> None:
        (folder / "file").write_bytes(OLD)

    def act(self, folder: Path) -> None:
        atomic.remove_leftovers(folder / "file")
        with atomic.new_file(folder / "file") as stream:
            stream.write(NEW[:1000])
            stream.write(NEW[1000:])

    def check(self, folder: Path, *, finished: bool) -> None:
        assert (folder / "file").read_bytes() in ((NEW,) if finished else (OLD, NEW))
        assert not finished or names(folder) == ["file"]


class MakeFolder:
    def prepare(self, folder: Path) -> None:
        pass

    def act(self, folder: Path) -> None:
        target = folder / "deep" / "map"
        if (folder / "deep").is_dir():
            atomic.remove_leftovers(target)
        if target.exists():
            return  # killed after it was complete
        with atomic.new_folder(target) as partial:
            (partial / "one").write_bytes(OLD)
            (partial / "sub").mkdir()
            (partial / "sub" / "two").write_bytes(NEW)

    def check(self, folder: Path, *, finished: bool) -> None:
        target = folder / "deep" / "map"
        assert target.exists() or not finished
        if target.exists():
            assert (target / "one").read_bytes() == OLD
            assert (target / "sub" / "two").read_bytes() == NEW
        assert not finished or names(folder / "deep") == ["map"]


def test_a_file_is_old_or_new_wherever_the_writer_is_killed(tmp_path: Path) -> None:
    (tmp_path / "points").mkdir()

    assert kill_at_points(ReplaceFile, tmp_path / "points") == ["file.written", "file.renamed"]
    assert len(kill_at_lines(ReplaceFile, tmp_path, "engine/atomic.py")) > 10


def test_a_folder_is_absent_or_whole_wherever_the_writer_is_killed(tmp_path: Path) -> None:
    (tmp_path / "points").mkdir()

    assert kill_at_points(MakeFolder, tmp_path / "points") == ["folder.written", "folder.renamed"]
    assert len(kill_at_lines(MakeFolder, tmp_path, "engine/atomic.py")) > 20


# --- errors inside the block ----------------------------------------------------------------------


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)

    def act() -> None:
        with atomic.new_file(tmp_path / "file") as stream:
            stream.write(NEW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act()

    assert (tmp_path / "file").read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_an_error_in_the_block_leaves_no_folder(tmp_path: Path) -> None:
    def act() -> None:
        with atomic.new_folder(tmp_path / "map") as partial:
            (partial / "file").write_bytes(NEW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        act()

    assert names(tmp_path) == []


def test_files_are_flushed_before_they_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power cut needs, and a kill cannot prove."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        steps.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    with atomic.new_folder(tmp_path / "new" / "map") as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "file").write_bytes(NEW)
        top, steps = partial.name, []

    assert steps.index("fsync file") < steps.index("fsync sub") < steps.index("replace")
    assert steps.index(f"fsync {top}") < steps.index("replace")
    assert steps[-1] == "fsync new"


def test_folders_made_on_the_way_are_flushed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(atomic, "sync_folder", flushed.append)

    with atomic.new_folder(tmp_path / "a" / "b" / "map"):
        pass

    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b"} <= set(flushed)


# --- what is there already ------------------------------------------------------------------------


def test_a_folder_replaces_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "map").mkdir()

    with atomic.new_folder(tmp_path / "map") as partial:
        (partial / "file").write_bytes(NEW)

    assert names(tmp_path / "map") == ["file"]


def occupied_folder(path: Path) -> None:
    path.mkdir()
    (path / "precious").touch()


@pytest.mark.parametrize(
    "occupy",
    [
        occupied_folder,
        Path.touch,
        lambda path: path.symlink_to(path.parent),
        lambda path: path.symlink_to("nowhere"),
    ],
    ids=["folder", "file", "link", "dangling link"],
)
def test_nothing_that_is_there_is_overwritten(
    tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    occupy(tmp_path / "map")
    before = names(tmp_path)

    with pytest.raises(MapExistsError), atomic.new_folder(tmp_path / "map"):
        pytest.fail("the block ran")

    assert names(tmp_path) == before


def test_a_folder_that_was_filled_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(MapExistsError), atomic.new_folder(tmp_path / "map"):
        occupied_folder(tmp_path / "map")

    assert names(tmp_path / "map") == ["precious"]
    assert names(tmp_path) == ["map"]


def test_leftovers_of_this_name_go_and_others_stay(tmp_path: Path) -> None:
    for name in (".a[1].partial-00", ".a1.partial-00", ".a[1]x.partial-00", "a[1]", ".other"):
        (tmp_path / name).touch()
    (tmp_path / ".a[1].partial-01" / "sub").mkdir(parents=True)
    (tmp_path / ".a[1].partial-02").symlink_to(tmp_path)

    atomic.remove_leftovers(tmp_path / "a[1]")

    assert names(tmp_path) == [".a1.partial-00", ".a[1]x.partial-00", ".other", "a[1]"]


# --- the disk -----------------------------------------------------------------------------------

FULL_DISK = """
import sys
from pathlib import Path
from engine import atomic
from engine.errors import StorageFullError

folder = Path(sys.argv[1])
(folder / "file").write_bytes(b"old" * 20_000)

def fill_file():
    atomic.write_bytes(folder / "file", b"new" * 60_000)

def fill_folder():
    with atomic.new_folder(folder / "map") as partial:
        (partial / "file").write_bytes(b"new" * 60_000)

for fill in (fill_file, fill_folder):
    try:
        fill()
    except StorageFullError as error:
        assert "no space left on the disk" in str(error), error
    else:
        raise SystemExit("it fitted")
    assert (folder / "file").read_bytes() == b"old" * 20_000
    assert [p.name for p in folder.iterdir()] == ["file"], list(folder.iterdir())
print("kept")
"""


def test_a_full_disk_is_one_clear_error_and_changes_nothing(tmp_path: Path) -> None:
    disk = str(tmp_path)
    mounted = 'mount -t tmpfs -o size=128k tmpfs "$0" || exit 77; exec "$@"'
    in_namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, disk]
    done = subprocess.run(
        [*in_namespace, sys.executable, "-c", FULL_DISK, disk],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("this kernel lets nobody mount a small disk")

    assert done.stdout == "kept\n", done.stderr


def test_a_file_beyond_the_limit_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(EngineError, match=r"cannot write to .*File too large"):
            atomic.write_bytes(tmp_path / "file", NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_path_through_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(BadParameterError, match="cannot be made: File exists"),
        atomic.new_folder(tmp_path / "file" / "map"),
    ):
        pytest.fail("the block ran")


def test_a_disk_error_is_not_taken_for_another(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), atomic.new_folder(tmp_path / "map"):
        raise ConnectionResetError


def test_a_full_disk_at_the_very_end_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageFullError):
        atomic.write_bytes(tmp_path / "file", NEW)

    assert names(tmp_path) == []


def test_an_error_after_the_rename_keeps_the_new_file(tmp_path: Path) -> None:
    def fail(name: str) -> None:
        if name == "file.renamed":
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"), faults.armed(fail):
        atomic.write_bytes(tmp_path / "file", NEW)

    assert (tmp_path / "file").read_bytes() == NEW
    assert names(tmp_path) == ["file"]


# --- the lock -----------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from engine.atomic import ProcessLock
lock = ProcessLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_only_one_process_holds_the_lock_and_a_killed_one_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "map.lock"
    lock = atomic.ProcessLock(path)
    with holder(path) as other:
        assert first_line(other) == "True\n"
        assert not lock.acquire()
        with holder(path) as third:
            assert first_line(third) == "False\n"
            third.kill()

        other.send_signal(signal.SIGKILL)
        other.wait()

        assert lock.acquire()
        lock.release()


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "map.lock"
    lock = atomic.ProcessLock(path)
    assert lock.acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()

        with atomic.ProcessLock(path) as again:
            assert again.acquire()
        child.kill()


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "map.lock"
    with atomic.ProcessLock(path) as one, atomic.ProcessLock(path) as two:
        assert one.acquire()
        assert not one.acquire()
        assert not two.acquire()
        one.release()
        one.release()
        assert two.acquire()

    with atomic.ProcessLock(path) as three:
        assert three.acquire()


def test_the_lock_leaves_the_content_of_its_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "map.lock"
    path.write_text("pid 1")

    with atomic.ProcessLock(path) as lock:
        assert lock.acquire()

    assert path.read_text() == "pid 1"
