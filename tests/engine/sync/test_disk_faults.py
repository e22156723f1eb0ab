"""A disk that fails, or a process that dies, at any change of a file: nothing lost, doubled, stuck.

Beside the named fault points of ``test_kill_loop.py`` these are the calls of SQLite itself:
between two pages of a commit, before its fsync, while the log is truncated.
"""

from pathlib import Path

import pytest

from tests.disk_faults import DiskFault, fail_anywhere
from tests.engine.sync.stories import Story, Sync, SyncReplica, Take

SEED = 11


@pytest.mark.parametrize("story", [Take, Sync])
def test_disk_is_full_at_any_call_then_next_run_ends_well(
    tmp_path: Path, story: type[Story]
) -> None:
    outcomes = fail_anywhere(story, tmp_path, DiskFault.ENOSPC, samples=3, seed=SEED)

    assert len(outcomes) == 3


@pytest.mark.slow
@pytest.mark.parametrize("fault", [DiskFault.EIO, DiskFault.EROFS, DiskFault.ENOSPC])
@pytest.mark.parametrize("story", [Take, Sync, SyncReplica])
def test_disk_fails_at_any_call_then_next_run_ends_well(
    tmp_path: Path, story: type[Story], fault: DiskFault
) -> None:
    outcomes = fail_anywhere(story, tmp_path, fault, samples=3, seed=SEED + 1)

    assert len(outcomes) > 1, outcomes  # a run that was hit early may make fewer calls


@pytest.mark.slow
@pytest.mark.parametrize("fault", [DiskFault.KILL, DiskFault.TORN_KILL])
@pytest.mark.parametrize("story", [Take, Sync, SyncReplica])
def test_process_dies_inside_of_a_commit_then_next_run_ends_well(
    tmp_path: Path, story: type[Story], fault: DiskFault
) -> None:
    outcomes = fail_anywhere(story, tmp_path, fault, samples=4, seed=SEED + 2)

    assert len(outcomes) > 2, outcomes
