"""The daemon in its own process, killed as a power cut does."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from device.api.status import State
from scripts.demo_story.service import Service
from scripts.device_lab.board import Board
from scripts.device_lab.story import edit, note, take
from tests.device.conftest import write_world
from tests.sources import ROOT

pytestmark = [pytest.mark.checkout, pytest.mark.slow]

KILLS = 6
SEED = 20


def test_killed_again_and_again_in_its_syncs_nothing_is_lost(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    write_world(tmp_path / "data")
    with (
        Service(tmp_path / "data", "park", tmp_path / "service.log") as service,
        Board(tmp_path / "board", tmp_path / "map", settle_s=0) as board,
    ):
        take(service.url, board.map)

        for number in range(1, KILLS + 1):
            edit(board, number, f"edit {number}")
            board.start()
            bring_up(board)
            board.until(lambda: "run.started" in board.words().rpartition("daemon.ready")[2])
            time.sleep(chance.uniform(0, 0.25))
            board.kill()
        board.start()
        bring_up(board)
        board.until(lambda: board.status.maps[0].edits == 0 and board.status.job is None)
        unclean = board.words().count("stop.unclean")
        board.stop()

        notes = [note(service, number) for number in range(1, KILLS + 1)]
        with closing(sqlite3.connect(board.map / "park.gpkg")) as other:
            (sound,) = other.execute("PRAGMA integrity_check").fetchone()

    assert notes == [f"edit {number}" for number in range(1, KILLS + 1)]
    assert sound == "ok"
    assert unclean


def test_a_terminal_that_is_closed_ends_it_in_good_order(tmp_path: Path) -> None:
    write_world(tmp_path / "data")
    with (
        Service(tmp_path / "data", "park", tmp_path / "service.log") as service,
        Board(tmp_path / "board", tmp_path / "map") as board,
    ):
        take(service.url, board.map)
        board.start()
        os.kill(board.pid, signal.SIGHUP)

        board.stop()

        assert "daemon.stopped" in board.words()
        assert not (board.folder / "state/running").exists()


def bring_up(board: Board) -> None:
    """A link, and a press: by itself it would wait longer after each sync that was cut."""
    board.until(lambda: board.status.state is not State.STARTING)
    board.tell_kernel("up wlan0 2")
    board.until(lambda: board.status.links)
    board.press()


def test_a_mistake_in_the_configuration_ends_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[lamps]\nbord = 1\n")

    done = subprocess.run(
        [sys.executable, "-m", "device.daemon", "--config", tmp_path / "config.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "lamps.bord is not known; is 'board' meant?" in done.stderr
