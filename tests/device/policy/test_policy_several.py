"""What the policy learns of several services: which one is blamed, and for how long it waits."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from device.model import FailureClass, Gesture, SyncTarget, Wait, WaitReason
from device.policy.failures import RunOutcome, TargetOutcome
from device.policy.policy import Policy
from tests.device.policy.test_policy import PARK, restarted, run_of, up
from tests.fakes.clock import VirtualClock

CITY = SyncTarget(map="city", url="https://two.example/city/FeatureServer")
TREES = SyncTarget(map="city", url="https://one.example/trees/FeatureServer")
ALL = (PARK, CITY, TREES)


def end_each(
    policy: Policy, clock: VirtualClock, *, tried: tuple[SyncTarget, ...] = ALL, **failures: Any
) -> None:
    """A run that comes to ``tried`` and does not end well with those named."""
    run = run_of(policy)
    policy.run_started(run)
    done = []
    for one in tried:
        how = failures.get(one.url.split("/")[3])
        failure = how if isinstance(how, FailureClass) else None
        asked_by, seconds = how if isinstance(how, tuple) else ("", how)
        seconds = seconds if isinstance(seconds, float) else None
        failure = FailureClass.SERVER if seconds is not None else failure
        done.append(
            TargetOutcome(
                target=one,
                is_complete=failure is None,
                failure=failure,
                retry_after_s=seconds,
                asked_by=asked_by,
            )
        )
    policy.run_ended(RunOutcome(run=run, started_at=clock.monotonic(), targets=tuple(done)))
    policy.targets_changed(dict.fromkeys(ALL, 1))


async def several(policy: Policy, clock: VirtualClock) -> None:
    policy.targets_changed(dict.fromkeys(ALL, 1))
    await up(policy, clock)


def blamed(policy: Policy) -> set[tuple[FailureClass, SyncTarget | None]]:
    return {(wait.failure, wait.target) for wait in policy.state().waits}


@pytest.mark.parametrize(
    "failure", [FailureClass.SERVER, FailureClass.LINK, FailureClass.PORTAL, FailureClass.LOCAL]
)
async def test_what_fails_while_another_is_reached_is_blamed_alone(
    policy: Policy, clock: VirtualClock, failure: FailureClass
) -> None:
    await several(policy, clock)
    end_each(policy, clock, park=failure)

    assert {target for _, target in blamed(policy)} == {PARK}
    assert policy.troubles >= {failure}


async def test_a_link_over_which_nothing_is_reached_is_blamed_once(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    dead = FailureClass.LINK
    end_each(policy, clock, park=dead, city=dead, trees=dead)

    (wait,) = policy.state().waits
    assert (wait.failure, wait.target, wait.failures) == (FailureClass.LINK, None, 1)
    assert policy.troubles == frozenset()
    assert policy.holds() == ()


async def test_a_host_that_is_gone_is_not_taken_for_a_dead_link_later(
    policy: Policy, clock: VirtualClock
) -> None:
    """It is tried alone, when nothing else is due."""
    await several(policy, clock)
    end_each(policy, clock, park=FailureClass.LINK)
    await clock.advance(5)
    assert run_of(policy).targets == (PARK,)
    end_each(policy, clock, tried=(PARK,), park=FailureClass.LINK)

    assert blamed(policy) == {(FailureClass.LINK, PARK)}
    assert policy.state().waits[0].failures == 2


async def test_a_service_alone_is_refused_its_sign_in(policy: Policy, clock: VirtualClock) -> None:
    await several(policy, clock)
    end_each(policy, clock, city=FailureClass.AUTHENTICATION)
    await clock.advance(4000)

    assert set(run_of(policy).targets) == {PARK, TREES}
    assert [(h.target, h.wait.reason) for h in policy.holds()] == [
        (CITY, WaitReason.AUTHENTICATION)
    ]
    policy.pressed(Gesture.SHORT)
    end_each(policy, clock)
    assert policy.holds() == ()
    assert policy.troubles == frozenset()


async def test_retry_after_binds_the_host_alone_also_over_a_restart(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    end_each(policy, clock, tried=(PARK, CITY), park=5000.0)
    again, later = restarted(policy, was_clean=True)
    again.targets_changed(dict.fromkeys(ALL, 1))
    await up(again, later)

    assert run_of(again).targets == (CITY,)
    assert {h.target for h in again.holds()} == {PARK, TREES}
    await later.advance(5000)
    assert set(run_of(again).targets) == set(ALL)


async def test_what_a_portal_asked_for_binds_who_needs_it_and_not_the_host_of_the_service(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    end_each(policy, clock, tried=(PARK, CITY), park=("portal.example", 5000.0))
    again, later = restarted(policy, was_clean=True)
    again.targets_changed(dict.fromkeys(ALL, 1))
    await up(again, later)

    assert set(run_of(again).targets) == {CITY, TREES}, "of one host, and it asked for nothing"
    (hold,) = again.holds()
    assert (hold.target, hold.wait.reason) == (PARK, WaitReason.RETRY_AFTER)
    assert "needs" in hold.wait.detail
    assert hold.wait.until == pytest.approx(later.monotonic() + 5000, abs=60)
    again.pressed(Gesture.SHORT)
    assert set(run_of(again).targets) == {CITY, TREES}, "a press does not override it"
    await later.advance(5000)
    assert set(run_of(again).targets) == set(ALL)


async def test_what_a_portal_asked_for_binds_its_own_services(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    end_each(policy, clock, tried=(PARK,), park=(CITY.host, 5000.0))

    assert set(run_of(policy).targets) == {TREES}


async def test_what_one_service_did_not_answer_is_no_answer_of_its_host(
    policy: Policy, clock: VirtualClock
) -> None:
    """Of two services of a host one asks for time, and another one does not."""
    await several(policy, clock)
    end_each(policy, clock, park=600.0)

    assert policy.state().retry_after.keys() == {"one.example"}


async def test_a_service_that_fails_for_hours_puts_no_other_off(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    reached = []
    for _ in range(200):
        answer = policy.decide()
        if isinstance(answer, Wait):
            assert answer.until is not None
            await clock.advance(answer.until - clock.monotonic())
            continue
        end_each(policy, clock, tried=answer.targets, city=FailureClass.SERVER)
        reached += [(clock.monotonic(), one) for one in answer.targets if one != CITY]

    for one in (PARK, TREES):
        times = [at for at, target in reached if target == one]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert max(gaps) <= 900, "the interval of pulls"


async def test_a_map_that_is_broken_for_a_while_keeps_its_waits(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    end_each(policy, clock, city=FailureClass.SERVER)
    policy.targets_changed({PARK: 0}, broken_maps=["city"])
    while_broken = blamed(policy)
    policy.targets_changed({PARK: 0})

    assert while_broken == {(FailureClass.SERVER, CITY)}
    assert blamed(policy) == set()


async def test_a_press_for_a_map_is_over_when_a_run_takes_that_map(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    policy.pressed(Gesture.SHORT, maps=["city"])
    run = run_of(policy)
    policy.run_started(replace(run, targets=(PARK,)))
    is_still_asked = policy.state().press is not None
    policy.run_started(run)

    assert set(run.targets) == {CITY, TREES}
    assert is_still_asked
    assert policy.state().press is None


async def test_what_somebody_cancelled_shows_nothing_and_is_not_begun_again_at_once(
    policy: Policy, clock: VirtualClock
) -> None:
    await several(policy, clock)
    end_each(policy, clock, park=FailureClass.SERVER, city=FailureClass.AUTHENTICATION)
    before = (blamed(policy), {hold.target for hold in policy.holds()})
    policy.pressed(Gesture.SHORT)
    run = run_of(policy)
    policy.run_started(run)
    cancelled = [
        TargetOutcome(target=one, is_complete=True, is_cancelled=True) for one in run.targets
    ]
    ended = RunOutcome(run=run, started_at=clock.monotonic(), targets=tuple(cancelled))
    policy.run_ended(ended)
    policy.targets_changed(dict.fromkeys(ALL, 1))

    assert (blamed(policy), {hold.target for hold in policy.holds()}) == before
    assert before[1] == {PARK, CITY}
    assert isinstance(policy.decide(), Wait)
