"""A device that dies at any fault point of a take or a sync ends in the same state."""

from pathlib import Path

import pytest

from tests.engine.sync.stories import (
    Story,
    Sync,
    SyncAgain,
    SyncAnswerLost,
    SyncCallRefused,
    SyncClearing,
    SyncKeeping,
    SyncReplica,
    SyncReplicaAnswerLost,
    SyncReplicaUpload,
    SyncReplicaWithoutResults,
    SyncTogether,
    SyncUpload,
    TakeAgain,
    Unregister,
)
from tests.killing import kill_at_points


def test_take_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(TakeAgain, tmp_path)

    assert {"replica.created", "geodatabase.generated"} <= set(points)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        SyncAgain,
        SyncReplica,
        SyncReplicaWithoutResults,
        SyncClearing,
        SyncAnswerLost,
        SyncReplicaAnswerLost,
    ],
)
def test_sync_dies_anywhere(tmp_path: Path, scenario: type[Sync]) -> None:
    points = kill_at_points(scenario, tmp_path)

    assert {"download.fetched", "batch.sending", "edits.acknowledged"} <= set(points)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (SyncTogether, {"canary.prepared", "canary.judged"}),
        (SyncKeeping, {"delta.exported", "changes.kept"}),
        (SyncCallRefused, {"batch.discarded"}),
        (Unregister, {"registration.ended"}),
    ],
)
def test_what_few_do_dies_anywhere(
    tmp_path: Path, scenario: type[Story], expected: set[str]
) -> None:
    points = kill_at_points(scenario, tmp_path)

    assert expected <= set(points)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [SyncUpload, SyncReplicaUpload])
def test_upload_dies_anywhere(tmp_path: Path, scenario: type[SyncUpload]) -> None:
    points = kill_at_points(scenario, tmp_path)

    uploading = {"upload.registered", "part.sent", "upload.committed", "batch.submitted"}
    assert uploading <= set(points)
    assert points.count("part.sent") >= 3
