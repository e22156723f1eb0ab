"""A line of 20 kbit/s on which a third of the requests fails carries edits without much waste."""

from pathlib import Path

import pytest

from engine.sync.parameters import PushChannel
from tests.engine.sync.test_edits_meanwhile import CHANNELS
from tests.engine.sync.thin_line import run


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
async def test_edits_over_a_bad_line_cost_little_more_than_their_file(
    tmp_path: Path, channel: PushChannel
) -> None:
    report = await run(tmp_path, edits=1500, seed=5, channel=channel)

    assert report.failed >= 5
    # In so few requests chance is large, so what the line broke is not counted; the run at full
    # size, which is a script, does.
    assert report.up_bytes - report.cut_bytes <= 1.2 * report.edits_bytes, report


async def test_edits_over_a_good_line_cost_their_file_and_some_heads(tmp_path: Path) -> None:
    report = await run(tmp_path, edits=300, seed=1, failing=0.0)

    assert report.syncs == 1
    assert report.factor <= 1.25, report
