"""What the lamps say for what there is to tell."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, strategies as st

from device.lamps.language import (
    ONE,
    SIGNS,
    THREE,
    Lamp,
    LampMode,
    attention_of,
    explain,
    on_lamps,
    on_one_lamp,
    on_three_lamps,
)
from device.lamps.rhythm import BLINK, BREATH, COUNTS, OFF, SOLID, WINKS, Rhythm, progress
from device.model import Attention, Indication, LinkSign, WaitReason

INDICATIONS = st.builds(
    Indication,
    is_starting=st.booleans(),
    link=st.sampled_from(LinkSign),
    has_pending_edits=st.booleans(),
    progress=st.none() | st.integers(0, 100),
    is_success=st.booleans(),
    is_update_waiting=st.booleans(),
    attention=st.sampled_from(Attention),
)


@pytest.mark.parametrize(
    ("indication", "link", "sync", "attention", "single"),
    [
        (Indication(is_starting=True), BLINK, BLINK, BLINK, BREATH),
        (Indication(), OFF, OFF, OFF, WINKS[0]),
        (Indication(link=LinkSign.SERVICE), SOLID, OFF, OFF, WINKS[0]),
        (Indication(link=LinkSign.SEARCHING), BLINK, OFF, OFF, WINKS[1]),
        (Indication(link=LinkSign.UP), BREATH, OFF, OFF, WINKS[2]),
        (Indication(has_pending_edits=True), OFF, BREATH, OFF, BREATH),
        (Indication(link=LinkSign.UP, progress=0), SOLID, progress(0), OFF, BLINK),
        (Indication(link=LinkSign.SERVICE, is_success=True), SOLID, SOLID, OFF, SOLID),
        (Indication(is_update_waiting=True), OFF, WINKS[0], OFF, WINKS[0]),
        (Indication(attention=Attention.WILL_RETRY), OFF, OFF, COUNTS[0], COUNTS[0]),
        (Indication(attention=Attention.POWER), OFF, OFF, COUNTS[4], COUNTS[4]),
        (
            Indication(progress=40, attention=Attention.WILL_RETRY),
            SOLID,
            progress(40),
            COUNTS[0],
            BLINK,
        ),
        (
            Indication(progress=40, attention=Attention.KEPT_FOR_A_PERSON),
            SOLID,
            progress(40),
            COUNTS[1],
            COUNTS[1],
        ),
        (
            Indication(has_pending_edits=True, attention=Attention.WILL_RETRY),
            OFF,
            BREATH,
            COUNTS[0],
            COUNTS[0],
        ),
    ],
)
def test_lamps_when_there_is_something_to_tell_say_it(
    indication: Indication, link: Rhythm, sync: Rhythm, attention: Rhythm, single: Rhythm
) -> None:
    assert on_three_lamps(indication) == {
        Lamp.LINK: link,
        Lamp.SYNC: sync,
        Lamp.ATTENTION: attention,
    }
    assert on_one_lamp(indication) == {Lamp.STATUS: single}


@given(INDICATIONS)
def test_every_sign_when_shown_has_a_meaning(indication: Indication) -> None:
    for lamps in (THREE, ONE):
        signs = explain(on_lamps(lamps, indication, LampMode.ALL))

        assert [sign.lamp for sign in signs] == list(lamps)
        assert all(sign.meaning and "no sign" not in sign.meaning for sign in signs)


@given(INDICATIONS, st.sampled_from(Attention))
def test_what_is_graver_when_there_is_one_lamp_is_never_hidden(
    indication: Indication, attention: Attention
) -> None:
    grave = attention.value >= Attention.KEPT_FOR_A_PERSON.value
    shown = on_one_lamp(replace(indication, attention=attention, is_starting=False))

    assert not grave or shown[Lamp.STATUS] == COUNTS[attention.value - 1]


@given(INDICATIONS)
def test_lamps_when_quiet_are_dark_but_for_errors(indication: Indication) -> None:
    assert set(on_lamps(THREE, indication, LampMode.OFF).values()) == {OFF}
    shown = on_lamps(THREE, indication, LampMode.ERRORS_ONLY)
    assert (shown[Lamp.LINK], shown[Lamp.SYNC]) == (OFF, OFF)
    is_told = indication.attention is not Attention.NONE and not indication.is_starting
    assert (shown[Lamp.ATTENTION] != OFF) == is_told
    single = on_lamps(ONE, indication, LampMode.ERRORS_ONLY)
    assert single[Lamp.STATUS] == shown[Lamp.ATTENTION]


def test_a_board_without_lamps_says_nothing() -> None:
    assert explain(on_lamps((), Indication(), LampMode.ALL)) == []


def test_lamps_when_the_daemon_is_dead_say_so() -> None:
    signs = explain({Lamp.LINK: OFF, Lamp.SYNC: OFF, Lamp.ATTENTION: SOLID})

    assert {sign.meaning for sign in signs} == {"fieldsync does not run."}


def test_lamps_when_they_act_together_say_that_it_starts() -> None:
    for played in (BLINK, SOLID):
        signs = explain(dict.fromkeys(THREE, played))
        assert {sign.meaning for sign in signs} == {"The device starts."}


def test_no_lamp_has_two_meanings_for_one_rhythm() -> None:
    seen = [(sign.lamp, sign.rhythm.name) for sign in SIGNS]

    assert len(seen) == len(set(seen))


def test_every_refusal_of_a_press_has_a_count() -> None:
    silent = {reason for reason in WaitReason if attention_of(reason) is Attention.NONE}

    assert silent == {WaitReason.NOTHING_TO_DO}


def test_what_can_be_shown_is_on_the_sticker() -> None:
    told = {(sign.lamp, sign.rhythm.name) for sign in SIGNS}
    values = product(LinkSign, (True, False), (None, 50), (True, False), (True, False), Attention)

    for link, pending, done, success, update, attention in values:
        indication = Indication(
            link=link,
            has_pending_edits=pending,
            progress=done,
            is_success=success,
            is_update_waiting=update,
            attention=attention,
        )
        for lamps in (THREE, ONE):
            shown = on_lamps(lamps, indication, LampMode.ALL)
            assert {(lamp, played.name) for lamp, played in shown.items()} <= told
