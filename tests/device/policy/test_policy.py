"""What the policy learns from what happens."""

import json
import random
from dataclasses import replace

import pytest

from device.model import (
    FailureClass,
    Gesture,
    Link,
    LinkClass,
    Run,
    SyncTarget,
    Wait,
    WaitReason,
)
from device.policy.budgets import Budgets
from device.policy.failures import RunOutcome, TargetOutcome
from device.policy.policy import Policy
from device.policy.rules import Rules
from tests.device.policy.test_budgets import Shelf
from tests.fakes.clock import VirtualClock

SETTLED_S = 20.0


@pytest.fixture(autouse=True)
def one_edit(policy: Policy) -> None:
    """There is one to send."""
    edits_wait(policy, 1)


PARK = SyncTarget(map="park", url="https://one.example/park/FeatureServer")


def edits_wait(policy: Policy, edits: int, *, is_new: bool = False) -> None:
    policy.targets_changed({PARK: edits}, new=[PARK] if is_new else [])


def link(kind: LinkClass = LinkClass.WIFI, since: float = 0.0, *, preferred: bool = True) -> Link:
    return Link(interface=kind.value, link_class=kind, since=since, is_preferred=preferred)


def run_of(policy: Policy) -> Run:
    answer = policy.decide()
    assert isinstance(answer, Run), answer
    return answer


def reason(policy: Policy) -> WaitReason | None:
    answer = policy.decide()
    return answer.reason if isinstance(answer, Wait) else None


def end(
    policy: Policy,
    clock: VirtualClock,
    *,
    failure: FailureClass | None = None,
    is_complete: bool = False,
    acknowledged: int = 0,
    retry_after_s: float | None = None,
    pending: int = 1,
) -> None:
    """Begin the run that is decided, and end it so."""
    run = run_of(policy)
    policy.run_started(run)
    done = TargetOutcome(
        target=PARK,
        is_complete=is_complete,
        acknowledged=acknowledged,
        failure=failure,
        retry_after_s=retry_after_s,
    )
    policy.run_ended(RunOutcome(run=run, started_at=clock.monotonic(), targets=(done,)))
    edits_wait(policy, pending)


async def up(policy: Policy, clock: VirtualClock, *links: Link) -> None:
    policy.links_changed(links or [link()])
    await clock.advance(SETTLED_S)


async def test_a_link_settles_for_a_time_that_is_drawn_once(
    policy: Policy, clock: VirtualClock
) -> None:
    policy.links_changed([link()])
    first = policy.state().links[0].settles_at
    policy.links_changed([link()])
    again = policy.state().links[0].settles_at
    policy.links_changed([link(since=3.0)])

    assert 5 <= first == again <= 15
    assert policy.state().links[0].settles_at != first
    assert reason(policy) is WaitReason.LINK_SETTLING


async def test_a_failed_run_is_tried_again_later(policy: Policy, clock: VirtualClock) -> None:
    await up(policy, clock)
    end(policy, clock, failure=FailureClass.SERVER)

    assert reason(policy) is WaitReason.BACK_OFF
    await clock.advance(5)
    run_of(policy)


async def test_a_press_goes_once_around_the_back_off(policy: Policy, clock: VirtualClock) -> None:
    await up(policy, clock)
    for _ in range(6):
        policy.pressed(Gesture.SHORT)
        end(policy, clock, failure=FailureClass.LINK)

    assert reason(policy) is WaitReason.BACK_OFF
    policy.pressed(Gesture.SHORT)
    run_of(policy)
    policy.run_started(run_of(policy))
    assert reason(policy) is WaitReason.BACK_OFF


async def test_a_refused_sign_in_ends_with_a_press(policy: Policy, clock: VirtualClock) -> None:
    await up(policy, clock)
    end(policy, clock, failure=FailureClass.AUTHENTICATION)
    await clock.advance(86_400)
    assert reason(policy) is WaitReason.AUTHENTICATION

    policy.pressed(Gesture.SHORT)
    end(policy, clock, is_complete=True, pending=0)

    assert reason(policy) is WaitReason.NOTHING_TO_DO


