"""How long links are left alone: full jitter, and only an acknowledgement starts it anew."""

import random
from statistics import mean

import pytest

from device.model import FailureClass, LinkClass, SyncTarget
from device.policy.backoff import Backoff
from device.policy.rules import Rules

WIFI, CELL = LinkClass.WIFI, LinkClass.CELLULAR
LINK, SERVER, PORTAL, CLOCK = (
    FailureClass.LINK,
    FailureClass.SERVER,
    FailureClass.PORTAL,
    FailureClass.CLOCK,
)
PARK = SyncTarget(map="park", url="https://one.example/park/FeatureServer")
CITY = SyncTarget(map="city", url="https://two.example/city/FeatureServer")


def made(seed: int = 1) -> Backoff:
    return Backoff(Rules(), random.Random(seed))


def until(backoff: Backoff, kind: LinkClass, failure: FailureClass) -> float:
    return next(w.until for w in backoff.waits if (w.link_class, w.failure) == (kind, failure))


@pytest.mark.parametrize(
    ("kind", "failure", "base_s", "limit_s"),
    [
        (WIFI, LINK, 5, 900),
        (LinkClass.WIRED, SERVER, 5, 900),
        (CELL, LINK, 30, 3600),
        (LinkClass.ROAMING, FailureClass.LOCAL, 30, 3600),
        (WIFI, PORTAL, 300, 3600),
        (CELL, CLOCK, 30, 3600),
    ],
)
def test_the_limit_doubles_up_to_a_cap_and_anything_below_may_come(
    kind: LinkClass, failure: FailureClass, base_s: float, limit_s: float
) -> None:
    draws: list[list[float]] = [[] for _ in range(12)]
    for seed in range(200):
        backoff = made(seed)
        for number in range(12):
            backoff.failed(kind, failure, 1000.0)
            draws[number].append(until(backoff, kind, failure) - 1000.0)

    for number, pauses in enumerate(draws):
        limit = min(limit_s, base_s * 2**number)
        assert 0 <= min(pauses) < 0.1 * limit
        assert 0.9 * limit < max(pauses) <= limit
        assert mean(pauses) == pytest.approx(limit / 2, rel=0.2)


def test_a_thousand_failures_are_no_trouble() -> None:
    backoff = made()
    for _ in range(1000):
        backoff.failed(WIFI, LINK, 0.0)

    assert until(backoff, WIFI, LINK) <= 900
    assert backoff.waits[0].failures == 1000


def test_classes_of_links_and_of_failures_wait_apart() -> None:
    backoff = made()
    for _ in range(3):
        backoff.failed(WIFI, LINK, 0.0)
    backoff.failed(WIFI, SERVER, 0.0)
    backoff.failed(CELL, LINK, 0.0)

    counts = {(w.link_class, w.failure): w.failures for w in backoff.waits}
    assert counts == {(WIFI, LINK): 3, (WIFI, SERVER): 1, (CELL, LINK): 1}


def test_an_acknowledgement_ends_what_it_disproves() -> None:
    backoff = made()
    for kind in (WIFI, CELL):
        for failure in (LINK, SERVER, CLOCK, FailureClass.LOCAL):
            backoff.failed(kind, failure, 0.0)

    backoff.acknowledged(WIFI, PARK)

    assert [(w.link_class, w.failure) for w in backoff.waits] == [(CELL, LINK)]


def test_a_run_that_fails_in_the_end_does_not_begin_the_count_anew() -> None:
    """One map does well, another one fails each time: that is not to be tried every second."""
    backoff = made()
    for _ in range(5):
        backoff.failed(WIFI, SERVER, 0.0)
        backoff.acknowledged(WIFI, CITY, but_for=SERVER)

    assert backoff.waits[0].failures == 5


def test_a_link_that_breaks_but_brings_something_each_time_is_tried_again_soon() -> None:
    backoff = made()
    for _ in range(5):
        backoff.failed(CELL, LINK, 0.0)

    backoff.acknowledged(CELL, PARK, but_for=LINK)

    assert backoff.waits == ()


def test_a_new_link_ends_the_wait_for_a_portal_and_no_other() -> None:
    backoff = made()
    backoff.failed(WIFI, PORTAL, 0.0)

    backoff.link_changed(CELL)
    assert {w.failure for w in backoff.waits} == {PORTAL, LINK}
    backoff.link_changed(WIFI)
    assert {w.failure for w in backoff.waits} == {
        LINK
    }  # or a loose plug would mean a try each time


def test_the_right_time_ends_the_wait_for_it() -> None:
    backoff = made()
    backoff.failed(WIFI, CLOCK, 0.0)
    backoff.failed(WIFI, SERVER, 0.0)

    backoff.clock_trusted()

    assert [w.failure for w in backoff.waits] == [SERVER]


def test_an_acknowledgement_says_nothing_of_another_service() -> None:
    backoff = made()
    for target in (PARK, CITY):
        for failure in (LINK, SERVER, FailureClass.LOCAL):
            backoff.failed(WIFI, failure, 0.0, target)
    backoff.failed(CELL, LINK, 0.0, PARK)

    backoff.acknowledged(WIFI, PARK)

    assert {w.target for w in backoff.waits} == {CITY}
    assert len(backoff.waits) == 3


def test_what_is_not_synced_any_more_is_forgotten() -> None:
    backoff = made()
    for target in (PARK, CITY, None):
        backoff.failed(WIFI, SERVER, 0.0, target)

    backoff.keep_only([CITY])

    assert {w.target for w in backoff.waits} == {CITY, None}
