"""Rhythms as the kernel plays them."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from device.lamps.rhythm import (
    ACKNOWLEDGED,
    BLINK,
    BREATH,
    COUNTS,
    KNOWN,
    OFF,
    SOLID,
    WINKS,
    Rhythm,
    pattern,
    progress,
    recognised,
)
from tests.fakes.led_contract import answers
from tests.fakes.leds import MOST_TUPLES, FakeLeds, parsed, played

BRIGHTNESSES = (1, 15, 255)


def edges(rhythm: Rhythm, max_brightness: int, length_ms: int) -> list[tuple[int, bool]]:
    """When the lamp becomes lit and dark, as the kernel would play the pattern."""
    found: list[tuple[int, bool]] = []
    for at, level in played(parsed(pattern(rhythm, max_brightness), max_brightness)):
        if at >= length_ms:
            return found
        if not found or found[-1][1] != bool(level):
            found.append((at, bool(level)))
    return found


@pytest.mark.parametrize("max_brightness", BRIGHTNESSES)
@pytest.mark.parametrize("rhythm", [*KNOWN, ACKNOWLEDGED], ids=lambda rhythm: rhythm.name)
def test_a_rhythm_when_played_is_accepted_and_lit_as_it_says(
    rhythm: Rhythm, max_brightness: int
) -> None:
    expected: list[tuple[int, bool]] = []
    at = 0
    while at < 20_000:
        for is_lit, ms in rhythm.steps:
            if not expected or expected[-1][1] != is_lit:
                expected.append((at, is_lit))
            at += ms

    seen = edges(rhythm, max_brightness, 20_000)

    if rhythm.is_soft and max_brightness > 1:
        starts = [at for at, is_lit in seen if is_lit]
        assert all(2000 <= b - a <= 2200 for a, b in pairwise(starts))
    else:
        assert seen == [edge for edge in expected if edge[0] < 20_000]


@pytest.mark.parametrize("max_brightness", BRIGHTNESSES)
@pytest.mark.parametrize("rhythm", KNOWN, ids=lambda rhythm: rhythm.name)
def test_a_rhythm_when_read_back_is_recognised(rhythm: Rhythm, max_brightness: int) -> None:
    text = pattern(rhythm, max_brightness)

    assert recognised(f"{text}\n") == rhythm
    assert len(text) < 4096
    assert len(text.split()) // 2 <= MOST_TUPLES


def test_rhythms_are_all_different() -> None:
    assert len({rhythm.steps for rhythm in KNOWN}) == len(KNOWN)
    assert len({rhythm.name for rhythm in KNOWN}) == len(KNOWN)


def test_edges_are_hard_when_the_lamp_could_fade() -> None:
    levels = {level for at, level in first(BLINK, 255, 2000)}

    assert levels == {0, 255}


def test_a_breath_when_the_lamp_can_fade_has_levels_between() -> None:
    levels = [level for at, level in first(BREATH, 255, 2000)]

    assert len(set(levels)) > 20
    assert max(levels) == 255
    assert levels[:20] == sorted(levels[:20])


def first(rhythm: Rhythm, max_brightness: int, length_ms: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for at, level in played(parsed(pattern(rhythm, max_brightness), max_brightness)):
        if at >= length_ms:
            return found
        found.append((at, level))
    return found


@pytest.mark.parametrize(
    ("percent", "lit_ms"), [(-5, 100), (0, 100), (50, 500), (97, 900), (100, 900), (300, 900)]
)
def test_progress_when_shown_is_how_long_the_lamp_is_lit(percent: int, lit_ms: int) -> None:
    assert progress(percent).steps == ((True, lit_ms), (False, 1000 - lit_ms))


@given(st.integers(0, 99))
def test_progress_when_it_grows_never_goes_back(percent: int) -> None:
    assert progress(percent + 1).steps[0][1] >= progress(percent).steps[0][1]


@pytest.mark.parametrize(
    ("percent", "lit"), [(100, 255), (50, 127), (1, 2), (0, 1), (-1, 1), (900, 255)]
)
def test_brightness_when_dimmed_is_never_dark(percent: int, lit: int) -> None:
    assert pattern(SOLID, 255, percent) == f"{lit} 1000 {lit} 1000"
    assert pattern(SOLID, 1, percent) == "1 1000 1 1000"


def test_a_press_when_acknowledged_is_seen_within_a_tenth_of_a_second_on_any_lamp() -> None:
    seen = edges(ACKNOWLEDGED, 1, 300)

    assert seen[0] == (0, False)
    assert seen[1][0] <= 100
    assert seen[1][1]


@given(st.text(alphabet="0123456789 -x\n", max_size=40))
def test_a_pattern_when_it_is_nonsense_is_no_rhythm(text: str) -> None:
    rhythm = recognised(text)

    assert rhythm is None or rhythm in (OFF, SOLID)


def test_counts_and_winks_are_told_apart_by_number_alone() -> None:
    for rhythms in (COUNTS, WINKS):
        lit = [sum(is_lit for is_lit, _ in rhythm.steps) for rhythm in rhythms]
        assert lit == list(range(1, len(rhythms) + 1))


def test_the_fake_when_a_pattern_is_bad_forgets_the_old_one(tmp_path: Path) -> None:
    leds = FakeLeds(tmp_path)
    leds.add("a", trigger="pattern")
    path = tmp_path / "a" / "pattern"
    leds.write(path, "1 100 0 100")

    for bad in ("255 100 0 100", "1 1000", "1 100 0", "x 1 0 1"):
        with pytest.raises(OSError, match="Invalid"):
            leds.write(path, bad)
        assert leds.read(path) == ""


def test_the_fake_when_played_with_answers_as_linux_does(tmp_path: Path) -> None:
    """Recorded from Linux 6.1; ``scripts/device-test`` compares both again."""
    leds = FakeLeds(tmp_path)
    leds.add("a")

    told = answers(tmp_path / "a", leds)

    assert [answer.split(": ")[1].split(", plays")[0] for answer in told] == [
        *("EINVAL, [none]", "ENOENT, [none]", "taken, [pattern]", "taken, [pattern]"),
        *("EINVAL, [pattern]", "taken, [pattern]", "EINVAL, [pattern]", "taken, [pattern]"),
        *("EINVAL, [pattern]", "taken, [pattern]", "EINVAL, [pattern]", "taken, [pattern]"),
        *("taken, [pattern]", "taken, [pattern]", "taken, [pattern]", "taken, [pattern]"),
        *("taken, [none]", "ENOENT, [none]"),
        "taken, [none]",
    ]