@pytest.mark.parametrize(("asked_s", "obeyed_s"), [(0.0, 0), (600.0, 600), (1e7, 86_400)])
async def test_what_the_service_asks_for_is_obeyed_for_a_day_at_most(
    policy: Policy, clock: VirtualClock, asked_s: float, obeyed_s: float
) -> None:
    await up(policy, clock)
    end(policy, clock, failure=FailureClass.SERVER, retry_after_s=asked_s)
    policy.pressed(Gesture.LONG)
    began = clock.monotonic()
    answer = policy.decide()

    if not obeyed_s:
        assert isinstance(answer, Run)
        return
    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.RETRY_AFTER
    assert answer.until in (began + obeyed_s, began + 900)  # when the press is forgotten
    await clock.advance(obeyed_s)
    assert reason(policy) is not WaitReason.RETRY_AFTER


async def test_a_portal_is_tried_again_when_the_link_is_another_one(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    end(policy, clock, failure=FailureClass.PORTAL)
    assert reason(policy) is WaitReason.PORTAL

    await up(policy, clock, link(since=clock.monotonic()))

    run_of(policy)


async def test_the_right_time_ends_the_wait_for_it(policy: Policy, clock: VirtualClock) -> None:
    await up(policy, clock)
    end(policy, clock, failure=FailureClass.CLOCK)
    assert reason(policy) is WaitReason.CLOCK

    policy.clock_changed(is_trusted=True)

    run_of(policy)


async def test_refused_edits_are_no_reason_to_wait(policy: Policy, clock: VirtualClock) -> None:
    await up(policy, clock)
    end(policy, clock, failure=FailureClass.REFUSED, is_complete=True, pending=1)

    assert reason(policy) is WaitReason.NOTHING_TO_DO
    edits_wait(policy, 2, is_new=True)
    assert reason(policy) is WaitReason.EDITS_SETTLING


async def test_edits_made_while_a_run_goes_on_are_sent_by_the_next(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    run, began = run_of(policy), clock.monotonic()
    policy.run_started(run)
    await clock.advance(10)
    edits_wait(policy, 2, is_new=True)
    await clock.advance(10)
    done = TargetOutcome(target=PARK, is_complete=True, acknowledged=1)
    policy.run_ended(RunOutcome(run=run, started_at=began, targets=(done,)))
    edits_wait(policy, 1)

    assert reason(policy) is WaitReason.EDITS_SETTLING
    await clock.advance(20)
    run_of(policy)


async def test_a_run_without_a_pull_does_not_put_the_next_pull_off(
    policy: Policy, clock: VirtualClock
) -> None:
    roaming = link(LinkClass.ROAMING)
    await up(policy, clock, roaming)
    run = run_of(policy)
    assert not run.pull
    end(policy, clock, is_complete=True, pending=0)
    assert reason(policy) is WaitReason.NOTHING_TO_DO

    await up(policy, clock, link(since=clock.monotonic()), replace(roaming, is_preferred=False))

    assert run_of(policy).pull


async def test_a_run_that_was_stopped_before_anything_came_of_it_is_not_begun_at_once(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    for _ in range(20):  # a download that takes many runs
        end(policy, clock)
        answer = policy.decide()
        assert isinstance(answer, Wait)
        assert answer.reason is WaitReason.BACK_OFF
        assert "stopped before its end" in answer.detail
        await clock.advance(5)

    run_of(policy)


async def test_a_run_that_was_stopped_with_something_done_goes_on_at_once(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    end(policy, clock, acknowledged=100)

    run_of(policy)


async def test_a_pause_forgets_the_press_and_ends_with_the_next(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    policy.pressed(Gesture.SHORT)
    policy.pressed(Gesture.VERY_LONG)
    assert policy.is_paused
    assert reason(policy) is WaitReason.PAUSED
    assert policy.state().press is None

    policy.pressed(Gesture.VERY_LONG)
    run_of(policy)


async def test_a_press_that_is_not_wanted_any_more_is_forgotten(
    policy: Policy, clock: VirtualClock
) -> None:
    policy.pressed(Gesture.LONG)
    policy.forget_press()

    assert policy.state().press is None


# --- over restarts --------------------------------------------------------------------------------


def restarted(policy: Policy, *, was_clean: bool) -> tuple[Policy, VirtualClock]:
    """After a restart, of which the monotonic clock of the device knows nothing."""
    clock = VirtualClock()
    saved = json.loads(json.dumps(policy.kept()))
    rules = Rules()
    again = Policy(rules, Budgets(rules, Shelf(), clock=clock), clock=clock, rng=random.Random(3))
    again.restore(saved, was_clean=was_clean)
    edits_wait(again, 1)
    return again, clock


async def test_a_restart_does_not_end_a_wait(policy: Policy, clock: VirtualClock) -> None:
    await up(policy, clock)
    for _ in range(9):
        policy.pressed(Gesture.SHORT)
        end(policy, clock, failure=FailureClass.SERVER)
    left_s = policy.state().waits[0].until - clock.monotonic()

    again, _ = restarted(policy, was_clean=True)

    (wait,) = again.state().waits
    assert wait.failures == 9
    assert wait.until == pytest.approx(left_s, abs=0.01)


async def test_what_a_service_asked_for_holds_over_a_restart(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    end(policy, clock, failure=FailureClass.SERVER, retry_after_s=5000.0)
    await clock.advance(1000)

    again, later = restarted(policy, was_clean=False)
    await up(again, later)

    answer = again.decide()
    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.RETRY_AFTER, 4000.0)


async def test_a_program_that_dies_with_each_run_runs_less_and_less(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    counts = []
    for _ in range(8):
        policy.pressed(Gesture.SHORT)
        policy.run_started(run_of(policy))
        policy, clock = restarted(policy, was_clean=False)
        await up(policy, clock)
        counts += [w.failures for w in policy.state().waits]

    assert counts == list(range(1, 9))


async def test_a_program_that_is_stopped_in_good_order_has_not_failed(
    policy: Policy, clock: VirtualClock
) -> None:
    await up(policy, clock)
    policy.run_started(run_of(policy))
    policy.run_cancelled()
    after_cancel, _ = restarted(policy, was_clean=False)
    policy.run_started(run_of(policy))
    after_clean_stop, _ = restarted(policy, was_clean=True)

    assert after_cancel.state().waits == ()
    assert after_clean_stop.state().waits == ()


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"waits": 7, "retry_after_s": "soon", "running": 9},
        {"waits": [3, None, {}, {"link_class": "string"}], "retry_after_s": -1, "running": "x"},
        {"waits": [{"link_class": "wifi", "failure": "link", "failures": -1, "left_s": 1}]},
        {"waits": [{"link_class": "wifi", "failure": "link", "failures": 2, "left_s": 1e300}]},
        {"waits": [{"link_class": "wifi", "failure": "link", "failures": 1e999, "left_s": 1}]},
        {"refused_sign_ins": [["park"], 7, ["park", 3, "mark"], None]},
        {"refused_sign_ins": {"park": PARK.url}},
        {"retry_after_s": {"one.example": float("nan"), "two.example": 1e9, "three": -1}},
        {"waits": [{"link_class": "wifi", "failure": "link", "target": ["park"], "failures": 1}]},
        {"waits": [{"link_class": "wifi", "failure": "link", "target": 7, "failures": 1}]},
    ],
)
def test_what_was_kept_and_is_not_understood_is_left_out(
    policy: Policy, saved: dict[str, object]
) -> None:
    policy.restore(saved, was_clean=False)

    assert policy.state().waits == ()
    assert policy.state().retry_after == {}
    assert policy.troubles == frozenset()
