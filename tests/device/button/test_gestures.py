"""Gestures: told once, on release, whatever comes in whatever order."""

import pytest
from hypothesis import given, strategies as st

from device.button.gestures import Gestures, Lengths
from device.model import Gesture


@pytest.mark.parametrize(
    ("held_s", "gesture"),
    [
        (0.0, Gesture.SHORT),
        (0.02, Gesture.SHORT),
        (0.79, Gesture.SHORT),
        (0.8, None),
        (1.99, None),
        (2.0, Gesture.LONG),
        (4.99, Gesture.LONG),
        (5.0, None),
        (7.99, None),
        (8.0, Gesture.VERY_LONG),
        (29.9, Gesture.VERY_LONG),
        (31.0, None),
    ],
)
def test_a_press_when_released_is_what_its_length_says(
    held_s: float, gesture: Gesture | None
) -> None:
    button = Gestures()

    assert button.press(0.0)
    assert button.release(held_s) is gesture


def test_a_key_when_held_for_half_a_minute_is_stuck_once() -> None:
    button = Gestures()
    button.press(0.0)

    told = [button.tick(now) for now in (29.9, 30.0, 31.0, 1000.0)]

    assert told == [None, Gesture.STUCK, None, None]
    assert button.release(1001.0) is None


def test_what_letting_go_means_when_time_passes_changes_at_the_marks() -> None:
    button = Gestures()
    button.press(0.0)
    seen = []

    now = 0.0
    while (moment := button.next_moment(now)) is not None:
        now = moment
        seen.append((now, button.held(now)))
        if button.tick(now) is not None:
            break

    assert seen == [(2.0, Gesture.LONG), (5.0, None), (8.0, Gesture.VERY_LONG), (30.0, None)]


def test_a_release_when_its_press_was_lost_means_nothing() -> None:
    button = Gestures()

    assert button.release(1.0) is None


def test_a_press_when_the_release_before_it_was_lost_means_nothing() -> None:
    button = Gestures()
    button.press(0.0)

    assert not button.press(10.0)
    assert button.release(10.1) is None
    assert button.press(11.0)
    assert button.release(11.1) is Gesture.SHORT


def test_a_key_when_down_after_a_loss_may_be_stuck_but_is_no_gesture() -> None:
    button = Gestures()
    button.lose(10.0, is_down=True)

    assert button.tick(40.0) is Gesture.STUCK
    assert button.release(41.0) is None


@pytest.mark.parametrize("lengths", [(0.8, 0.5, 8.0, 30.0), (0.8, 2.0, 8.0, 8.0), (0, 2, 8, 30)])
def test_lengths_when_they_do_not_grow_are_refused(lengths: tuple[float, ...]) -> None:
    names = ("short_s", "long_s", "very_long_s", "stuck_s")

    with pytest.raises(ValueError, match="grow"):
        Lengths(**dict(zip(names, lengths, strict=True)))


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["press", "release", "tick", "lose up", "lose down"]),
        st.floats(min_value=0, max_value=40, allow_nan=False),
    ),
    max_size=40,
)


@given(_EVENTS)
def test_any_events_when_in_any_order_give_no_gesture_twice_or_without_its_release(
    events: list[tuple[str, float]],
) -> None:
    button, now = Gestures(), 0.0
    gestures_since_press, is_pressed = 0, False

    for what, pause_s in events:
        now += pause_s
        gesture = None
        match what:
            case "press":
                if button.press(now):
                    is_pressed, gestures_since_press = True, 0
            case "release":
                gesture = button.release(now)
                assert gesture is not Gesture.STUCK
                assert gesture is None or is_pressed
                is_pressed = False
            case "tick":
                gesture = button.tick(now)
                assert gesture in (None, Gesture.STUCK)
            case _:
                if what == "lose up" and not is_pressed:
                    gestures_since_press = 0
                button.lose(now, is_down=what == "lose down")
                if what == "lose down" and not is_pressed:
                    gestures_since_press = 0
                is_pressed = False
        gestures_since_press += gesture is not None
        assert gestures_since_press <= 1


@given(st.floats(min_value=0, max_value=1e7, allow_nan=False))
def test_a_moment_when_it_was_waited_for_has_come(pressed: float) -> None:
    button, now, moments = Gestures(), pressed, 0
    button.press(pressed)

    while (moment := button.next_moment(now)) is not None and button.tick(moment) is None:
        assert moment > now
        now, moments = moment, moments + 1

    assert moments == 3


@given(_EVENTS)
def test_a_key_when_let_go_after_any_events_is_as_new(events: list[tuple[str, float]]) -> None:
    button, now = Gestures(), 0.0
    for what, pause_s in events:
        now += pause_s
        match what:
            case "press":
                button.press(now)
            case "release":
                button.release(now)
            case "tick":
                button.tick(now)
            case _:
                button.lose(now, is_down=what == "lose down")
    button.release(now)

    assert button.next_moment(now) is None
    assert button.press(now + 1)
    assert button.release(now + 1.2) is Gesture.SHORT
