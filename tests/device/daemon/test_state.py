"""What outlives a restart, written rarely and whole wherever the power goes."""

import asyncio
import errno
import json
import os
import threading
from pathlib import Path

import pytest

from device.durable_file import replace_file
from device.model import Attention
from device.state import FILE_NAME, WRITE_EVERY_S, State, StateError, StateInUseError
from engine import SystemClock
from tests.device.daemon.world import World
from tests.fakes.clock import VirtualClock
from tests.killing import kill_at_lines


def state_in(folder: Path) -> State:
    state = State(folder, SystemClock())
    state.load()
    return state


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    state = state_in(tmp_path / "new" / "folder")
    state.begin()
    state.put("pause", {"is_paused": True})
    state.save_budgets({"used_bytes": {"cellular": 7}})
    state.end()

    again = state_in(tmp_path / "new" / "folder")
    again.begin()

    assert again.was_clean
    assert again.get("pause") == {"is_paused": True}
    assert again.load_budgets() == {"used_bytes": {"cellular": 7}}
    assert again.get("never") == {}


def test_an_end_without_good_order_is_noticed_until_one_in_good_order(tmp_path: Path) -> None:
    state_in(tmp_path).begin()

    second, third = state_in(tmp_path), state_in(tmp_path)
    second.begin()
    second.end()
    third.begin()

    assert (second.was_clean, third.was_clean) == (False, True)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 99}', b"\xff", b"[" * 900, b'{"format": null}']
)
def test_a_damaged_file_counts_as_none_and_is_kept_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    state = state_in(tmp_path)
    state.put("pause", {"is_paused": True})
    state.write()

    assert state_in(tmp_path).get("pause") == {"is_paused": True}
    assert (tmp_path / f"{FILE_NAME}.broken").read_bytes() == content


def test_a_section_of_another_kind_is_empty(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({"format": 1, "budgets": 3}))

    assert state_in(tmp_path).load_budgets() == {}


def test_two_daemons_do_not_keep_their_state_in_one_folder(tmp_path: Path) -> None:
    first, second = state_in(tmp_path), state_in(tmp_path)
    first.begin()

    with pytest.raises(StateInUseError, match="another daemon"):
        second.begin()
    after_second = (tmp_path / "running").exists()
    first.end()
    second.begin()

    assert after_second
    assert second.was_clean


def test_a_folder_that_can_be_written_later_is_made_then(tmp_path: Path) -> None:
    in_the_way = tmp_path / "disk"
    in_the_way.write_text("nothing is mounted here yet")
    state = state_in(in_the_way / "state")
    with pytest.raises(StateError):
        state.begin()
    in_the_way.unlink()

    state.put("pause", {"is_paused": True})
    state.write()

    again = state_in(in_the_way / "state")
    assert again.get("pause") == {"is_paused": True}
    with pytest.raises(StateInUseError):
        again.begin()
    assert not again.was_clean


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    state = state_in(tmp_path / "file" / "state")

    with pytest.raises(StateError, match="cannot be kept"):
        state.begin()


async def test_changes_are_written_once_a_minute_and_urgent_ones_at_once(
    tmp_path: Path, clock: VirtualClock
) -> None:
    state = State(tmp_path, clock)
    running = asyncio.create_task(state.run())
    written: list[tuple[int, int]] = []
    for second in range(181):
        state.put("count", {"n": second})
        if second == 100:
            state.put("pause", {"is_paused": True}, is_urgent=True)
        await clock.sleep(1)
        stamp = os.stat(tmp_path / FILE_NAME).st_ino
        if not written or stamp != written[-1][1]:
            written.append((second, stamp))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert [second for second, _ in written] == [0, 60, 100, 160]
    assert WRITE_EVERY_S == 60


class WrittenTwice:
    """Replaces a state by another one."""

    def prepare(self, folder: Path) -> None:
        state = state_in(folder)
        state.put("value", {"is": "old"})
        state.write()

    def act(self, folder: Path) -> None:
        state = state_in(folder)
        state.put("value", {"is": "new"})
        state.write()

    def check(self, folder: Path, *, finished: bool) -> None:
        found = state_in(folder).get("value")["is"]
        assert found == "new" if finished else found in ("old", "new")
        assert not (folder / f"{FILE_NAME}.broken").exists()


def test_killed_before_any_line_the_state_is_the_old_or_the_new(tmp_path: Path) -> None:
    lines = kill_at_lines(WrittenTwice, tmp_path, "device/state.py")

    assert len(lines) > 15


async def test_an_end_while_a_write_is_under_way_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = state_in(tmp_path)
    state.begin()
    is_writing, goes_on = threading.Event(), threading.Event()

    def slow(path: Path, content: bytes) -> None:
        if not is_writing.is_set():
            is_writing.set()
            goes_on.wait(10)
        replace_file(path, content)
        order.append(content)

    order: list[bytes] = []
    monkeypatch.setattr("device.state.replace_file", slow)
    task = asyncio.create_task(state.run())
    state.put("pause", {"is_paused": True})
    assert await asyncio.to_thread(is_writing.wait, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    state.put("pause", {"is_paused": False})
    end = asyncio.create_task(asyncio.to_thread(state.end))
    await asyncio.sleep(0.05)
    assert not order
    goes_on.set()
    await end
    assert len(order) == 2
    assert state_in(tmp_path).get("pause") == {"is_paused": False}


async def test_a_disk_that_does_not_take_the_state_is_told_by_the_lamps_until_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> Attention:
        return world.daemon.governor.display.indication().attention

    await world.started()
    assert told() is Attention.NONE

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("device.state.replace_file", full)
    world.daemon.governor.set_paused(True)
    await world.until(lambda: told() is Attention.STORAGE)
    monkeypatch.undo()
    await world.until(lambda: told() is Attention.NONE, within_s=1000)
