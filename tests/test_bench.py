"""The benchmark measures every row and says it in the promised form; figures are not judged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmark.result import Result, at_least, at_most, table
from scripts.benchmark.rows import ROWS
from tests.sources import ROOT

pytestmark = pytest.mark.checkout

MEMBERS = {"row", "case", "ours", "peer", "peer_name", "ratio", "unit", "goal", "is_reached"}


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.benchmark", "--folder", str(folder), *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_tiny_data_gives_objects_with_the_documented_members(
    row: str, tmp_path: Path
) -> None:
    done = bench(row, "--json", "--runs", "1", "--scale", "0.0005", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results
    for result in results:
        assert set(result) == MEMBERS
        assert result["row"] == row
        assert isinstance(result["ours"], float)


def test_an_unknown_row_is_a_usage_error(tmp_path: Path) -> None:
    done = bench("load_lines", folder=tmp_path)

    assert done.returncode == 2
    assert "load_lines" in done.stderr


def test_a_missed_goal_ends_with_1_only_when_it_is_checked(tmp_path: Path) -> None:
    arguments = ("delta_bytes_based", "--scale", "0.0005", "--runs", "1")  # header, hardly an edit

    plain = bench(*arguments, folder=tmp_path)
    checked = bench(*arguments, "--check", folder=tmp_path)

    assert (plain.returncode, checked.returncode) == (0, 1)
    assert "misses" in plain.stdout


def test_the_ratio_tells_how_many_times_better_we_are() -> None:
    result = Result(row="r", case="c", ours=2.0, peer=6.0, peer_name="p", unit="s")

    assert result.ratio == 3.0


def test_without_a_peer_there_is_no_ratio() -> None:
    result = Result(row="r", case="c", ours=2.0, peer=None, peer_name="", unit="s")

    assert json.loads(result.to_json())["ratio"] is None
    assert "–" in table([result])


def test_goals_are_reached_at_their_limits() -> None:
    assert at_least(3, 1.0, 3.0) == ("ratio ≥ 3", True)
    assert at_least(3, 1.0, 2.9) == ("ratio ≥ 3", False)
    assert at_most(8, 8.0) == ("≤ 8", True)
    assert at_most(8, 8.1) == ("≤ 8", False)
