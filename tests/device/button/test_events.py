"""Reading the kernel's structures, of both sizes, split anywhere."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from device.button.events import (
    EV_KEY,
    EV_SYN,
    EVENT_32,
    EVENT_64,
    KEY_PROG1,
    SYN_DROPPED,
    SYN_REPORT,
    EventReader,
    EventsLost,
    KeyEvent,
)

RECORDED_64 = bytes.fromhex(
    "0500000000000000 40e2010000000000 0100 9400 01000000"
    "0500000000000000 40e2010000000000 0000 0000 00000000"
    "0500000000000000 801a060000000000 0100 9400 02000000"
    "0600000000000000 a086010000000000 0100 9400 00000000"
    "0600000000000000 a086010000000000 0000 0000 00000000"
)
"""Down at 5.123456 s, a repeat, up at 6.1 s, as a 64-bit kernel writes it."""


def test_events_when_recorded_are_read() -> None:
    assert list(EventReader(KEY_PROG1, EVENT_64).feed(RECORDED_64)) == [
        KeyEvent(at=5.123456, is_down=True),
        KeyEvent(at=6.1, is_down=False),
    ]


def test_sizes_are_those_of_the_kernel() -> None:
    assert (EVENT_64.size, EVENT_32.size) == (24, 16)


@pytest.mark.parametrize("form", [EVENT_64, EVENT_32])
@given(cuts=st.sets(st.integers(1, 100)))
def test_events_when_split_anywhere_are_the_same(form: struct.Struct, cuts: set[int]) -> None:
    written = b"".join(form.pack(at, 500_000, EV_KEY, KEY_PROG1, at % 2) for at in range(1, 7))
    edges = [0, *sorted(cut for cut in cuts if cut < len(written)), len(written)]
    reader = EventReader(KEY_PROG1, form)

    events = [e for start, end in pairwise(edges) for e in reader.feed(written[start:end])]

    assert events == [KeyEvent(at=at + 0.5, is_down=bool(at % 2)) for at in range(1, 7)]


def test_another_key_when_pressed_is_not_ours() -> None:
    written = EVENT_64.pack(1, 0, EV_KEY, KEY_PROG1 + 1, 1)

    assert not list(EventReader(KEY_PROG1, EVENT_64).feed(written))


def test_events_when_some_were_lost_are_left_out_up_to_the_next_report() -> None:
    written = b"".join(
        (
            EVENT_64.pack(1, 0, EV_SYN, SYN_DROPPED, 0),
            EVENT_64.pack(1, 0, EV_KEY, KEY_PROG1, 1),
            EVENT_64.pack(2, 0, EV_SYN, SYN_REPORT, 0),
            EVENT_64.pack(3, 0, EV_KEY, KEY_PROG1, 0),
        )
    )

    assert list(EventReader(KEY_PROG1, EVENT_64).feed(written)) == [
        EventsLost(at=2.0),
        KeyEvent(at=3.0, is_down=False),
    ]
