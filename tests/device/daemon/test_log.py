"""The daemon's log: priorities, one line for each event, no secrets, no floods."""

import io
import logging
from collections.abc import Iterator

import pytest

from device.log import BURST, MOST_KINDS, REFILL_S, event, set_up
from tests.fakes.clock import VirtualClock


@pytest.fixture
def stream(clock: VirtualClock) -> Iterator[io.StringIO]:
    before, errors = logging.root.handlers[:], logging.raiseExceptions
    levels = {n: logging.getLogger(n).level for n in ("", "fieldsyncd", "engine", "device")}
    found = io.StringIO()
    set_up(clock, "info", ["hunter2"], found)
    yield found
    logging.root.handlers[:] = before
    logging.raiseExceptions = errors
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_an_event_is_one_line_with_priority_name_and_values(stream: io.StringIO) -> None:
    event("run.ended", map="trees", seconds=1.5, is_ok=True, detail='a "b" c', nothing=None)
    event("disk.full", logging.ERROR, path="/x")

    assert stream.getvalue() == (
        '<6>run.ended map=trees seconds=1.5 is_ok=true detail="a \\"b\\" c"\n<3>disk.full path=/x\n'
    )


def test_a_line_break_in_a_value_does_not_make_a_second_line(stream: io.StringIO) -> None:
    event("map.failed", error="one\n<0>two")

    assert stream.getvalue().count("\n") == 1


def test_known_secrets_are_hidden_in_events_messages_and_exceptions(stream: io.StringIO) -> None:
    event("a.b", text="hunter2")
    try:
        raise ValueError("hunter2")
    except ValueError:
        logging.getLogger("engine.sync.job").exception("broken by %s", "hunter2")

    assert "hunter2" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_what_is_below_the_level_or_of_others_is_left_out(stream: io.StringIO) -> None:
    event("a.b", logging.DEBUG)
    logging.getLogger("aiohttp.access").info("GET /")

    assert stream.getvalue() == ""


async def test_a_flood_is_cut_counted_and_goes_on_later(
    stream: io.StringIO, clock: VirtualClock
) -> None:
    for number in range(1000):
        event("link.lost", number=number)
    event("other.thing")
    await clock.sleep(REFILL_S)
    event("link.lost", number=1000)

    lines = stream.getvalue().splitlines()
    assert len(lines) == BURST + 2
    assert lines[-1] == f"<6>link.lost number=1000 suppressed={1000 - BURST}"


def test_kinds_without_end_do_not_take_memory_without_end(stream: io.StringIO) -> None:
    for number in range(10 * MOST_KINDS):
        event(f"kind{number}.seen")

    (limit,) = logging.root.handlers[0].filters
    assert len(limit._kinds) == MOST_KINDS  # type: ignore[union-attr]
